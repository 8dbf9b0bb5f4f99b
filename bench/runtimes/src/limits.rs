//! Sizes, the same for all contenders.

/// What `O_DIRECT` transfers must be whole multiples of.
pub(crate) const BLOCK_BYTES: usize = 4096;
/// A piece of a large body: received, summed and written at a time. As in a node.
pub(crate) const PIECE_BYTES: usize = 1 << 20;
/// Length and number of a body, ahead of it.
pub(crate) const HEAD_BYTES: usize = 16;
/// Bodies up to here go to the log.
pub(crate) const SMALL_MAX_BYTES: usize = 8 << 10;
/// What is received at a time until a length is known: a whole small body, so that it takes one call.
pub(crate) const FIRST_BYTES: usize = 3 * BLOCK_BYTES;
/// Length, sum, number and run of a record of the log, ahead of its body.
pub(crate) const RECORD_HEAD_BYTES: usize = 24;
/// Most connections at a time.
pub(crate) const CONNECTIONS_MAX: usize = 64;
/// A batch of the log: a record of each connection fits.
pub(crate) const BATCH_BYTES: usize = 1 << 20;
/// A length that asks what CPU the server has used.
pub(crate) const ASK_CPU: u64 = u64::MAX;

const _: () = assert!(CONNECTIONS_MAX * (RECORD_HEAD_BYTES + SMALL_MAX_BYTES) <= BATCH_BYTES);
const _: () = assert!(HEAD_BYTES + SMALL_MAX_BYTES <= FIRST_BYTES);
