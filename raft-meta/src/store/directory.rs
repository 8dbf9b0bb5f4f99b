//! Which of several directories of rows is the live one.
//!
//! # Layout
//!
//! `rows-NUMBER` directories, and a file `current` that names the live one and a line feed.
//!
//! # Crash
//!
//! `current` is replaced as a whole. It is written before the directory that it first names is made, so without it no
//! rows can be there.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use crate::machine::MachineError;

/// The live directory, which need not exist yet. Others are removed.
pub(super) fn current(home: &Path) -> Result<PathBuf, MachineError> {
    std::fs::create_dir_all(home).map_err(|error| failed("make", home, &error))?;
    let pointer = home.join("current");
    let name = match std::fs::read_to_string(&pointer) {
        Ok(name) => name.trim_end().to_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if let Some(found) = numbered(home)?.into_iter().next() {
                return Err(MachineError::Damaged(format!(
                    "{} is there, but {} is not",
                    found.display(),
                    pointer.display()
                )));
            }
            let first = "rows-1".to_owned();
            point(home, &home.join(&first))?;
            first
        }
        Err(error) => return Err(failed("read", &pointer, &error)),
    };
    let live = home.join(name);
    for other in numbered(home)?.iter().filter(|other| **other != live) {
        std::fs::remove_dir_all(other).map_err(|error| failed("remove", other, &error))?;
    }
    Ok(live)
}

/// A name that no directory has.
pub(super) fn fresh(home: &Path) -> Result<PathBuf, MachineError> {
    let highest = numbered(home)?.iter().filter_map(|path| number(path)).max();
    Ok(home.join(format!("rows-{}", highest.unwrap_or(0) + 1)))
}

/// Makes a directory the live one.
pub(super) fn point(home: &Path, live: &Path) -> Result<(), MachineError> {
    let pointer = home.join("current");
    let name = live.file_name().unwrap_or_default().to_string_lossy();
    let replace = || -> std::io::Result<()> {
        let written = home.join("current.new");
        let mut file = File::create(&written)?;
        writeln!(file, "{name}")?;
        file.sync_all()?;
        std::fs::rename(&written, &pointer)?;
        File::open(home)?.sync_all()
    };
    replace().map_err(|error| failed("replace", &pointer, &error))
}

pub(super) fn sync(directory: &Path) -> Result<(), MachineError> {
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|error| failed("sync", directory, &error))
}

fn numbered(home: &Path) -> Result<Vec<PathBuf>, MachineError> {
    let entries = std::fs::read_dir(home).map_err(|error| failed("list", home, &error))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let paths: Vec<_> = paths
        .collect::<Result<_, _>>()
        .map_err(|error| failed("list", home, &error))?;
    Ok(paths.into_iter().filter(|path| number(path).is_some()).collect())
}

fn number(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix("rows-")?.parse().ok()
}

fn failed(verb: &str, path: &Path, error: &std::io::Error) -> MachineError {
    MachineError::Disk(format!("cannot {verb} {}: {error}", path.display()))
}
