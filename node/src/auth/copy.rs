//! The copy of the registry on the disk: `DATA/registry.json`, all of it, and what has changed since in two files of changes.
//!
//! A change is in a file, durably, before anybody sees it, so a node that is killed starts with all that it has ever told.
//! When there is much of it, all is written anew: changes go to the other file meanwhile, and the first one is emptied
//! when that is done.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use filegrid_meta::registry::{Position, Registry, Row, RowChange};
use serde::{Deserialize, Serialize};

use crate::limits::{REGISTRY_CHANGES_MIN_BYTES, REGISTRY_CHANGES_PART};
use crate::private;

/// Version of the file's layout.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Content {
    format: u32,
    rows: Vec<Row>,
}

/// A line of a file of changes: the CRC32 of its JSON in eight hexadecimal digits, a space, and this.
#[derive(Serialize, Deserialize)]
struct Entry {
    /// Revision and chain of the registry before.
    from: (u64, u32),
    changes: Vec<RowChange>,
}

/// The copy.
pub(super) struct Copy {
    path: PathBuf,
    changes: [PathBuf; 2],
    /// Which of them changes go to, open once there are any.
    at: usize,
    file: Option<File>,
    /// Bytes in it.
    bytes: u64,
    /// Whether the other one is needed still.
    has_other: bool,
    /// What the disk has; none if it lacks something that nobody can write behind the rest.
    position: Option<Position>,
    /// Bytes of the whole, as it was last written or read.
    whole_bytes: u64,
}

impl Copy {
    /// Opens the copy of a `DATA`, or makes it of what `first` says: with the registry that it has.
    pub(super) fn open(
        data: &Path,
        first: impl FnOnce() -> Result<Registry, String>,
    ) -> Result<(Self, Registry), String> {
        let mut copy = Self::of(data);
        let registry = match copy.read()? {
            Some(registry) => registry,
            None => {
                let registry = first()?;
                copy.replace(&registry)?;
                registry
            }
        };
        copy.position = Some(registry.position());
        if copy.has_other {
            // What changes come to from now on could not be told from what was there.
            copy.replace(&registry)?;
        }
        Ok((copy, registry))
    }

    fn of(data: &Path) -> Self {
        let path = path(data);
        Self {
            changes: ["changes-0", "changes-1"].map(|extension| path.with_extension(extension)),
            path,
            at: 0,
            file: None,
            bytes: 0,
            has_other: false,
            position: None,
            whole_bytes: 0,
        }
    }

    /// Where all of it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The registry, if there is one.
    fn read(&mut self) -> Result<Option<Registry>, String> {
        let unreadable =
            |error: &dyn std::fmt::Display| format!("{} cannot be read: {error}", self.path.display());
        let Some(bytes) = read(&self.path)? else {
            return Ok(None);
        };
        let content: Content = serde_json::from_slice(&bytes).map_err(|error| unreadable(&error))?;
        if content.format != FORMAT {
            let format = content.format;
            return Err(unreadable(&format_args!(
                "it is of format {format}, this program reads format {FORMAT}"
            )));
        }
        self.whole_bytes = bytes.len() as u64;
        let mut registry: Registry = content.rows.into_iter().collect();
        let [first, second] = [&self.changes[0], &self.changes[1]].map(|path| read(path));
        let files = [first?.unwrap_or_default(), second?.unwrap_or_default()];
        self.has_other = files.iter().any(|bytes| !bytes.is_empty());
        // Either may be the older one.
        for bytes in [&files[0], &files[1], &files[0]] {
            go_on(&mut registry, bytes);
        }
        Ok(Some(registry))
    }

    /// Notes changes that lead from one registry to the next, durably. If that is not where the copy is, or it fails, all has to be
    /// written.
    pub(super) fn append(
        &mut self,
        from: Position,
        changes: Vec<RowChange>,
        to: Position,
    ) -> Result<(), String> {
        if self.position != Some(from) {
            self.position = None;
            return Ok(());
        }
        self.position = None;
        let json = serde_json::to_vec(&Entry {
            from: (from.revision, from.chain),
            changes,
        });
        let path = &self.changes[self.at];
        let failed = |error: std::io::Error| format!("{} cannot be written: {error}", path.display());
        let json = json.map_err(|error| failed(error.into()))?;
        let mut line = format!("{:08x} ", crc32fast::hash(&json)).into_bytes();
        line.extend_from_slice(&json);
        line.push(b'\n');
        if self.file.is_none() {
            self.file = Some(create(path).map_err(failed)?);
        }
        if let Some(file) = &mut self.file {
            file.write_all(&line)
                .and_then(|()| file.sync_data())
                .map_err(failed)?;
        }
        self.bytes += line.len() as u64;
        self.position = Some(to);
        Ok(())
    }

