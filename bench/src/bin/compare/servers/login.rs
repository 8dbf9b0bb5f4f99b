//! How clients log in.

use loadtest::cli::{FtpTls, Passive};
use loadtest::plan::{Access, FtpAccess, SftpAccess};
use loadtest::tls::Trust;

/// Who logs in where a server has accounts of its own.
pub(super) const USER: &str = "bench";
/// The password of every account.
pub(super) const PASSWORD: &str = "bench-4711";

/// By FTP. Without a word about TLS, the target says.
pub(super) fn ftp(user: &str, tls: Option<FtpTls>, passive: Passive, trust: &Trust) -> Access {
    Access::Ftp(FtpAccess {
        user: user.to_owned(),
        password: PASSWORD.to_owned(),
        tls,
        passive,
        trust: trust.clone(),
    })
}

/// By SFTP, with the password.
pub(super) fn sftp() -> Access {
    Access::Sftp(SftpAccess {
        user: USER.to_owned(),
        password: Some(PASSWORD.to_owned()),
        key: None,
        host_keys: None,
        cipher: None,
    })
}
