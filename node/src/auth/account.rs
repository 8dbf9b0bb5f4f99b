//! FTP accounts: who logs in over FTP, FTPS, SFTP and SCP.

use std::net::IpAddr;
use std::sync::Arc;

use filegrid_meta::registry::{Access, Found, Registry};
use filegrid_tree::{PathError, TreePath};
use uuid::Uuid;

use super::login::Login;
use crate::error::Error;
use crate::limits::{PASSWORD_MAX_BYTES, PATH_MAX_BYTES};

/// Who is logged in to an FTP account, for as long as the session lasts.
#[derive(Debug, Clone)]
pub struct AccountPrincipal {
    /// The tenant.
    pub association: [u8; 16],
    /// The account's `Id`.
    pub id: u64,
    /// The account's `Username`.
    pub username: String,
    /// All paths are below this. It need not exist.
    pub root: TreePath,
    /// Whether it may change anything.
    pub may_write: bool,
    version: u64,
}

impl AccountPrincipal {
    fn of(found: &Found) -> Result<Self, Error> {
        let account = &found.account;
        let root = TreePath::parse_chroot(&account.chroot)
            .map_err(|error| Error::Internal(format!("the registry has a bad Chroot: {error}")))?;
        Ok(Self {
            association: *account.association.as_bytes(),
            id: account.id,
            username: account.username.clone(),
            root,
            may_write: account.access == Access::ReadWrite,
            version: account.version,
        })
    }

    /// A path as the client means it, as a path of the association's tree.
    ///
    /// # Errors
    ///
    /// [`Error::BadRequest`] if it came out too long: the root's length counts too.
    pub fn path(&self, named: &TreePath) -> Result<TreePath, Error> {
        let path = self.root.join(named);
        if path.text_bytes() > PATH_MAX_BYTES {
            return Err(Error::BadRequest(PathError::TooLong.to_string()));
        }
        Ok(path)
    }

    /// A path of the tree as the client sees it.
    #[must_use]
    pub fn shown(&self, path: &TreePath) -> String {
        let below = path.strip_prefix(&self.root);
        below.as_ref().unwrap_or(path).to_string()
    }

    /// Whether the session may go on: the account is enabled and has not changed since it was opened. To be asked
    /// whenever [`RegistryFile::version`](super::RegistryFile::version) has risen.
    #[must_use]
    pub fn is_current(&self, registry: &Registry) -> bool {
        let association = Uuid::from_bytes(self.association);
        let enabled = |key| {
            registry
                .tenant(key)
                .is_some_and(|tenant| tenant.association().enabled)
        };
        let account = registry.account(association, self.id);
        account.is_some_and(|account| account.enabled && account.version == self.version)
            && enabled(association)
    }
}

impl Login {
    /// Logs in with `Username` or `Username@AssociationKey` and the password.
    ///
    /// # Errors
    ///
    /// [`Error::Unauthorized`] for a wrong name or password and for a disabled account, which take equally long;
    /// [`Error::TooManyRequests`] after too many of them; [`Error::Unavailable`] if too many log in at once, or the node is cut
    /// off from the cluster.
    pub async fn account(
        &self,
        login: &str,
        password: String,
        peer: IpAddr,
    ) -> Result<AccountPrincipal, Error> {
        self.registry.check_contact()?;
        let found = self.registry.current().lookup(login).filter(Found::is_enabled);
        // Both names of an account count as one.
        let guess = match &found {
            Some(found) => format!("account/{}/{}", found.association.key, found.account.id),
            None => format!("account/{login}"),
        };
        let guess = self.guesses.admit(peer, &guess).await?;
        let hash = found
            .as_ref()
            .and_then(|found| found.account.password_hash.clone());
        let right = password.len() <= PASSWORD_MAX_BYTES && self.verify(password, hash).await?;
        match found.filter(|_| right) {
            Some(found) => {
                guess.succeeded();
                AccountPrincipal::of(&found)
            }
            None => {
                guess.failed();
                Err(Error::Unauthorized(
                    "the name or the password is not valid".to_owned(),
                ))
            }
        }
    }

    /// Logs in with `Username` or `Username@AssociationKey` and a public key in its wire encoding (RFC 4253 §6.6),
    /// once the client has proved, or before it proves, that it has the private one. Names cannot be told apart from
    /// keys.
    ///
    /// # Errors
    ///
    /// [`Error::Unauthorized`] unless the account is enabled and has this key; [`Error::Unavailable`] if the node is cut off
    /// from the cluster.
    pub fn account_with_key(&self, login: &str, blob: &[u8]) -> Result<AccountPrincipal, Error> {
        self.registry.check_contact()?;
        let found = self.registry.current().lookup(login).filter(Found::is_enabled);
        let found = found.filter(|found| found.account.accepts_key(blob));
        let found =
            found.ok_or_else(|| Error::Unauthorized("the name or the public key is not valid".to_owned()))?;
        AccountPrincipal::of(&found)
    }

    /// Logs in whoever is known already, by `Username` or `Username@AssociationKey`.
    ///
    /// # Errors
    ///
    /// [`Error::Unauthorized`] unless there is such an account and it is enabled; [`Error::Unavailable`] if the node is cut
    /// off from the cluster.
    pub fn account_of(&self, login: &str) -> Result<AccountPrincipal, Error> {
        self.registry.check_contact()?;
        let found = self.registry.current().lookup(login).filter(Found::is_enabled);
        let nobody = || Error::Unauthorized(format!("there is no account {login}, or it is disabled"));
        AccountPrincipal::of(&found.ok_or_else(nobody)?)
    }

    /// Lets in whoever has logged in on another node.
    ///
    /// # Errors
    ///
    /// [`Error::Unauthorized`] unless the account is there and enabled; [`Error::Unavailable`] if the node is cut off from the
    /// cluster.
    pub fn account_numbered(&self, association: Uuid, id: u64) -> Result<AccountPrincipal, Error> {
        self.registry.check_contact()?;
        let registry = self.registry.current();
        let found = registry
            .tenant(association)
            .zip(registry.account(association, id));
        let found = found.map(|(tenant, account)| Found {
            association: Arc::clone(tenant.association()),
            account: Arc::clone(account),
        });
        let found = found.filter(Found::is_enabled);
        let nobody = || Error::Unauthorized("there is no such account here, or it is disabled".to_owned());
        AccountPrincipal::of(&found.ok_or_else(nobody)?)
    }

    /// The accounts, to see whether sessions may go on.
    #[must_use]
    pub fn registry(&self) -> &Arc<super::RegistryFile> {
        &self.registry
    }
}
