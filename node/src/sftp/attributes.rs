//! What is said of a file, draft-ietf-secsh-filexfer-02 §5.

use filegrid_tree::{FileRow, Row, RowRef};

use super::fields::{Fields, Short, put_u32, put_u64};

const SIZE: u32 = 1;
const OWNER: u32 = 2;
const PERMISSIONS: u32 = 4;
const TIMES: u32 = 8;
const EXTENDED: u32 = 0x8000_0000;
const KNOWN: u32 = SIZE | OWNER | PERMISSIONS | TIMES | EXTENDED;

/// The number that all files belong to, as user and as group: there are none here.
pub const OWNER_ID: u32 = 1000;

/// What a client says of a file. Modes and owners mean nothing here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Bytes.
    pub size: Option<u64>,
    /// When it was modified, Unix seconds.
    pub mtime: Option<u32>,
}

impl Wanted {
    /// Reads attributes.
    ///
    /// # Errors
    ///
    /// Too few bytes, or a flag that version 3 does not know: then nobody can say where they end.
    pub fn read(fields: &mut Fields<'_>) -> Result<Self, Short> {
        let flags = fields.u32()?;
        if flags & !KNOWN != 0 {
            return Err(Short);
        }
        let mut wanted = Self::default();
        if flags & SIZE != 0 {
            wanted.size = Some(fields.u64()?);
        }
        if flags & OWNER != 0 {
            fields.u64()?;
        }
        if flags & PERMISSIONS != 0 {
            fields.u32()?;
        }
        if flags & TIMES != 0 {
            fields.u32()?;
            wanted.mtime = Some(fields.u32()?);
        }
        if flags & EXTENDED != 0 {
            for _ in 0..fields.u32()? {
                fields.string()?;
                fields.string()?;
            }
        }
        Ok(wanted)
    }

    /// The modification time in Unix milliseconds.
    #[must_use]
    pub fn mtime_ms(&self) -> Option<i64> {
        self.mtime.map(|seconds| i64::from(seconds) * 1000)
    }
}

/// What we say of a file or a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Whether it is a directory.
    pub directory: bool,
    /// Bytes.
    pub size: u64,
    /// When it was modified, Unix milliseconds.
    pub mtime: i64,
}

impl Told {
    /// Of a row.
    #[must_use]
    pub fn of(row: &Row) -> Self {
        match row {
            Row::File(row) => Self::of_file(row),
            Row::Dir(row) => Self {
                directory: true,
                size: 0,
                mtime: row.mtime,
            },
        }
    }

    /// Of a file.
    #[must_use]
    pub fn of_file(row: &FileRow) -> Self {
        Self {
            directory: false,
            size: row.size,
            mtime: row.mtime,
        }
    }

    /// Of a row where it lies.
    #[must_use]
    pub fn of_ref(row: &RowRef<'_>) -> Self {
        Self {
            directory: row.is_dir(),
            size: row.size(),
            mtime: row.mtime(),
        }
    }

    /// Appends it: size, owner, permissions and times.
    pub fn write(&self, writable: bool, out: &mut Vec<u8>) {
        put_u32(out, SIZE | OWNER | PERMISSIONS | TIMES);
        put_u64(out, self.size);
        put_u32(out, OWNER_ID);
        put_u32(out, OWNER_ID);
        let mode = match (self.directory, writable) {
            (true, true) => 0o040_755,
            (true, false) => 0o040_555,
            (false, true) => 0o100_644,
            (false, false) => 0o100_444,
        };
        put_u32(out, mode);
        let seconds = u32::try_from(self.mtime.div_euclid(1000).clamp(0, i64::from(u32::MAX)));
        let seconds = seconds.unwrap_or(0);
        put_u32(out, seconds);
        put_u32(out, seconds);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_told_is_read() {
        for directory in [true, false] {
            let told = Told {
                directory,
                size: 1 << 40,
                mtime: 1_700_000_000_999,
            };
            let mut out = Vec::new();
            told.write(true, &mut out);
            let mut fields = Fields::new(&out);
            let read = Wanted::read(&mut fields).unwrap();
            assert_eq!(read.size, Some(1 << 40));
            assert_eq!(read.mtime_ms(), Some(1_700_000_000_000));
            assert!(fields.is_empty());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Wanted::read(&mut Fields::new(&bytes));
        }
    }
}
