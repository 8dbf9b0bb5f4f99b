//! What the disk holds: certainly, and so far.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::{DirEntry, Faults, Random};
use crate::BLOCK_BYTES;

/// A disk writes this much whole or not at all.
const SECTOR_BYTES: usize = 512;

#[derive(Clone, Default)]
struct Inode {
    /// What a reader sees.
    now: Vec<u8>,
    /// What certainly survives.
    durable: Vec<u8>,
    /// Blocks in which the two differ.
    dirty: BTreeSet<usize>,
}

impl Inode {
    fn is_unsynced(&self) -> bool {
        !self.dirty.is_empty() || self.now.len() != self.durable.len()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Entry {
    Directory,
    File(u64),
}

/// A change of directory entries that is not synced: each path with what it stood for before.
#[derive(Clone)]
struct Unsynced {
    before: Vec<(PathBuf, Option<Entry>)>,
}

/// What the disk holds: certainly, and so far. Whoever uses it carries the number of the life that it began in; the
/// operations of an earlier life fail.
#[derive(Clone)]
pub struct World {
    inodes: BTreeMap<u64, Inode>,
    entries: BTreeMap<PathBuf, Entry>,
    unsynced: Vec<Unsynced>,
    random: Random,
    faults: Faults,
    operations: u64,
    next_inode: u64,
    life: u32,
    down: bool,
}

impl World {
    /// An empty disk.
    pub fn new(seed: u64, faults: Faults) -> Self {
        Self {
            inodes: BTreeMap::new(),
            entries: BTreeMap::new(),
            unsynced: Vec::new(),
            random: Random::new(seed),
            faults,
            operations: 0,
            next_inode: 1,
            life: 0,
            down: false,
        }
    }

    /// The number of the life that it is in; each power cut begins another.
    #[must_use]
    pub fn life(&self) -> u32 {
        self.life
    }

    /// Operations in this life since the faults were set.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// Whether the operation that was to fail is behind.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.faults.fail_at.is_some_and(|at| at <= self.operations)
    }

    /// Sets what goes wrong from now on; operations are counted anew.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
        self.operations = 0;
    }

    /// How often an operation lets others go first, by the dice.
    pub fn turns(&mut self) -> u64 {
        self.random.below(3)
    }

    /// Whether a life goes on.
    ///
    /// # Errors
    ///
    /// If the power has failed since.
    pub fn check(&self, life: u32) -> io::Result<()> {
        if self.down || life != self.life {
            Err(io::Error::other("the power has failed"))
        } else {
            Ok(())
        }
    }

    /// Counts an operation; the power or the operation may fail here.
    ///
    /// # Errors
    ///
    /// Those of a real disk.
    pub fn count(&mut self, life: u32) -> io::Result<()> {
        self.check(life)?;
        self.operations += 1;
        if self.faults.crash_at == Some(self.operations) {
            self.down = true;
        }
        self.check(life)?;
        if self.faults.fail_at == Some(self.operations) {
            return Err(io::Error::other("the disk has failed"));
        }
        Ok(())
    }

    /// Kills whoever uses it: their operations fail from now on. The disk keeps what it was given, and what was not
    /// synced is still not.
    pub fn kill(&mut self) {
        self.down = false;
        self.life += 1;
    }

    /// Cuts the power and switches it on again.
    pub fn power_cut(&mut self) {
        for inode in self.inodes.values_mut().filter(|inode| inode.is_unsynced()) {
            for block in std::mem::take(&mut inode.dirty) {
                survive(inode, block, &mut self.random);
            }
            inode.now.clone_from(&inode.durable);
        }
        // Later changes of entries are undone first, so that each finds what it left.
        for change in std::mem::take(&mut self.unsynced).into_iter().rev() {
            if self.random.one_in(2) {
                for (path, entry) in change.before {
                    match entry {
                        Some(entry) => self.entries.insert(path, entry),
                        None => self.entries.remove(&path),
                    };
                }
            }
        }
        // What hangs below a directory that is gone is gone too.
        let paths: Vec<_> = self.entries.keys().cloned().collect();
        for path in paths {
            let orphan = path.parent().is_some_and(|above| {
                above.components().count() > 1 && self.entries.get(above) != Some(&Entry::Directory)
            });
            if orphan {
                self.entries.remove(&path);
            }
        }
        let named = self.named();
        self.inodes.retain(|inode, _| named.contains(inode));
        self.kill();
    }

