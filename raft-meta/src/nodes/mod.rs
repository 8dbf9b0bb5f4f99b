//! What nodes ask of a member beside proposing: pages of the tree, and what is at home on them.

mod event;
mod homes;
mod listing;
mod service;
#[cfg(test)]
mod tests;

pub use self::event::{Event, NoEvent};
pub use self::homes::Homes;
pub use self::listing::{ListRequest, Listed, Page};
pub use self::service::Nodes;

use crate::wire::Method;

/// A page of the tree: a [`ListRequest`], answered by a [`Page`].
pub const LIST: Method = Method(Method::APPLICATION.0);
/// Which associations are at home on a node: its number (8, little endian), answered by [`Homes`].
pub const HOMES: Method = Method(Method::APPLICATION.0 + 1);
