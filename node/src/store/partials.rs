//! The partials of a log, as its owner knows them: which there are, and whether there is room for another.

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;

use filegrid_tree::{BlobId, DirId, Id, View, keys};

use super::StoreError;
use super::partial::{self, Partial};
use crate::limits;

/// What the owner has to know of a partial.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub id: Id,
    pub association: [u8; 16],
    pub base: Option<u64>,
    pub bytes: u64,
    pub kept_at: i64,
    pub blobs: Vec<BlobId>,
}

impl Known {
    fn of(partial: &Partial) -> Self {
        Self {
            id: partial.id,
            association: partial.association,
            base: partial.base,
            bytes: partial.row.size,
            kept_at: partial.row.mtime,
            blobs: partial.blobs(),
        }
    }
}

/// Whose partial it is: an association's account.
pub(super) type Whose = ([u8; 16], u64);

/// All partials of a log that the tree's storage holds. Most of the time there are none, and looking costs nothing.
#[derive(Debug, Default)]
pub(super) struct Partials {
    known: BTreeMap<Vec<u8>, Known>,
    /// Those that will have ended once what is queued is applied.
    leaving: HashSet<Id>,
}

impl Partials {
    /// Reads those of associations that `mine` accepts.
    pub(super) fn read(view: &dyn View, mine: &dyn Fn(&[u8; 16]) -> bool) -> Result<Self, StoreError> {
        let mut partials = Self::default();
        let mut damaged = false;
        let (from, to) = keys::all(b'p');
        let read = view.scan(&from, &to, &mut |key, value| {
            match Partial::decode(value) {
                Some(partial) if mine(&partial.association) => partials.insert(key.to_vec(), &partial),
                Some(_) => {}
                None => damaged = true,
            }
            ControlFlow::Continue(())
        });
        read.map_err(|error| StoreError::Disk(error.to_string()))?;
        if damaged {
            return Err(StoreError::Damaged("a kept upload cannot be read".to_owned()));
        }
        Ok(partials)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    pub(super) fn insert(&mut self, key: Vec<u8>, partial: &Partial) {
        self.known.insert(key, Known::of(partial));
    }

    pub(super) fn remove(&mut self, key: &[u8]) -> Option<Known> {
        let known = self.known.remove(key)?;
        self.leaving.remove(&known.id);
        Some(known)
    }

    /// The one under a key, unless it is about to end.
    pub(super) fn get(&self, key: &[u8]) -> Option<&Known> {
        self.known
            .get(key)
            .filter(|known| !self.leaving.contains(&known.id))
    }

    /// The end of the one under a key is on its way.
    pub(super) fn leaves(&mut self, key: &[u8]) {
        if let Some(known) = self.known.get(key) {
            self.leaving.insert(known.id);
        }
    }

    /// Those whose keys begin with `prefix`.
    pub(super) fn below(&self, prefix: &[u8]) -> Vec<(Vec<u8>, Option<u64>)> {
        self.known
            .range(prefix.to_vec()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, known)| (key.clone(), known.base))
            .collect()
    }

    /// Those of a name in a directory: key and base.
    pub(super) fn of_name(&self, directory: DirId, name: &str) -> Vec<(Vec<u8>, Option<u64>)> {
        self.below(&partial::names(directory, name))
    }

    /// Those that `over` says are over.
    pub(super) fn over(&self, over: &dyn Fn(&Whose, i64) -> bool) -> Vec<Vec<u8>> {
        let whose = |key: &[u8], known: &Known| (known.association, partial::account(key).unwrap_or(0));
        self.known
            .iter()
            .filter(|(key, known)| {
                !self.leaving.contains(&known.id) && over(&whose(key, known), known.kept_at)
            })
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// What has to end, oldest first, so that an account may keep `bytes` under a key; `None`: it may not.
    pub(super) fn room(&self, whose: &Whose, key: &[u8], bytes: u64) -> Option<Vec<Vec<u8>>> {
        let mut others: Vec<_> = self.known.iter().filter(|(other, _)| *other != key).collect();
        others.sort_by_key(|(_, known)| known.kept_at);
        let all: u64 = others.iter().map(|(_, known)| known.bytes).sum();
        let own = |(other, known): &&(&Vec<u8>, &Known)| {
            known.association == whose.0 && partial::account(other) == Some(whose.1)
        };
        let own: Vec<_> = others.iter().filter(own).collect();
        let mut own_bytes: u64 = own.iter().map(|(_, known)| known.bytes).sum();
        let (mut leave, mut left) = (Vec::new(), all);
        for (at, (other, known)) in own.iter().enumerate() {
            if own.len() - at < limits::PARTIALS_ACCOUNT_MAX_COUNT
                && own_bytes.saturating_add(bytes) <= limits::PARTIALS_ACCOUNT_MAX_BYTES
            {
                break;
            }
            leave.push((*other).clone());
            own_bytes -= known.bytes;
            left -= known.bytes;
        }
        let fits = bytes <= limits::PARTIALS_ACCOUNT_MAX_BYTES
            && others.len() - leave.len() < limits::PARTIALS_MAX_COUNT
            && left.saturating_add(bytes) <= limits::PARTIALS_MAX_BYTES;
        fits.then_some(leave)
    }
}

#[cfg(test)]
mod tests {
    use filegrid_tree::{FileRow, Protocol};

