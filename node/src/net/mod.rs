//! Listeners, admission, deadlines and hand-over of the connections of a shard.

mod accept;
mod admission;
mod drain;
mod watch;

pub use accept::{Acceptor, Handoff, Peers};
pub use admission::{Admission, Permit};
pub use drain::Drain;
pub use watch::{Expired, Phase, Sweeper, Timeouts, Watch};

#[cfg(test)]
mod tests;
