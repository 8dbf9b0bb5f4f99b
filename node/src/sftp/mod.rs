//! SFTP: russh speaks SSH, and what goes through it is ours.
//!
//! | | |
//! |---|---|
//! | `fields`, `frames`, `packet`, `attributes`, `reply`, `pieces` | bytes to requests, replies to bytes: pure |
//! | `host_keys`, `server`, `connection`, `wire`, `live` | SSH, on a runtime of its own |
//! | `local`, `stream` | SFTP without SSH, for who may read `DATA` |
//! | `relayed`, `asked` | sessions that go to the node that has the files, and come from others; how long that may take to answer |
//! | `intake`, `flow`, `queue` | from bytes to requests, and how much a connection may ask for before it takes its answers |
//! | `shards`, `session`, `later` | sessions, each on the shard that owns its association |
//! | `scp` | SCP as it was before it went over SFTP |
//! | `transfers`, `reading`, `upload`, `writing`, `feed`, `content`, `handles`, `listing`, `files` | the requests |
//!
//! A connection stays on the runtime of SSH. Its requests go to the shard whole, and its replies come back whole.

mod asked;
pub mod attributes;
mod connection;
mod feed;
pub mod fields;
mod files;
mod flow;
pub mod frames;
mod handles;
mod host_keys;
mod intake;
mod later;
mod listing;
mod live;
mod local;
pub mod packet;
pub mod pieces;
mod queue;
mod reading;
mod relayed;
pub mod reply;
pub mod scp;
mod server;
mod session;
mod shards;
mod stream;
mod transfers;
mod upload;
mod wire;
mod writing;

pub use self::host_keys::HostKeys;
pub(crate) use self::local::{Hello, connect};
pub use self::relayed::Arrived;
pub use self::server::{Server, ServerParts, Settings, Ssh};
pub use self::shards::{Sftp, Start};