    /// Opens a file, or makes it, and returns its inode.
    ///
    /// # Errors
    ///
    /// Those of a real disk.
    pub fn open(&mut self, life: u32, path: &Path, create_new: bool) -> io::Result<u64> {
        self.check(life)?;
        match self.entries.get(path) {
            Some(_) if create_new => Err(io::ErrorKind::AlreadyExists.into()),
            Some(Entry::File(inode)) => Ok(*inode),
            Some(Entry::Directory) => Err(io::ErrorKind::IsADirectory.into()),
            None if create_new => {
                self.parent(path)?;
                self.count(life)?;
                let inode = self.next_inode;
                self.next_inode += 1;
                self.inodes.insert(inode, Inode::default());
                self.set(vec![(path.to_owned(), Some(Entry::File(inode)))]);
                Ok(inode)
            }
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Makes a directory; one that exists is fine.
    ///
    /// # Errors
    ///
    /// Those of a real disk.
    pub fn create_dir(&mut self, life: u32, path: &Path) -> io::Result<()> {
        self.check(life)?;
        if self.entries.get(path) == Some(&Entry::Directory) {
            return Ok(());
        }
        self.parent(path)?;
        self.count(life)?;
        self.set(vec![(path.to_owned(), Some(Entry::Directory))]);
        Ok(())
    }

    /// Renames a file, replacing what is there.
    ///
    /// # Errors
    ///
    /// Those of a real disk.
    pub fn rename(&mut self, life: u32, from: &Path, to: &Path) -> io::Result<()> {
        self.check(life)?;
        self.parent(to)?;
        let entry = self.entries.get(from).copied().ok_or(io::ErrorKind::NotFound)?;
        self.count(life)?;
        self.set(vec![(from.to_owned(), None), (to.to_owned(), Some(entry))]);
        Ok(())
    }

    /// Removes a file or directory.
    ///
    /// # Errors
    ///
    /// Those of a real disk.
    pub fn remove(&mut self, life: u32, path: &Path) -> io::Result<()> {
        self.check(life)?;
        if !self.entries.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.count(life)?;
        self.set(vec![(path.to_owned(), None)]);
        Ok(())
    }

    /// Makes the entries of a directory durable.
    ///
    /// # Errors
    ///
    /// If the power or the disk fails.
    pub fn sync_dir(&mut self, life: u32, path: &Path) -> io::Result<()> {
        self.count(life)?;
        self.unsynced.retain(|change| {
            !change
                .before
                .iter()
                .any(|(entry, _)| entry.parent() == Some(path))
        });
        Ok(())
    }

    /// The entries of a directory.
    ///
    /// # Errors
    ///
    /// If it is not there.
    pub fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.parent(&path.join("x"))?;
        let below = self
            .entries
            .iter()
            .filter(|(entry, _)| entry.parent() == Some(path));
        Ok(below
            .filter_map(|(entry, what)| {
                let name = entry.file_name()?.to_str()?.to_owned();
                Some((name, *what == Entry::Directory))
            })
            .collect())
    }

    /// Length of a file in bytes, as a reader sees it.
    #[must_use]
    pub fn length(&self, inode: u64) -> u64 {
        self.inodes.get(&inode).map_or(0, |inode| inode.now.len() as u64)
    }

    /// Reads what a reader sees and returns how many bytes there were.
    pub fn read(&self, inode: u64, buffer: &mut [u8], offset: u64) -> usize {
        let bytes = self
            .inodes
            .get(&inode)
            .map(|inode| inode.now.as_slice())
            .unwrap_or_default();
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let bytes = bytes.get(from..).unwrap_or_default();
        let length = bytes.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..length), bytes.get(..length)) {
            to.copy_from_slice(from);
        }
        length
    }

    /// Writes so that readers see it. Nothing of it is durable.
    ///
    /// # Errors
    ///
    /// Those of a real disk.
    pub fn write(&mut self, inode: u64, bytes: &[u8], offset: u64) -> io::Result<()> {
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let end = from + bytes.len();
        self.grow(inode, end)?;
        let Some(inode) = self.inodes.get_mut(&inode) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if let Some(to) = inode.now.get_mut(from..end) {
            to.copy_from_slice(bytes);
        }
        inode.dirty.extend(from / BLOCK_BYTES..end.div_ceil(BLOCK_BYTES));
        Ok(())
    }

    /// Gives a file a length, with zeros behind its end.
    ///
    /// # Errors
    ///
    /// Those of a real disk.
    pub fn grow(&mut self, inode: u64, end: usize) -> io::Result<()> {
        let more = (end as u64).saturating_sub(self.length(inode));
        if more > self.free_bytes() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if let Some(inode) = self.inodes.get_mut(&inode)
            && end > inode.now.len()
        {
            inode.now.resize(end, 0);
            inode.dirty.insert(end.saturating_sub(1) / BLOCK_BYTES);
        }
        Ok(())
    }

    /// Sets the length.
    pub fn truncate(&mut self, inode: u64, length: u64) {
        if let Some(inode) = self.inodes.get_mut(&inode) {
            inode.now.resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
            inode
                .dirty
                .insert(usize::try_from(length).unwrap_or(usize::MAX) / BLOCK_BYTES);
        }
    }

    /// Makes the blocks that a range touches durable; all of them without a range.
    pub fn sync(&mut self, inode: u64, range: Option<(u64, usize)>) {
        let Some(inode) = self.inodes.get_mut(&inode) else {
            return;
        };
        let blocks: Vec<usize> = match range {
            None => inode.dirty.iter().copied().collect(),
            Some((offset, length)) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX);
                (from / BLOCK_BYTES..(from + length).div_ceil(BLOCK_BYTES)).collect()
            }
        };
        if inode.durable.len() != inode.now.len() {
            inode.durable.resize(inode.now.len(), 0);
        }
        for block in blocks {
            inode.dirty.remove(&block);
            copy_block(inode, block, BLOCK_BYTES);
        }
    }

    /// Bytes that still fit.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        let free = |capacity: u64| capacity.saturating_sub(self.used_bytes());
        self.faults.capacity_bytes.map_or(u64::MAX, free)
    }

    /// Bytes of the files that have a name.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.named().into_iter().map(|inode| self.length(inode)).sum()
    }

    /// Flips a bit of a file's durable bytes.
    pub fn flip_bit(&mut self, path: &Path, bit: u64) {
        if let Some(Entry::File(inode)) = self.entries.get(path)
            && let Some(inode) = self.inodes.get_mut(inode)
        {
            let at = usize::try_from(bit / 8).unwrap_or(usize::MAX);
            for bytes in [&mut inode.now, &mut inode.durable] {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << (bit % 8);
                }
            }
        }
    }

    /// The files whose paths `which` accepts, with their lengths.
    #[must_use]
    pub fn files(&self, which: &dyn Fn(&Path) -> bool) -> Vec<(PathBuf, u64)> {
        self.entries
            .iter()
            .filter(|(path, _)| which(path))
            .filter_map(|(path, entry)| match entry {
                Entry::File(inode) => Some((path.clone(), self.length(*inode))),
                Entry::Directory => None,
            })
            .collect()
    }

    fn named(&self) -> BTreeSet<u64> {
        let inode = |entry: &Entry| match entry {
            Entry::File(inode) => Some(*inode),
            Entry::Directory => None,
        };
        self.entries.values().filter_map(inode).collect()
    }

    fn parent(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(above) if above.components().count() > 1 => match self.entries.get(above) {
                Some(Entry::Directory) => Ok(()),
                Some(Entry::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
                None => Err(io::ErrorKind::NotFound.into()),
            },
            _ => Ok(()),
        }
    }

    fn set(&mut self, changes: Vec<(PathBuf, Option<Entry>)>) {
        let before = changes
            .iter()
            .map(|(path, _)| (path.clone(), self.entries.get(path).copied()))
            .collect();
        self.unsynced.push(Unsynced { before });
        for (path, entry) in changes {
            match entry {
                Some(entry) => self.entries.insert(path, entry),
                None => self.entries.remove(&path),
            };
        }
    }
}

/// Decides what a power cut leaves of a block that was not synced.
fn survive(inode: &mut Inode, block: usize, random: &mut Random) {
    let end = ((block + 1) * BLOCK_BYTES).min(inode.now.len());
    if inode.durable.len() < end {
        // The new length may have reached the disk without the bytes: then old bytes of others show.
        if random.one_in(2) {
            return;
        }
        let old = random.bytes(end - inode.durable.len());
        inode.durable.extend_from_slice(&old);
    }
    match random.below(3) {
        0 => {}
        1 => copy_block(inode, block, BLOCK_BYTES),
        _ => {
            let sectors = usize::try_from(random.below((BLOCK_BYTES / SECTOR_BYTES) as u64)).unwrap_or(0);
            copy_block(inode, block, sectors * SECTOR_BYTES);
        }
    }
}

/// Takes the first bytes of a block over.
fn copy_block(inode: &mut Inode, block: usize, bytes: usize) {
    let from = block * BLOCK_BYTES;
    let end = (from + bytes).min(inode.now.len()).min(inode.durable.len());
    if let (Some(to), Some(new)) = (inode.durable.get_mut(from..end), inode.now.get(from..end)) {
        to.copy_from_slice(new);
    }
}