    /// Whether all is to be written, as far as that can be told from how much has changed.
    pub(super) fn is_due(&self) -> bool {
        let most = (self.whole_bytes / REGISTRY_CHANGES_PART).max(REGISTRY_CHANGES_MIN_BYTES);
        self.position.is_none() || self.has_other || self.bytes > most
    }

    /// Whether the file of all rows lacks nothing.
    pub(super) fn is_whole(&self) -> bool {
        self.position.is_some() && !self.has_other && self.bytes == 0
    }

    /// Has changes go to the other file from now on, if that is not needed: [`write`] is to follow, and [`Self::written`].
    pub(super) fn begin(&mut self, now: Position) {
        if !self.has_other {
            self.has_other = true;
            self.at = 1 - self.at;
            self.file = None;
            self.bytes = 0;
        }
        // Changes from here on are behind what is being written.
        self.position = Some(now);
    }

    /// All was written, as it was at [`Self::begin`] or later.
    pub(super) fn written(&mut self, bytes: u64) -> Result<(), String> {
        self.whole_bytes = bytes;
        remove(&self.changes[1 - self.at])?;
        self.has_other = false;
        Ok(())
    }

    /// Writes all at once.
    pub(super) fn replace(&mut self, registry: &Registry) -> Result<(), String> {
        self.whole_bytes = write(&self.path, registry)?;
        self.file = None;
        self.changes.iter().try_for_each(|path| remove(path))?;
        self.bytes = 0;
        self.has_other = false;
        self.position = Some(registry.position());
        Ok(())
    }
}

/// Whether a `DATA` has a registry.
///
/// # Errors
///
/// If that cannot be told.
pub fn has_registry(data: &Path) -> Result<bool, String> {
    let path = path(data);
    let known = path.try_exists();
    known.map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

/// The registry of a `DATA` as its node knew it last.
///
/// # Errors
///
/// If there is none, or it cannot be read.
pub(crate) fn read_data(data: &Path) -> Result<Registry, String> {
    let mut copy = Copy::of(data);
    let registry = copy.read()?;
    registry.ok_or_else(|| format!("there is no {}: start filegrid once", copy.path.display()))
}

fn path(data: &Path) -> PathBuf {
    data.join("registry.json")
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
    }
}

/// Removes a file, if it is there.
fn remove(path: &Path) -> Result<(), String> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(format!("{} cannot be removed: {error}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Applies what follows the registry, as far as it is whole.
fn go_on(registry: &mut Registry, bytes: &[u8]) {
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Some(entry) = entry(line) else { return };
        let Position { revision, chain } = registry.position();
        if entry.from == (revision, chain) {
            entry.changes.into_iter().for_each(|change| registry.put(change));
        }
    }
}

/// A line of changes; `None` if it is not whole.
fn entry(line: &[u8]) -> Option<Entry> {
    let (sum, json) = line.strip_suffix(b"\n")?.split_at_checked(8)?;
    let json = json.strip_prefix(b" ")?;
    let sum = u32::from_str_radix(std::str::from_utf8(sum).ok()?, 16).ok()?;
    (sum == crc32fast::hash(json)).then(|| serde_json::from_slice(json).ok())?
}

/// A file of changes, empty; its name is durable.
fn create(path: &Path) -> std::io::Result<File> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(file)
}

