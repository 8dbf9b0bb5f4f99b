//! The authority of a cluster: who has a certificate of it may talk to its members.
//!
//! # Layout
//!
//! ```text
//! DIR/authority.pem          its certificate: everybody has a copy
//! DIR/authority.key          its key: nobody else needs it
//! DIR/member-1/…             for each who has a certificate: authority.pem, certificate.pem, key.pem
//! ```

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use filegrid_meta::wire::{Identity, Role};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

const CERTIFICATE: &str = "authority.pem";
const KEY: &str = "authority.key";

/// Signs certificates of one cluster. They do not expire: who is to be shut out is removed from the cluster, and a key that
/// has become known ends with its authority.
pub struct Authority {
    directory: PathBuf,
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// What the authority's own certificate says. The same each time, so that its key is enough to go on signing.
fn about_itself() -> CertificateParams {
    let mut about = CertificateParams::default();
    about.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    about.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    about.distinguished_name.remove(DnType::CommonName);
    about
        .distinguished_name
        .push(DnType::CommonName, "filegrid cluster authority");
    about
}

impl Authority {
    /// Makes one.
    ///
    /// # Errors
    ///
    /// A text that names the file: also if there is an authority already, which is never replaced.
    pub fn make(directory: &Path) -> Result<Self, String> {
        let failed = |error: rcgen::Error| format!("cannot make an authority: {error}");
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = about_itself().self_signed(&key).map_err(failed)?.pem();
        make_directory(directory)?;
        write_new(&directory.join(KEY), &key.serialize_pem())?;
        write_new(&directory.join(CERTIFICATE), &certificate)?;
        Ok(Self {
            directory: directory.to_owned(),
            certificate,
            issuer: Issuer::new(about_itself(), key),
        })
    }

    /// Opens one that was made.
    ///
    /// # Errors
    ///
    /// A text that names the file and what is wrong with it.
    pub fn open(directory: &Path) -> Result<Self, String> {
        let read = |name: &str| {
            let path = directory.join(name);
            std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let key = KeyPair::from_pem(&read(KEY)?);
        let key = key.map_err(|error| format!("{}: {error}", directory.join(KEY).display()))?;
        Ok(Self {
            directory: directory.to_owned(),
            certificate: read(CERTIFICATE)?,
            issuer: Issuer::new(about_itself(), key),
        })
    }

    /// Makes a certificate and its key, in a directory of their own, which is returned.
    ///
    /// # Errors
    ///
    /// A text that says what is wrong: also if the directory is there, whose files are never replaced.
    pub fn certify(&self, identity: &Identity) -> Result<PathBuf, String> {
        let failed = |error: rcgen::Error| format!("cannot make a certificate: {error}");
        let key = KeyPair::generate().map_err(failed)?;
        let mut about = CertificateParams::new(identity.certificate_names()).map_err(failed)?;
        let name = directory_name(identity);
        about.distinguished_name.remove(DnType::CommonName);
        about
            .distinguished_name
            .push(DnType::CommonName, format!("filegrid {name}"));
        let certificate = about.signed_by(&key, &self.issuer).map_err(failed)?;
        let directory = self.directory.join(name);
        make_directory(&directory)?;
        write_new(&directory.join("key.pem"), &key.serialize_pem())?;
        write_new(&directory.join("certificate.pem"), &certificate.pem())?;
        write_new(&directory.join(CERTIFICATE), &self.certificate)?;
        Ok(directory)
    }
}

fn directory_name(identity: &Identity) -> String {
    match identity.role {
        Role::Member => format!("member-{}", identity.name),
        Role::Node => format!("node-{}", identity.name),
        Role::Operator => identity.name.clone(),
    }
}

fn make_directory(path: &Path) -> Result<(), String> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| format!("{}: {error}", path.display()))
}

/// Writes a file that only its owner may read. One that is there stays as it is.
pub(crate) fn write_new(path: &Path, text: &str) -> Result<(), String> {
    let mut how = OpenOptions::new();
    let file = how.create_new(true).write(true).mode(0o600).open(path);
    file.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    })
    .map_err(|error| format!("{}: {error}", path.display()))
}
