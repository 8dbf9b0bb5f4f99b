//! Accounts for FTP, FTPS, SFTP and SCP.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::SshKey;

/// What an account may do with the files it sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// Read.
    #[serde(rename = "RO")]
    ReadOnly,
    /// Read and write.
    #[serde(rename = "RW")]
    ReadWrite,
}

/// An FTP account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The tenant.
    pub association: Uuid,
    /// Unique in the association, from 1, never used twice.
    pub id: u64,
    /// Unique in the association, without `@`.
    pub username: String,
    /// What it may do.
    pub access: Access,
    /// A path that bounds all that the account sees, as [`filegrid_tree::TreePath`] shows it.
    pub chroot: String,
    /// Hash of the password; `None` where only the key opens.
    pub password_hash: Option<String>,
    /// A public key as [`SshKey`] reads it; `None` where only the password opens.
    pub rsa_key: Option<String>,
    /// What the tenant says of it.
    pub description: String,
    /// Whether it may log in.
    pub enabled: bool,
    /// Rises with every change but one of the description. A session that was opened under another version ends.
    pub version: u64,
}

impl Account {
    /// Whether the account's key is the one with this wire encoding (RFC 4253 §6.6).
    #[must_use]
    pub fn accepts_key(&self, blob: &[u8]) -> bool {
        self.rsa_key
            .as_deref()
            .and_then(|line| SshKey::parse(line).ok())
            .is_some_and(|key| key.blob() == blob)
    }
}
