//! Files, sockets, timers and tasks on io_uring. The only folder that names the runtime.
//!
//! Three facts about the runtime shape this interface. A cancelled `accept` or `open` leaks its
//! descriptor, so neither is ever submitted: both are plain system calls. A task that wakes itself while
//! it runs goes to the front of the queue, so [`yield_now`] waits for the ring instead. An operation
//! that owns a buffer keeps it while it waits, so sockets only poll and an idle one holds no buffer.

mod buf;
mod cache;
mod file;
mod listener;
mod option;
mod poll;
mod runtime;
mod socket;
mod unlink;

pub use buf::AlignedBuf;
pub use cache::resident;
pub use file::File;
pub use listener::{Listener, reserve};
pub use runtime::{run, sleep, spawn, yield_now};
pub use socket::{Socket, notice_loss};
pub use unlink::unlink;

#[cfg(test)]
mod tests;