    use super::*;

    const KEY: [u8; 16] = [1; 16];
    const DIRECTORY: Id = Id([2; 16]);

    fn add(partials: &mut Partials, account: u64, number: u64, bytes: u64) -> Vec<u8> {
        let key = partial::key(DIRECTORY, &format!("f{number}"), account);
        let row = FileRow {
            version: 0,
            size: bytes,
            crc32: 0,
            sha256: None,
            created_at: 0,
            updated_at: None,
            mtime: i64::try_from(number).unwrap(),
            protocol: Protocol::Ftp,
            extents: Vec::new(),
        };
        let mut id = [account as u8; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        let partial = Partial {
            id: Id(id),
            association: KEY,
            base: None,
            row,
        };
        partials.insert(key.clone(), &partial);
        key
    }

    #[test]
    fn the_oldest_of_an_account_make_room_for_its_next() {
        let mut partials = Partials::default();
        let max = limits::PARTIALS_ACCOUNT_MAX_COUNT as u64;
        let first = add(&mut partials, 1, 0, 10);
        for number in 1..max {
            add(&mut partials, 1, number, 10);
        }
        let new = partial::key(DIRECTORY, "new", 1);
        assert_eq!(partials.room(&(KEY, 1), &new, 10), Some(vec![first.clone()]));
        assert_eq!(
            partials.room(&(KEY, 2), &new, 10),
            Some(vec![]),
            "another account"
        );
        assert_eq!(
            partials.room(&(KEY, 1), &first, 99),
            Some(vec![]),
            "takes its own place"
        );
        let bytes = limits::PARTIALS_ACCOUNT_MAX_BYTES;
        let leave = partials.room(&(KEY, 1), &new, bytes - 10).unwrap();
        assert_eq!(leave.len() as u64, max - 1, "one of 10 bytes may stay");
        assert_eq!(partials.room(&(KEY, 1), &new, bytes + 1), None);
    }

    #[test]
    fn accounts_together_have_a_bound_that_none_of_them_moves() {
        let mut partials = Partials::default();
        for number in 0..limits::PARTIALS_MAX_COUNT as u64 {
            add(&mut partials, 1000 + number, number, 1);
        }
        let new = partial::key(DIRECTORY, "new", 1);
        assert_eq!(partials.room(&(KEY, 1), &new, 1), None);
        let mut partials = Partials::default();
        let each = limits::PARTIALS_ACCOUNT_MAX_BYTES;
        for account in 0..limits::PARTIALS_MAX_BYTES / each {
            add(&mut partials, 1000 + account, account, each);
        }
        assert_eq!(partials.room(&(KEY, 1), &new, 1), None);
        assert_eq!(partials.room(&(KEY, 1), &new, 0), Some(vec![]));
    }

    #[test]
    fn names_that_begin_alike_are_told_apart() {
        let mut partials = Partials::default();
        let one = add(&mut partials, 1, 1, 0);
        let other = add(&mut partials, 2, 1, 0);
        add(&mut partials, 1, 10, 0);
        let of_name: Vec<_> = partials
            .of_name(DIRECTORY, "f1")
            .into_iter()
            .map(|(key, _)| key)
            .collect();
        assert_eq!(of_name, [one.clone(), other]);
        assert_eq!(partials.below(&partial::entries(DIRECTORY)).len(), 3);
        partials.leaves(&one);
        assert!(partials.get(&one).is_none());
        assert!(partials.remove(&one).is_some() && partials.get(&one).is_none());
    }
}
