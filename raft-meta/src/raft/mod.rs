//! A member of the cluster: Raft over our log, our wire and a [`Machine`](crate::machine::Machine).
//!
//! openraft is named in this folder only.

mod applier;
mod client;
mod keeper;
mod member;
mod message;
mod network;
mod proposer;
mod rpc;
mod runtime;
mod service;
mod snapshot;
mod status;
mod store;
#[cfg(test)]
mod tests;
mod types;

pub use self::client::Client;
pub use self::member::{Member, MemberOptions, MembersError, Retention, StartError, Timing};
pub use self::proposer::{Answered, ProposeError};
pub use self::service::MemberService;
pub use self::status::{MemberStatus, Status};
