//! Listeners, admission, TLS, deadlines and hand-over of the connections of a shard, and their two halves.

mod accept;
mod admission;
mod drain;
pub mod frames;
mod handshake;
mod inbound;
mod outbound;
mod pool;
mod preamble;
mod stream;
mod watch;

pub use accept::{Acceptor, Handoff, Peers};
pub use admission::{Admission, Permit};
pub use drain::Drain;
pub use handshake::{HandshakeError, Handshakes, greet, shake_hands};
pub use inbound::Inbound;
pub use outbound::Outbound;
pub use preamble::{Preamble, Relayed, Unread, Who};
pub use stream::Stream;
pub use watch::{Expired, Phase, Sweeper, Timeouts, Watch};

#[cfg(test)]
mod tests;
