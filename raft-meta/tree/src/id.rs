//! Ids of directories and blobs.

use crate::TreeError;

/// An id that is unique in the cluster and never used twice.
///
/// # Layout
///
/// Big endian, so that the ids of one maker sort by age: node (8 bytes), start of the node (3), shard or log
/// (1), counter (4). A maker that has used up its counter goes on with the number of a further start. The id of an
/// association's first content directory is the association's UUID instead.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize,
)]
#[rkyv(derive(Debug))]
pub struct Id(pub [u8; 16]);

/// A directory's id. It stays when the directory is renamed.
pub type DirId = Id;
/// A blob's id.
pub type BlobId = Id;

/// The directory that holds the root of each association, named by the association's UUID.
pub const ROOTS: DirId = Id([0; 16]);

impl Id {
    /// The node that made it.
    #[must_use]
    pub fn node(self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// The start of that node that it was made from; 24 bits.
    #[must_use]
    pub fn starts(self) -> u32 {
        let [.., a, b, c, _, _, _, _, _] = self.0;
        u32::from_be_bytes([0, a, b, c])
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// Highest number of a start: 24 bits.
pub const STARTS_MAX: u32 = (1 << 24) - 1;

/// A maker wants the next number when it has only so many ids left of its own: at the fastest rate three hours'.
const LOW: u32 = 1 << 29;

/// Where the counters of makers begin whose number may be another's.
const UNSURE: u32 = 1 << 31;

/// Makes ids for one shard or log of a node.
///
/// At the fastest rate the ids of a start last half a day. A maker that runs low is given the number of a further
/// start, and goes on with that when its own is used up.
///
/// Where a node begins on an older copy of its disk, a start has a number that another has had, and may not know it. Its ids are
/// told from that one's by their counter: it begins at random in the upper half, which others do not use.
#[derive(Debug, Clone)]
pub struct IdMaker {
    node: u64,
    starts: u32,
    shard: u8,
    /// The last one made; 0 before the first.
    counter: u32,
    /// The number to go on with.
    further: Option<u32>,
}

impl IdMaker {
    /// `starts` is at most [`STARTS_MAX`], and durable before the first id is used.
    #[must_use]
    pub fn new(node: u64, starts: u32, shard: u8) -> Self {
        Self {
            node,
            starts,
            shard,
            counter: 0,
            further: None,
        }
    }

    /// A maker whose number may be another's. `chance` is random.
    #[must_use]
    pub fn unsure(node: u64, starts: u32, shard: u8, chance: u32) -> Self {
        Self {
            counter: UNSURE + chance / 4,
            ..Self::new(node, starts, shard)
        }
    }

    /// How many ids there are of its number still.
    fn left(&self) -> u32 {
        let last = if self.counter < UNSURE {
            UNSURE - 1
        } else {
            u32::MAX
        };
        last - self.counter
    }

    /// Whether it is time for the number of a further start.
    #[must_use]
    pub fn is_low(&self) -> bool {
        self.left() <= LOW && self.further.is_none()
    }

    /// Takes the number of a start to go on with: durable, and no other start's.
    pub fn extend(&mut self, starts: u32) {
        self.further = Some(starts);
    }

    /// Leaves out as many ids, as if they had been made; at most to the end of the start. For tests of the end.
    pub fn skip(&mut self, ids: u32) {
        self.counter += ids.min(self.left());
    }

    /// The next id.
    ///
    /// # Errors
    ///
    /// [`TreeError::NoIds`] when those of its starts are used up and it was given no further one.
    pub fn next_id(&mut self) -> Result<Id, TreeError> {
        if self.left() == 0 {
            self.starts = self.further.take().ok_or(TreeError::NoIds)?;
            self.counter = 0;
        }
        self.counter += 1;
        let starts = u64::from(self.starts & STARTS_MAX);
        let low = starts << 40 | u64::from(self.shard) << 32 | u64::from(self.counter);
        Ok(Id((u128::from(self.node) << 64 | u128::from(low)).to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_layout_is_the_one_on_the_disk() {
        let mut ids = IdMaker::new(0x0102_0304_0506_0708, 0x0009_0a0b, 0x0c);
        let id = ids.next_id().unwrap();
        assert_eq!(id.0, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0, 0, 1]);
        assert_eq!((id.node(), id.starts()), (0x0102_0304_0506_0708, 0x0009_0a0b));
        assert_eq!(id.to_string(), "0102030405060708090a0b0c00000001");
        ids.skip(UNSURE - 3);
        assert_eq!(
            ids.next_id().unwrap().0,
            [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 127, 255, 255, 255]
        );
        let counter = |chance| {
            let mut ids = IdMaker::unsure(1, 2, 3, chance);
            let id = ids.next_id().unwrap();
            assert!(!ids.is_low());
            id.0[12..].to_vec()
        };
        assert_eq!(counter(0), [128, 0, 0, 1]);
        assert_eq!(counter(u32::MAX), [192, 0, 0, 0]);
    }

    #[test]
    fn ids_that_are_used_up_are_an_error_until_there_is_a_further_start() {
        let mut ids = IdMaker::new(1, 2, 3);
        let first = ids.next_id().unwrap();
        assert!(!ids.is_low());
        ids.skip(ids.left() - LOW - 1);
        assert!(!ids.is_low());
        assert!(ids.next_id().is_ok() && ids.is_low());
        ids.skip(u32::MAX);
        assert_eq!(
            [ids.next_id(), ids.next_id()],
            [Err(TreeError::NoIds), Err(TreeError::NoIds)]
        );
        ids.extend(5);
        assert!(!ids.is_low());
        let next = ids.next_id().unwrap();
        assert_eq!((next.starts(), next.0[12..].to_vec()), (5, vec![0, 0, 0, 1]));
        assert!(next > first && !ids.is_low());
    }

    #[test]
    fn a_further_start_is_used_only_when_its_own_is_used_up() {
        let mut ids = IdMaker::new(1, 2, 3);
        ids.skip(ids.left() - 100);
        ids.extend(9);
        let made: Vec<_> = (0..200).map(|_| ids.next_id().unwrap()).collect();
        assert_eq!(made.iter().filter(|id| id.starts() == 2).count(), 100);
        assert_eq!(made.iter().collect::<BTreeSet<_>>().len(), 200);
        assert!(made.is_sorted());
    }

    #[test]
    fn no_two_makers_make_the_same() {
        let mut made = BTreeSet::new();
        for (node, starts, shard) in [
            (1, 1, 0),
            (1, 1, 1),
            (1, 1, 255),
            (1, 2, 0),
            (1, STARTS_MAX, 0),
            (2, 1, 0),
        ] {
            let sure = IdMaker::new(node, starts, shard);
            for mut ids in [sure, IdMaker::unsure(node, starts, shard, 7)] {
                for skipped in [0, 1, 1000, ids.left() - 3000] {
                    ids.skip(skipped);
                    assert!((0..300).all(|_| made.insert(ids.next_id().unwrap())));
                }
            }
        }
    }
}
