//! What can be asked of the registry.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Access, Row, Scopes, SigningKey};

/// A change that somebody wants. It holds all that is random or read from a clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Makes a tenant.
    CreateAssociation {
        /// AssociationKey, new.
        key: Uuid,
        /// What the operator calls it.
        name: String,
        /// The node that its files are given to.
        #[serde(default)]
        node: Option<u64>,
    },
    /// Changes a tenant.
    UpdateAssociation {
        /// AssociationKey.
        key: Uuid,
        /// Another name.
        name: Option<String>,
        /// Whether anybody of it may do anything.
        enabled: Option<bool>,
    },
    /// Has the node that a tenant is at home on delete its files, and then the tenant.
    RetireAssociation {
        /// AssociationKey.
        key: Uuid,
    },
    /// Removes a tenant with its API users and FTP accounts. Its files are not the registry's.
    DeleteAssociation {
        /// AssociationKey.
        key: Uuid,
    },
    /// Gives the files of a tenant to a node.
    Place {
        /// AssociationKey.
        key: Uuid,
        /// The node.
        node: u64,
        /// Generation of the home it has, which must still be so; 0 for none.
        from: u64,
    },
    /// Makes an API user.
    CreateUser {
        /// The tenant.
        association: Uuid,
        /// The user.
        user: NewUser,
    },
    /// Changes an API user.
    UpdateUser {
        /// The tenant.
        association: Uuid,
        /// AccessKey.
        access_key: String,
        /// What to change.
        change: UserChange,
    },
    /// Removes an API user.
    DeleteUser {
        /// The tenant.
        association: Uuid,
        /// AccessKey.
        access_key: String,
    },
    /// Makes an FTP account. The outcome has its id.
    CreateAccount {
        /// The tenant.
        association: Uuid,
        /// The account.
        account: NewAccount,
    },
    /// Changes an FTP account.
    UpdateAccount {
        /// The tenant.
        association: Uuid,
        /// The account.
        id: u64,
        /// What to change.
        change: AccountChange,
    },
    /// Removes an FTP account.
    DeleteAccount {
        /// The tenant.
        association: Uuid,
        /// The account.
        id: u64,
    },
    /// Has a node compare its rows with the cluster's. The outcome has the number of the request.
    Compare {
        /// The node.
        node: u64,
    },
    /// Sets the token that opens the operator's API; the one before ends.
    SetOperator {
        /// SHA-256 of the token, in hex.
        sha256: String,
    },
    /// Publishes a key that will sign.
    PublishKey {
        /// The key.
        key: SigningKey,
        /// The time, in Unix seconds.
        now_s: u64,
    },
    /// Forgets keys that no live token can be signed by.
    ForgetKeys {
        /// The time, in Unix seconds.
        now_s: u64,
        /// Lifetime of tokens, in seconds.
        token_s: u64,
    },
    /// Says where a node is.
    Announce {
        /// The node.
        node: u64,
        /// See [`Node::relay`](super::Node::relay).
        relay: String,
        /// See [`Node::public_url`](super::Node::public_url).
        public_url: String,
    },
    /// Sends clients of a node elsewhere, or no longer.
    Drain {
        /// The node.
        node: u64,
        /// See [`Node::drained`](super::Node::drained).
        drained: bool,
    },
    /// Adds what a node had of its own before it came to the cluster: rows that are not there yet. Does nothing for a node
    /// that was taken over.
    TakeOver {
        /// The node, at home on which is what has no home.
        node: u64,
        /// Some of its rows, in the order of [`Registry::rows`](super::Registry::rows).
        rows: Vec<Row>,
        /// Whether these are the last: the node is taken over with them.
        is_all: bool,
        /// They are what a first start has made: none is added where there is an association or an operator already, so
        /// that of several first starts at once one makes the first association.
        #[serde(default)]
        if_empty: bool,
    },
}

/// An API user that is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewUser {
    /// AccessKey, new.
    pub access_key: String,
    /// Hash of the SecretKey.
    pub secret_hash: String,
    /// What the user may do.
    pub scopes: Scopes,
    /// A path that bounds all that the user sees.
    pub root: String,
    /// What the operator says of the user.
    pub description: String,
}

/// What is to change of an API user; `None` keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserChange {
    /// Hash of another secret: tokens had for the old one end.
    pub secret_hash: Option<String>,
    /// Other rights.
    pub scopes: Option<Scopes>,
    /// Another root.
    pub root: Option<String>,
    /// Another description.
    pub description: Option<String>,
    /// Whether the user may do anything.
    pub enabled: Option<bool>,
}

/// An FTP account that is to be made. It needs a password or a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewAccount {
    /// Unique in the association, without `@`.
    pub username: String,
    /// What it may do.
    pub access: Access,
    /// A path that bounds all that the account sees.
    pub chroot: String,
    /// Hash of its password.
    pub password_hash: Option<String>,
    /// An OpenSSH public key.
    pub rsa_key: Option<String>,
    /// What the tenant says of it.
    pub description: String,
    /// Whether it may log in.
    pub enabled: bool,
}

/// A new value for what may also be without one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Edit {
    /// As it is.
    #[default]
    Keep,
    /// None.
    Clear,
    /// Another.
    Set(String),
}

impl Edit {
    /// The value after the edit.
    pub(super) fn of(&self, old: Option<&String>) -> Option<String> {
        match self {
            Self::Keep => old.cloned(),
            Self::Clear => None,
            Self::Set(value) => Some(value.clone()),
        }
    }
}

/// What is to change of an FTP account; `None` keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountChange {
    /// Another name.
    pub username: Option<String>,
    /// Other rights.
    pub access: Option<Access>,
    /// Another bound.
    pub chroot: Option<String>,
    /// Hash of another password.
    pub password_hash: Edit,
    /// Another key.
    pub rsa_key: Edit,
    /// Another description.
    pub description: Option<String>,
    /// Whether it may log in.
    pub enabled: Option<bool>,
}
