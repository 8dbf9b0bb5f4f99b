//! What somebody wants of the tree, by path.

use crate::{DirId, Extent, TreePath};

/// What a new version of a file is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileContent {
    /// The bytes, in order.
    pub extents: Vec<Extent>,
    /// How many.
    pub size: u64,
    /// CRC32 (IEEE) of all of them.
    pub crc32: u32,
    /// SHA-256 of all of them, where it is known already.
    pub sha256: Option<[u8; 32]>,
}

/// The SHA-256 of a version of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sum {
    /// Directory of the file.
    pub directory: DirId,
    /// Its name.
    pub name: String,
    /// The version that was read.
    pub version: u64,
    /// Its sum.
    pub sha256: [u8; 32],
}

/// What a publication builds on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// Nothing: the content is whole.
    Any,
    /// This version: refused if the file is another by now.
    Version(u64),
    /// No file: refused if there is one.
    Absent,
}

/// A file to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// Where.
    pub path: TreePath,
    /// What.
    pub content: FileContent,
    /// What it builds on.
    pub base: Base,
    /// Modification time in Unix milliseconds; the time of the change if not given.
    pub mtime: Option<i64>,
}

/// What [`Command::Remove`] takes away, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// A file.
    File,
    /// A directory in which nothing is.
    EmptyDirectory,
}

/// A change of the tree that somebody wants. All of it happens, or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Makes the root of the association, if it is not there.
    CreateRoot,
    /// Publishes files together. Of several for one path the last counts.
    Publish {
        /// The files.
        files: Vec<Publication>,
        /// Whether missing directories are made.
        make_parents: bool,
    },
    /// Makes a directory.
    MakeDir {
        /// Where.
        path: TreePath,
        /// Whether missing directories above it are made.
        parents: bool,
        /// Whether it may be there already.
        existing_ok: bool,
    },
    /// Moves files and directories, in order; each move sees the ones before it.
    Move {
        /// From, to.
        moves: Vec<(TreePath, TreePath)>,
        /// Whether a file may take the place of another.
        replace: bool,
    },
    /// Deletes, with all that is below. What does not exist is fine.
    Delete {
        /// What.
        paths: Vec<TreePath>,
        /// This directory is emptied and kept when it is named itself.
        root: TreePath,
    },
    /// Removes one file, or one directory in which nothing is.
    Remove {
        /// Where.
        path: TreePath,
        /// What has to be there.
        what: Removal,
    },
    /// Sets a modification time, Unix milliseconds.
    SetTime {
        /// Of what.
        path: TreePath,
        /// To when.
        mtime: i64,
    },
    /// Notes sums; nothing happens to a file that is another by now.
    SetSha256 {
        /// The sums.
        sums: Vec<Sum>,
    },
}
