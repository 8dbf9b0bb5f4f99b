//! A disk in memory that loses power, fails and fills up, all from one seed.
//!
//! What a power cut leaves is as bad as a real disk may make it: of each block that was written and not
//! synced the old content, the new or a mixture; of directory entries that were not synced any that the dice
//! choose. What was synced stays.
//!
//! Here is what the disk holds and what happens to it; the logs put their own file traits before it.

mod random;
mod seeds;
mod world;

pub use self::random::Random;
pub use self::seeds::{play_all, seeds};
pub use self::world::World;

/// One entry of a directory: name, whether it is a directory.
pub type DirEntry = (String, bool);

/// What goes wrong, and when. Operations count from 1, reads not counted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// The power fails during this operation.
    pub crash_at: Option<u64>,
    /// This write or sync fails, and its outcome is unknown.
    pub fail_at: Option<u64>,
    /// Bytes that fit.
    pub capacity_bytes: Option<u64>,
}
