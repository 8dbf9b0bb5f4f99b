//! A member of the cluster: Raft over our log, our wire and a [`Machine`](crate::machine::Machine).
//!
//! openraft is named in this folder only.

mod applier;
mod client;
mod keeper;
mod member;
mod members;
mod message;
mod network;
mod options;
mod proposer;
mod rpc;
pub(crate) mod runtime;
mod service;
mod snapshot;
mod status;
mod store;
#[cfg(test)]
pub(crate) mod tests;
mod types;

pub use self::client::Client;
pub use self::member::Member;
pub use self::members::MembersError;
pub use self::options::{MemberOptions, Retention, StartError, Timing};
pub use self::proposer::{Answered, ProposeError};
pub use self::service::MemberService;
pub use self::status::{MemberStatus, Status};
pub(crate) use self::types::{applied_of, first_mark};
