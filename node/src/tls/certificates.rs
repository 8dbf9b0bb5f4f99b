//! The certificates that are shown, read from files and read again when those change.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use webpki::EndEntityCert;

/// How often the files are looked at. A change is taken once it has stood for one more look, so that a chain and its
/// key, written one after the other, are taken together.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// A chain and the key of its first certificate, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, the server's own certificate first.
    pub chain: PathBuf,
    /// Its key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// Certificates to choose from by the name that a client asks for; the first serves whoever asks for no known one.
#[derive(Debug)]
pub struct Certificates {
    files: Vec<CertificateFiles>,
    provider: Arc<CryptoProvider>,
    current: ArcSwap<Vec<Arc<CertifiedKey>>>,
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// A text that names the file and what is wrong with it.
    pub(super) fn open(
        files: Vec<CertificateFiles>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<Self>, String> {
        let current = load(&files, &provider)?;
        Ok(Arc::new(Self {
            files,
            provider,
            current: ArcSwap::from_pointee(current),
        }))
    }

    /// Reads the files again. Connections go on with what they have; new ones get the new.
    ///
    /// # Errors
    ///
    /// As at the start; the old certificates stay in use.
    pub fn reload(&self) -> Result<(), String> {
        self.current.store(Arc::new(load(&self.files, &self.provider)?));
        Ok(())
    }

    /// SHA-256 of the certificate that serves whoever asks for no known name, in the form that clients show.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let current = self.current.load();
        let certificate = current.first().and_then(|certified| certified.cert.first());
        let sum = digest::digest(&digest::SHA256, certificate.map_or(&[], |der| der.as_ref()));
        let shown: Vec<_> = sum.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
        shown.join(":")
    }

    /// Watches the files in a thread of its own, as long as the certificates are in use.
    ///
    /// # Errors
    ///
    /// If no thread can be started.
    #[allow(clippy::disallowed_methods, reason = "a plain thread, which may sleep")]
    pub(super) fn watch(self: &Arc<Self>) -> std::io::Result<()> {
        let weak = Arc::downgrade(self);
        let mut loaded = stamps(&self.files);
        let mut seen = loaded.clone();
        let look = move || {
            while let Some(certificates) = weak.upgrade() {
                let now = stamps(&certificates.files);
                if now != loaded && now == seen {
                    certificates.reload_and_tell();
                    loaded.clone_from(&now);
                }
                seen = now;
                drop(certificates);
                std::thread::sleep(WATCH_INTERVAL);
            }
        };
        std::thread::Builder::new()
            .name("certificates".into())
            .spawn(look)
            .map(drop)
    }

    /// Reads the files again and logs how it went.
    pub fn reload_and_tell(&self) {
        match self.reload() {
            Ok(()) => tracing::info!(sha256 = self.fingerprint(), "certificates were read again"),
            Err(error) => tracing::error!(error, "the certificates stay as they were"),
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.load();
        let named = || {
            let name = ServerName::try_from(hello.server_name()?).ok()?;
            current.iter().find(|certified| is_for(certified, &name))
        };
        let chosen = if current.len() > 1 { named() } else { None };
        chosen.or_else(|| current.first()).cloned()
    }
}

fn is_for(certified: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let Some(der) = certified.cert.first() else {
        return false;
    };
    EndEntityCert::try_from(der)
        .is_ok_and(|certificate| certificate.verify_is_valid_for_subject_name(name).is_ok())
}

fn load(files: &[CertificateFiles], provider: &CryptoProvider) -> Result<Vec<Arc<CertifiedKey>>, String> {
    files
        .iter()
        .map(|files| load_one(files, provider).map(Arc::new))
        .collect()
}

fn load_one(files: &CertificateFiles, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
    let wrong = |path: &Path, why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let chain: Vec<_> = CertificateDer::pem_file_iter(&files.chain)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(&files.chain, &error))?;
    if chain.is_empty() {
        return Err(wrong(&files.chain, &"there is no certificate in it"));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| wrong(&files.key, &error))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| wrong(&files.key, &error))
}

/// Inode, size and times of the files: what changes with them.
fn stamps(files: &[CertificateFiles]) -> Vec<Option<(u64, u64, i64, i64)>> {
    let both = files.iter().flat_map(|files| [&files.chain, &files.key]);
    both.map(|path| {
        let about = std::fs::metadata(path).ok()?;
        Some((about.ino(), about.size(), about.mtime(), about.mtime_nsec()))
    })
    .collect()
}
