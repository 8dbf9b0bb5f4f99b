//! The disk of the system.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use filegrid_journal::sim::DirEntry;
use rustix::fs::OFlags;

use super::{Disk, DiskFile};

/// Files of the filesystem, past the page cache where it lets us.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

struct RealFile {
    file: File,
    /// Writes are durable when they return.
    dsync: bool,
}

impl Disk for RealDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        match std::fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            // The log makes no name that is not ASCII; another's is none of ours.
            if let Ok(name) = entry.file_name().into_string() {
                found.push((name, kind.is_dir()));
            }
        }
        Ok(found)
    }

    fn open(&self, path: &Path, create_new: bool) -> io::Result<Arc<dyn DiskFile>> {
        let mut how = OpenOptions::new();
        how.read(true).write(true).create_new(create_new).mode(0o600);
        let direct = how
            .clone()
            .custom_flags(flags(OFlags::DIRECT | OFlags::DSYNC))
            .open(path);
        let file = match direct {
            Ok(file) => RealFile { file, dsync: true },
            // Not every filesystem can write past the page cache; some tell so only after making the file.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => RealFile {
                file: how.create_new(false).create(create_new).open(path)?,
                dsync: false,
            },
            Err(error) => return Err(error),
        };
        Ok(Arc::new(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }
}

fn flags(flags: OFlags) -> i32 {
    // Open flags fit: the system call takes an int.
    i32::try_from(flags.bits()).unwrap_or(0)
}

impl DiskFile for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut read = 0;
        while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset + read as u64) {
                Ok(0) => break,
                Ok(n) => read += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn write_durably(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)?;
        if self.dsync { Ok(()) } else { self.file.sync_data() }
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}
