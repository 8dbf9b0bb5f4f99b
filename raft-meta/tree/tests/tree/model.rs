//! The naive model: full paths to what is there. Knows nothing of ids of directories, rows or changes.

use std::collections::BTreeMap;

use filegrid_tree::{
    Base, Command, Extent, FileContent, Protocol, Publication, Removal, Sum, TreeError, TreePath,
};

/// Why a command is refused, as clients see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// 404
    Missing,
    /// 409
    Conflict,
    /// 412
    Stale,
}

impl Refused {
    pub(crate) fn of(error: &TreeError) -> Self {
        match error {
            TreeError::NotFound(_) => Self::Missing,
            TreeError::Exists(_)
            | TreeError::IsDirectory(_)
            | TreeError::NotDirectory(_)
            | TreeError::NotEmpty(_)
            | TreeError::IntoItself(_) => Self::Conflict,
            TreeError::Stale(_) => Self::Stale,
            other => panic!("{other}"),
        }
    }
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Tells directories apart, and contents of files.
    pub(crate) ident: u64,
    pub(crate) created_at: i64,
    pub(crate) updated_at: Option<i64>,
    pub(crate) mtime: i64,
    pub(crate) protocol: Protocol,
    /// `None`: a directory.
    pub(crate) file: Option<File>,
}

/// The content of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    /// As the tree has chosen it; 0 until it is looked at.
    pub(crate) version: u64,
    pub(crate) size: u64,
    pub(crate) crc32: u32,
    pub(crate) sha256: Option<[u8; 32]>,
    pub(crate) extents: Vec<Extent>,
}

/// A sum that was made of a file where it was.
#[derive(Debug, Clone)]
pub(crate) struct Noted {
    pub(crate) sum: Sum,
    /// Ident of the directory.
    pub(crate) directory: u64,
    /// Ident of the content.
    pub(crate) content: u64,
}

type Names = Vec<String>;

/// The tree of one association.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    pub(crate) entries: BTreeMap<Names, Entry>,
    idents: u64,
    now: i64,
    protocol: Option<Protocol>,
}

impl Model {
    /// Does a command, or nothing.
    pub(crate) fn run(
        &mut self,
        command: &Command,
        noted: &[Noted],
        now: i64,
        protocol: Protocol,
    ) -> Result<(), Refused> {
        let mut done = self.clone();
        (done.now, done.protocol) = (now, Some(protocol));
        match command {
            Command::CreateRoot => done.root(),
            Command::Publish { files, make_parents } => {
                for (at, file) in files.iter().enumerate() {
                    if files[at + 1..].iter().all(|later| later.path != file.path) {
                        done.publish(file, *make_parents)?;
                    }
                }
            }
            Command::MakeDir {
                path,
                parents,
                existing_ok,
            } => done.make_dir(path.components(), *parents, *existing_ok)?,
            Command::Move { moves, replace } => {
                for (from, to) in moves {
                    done.move_one(from.components(), to.components(), *replace)?;
                }
            }
            Command::Delete { paths, root } => paths.iter().for_each(|path| done.delete(path, root)),
            Command::Remove { path, what } => done.remove(path.components(), *what)?,
            Command::SetTime { path, mtime } => {
                if let Some((_, above)) = path.components().split_last() {
                    done.above(above, false)?;
                }
                let entry = done.entries.get_mut(path.components()).ok_or(Refused::Missing)?;
                entry.mtime = *mtime;
            }
            Command::SetSha256 { .. } => noted.iter().for_each(|noted| done.sum(noted)),
        }
        *self = done;
        Ok(())
    }

    fn entry(&mut self, file: Option<File>) -> Entry {
        self.idents += 1;
        Entry {
            ident: self.idents,
            created_at: self.now,
            updated_at: None,
            mtime: self.now,
            protocol: self.protocol.unwrap(),
            file,
        }
    }

    fn root(&mut self) {
        if self.entries.is_empty() {
            let root = self.entry(None);
            self.entries.insert(Vec::new(), root);
        }
    }

    /// Every directory on the way has to be there, or is made.
    fn above(&mut self, names: &[String], make: bool) -> Result<(), Refused> {
        self.root();
        for depth in 1..=names.len() {
            match self.entries.get(&names[..depth]) {
                Some(entry) if entry.file.is_some() => return Err(Refused::Conflict),
                Some(_) => {}
                None if make => {
                    let made = self.entry(None);
                    self.entries.insert(names[..depth].to_vec(), made);
                }
                None => return Err(Refused::Missing),
            }
        }
        Ok(())
    }

