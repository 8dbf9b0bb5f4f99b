//! What nodes ask of a member beside proposing: pages of the tree, the registry, whether the cluster has the same rows, and
//! what logins have failed elsewhere.

mod compare;
mod event;
mod guesses;
mod listing;
mod registry;
mod roster;
mod service;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub use self::compare::{
    CompareRequest, Digest, Digester, RowsPage, Span, behind, read_digests, write_digests,
};
pub use self::event::{Event, NoEvent};
pub use self::guesses::{Guess, Guesses};
pub use self::listing::{ListRequest, Listed, Page};
use self::registry::read_position;
pub use self::registry::{Following, RegistryItem, Taken, write_position};
pub use self::roster::{DrainRequest, NodeStatus, read_roster};
pub use self::service::Nodes;

use crate::wire::Method;

/// A page of the tree: a [`ListRequest`], answered by a [`Page`].
pub const LIST: Method = Method(Method::APPLICATION.0);
/// Digests of runs of rows: a [`CompareRequest`].
pub const COMPARE: Method = Method(Method::APPLICATION.0 + 2);
/// The rows of one run: a [`CompareRequest`] with one span, answered by a [`RowsPage`].
pub const ROWS: Method = Method(Method::APPLICATION.0 + 3);
/// The storage nodes: no body, answered by what [`read_roster`] reads.
pub const ROSTER: Method = Method(Method::APPLICATION.0 + 48);
/// Sends clients of a node elsewhere, or no longer: a [`DrainRequest`].
pub const DRAIN: Method = Method(Method::APPLICATION.0 + 49);
/// What is marked lost, behind the key of the last entry of the page before; answered by [`crate::store::LostPage`].
pub const LOST: Method = Method(Method::APPLICATION.0 + 4);
/// Follows the registry behind a position ([`write_position`]): a stream of [`RegistryItem`]s.
pub const REGISTRY: Method = Method(Method::APPLICATION.0 + 1);
/// Logins that have failed: [`Guesses`], answered by those of other nodes. For the member that leads.
pub const GUESSES: Method = Method(Method::APPLICATION.0 + 32);
