//! What is meant for another node, on its way there: any node answers for any association.
//!
//! | | |
//! |---|---|
//! | `links` | connections to other nodes, and those that wait to be used again |
//! | `http` | a request of HTTP, passed on, and its answer |
//!
//! Nodes know each other by the certificates that they have for the metadata cluster. What comes from one of them goes
//! before a [`Preamble`](crate::net::Preamble), and is checked by the node that has the files as if the client had come
//! there itself. It is never passed on twice. `doors` is where
//! it comes in.

mod http;
mod links;

pub use self::http::forward;
pub use self::links::{Link, Links};
