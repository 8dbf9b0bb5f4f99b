//! What nodes ask of a member beside proposing: pages of the tree.

mod event;
mod listing;
mod service;
#[cfg(test)]
mod tests;

pub use self::event::{Event, NoEvent};
pub use self::listing::{ListRequest, Listed, Page};
pub use self::service::Nodes;

use crate::wire::Method;

/// A page of the tree: a [`ListRequest`], answered by a [`Page`].
pub const LIST: Method = Method(Method::APPLICATION.0);
