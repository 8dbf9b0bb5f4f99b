//! The files of a run: their names, numbers and sizes.

use crate::sizes::Sizes;

/// Numbers of prepared files begin here, so that no upload has the same content.
const PREPARED_NUMBERS: u64 = 1 << 40;

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    path: String,
    /// Where its name begins in there.
    name_at: usize,
    /// What its content follows from.
    pub number: u64,
    /// Bytes.
    pub size: u64,
}

impl File {
    /// Its path.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Path of its directory, without a slash at the end.
    #[must_use]
    pub fn directory(&self) -> &str {
        self.path.get(..self.name_at - 1).unwrap_or_default()
    }

    /// Its name in there.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.get(self.name_at..).unwrap_or_default()
    }
}

/// All files of a run, below a directory of its own.
#[derive(Clone, Debug)]
pub struct Files {
    /// That directory.
    pub root: String,
    /// How large they are.
    pub sizes: Sizes,
    /// What sizes follow from.
    pub seed: u64,
    /// Files that are made before the clock runs.
    pub prepared: u64,
    /// Names that the uploads of a connection use in turn.
    pub slots: u64,
    /// Connections.
    pub connections: u64,
}

impl Files {
    /// Directory of the files that are made before the clock runs.
    #[must_use]
    pub fn prepared_directory(&self) -> String {
        format!("{}/files", self.root)
    }

    /// Directory of what a connection uploads.
    #[must_use]
    pub fn upload_directory(&self, connection: u64) -> String {
        format!("{}/c{connection}", self.root)
    }

    /// One of the files that are made before the clock runs. Their names sort as their indices do.
    #[must_use]
    pub fn prepared(&self, index: u64) -> File {
        let path = format!("{}/files/f{index:08}", self.root);
        self.file(path, self.root.len() + 7, PREPARED_NUMBERS + index)
    }

    /// An upload of a connection: what it counts from 0 is its `turn`.
    #[must_use]
    pub fn upload(&self, connection: u64, turn: u64) -> File {
        let mut path = self.upload_directory(connection);
        let name_at = path.len() + 1;
        path.push_str("/u");
        path.push_str(&(turn % self.slots.max(1)).to_string());
        self.file(path, name_at, turn * self.connections + connection)
    }

    fn file(&self, path: String, name_at: usize, number: u64) -> File {
        File {
            path,
            name_at,
            number,
            size: self.sizes.of(self.seed, number),
        }
    }

    /// Name and size of all files that are made before the clock runs, in the order of their names.
    pub fn expected(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        (0..self.prepared).map(|index| {
            let file = self.prepared(index);
            (file.name().to_owned(), file.size)
        })
    }

    /// That an archive of all files that are made before the clock runs may be as long as it is: no archive is shorter than
    /// they are together, since their content cannot be compressed.
    ///
    /// # Errors
    ///
    /// A text that says that something is missing.
    pub fn may_be_all(&self, archive_bytes: u64) -> Result<(), String> {
        let sizes = (0..self.prepared).map(|index| self.sizes.of(self.seed, PREPARED_NUMBERS + index));
        let least: u64 = sizes.sum();
        match archive_bytes >= least {
            true => Ok(()),
            false => Err(format!("{archive_bytes} bytes came as an archive of {least}")),
        }
    }

    /// Whether a listing of [`Files::prepared_directory`] is right.
    ///
    /// # Errors
    ///
    /// A text that says what is different.
    pub fn compare(&self, mut listing: Vec<(String, u64)>) -> Result<(), String> {
        listing.sort_unstable();
        if listing.len() as u64 != self.prepared {
            return Err(format!(
                "{} entries are listed instead of {}",
                listing.len(),
                self.prepared
            ));
        }
        let wrong = listing
            .into_iter()
            .zip(self.expected())
            .find(|(listed, expected)| listed != expected);
        match wrong {
            None => Ok(()),
            Some(((name, size), (there, bytes))) => Err(format!(
                "{name} with {size} bytes is listed instead of {there} with {bytes}"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn files() -> Files {
        Files {
            root: "/r".to_owned(),
            sizes: Sizes::Uniform(1, 100),
            seed: 3,
            prepared: 20,
            slots: 4,
            connections: 3,
        }
    }

    #[test]
    fn no_two_files_have_a_number() {
        let files = files();
        let uploads = (0..3).flat_map(|connection| (0..50).map(move |turn| (connection, turn)));
        let mut numbers: HashSet<_> = uploads
            .map(|(connection, turn)| files.upload(connection, turn).number)
            .collect();
        numbers.extend((0..20).map(|index| files.prepared(index).number));
        assert_eq!(numbers.len(), 170);
    }

    #[test]
    fn names_come_in_turn() {
        let files = files();
        let upload = files.upload(2, 1);
        assert_eq!(
            (upload.path(), upload.directory(), upload.name()),
            ("/r/c2/u1", files.upload_directory(2).as_str(), "u1")
        );
        let prepared = files.prepared(3);
        assert_eq!(
            (prepared.path(), prepared.directory(), prepared.name()),
            (
                "/r/files/f00000003",
                files.prepared_directory().as_str(),
                "f00000003"
            )
        );
        assert_eq!(files.upload(2, 5).path(), "/r/c2/u1");
        assert_ne!(files.upload(2, 5).number, files.upload(2, 1).number);
    }

    #[test]
    fn an_archive_is_not_shorter_than_its_files() {
        let files = files();
        let bytes: u64 = files.expected().map(|(_, size)| size).sum();
        assert_eq!(files.may_be_all(bytes), Ok(()));
        assert!(
            files
                .may_be_all(bytes - 1)
                .unwrap_err()
                .contains("bytes came as an archive of")
        );
    }

    #[test]
    fn listings_are_compared() {
        let files = files();
        let mut listing: Vec<_> = files.expected().collect();
        listing.reverse();
        assert_eq!(files.compare(listing.clone()), Ok(()));
        let gone = listing.pop().unwrap();
        assert!(files.compare(listing.clone()).unwrap_err().contains("19 entries"));
        listing.push((gone.0, gone.1 + 1));
        assert!(files.compare(listing).unwrap_err().contains("f00000000"));
    }
}