/// Writes all of a registry, and says how many bytes it is. Afterwards the old or the new one is found, whatever happens.
pub(super) fn write(path: &Path, registry: &Registry) -> Result<u64, String> {
    let content = Content {
        format: FORMAT,
        rows: registry.rows().collect(),
    };
    let written = serde_json::to_vec_pretty(&content)
        .map_err(std::io::Error::from)
        .and_then(|bytes| private::replace(path, &bytes).map(|()| bytes.len() as u64));
    written.map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

/// When the copy was last known to be the cluster's registry: the time of the file's last change.
pub(super) fn confirmed_ms(path: &Path) -> Result<i64, String> {
    let changed = std::fs::metadata(path).and_then(|about| about.modified());
    let changed = changed.map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let since = changed.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Ok(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Notes when that was.
pub(super) fn confirm(path: &Path, confirmed_ms: i64) -> Result<(), String> {
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(confirmed_ms).unwrap_or(0));
    let noted = File::options().write(true).open(path);
    let noted = noted.and_then(|file| file.set_modified(time));
    noted.map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use filegrid_meta::registry::Command;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    /// The registry behind one more change, and what that has changed.
    fn next(registry: &Registry) -> (Registry, Vec<RowChange>) {
        let mut next = registry.clone();
        let create = Command::CreateAssociation {
            key: Uuid::from_u128(u128::from(registry.revision()) + 1),
            name: "one".to_owned(),
            node: Some(1),
        };
        let rows = next.apply(&create).unwrap().rows;
        (next, rows)
    }

    fn empty() -> Result<Registry, String> {
        Ok(Registry::default())
    }

    /// What may happen between two changes.
    #[derive(Debug, Clone, Copy)]
    enum Between {
        Nothing,
        /// All is written, as far as this step of it.
        Written(u8),
        Replaced,
        Killed,
    }

    fn between() -> impl Strategy<Value = Between> {
        prop_oneof![
            4 => Just(Between::Nothing),
            3 => (0..3_u8).prop_map(Between::Written),
            1 => Just(Between::Replaced),
            2 => Just(Between::Killed),
        ]
    }

    proptest! {
        #[test]
        fn whatever_was_noted_is_read_again(all in prop::collection::vec(between(), 0..40)) {
            let directory = tempfile::tempdir().unwrap();
            let data = directory.path();
            let (mut copy, mut registry) = Copy::open(data, empty).unwrap();
            for between in all {
                match between {
                    Between::Nothing => {}
                    Between::Written(steps) => {
                        let (then, rows) = next(&registry);
                        copy.begin(registry.position());
                        // One comes while it is being written.
                        copy.append(registry.position(), rows, then.position()).unwrap();
                        if steps > 0 {
                            let bytes = write(copy.path(), &registry).unwrap();
                            if steps > 1 {
                                copy.written(bytes).unwrap();
                            }
                        }
                        registry = then;
                    }
                    Between::Replaced => copy.replace(&registry).unwrap(),
                    Between::Killed => {
                        drop(copy);
                        let read;
                        (copy, read) = Copy::open(data, || Err("it is gone".to_owned())).unwrap();
                        prop_assert!(read == registry);
                        prop_assert!(copy.is_whole());
                    }
                }
                let (then, rows) = next(&registry);
                copy.append(registry.position(), rows, then.position()).unwrap();
                registry = then;
                prop_assert!(read_data(data).unwrap() == registry, "behind {:?}", between);
            }
        }

        #[test]
        fn a_change_that_power_cut_short_is_none(count in 1..6_usize, cut in 1..40_usize, flip in any::<bool>()) {
            let directory = tempfile::tempdir().unwrap();
            let data = directory.path();
            let (mut copy, mut registry) = Copy::open(data, empty).unwrap();
            let mut states = vec![registry.clone()];
            for _ in 0..count {
                let (then, rows) = next(&registry);
                copy.append(registry.position(), rows, then.position()).unwrap();
                registry = then;
                states.push(registry.clone());
            }
            let path = path(data).with_extension("changes-0");
            let mut bytes = std::fs::read(&path).unwrap();
            let at = bytes.len().saturating_sub(cut);
            if flip {
                bytes[at] ^= 1;
            } else {
                bytes.truncate(at);
            }
            std::fs::write(&path, bytes).unwrap();
            let (mut copy, read) = Copy::open(data, empty).unwrap();
            prop_assert!(states.contains(&read));
            // A line is longer than what was cut.
            prop_assert!(read == states[count - 1]);
            let (then, rows) = next(&read);
            copy.append(read.position(), rows, then.position()).unwrap();
            prop_assert!(read_data(data).unwrap() == then);
        }
    }

    #[test]
    fn changes_that_lead_from_elsewhere_are_not_taken() {
        let directory = tempfile::tempdir().unwrap();
        let (mut copy, registry) = Copy::open(directory.path(), empty).unwrap();
        let (second, _) = next(&registry);
        let (third, rows) = next(&second);
        copy.append(second.position(), rows, third.position()).unwrap();
        assert!(copy.is_due() && !copy.is_whole());
        assert_eq!(read_data(directory.path()).unwrap(), registry);
        copy.replace(&third).unwrap();
        assert!(copy.is_whole() && !copy.is_due());
        assert_eq!(read_data(directory.path()).unwrap(), third);
    }

    #[test]
    fn all_is_written_anew_when_much_has_changed() {
        let directory = tempfile::tempdir().unwrap();
        let (mut copy, mut registry) = Copy::open(directory.path(), empty).unwrap();
        let mut bytes = 0;
        while !copy.is_due() {
            let (then, rows) = next(&registry);
            copy.append(registry.position(), rows, then.position()).unwrap();
            registry = then;
            bytes = std::fs::metadata(path(directory.path()).with_extension("changes-0"))
                .unwrap()
                .len();
        }
        assert!(bytes > REGISTRY_CHANGES_MIN_BYTES, "{bytes}");
        copy.begin(registry.position());
        let bytes = write(copy.path(), &registry).unwrap();
        copy.written(bytes).unwrap();
        assert!(copy.is_whole() && !copy.is_due());
        let left = std::fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(left, 1, "the files of changes are gone");
    }
}
