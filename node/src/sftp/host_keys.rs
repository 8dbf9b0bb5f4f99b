//! The keys by which clients know the server: made once and kept in `DATA/ssh`, or given.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SignatureAlgorithm};
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PrivateKey, decode_secret_key};

use crate::private;

/// Kinds of keys that there may be.
const KINDS: [Algorithm; 2] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP256,
    },
];

/// The keys of a server.
pub struct HostKeys {
    keys: Vec<PrivateKey>,
    given: bool,
}

impl HostKeys {
    /// Reads the keys that were given, or those of `DATA`, which are made if they are not there.
    ///
    /// # Errors
    ///
    /// A text that names the file and what is wrong with it.
    pub fn open(given: &[PathBuf], data: &Path) -> Result<Self, String> {
        if !given.is_empty() {
            let keys = given.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
            return Ok(Self { keys, given: true });
        }
        let directory = data.join("ssh");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(|error| wrong(&directory, &error))?;
        let keep = |name: &str, kind: &'static SignatureAlgorithm| {
            let path = directory.join(name);
            if path.exists() {
                return read(&path);
            }
            make(&path, kind).map_err(|error| wrong(&path, &error))
        };
        let keys = vec![
            keep("ed25519", &PKCS_ED25519)?,
            keep("ecdsa-p256", &PKCS_ECDSA_P256_SHA256)?,
        ];
        Ok(Self { keys, given: false })
    }

    /// Kind and fingerprint of each, as clients show them.
    pub fn fingerprints(&self) -> impl Iterator<Item = (String, String)> {
        self.keys.iter().map(|key| {
            let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
            (key.algorithm().to_string(), fingerprint)
        })
    }

    /// Those that clients are shown: of the ones that were made, ECDSA only to old clients, as others find fault with it.
    pub(super) fn shown(&self, old_clients: bool) -> Vec<PrivateKey> {
        let all = self.given || old_clients;
        let shown = |key: &&PrivateKey| all || key.algorithm() == Algorithm::Ed25519;
        self.keys.iter().filter(shown).cloned().collect()
    }
}

fn wrong(path: &Path, why: &dyn std::fmt::Display) -> String {
    format!("{}: {why}", path.display())
}

fn read(path: &Path) -> Result<PrivateKey, String> {
    let text = std::fs::read_to_string(path).map_err(|error| wrong(path, &error))?;
    let key = decode_secret_key(&text, None).map_err(|error| wrong(path, &error))?;
    if KINDS.contains(&key.algorithm()) {
        return Ok(key);
    }
    let kind = key.algorithm();
    Err(wrong(
        path,
        &format_args!("a host key is Ed25519 or ECDSA P-256, this one is {kind}"),
    ))
}

/// Makes a key. A start that is cut off leaves none behind, or all of it.
fn make(path: &Path, kind: &'static SignatureAlgorithm) -> Result<PrivateKey, Box<dyn std::error::Error>> {
    let key = decode_secret_key(&KeyPair::generate_for(kind)?.serialize_pem(), None)?;
    private::replace(path, key.to_openssh(LineEnding::LF)?.as_bytes())?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn keys_are_made_once_and_kept_from_others() {
        let data = tempfile::tempdir().unwrap();
        let shown = |keys: &HostKeys| keys.fingerprints().collect::<Vec<_>>();
        let first = shown(&HostKeys::open(&[], data.path()).unwrap());
        assert_eq!(first, shown(&HostKeys::open(&[], data.path()).unwrap()));
        let kinds: Vec<_> = first.iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(kinds, ["ssh-ed25519", "ecdsa-sha2-nistp256"]);
        let path = data.path().join("ssh/ed25519");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let given = HostKeys::open(std::slice::from_ref(&path), Path::new("/none")).unwrap();
        assert_eq!(shown(&given), first[..1]);
        std::fs::write(&path, "no key").unwrap();
        let Err(error) = HostKeys::open(&[], data.path()) else {
            panic!("a bad key was taken")
        };
        assert!(error.contains("ed25519"), "{error}");
    }
}
