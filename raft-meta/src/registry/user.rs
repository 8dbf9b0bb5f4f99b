//! Users of the REST API.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Scopes;

/// A user of the REST API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiUser {
    /// The tenant.
    pub association: Uuid,
    /// AccessKey, `AK_…`.
    pub access_key: String,
    /// Hash of the SecretKey.
    pub secret_hash: String,
    /// Rises when the secret is changed: older tokens end.
    pub secret_version: u32,
    /// What the user may do.
    pub scopes: Scopes,
    /// A path that bounds all that the user sees, as [`filegrid_tree::TreePath`] shows it.
    pub root: String,
    /// What the operator says of the user.
    pub description: String,
    /// Whether the user may do anything.
    pub enabled: bool,
}
