//! Accounts of the system, for servers that know no others. They are seen by nobody else: [`crate::network`] gives this
//! program a list of accounts of its own, which is gone with it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use loadtest::cli::{FtpTls, Passive};
use loadtest::tls::Trust;

use super::login::{self, PASSWORD};
use super::{Door, FILES, Service};

/// An account.
pub(super) struct Account {
    name: String,
}

impl Account {
    /// A new one, whose home a directory is. One that is there could not get another home while a session of it ends.
    pub(super) fn new(home: &Path) -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let name = format!("fgbench{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let options = [
            "--no-create-home",
            "--no-user-group",
            "--shell",
            "/bin/sh",
            "--home-dir",
        ];
        run(Command::new("useradd").args(options).arg(home).arg(&name), "")?;
        run(&mut Command::new("chpasswd"), &format!("{name}:{PASSWORD}\n"))?;
        run(Command::new("chown").arg(&name).arg(home), "")?;
        Ok(Self { name })
    }

    /// The ways into a server that speaks FTP at an address, and TLS there to who asks for it.
    pub(super) fn doors(&self, address: SocketAddr, trust: &Trust) -> Result<Vec<Door>, String> {
        let url = format!("ftp://{address}");
        let access = |tls| login::ftp(&self.name, tls, Passive::Epsv, trust);
        Ok(vec![
            Door::new(Service::Ftp, &url, access(None), FILES)?,
            Door::new(Service::Ftps, &url, access(Some(FtpTls::Explicit)), FILES)?,
        ])
    }
}

/// Runs a command to its end, with a text as its input.
fn run(command: &mut Command, input: &str) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let failed = |error: std::io::Error| format!("{name}: {error}");
    let mut child = command.stdin(Stdio::piped()).spawn().map_err(failed)?;
    if let Some(mut pipe) = child.stdin.take().filter(|_| !input.is_empty()) {
        pipe.write_all(input.as_bytes()).map_err(failed)?;
    }
    let status = child.wait().map_err(failed)?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{name} ended with {status}"))
    }
}
