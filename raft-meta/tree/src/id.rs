//! Ids of directories and blobs.

/// An id that is unique in the cluster and never used twice.
///
/// # Layout
///
/// Big endian, so that the ids of one start sort by age: node (8 bytes), start of the node (3), shard or log
/// (1), counter (4). The id of an association's first content directory is the association's UUID instead.
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

    /// The start of that node in which it was made; 24 bits.
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

/// Makes ids for one shard or log of one start of a node.
#[derive(Debug, Clone)]
pub struct IdMaker {
    next: u128,
}

impl IdMaker {
    /// `starts` must be durable before the first id is used; 24 bits of it count.
    #[must_use]
    pub fn new(node: u64, starts: u32, shard: u8) -> Self {
        let starts = u128::from(starts & 0x00ff_ffff);
        Self {
            next: u128::from(node) << 64 | starts << 40 | u128::from(shard) << 32,
        }
    }

    /// The next id.
    ///
    /// # Panics
    ///
    /// After 2³² ids: going on would repeat another shard's.
    pub fn next_id(&mut self) -> Id {
        self.next += 1;
        assert!(
            self.next.trailing_zeros() < 32,
            "a shard has used up the ids of this start"
        );
        Id(self.next.to_be_bytes())
    }
}
