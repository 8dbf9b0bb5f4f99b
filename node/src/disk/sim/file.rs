//! An open file of the simulated disk.

use std::cell::RefCell;
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use filegrid_journal::sim::World;

use super::turn;
use crate::disk::{DiskFile, Fut};
use crate::ring::AlignedBuf;

pub(super) struct SimFile {
    pub(super) world: Rc<RefCell<World>>,
    pub(super) life: u32,
    pub(super) inode: u64,
    pub(super) dsync: bool,
}

impl SimFile {
    async fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        turn(&self.world).await;
        {
            let mut world = self.world.borrow_mut();
            world.check(self.life)?;
            // On its way to the disk when the power or the write fails: any part of it may get there.
            world.write(self.inode, bytes, offset)?;
            world.count(self.life)?;
        }
        turn(&self.world).await;
        let mut world = self.world.borrow_mut();
        world.check(self.life)?;
        if self.dsync {
            world.sync(self.inode, Some((offset, bytes.len())));
        }
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, mut buffer: AlignedBuf, offset: u64) -> Fut<'_, (io::Result<usize>, AlignedBuf)> {
        Box::pin(async move {
            turn(&self.world).await;
            let world = self.world.borrow();
            match world.check(self.life) {
                Ok(()) => (Ok(world.read(self.inode, &mut buffer, offset)), buffer),
                Err(error) => (Err(error), buffer),
            }
        })
    }

    fn write_at(&self, buffer: AlignedBuf, offset: u64) -> Fut<'_, (io::Result<()>, AlignedBuf)> {
        Box::pin(async move { (self.write(&buffer, offset).await, buffer) })
    }

    fn sync_data(&self) -> Fut<'_, io::Result<()>> {
        Box::pin(async move {
            turn(&self.world).await;
            let mut world = self.world.borrow_mut();
            world.count(self.life)?;
            world.sync(self.inode, None);
            Ok(())
        })
    }

    fn allocate(&self, offset: u64, length: u64) -> Fut<'_, io::Result<()>> {
        Box::pin(async move {
            let mut world = self.world.borrow_mut();
            world.count(self.life)?;
            world.grow(
                self.inode,
                usize::try_from(offset + length).map_err(io::Error::other)?,
            )
        })
    }

    fn truncate(&self, length: u64) -> Fut<'_, io::Result<()>> {
        Box::pin(async move {
            let mut world = self.world.borrow_mut();
            world.count(self.life)?;
            world.truncate(self.inode, length);
            Ok(())
        })
    }

    fn try_read_cached(&self, _buffer: &mut [u8], _offset: u64) -> Option<usize> {
        None
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn size(&self) -> io::Result<u64> {
        let world = self.world.borrow();
        world.check(self.life)?;
        Ok(world.length(self.inode))
    }
}
