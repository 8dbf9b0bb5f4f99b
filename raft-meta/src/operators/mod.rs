//! What operators ask of a member, by their certificate: associations and API users, how far nodes have come, the state of
//! the whole cluster.
//!
//! All bodies and answers are JSON unless it is said otherwise. Nobody else is answered.

mod backup;
mod producers;
mod service;
mod tenants;
#[cfg(test)]
mod tests;

pub use self::backup::{BackupBegun, BackupPiece};
pub use self::producers::Producers;
pub use self::service::Operators;
pub use self::tenants::{
    AccountShown, AssociationShown, TenantsAfter, TenantsPage, TenantsRequest, UserShown,
};

use crate::wire::Method;

/// A change of the registry: a [`Command`](crate::registry::Command) that operators may ask for, answered by a
/// [`Reply`](crate::store::Reply).
pub const REGISTER: Method = Method(Method::APPLICATION.0 + 16);
/// Associations, API users or FTP accounts: a [`TenantsRequest`], answered by a [`TenantsPage`].
pub const TENANTS: Method = Method(Method::APPLICATION.0 + 17);
/// How far the nodes have come: an empty body, answered by [`Producers`].
pub const PRODUCERS: Method = Method(Method::APPLICATION.0 + 18);
/// Changes that were rejected, behind the key of the last one of the page before; answered by a [`RejectedPage`].
pub const REJECTED: Method = Method(Method::APPLICATION.0 + 19);
/// Begins a backup of what this member has applied: an empty body, answered by a [`BackupBegun`].
pub const BACKUP_BEGIN: Method = Method(Method::APPLICATION.0 + 20);
/// The next rows of a backup: a [`BackupPiece`], answered by rows.
pub const BACKUP_ROWS: Method = Method(Method::APPLICATION.0 + 21);
/// The last number that is kept for operators.
const LAST: Method = Method(Method::APPLICATION.0 + 31);
