//! A certificate for those who have configured none: made once, kept in `DATA/tls`, trusted by its fingerprint.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use rcgen::{CertificateParams, DnType, KeyPair};

use super::CertificateFiles;
use crate::private;

/// The files of the self-made certificate, made if they are not there.
///
/// # Errors
///
/// A text that says what could not be made or written.
pub(super) fn ensure(data: &Path) -> Result<CertificateFiles, String> {
    let directory = data.join("tls");
    let files = CertificateFiles {
        chain: directory.join("self-made.pem"),
        key: directory.join("self-made.key"),
    };
    if files.chain.exists() && files.key.exists() {
        return Ok(files);
    }
    let failed = |error: &dyn std::fmt::Display| format!("cannot make a certificate: {error}");
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    if host != "localhost" && !host.is_empty() {
        names.push(host);
    }
    let key = KeyPair::generate().map_err(|error| failed(&error))?;
    let mut about = CertificateParams::new(names).map_err(|error| failed(&error))?;
    about.distinguished_name.remove(DnType::CommonName);
    about
        .distinguished_name
        .push(DnType::CommonName, "filegrid, self-made");
    let certificate = about.self_signed(&key).map_err(|error| failed(&error))?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&directory)
        .map_err(|error| failed(&error))?;
    // The chain is written last: a start that was cut off before makes both anew.
    for (path, pem) in [
        (&files.key, key.serialize_pem()),
        (&files.chain, certificate.pem()),
    ] {
        private::replace(path, pem.as_bytes()).map_err(|error| failed(&error))?;
    }
    Ok(files)
}