    fn publish(&mut self, file: &Publication, make_parents: bool) -> Result<(), Refused> {
        let path = file.path.components();
        let (_, above) = path.split_last().ok_or(Refused::Conflict)?;
        self.above(above, make_parents)?;
        let old = self.entries.get(path).cloned();
        let old_file = match &old {
            Some(Entry { file: None, .. }) => return Err(Refused::Conflict),
            Some(Entry { file, .. }) => file.as_ref(),
            None => None,
        };
        match file.base {
            Base::Version(version) if old_file.is_none_or(|old| old.version != version) => {
                return Err(Refused::Stale);
            }
            Base::Absent if old_file.is_some() => return Err(Refused::Conflict),
            _ => {}
        }
        let FileContent {
            extents,
            size,
            crc32,
            sha256,
        } = file.content.clone();
        let mut entry = self.entry(Some(File {
            version: 0,
            size,
            crc32,
            sha256,
            extents,
        }));
        entry.mtime = file.mtime.unwrap_or(self.now);
        if let Some(old) = old {
            entry.created_at = old.created_at;
            entry.updated_at = Some(self.now);
        }
        self.entries.insert(path.to_vec(), entry);
        Ok(())
    }

    fn make_dir(&mut self, path: &[String], parents: bool, existing_ok: bool) -> Result<(), Refused> {
        if let Some((_, above)) = path.split_last() {
            self.above(above, parents)?;
        }
        self.root();
        match self.entries.get(path) {
            Some(entry) if entry.file.is_none() && existing_ok => {}
            Some(_) => return Err(Refused::Conflict),
            None => {
                let made = self.entry(None);
                self.entries.insert(path.to_vec(), made);
            }
        }
        Ok(())
    }

    fn move_one(&mut self, from: &[String], to: &[String], replace: bool) -> Result<(), Refused> {
        self.root();
        if from.is_empty() {
            return Err(Refused::Conflict);
        }
        let is_file = self.entries.get(from).ok_or(Refused::Missing)?.file.is_some();
        let (_, above) = to.split_last().ok_or(Refused::Conflict)?;
        if above.starts_with(from) && !is_file {
            return Err(Refused::Conflict);
        }
        self.above(above, false)?;
        if let Some(there) = self.entries.get(to) {
            match (there.file.is_some() && is_file && replace, from == to) {
                (false, _) => return Err(Refused::Conflict),
                (true, true) => return Ok(()),
                (true, false) => {}
            }
        }
        for (names, entry) in self.take(from) {
            let moved = [to, &names[from.len()..]].concat();
            self.entries.insert(moved, entry);
        }
        Ok(())
    }

    fn delete(&mut self, path: &TreePath, root: &TreePath) {
        if !path.is_root() {
            self.root();
        }
        let names = path.components();
        let Some(entry) = self.entries.get(names) else {
            return;
        };
        let mut kept = entry.clone();
        self.take(names);
        if kept.file.is_none() && (path == root || path.is_root()) {
            kept.mtime = self.now;
            self.entries.insert(names.to_vec(), kept);
        }
    }

    fn remove(&mut self, path: &[String], what: Removal) -> Result<(), Refused> {
        let (_, above) = path.split_last().ok_or(Refused::Conflict)?;
        self.above(above, false)?;
        let entry = self.entries.get(path).ok_or(Refused::Missing)?;
        let is_what = match what {
            Removal::File => entry.file.is_some(),
            Removal::EmptyDirectory => {
                let below = self.entries.keys().filter(|names| names.starts_with(path));
                entry.file.is_none() && below.count() == 1
            }
        };
        if !is_what {
            return Err(Refused::Conflict);
        }
        self.entries.remove(path);
        Ok(())
    }

    fn sum(&mut self, noted: &Noted) {
        let found = self
            .entries
            .iter()
            .find(|(_, entry)| entry.ident == noted.content);
        let Some(names) = found.map(|(names, _)| names.clone()) else {
            return;
        };
        let (name, above) = names.split_last().unwrap();
        let stays = *name == noted.sum.name && self.entries[above].ident == noted.directory;
        let file = self.entries.get_mut(&names).unwrap().file.as_mut().unwrap();
        if stays && file.sha256.is_none() {
            file.sha256 = Some(noted.sum.sha256);
        }
    }

    /// Takes out a path and all that is below.
    fn take(&mut self, path: &[String]) -> BTreeMap<Names, Entry> {
        let taken = self.entries.extract_if(.., |names, _| names.starts_with(path));
        taken.collect()
    }
}
