//! Readers beside the clients: what they have opened stays what it was, and what they list is whole.

use std::rc::Rc;

use filegrid_tree::{TreeError, TreePath};

use super::group::{Body, SharedGroup};
use crate::disk::sim::{Random, SimDisk, turns};
use crate::ring::AlignedBuf;
use crate::store::{Content, Held, Piece, Store, StoreError};

pub(super) struct Reader {
    pub(super) store: Store,
    pub(super) disk: SimDisk,
    pub(super) groups: Vec<SharedGroup>,
    pub(super) random: Random,
}

impl Reader {
    /// Lists and reads until `left` readings are done or the power fails.
    pub(super) async fn run(mut self, left: u32) {
        for _ in 0..left {
            turns(self.random.below(60)).await;
            if self.disk.is_down() {
                return;
            }
            for group in &self.groups {
                if self.random.one_in(3) {
                    group.borrow().check(self.store.view().as_ref());
                }
            }
            self.read_one().await;
        }
    }

    async fn read_one(&mut self) {
        let at = usize::try_from(self.random.below(self.groups.len() as u64)).unwrap();
        let group = Rc::clone(&self.groups[at]);
        let (association, paths) = {
            let group = group.borrow();
            let paths = group
                .candidates()
                .flat_map(|contents| contents.files.keys().cloned());
            (group.association, paths.collect::<Vec<_>>())
        };
        if paths.is_empty() {
            return;
        }
        let path = &paths[usize::try_from(self.random.below(paths.len() as u64)).unwrap()];
        let held = match self.store.hold(&association, &TreePath::parse(path).unwrap()) {
            Ok(held) => held,
            Err(StoreError::Tree(TreeError::NotFound(_))) => {
                let group = group.borrow();
                let mut may = group.candidates();
                assert!(
                    may.any(|contents| !contents.files.contains_key(path)),
                    "{path} is not there"
                );
                return;
            }
            Err(error) => panic!("{path}: {error}"),
        };
        let body = {
            let group = group.borrow();
            let mut may = group.candidates().filter_map(|contents| contents.files.get(path));
            let is =
                |body: &&Rc<Body>| body.bytes.len() as u64 == held.row.size && body.crc32 == held.row.crc32;
            let body = may.find(is).cloned();
            body.unwrap_or_else(|| panic!("{path} is of a version that nobody has written"))
        };
        self.read_held(&association, path, &held, &body).await;
    }

    /// Reads in pieces, and lets much happen between them.
    async fn read_held(&mut self, association: &[u8; 16], path: &str, held: &Held, body: &Body) {
        let patience = [3, 30, 300][usize::try_from(self.random.below(3)).unwrap()];
        let mut at = 0;
        while at < body.bytes.len() {
            turns(self.random.below(patience)).await;
            let most = 1 + self.random.below(body.bytes.len() as u64);
            // Nothing is kept open from one piece to the next: what is pinned must be there.
            let content = self.store.content_of(association, held);
            match piece(&content, at as u64, most).await {
                Ok((bytes, verified)) => {
                    let end = at + bytes.len();
                    assert!(!bytes.is_empty(), "{path} ends at byte {at}");
                    let may_be_damaged = body.damaged.get() && !verified;
                    assert!(
                        bytes == body.bytes[at..end] || may_be_damaged,
                        "{path}: other bytes behind byte {at}"
                    );
                    at = end;
                }
                Err(_) if self.disk.is_down() => return,
                Err(StoreError::Damaged(_)) if body.damaged.get() => return,
                Err(error) => panic!("{path} at byte {at}: {error}"),
            }
        }
    }
}

/// The next bytes of a file, at most so many, and whether they were verified on the way.
async fn piece(content: &Content, at: u64, most: u64) -> Result<(Vec<u8>, bool), StoreError> {
    let Some(piece) = content.piece(at, most).await? else {
        return Ok((Vec::new(), true));
    };
    match &piece {
        Piece::Bytes { .. } => Ok((piece.bytes().to_vec(), true)),
        Piece::File { file, offset, length } => {
            let mut buffer = AlignedBuf::with_capacity(usize::try_from(*length).unwrap());
            buffer.resize_zeroed(usize::try_from(*length).unwrap());
            let (read, buffer) = file.read_at(buffer, *offset).await;
            let read = read.map_err(|error| StoreError::Disk(error.to_string()))?;
            assert_eq!(read as u64, *length, "a large blob is cut off");
            Ok((buffer.to_vec(), false))
        }
    }
}

/// Reads a file through the store; `None` if it is not there.
pub(super) async fn read(
    store: &Store,
    association: &[u8; 16],
    path: &str,
) -> Result<Option<Vec<u8>>, StoreError> {
    let opened = match store.open(association, &TreePath::parse(path).unwrap()) {
        Err(StoreError::Tree(TreeError::NotFound(_))) => return Ok(None),
        opened => opened?,
    };
    let mut bytes = Vec::new();
    loop {
        let (next, _) = piece(&opened.content, bytes.len() as u64, u64::MAX).await?;
        if next.is_empty() {
            return Ok(Some(bytes));
        }
        bytes.extend(next);
    }
}
