//! The disk of a running node.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::rc::Rc;

use super::{Access, DirEntry, Disk, DiskFile, Fut, OpenHow};
use crate::ring::{self, AlignedBuf};

/// Files of the operating system, read and written on this shard's ring.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn open<'a>(&'a self, path: &'a Path, how: OpenHow) -> Fut<'a, io::Result<Rc<dyn DiskFile>>> {
        Box::pin(async move {
            let file = match options(how).custom_flags(flags(how, how.direct)).open(path) {
                // A filesystem without O_DIRECT says so by EINVAL; some only after they have made the file.
                Err(error) if how.direct && error.kind() == io::ErrorKind::InvalidInput => options(how)
                    .create_new(false)
                    .create(how.create_new)
                    .custom_flags(flags(how, false))
                    .open(path)?,
                opened => opened?,
            };
            Ok(Rc::new(RealFile(ring::File::from_std(file)?)) as Rc<dyn DiskFile>)
        })
    }

    fn create_dir<'a>(&'a self, path: &'a Path) -> Fut<'a, io::Result<()>> {
        Box::pin(async move {
            match std::fs::create_dir(path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                made => made,
            }
        })
    }

    fn sync_dir<'a>(&'a self, path: &'a Path) -> Fut<'a, io::Result<()>> {
        Box::pin(async move { ring::File::from_std(std::fs::File::open(path)?)?.sync_all().await })
    }

    fn rename<'a>(&'a self, from: &'a Path, to: &'a Path) -> Fut<'a, io::Result<()>> {
        Box::pin(async move { std::fs::rename(from, to) })
    }

    fn remove<'a>(&'a self, path: &'a Path) -> Fut<'a, io::Result<()>> {
        Box::pin(ring::unlink(path.to_owned()))
    }

    fn list<'a>(&'a self, path: &'a Path) -> Fut<'a, io::Result<Vec<DirEntry>>> {
        Box::pin(async move {
            let mut entries = Vec::new();
            for entry in std::fs::read_dir(path)? {
                let entry = entry?;
                let kind = entry.file_type()?;
                // All names under DATA are ours and plain ASCII; a stranger's file is not ours to touch.
                if let Ok(name) = entry.file_name().into_string() {
                    entries.push((name, kind.is_dir()));
                }
            }
            // Reading a directory blocks. Who reads many, one after the other, lets others have their turn.
            ring::yield_now().await;
            Ok(entries)
        })
    }

    fn free_bytes<'a>(&'a self, path: &'a Path) -> Fut<'a, io::Result<u64>> {
        Box::pin(async move {
            let about = rustix::fs::statvfs(path)?;
            Ok(about.f_bavail.saturating_mul(about.f_frsize))
        })
    }
}

fn options(how: OpenHow) -> std::fs::OpenOptions {
    let mut options = std::fs::OpenOptions::new();
    options
        .read(true)
        .write(how.access == Access::ReadWrite)
        .create_new(how.create_new)
        .mode(0o600);
    options
}

fn flags(how: OpenHow, direct: bool) -> i32 {
    let direct = if direct { libc::O_DIRECT } else { 0 };
    let dsync = if how.dsync { libc::O_DSYNC } else { 0 };
    direct | dsync
}

struct RealFile(ring::File);

impl DiskFile for RealFile {
    fn read_at(&self, mut buffer: AlignedBuf, offset: u64) -> Fut<'_, (io::Result<usize>, AlignedBuf)> {
        Box::pin(async move {
            let wanted = buffer.len();
            let (read, back) = self.0.read_at(buffer, offset).await;
            buffer = back;
            let mut done = match read {
                Ok(read) => read,
                Err(error) => return (Err(error), buffer),
            };
            // A read may come back short in the middle of a file: the rest is rare and small, so it is copied.
            while done > 0 && done < wanted {
                let mut rest = AlignedBuf::with_capacity(wanted - done);
                rest.resize_zeroed(wanted - done);
                let (read, rest) = self.0.read_at(rest, offset + done as u64).await;
                match read {
                    Ok(0) => break,
                    Ok(read) => {
                        buffer.resize_zeroed(wanted);
                        if let (Some(to), Some(from)) = (buffer.get_mut(done..done + read), rest.get(..read))
                        {
                            to.copy_from_slice(from);
                        }
                        done += read;
                    }
                    Err(error) => return (Err(error), buffer),
                }
            }
            (Ok(done), buffer)
        })
    }

    fn write_at(&self, mut buffer: AlignedBuf, offset: u64) -> Fut<'_, (io::Result<()>, AlignedBuf)> {
        Box::pin(async move {
            let wanted = buffer.len();
            let (written, back) = self.0.write_at(buffer, offset).await;
            buffer = back;
            match written {
                Ok(written) if written == wanted => (Ok(()), buffer),
                // Disks write whole or fail; a short write means that space or a quota ran out on the way.
                Ok(_) => (Err(io::Error::from(io::ErrorKind::StorageFull)), buffer),
                Err(error) => (Err(error), buffer),
            }
        })
    }

    fn sync_data(&self) -> Fut<'_, io::Result<()>> {
        Box::pin(self.0.sync_data())
    }

    fn allocate(&self, offset: u64, length: u64) -> Fut<'_, io::Result<()>> {
        Box::pin(async move {
            let flags = rustix::fs::FallocateFlags::empty();
            match rustix::fs::fallocate(&self.0, flags, offset, length) {
                // Space that cannot be had ahead is had on the way.
                Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
                done => Ok(done?),
            }
        })
    }

    fn truncate(&self, length: u64) -> Fut<'_, io::Result<()>> {
        Box::pin(async move { Ok(rustix::fs::ftruncate(&self.0, length)?) })
    }

    fn try_read_cached(&self, buffer: &mut [u8], offset: u64) -> Option<usize> {
        let mut parts = [io::IoSliceMut::new(buffer)];
        rustix::io::preadv2(&self.0, &mut parts, offset, rustix::io::ReadWriteFlags::NOWAIT).ok()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.plain().metadata()?.len())
    }
}
