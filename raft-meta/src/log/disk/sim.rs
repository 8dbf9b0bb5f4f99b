//! The simulated disk behind the log's traits.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use filegrid_journal::sim::{DirEntry, Faults, World};

use super::{Disk, DiskFile};

/// A simulated disk in one of its lives. Clones share it.
#[derive(Clone)]
pub struct SimDisk {
    world: Arc<Mutex<World>>,
    life: u32,
}

struct SimFile {
    disk: SimDisk,
    inode: u64,
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new(seed: u64, faults: Faults) -> Self {
        Self {
            world: Arc::new(Mutex::new(World::new(seed, faults))),
            life: 0,
        }
    }

    /// Cuts the power and switches it on again: every handle of the old life fails from now on.
    #[must_use]
    pub fn power_cycle(&self, faults: Faults) -> Self {
        let mut world = self.world();
        world.power_cut();
        world.set_faults(faults);
        let life = world.life();
        drop(world);
        Self {
            world: Arc::clone(&self.world),
            life,
        }
    }

    /// Another disk that holds the same.
    #[must_use]
    pub fn copy(&self) -> Self {
        let world = self.world().clone();
        Self {
            life: world.life(),
            world: Arc::new(Mutex::new(world)),
        }
    }

    /// What the disk holds.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.world().create_dir(self.life, path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.world().sync_dir(self.life, path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let world = self.world();
        world.check(self.life)?;
        world.list(path)
    }

    fn open(&self, path: &Path, create_new: bool) -> io::Result<Arc<dyn DiskFile>> {
        let inode = self.world().open(self.life, path, create_new)?;
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            inode,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.world().rename(self.life, from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.world().remove(self.life, path)
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let world = self.disk.world();
        world.check(self.disk.life)?;
        Ok(world.read(self.inode, buffer, offset))
    }

    fn write_durably(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut world = self.disk.world();
        world.check(self.disk.life)?;
        // On its way to the disk when the power or the write fails: any part of it may get there.
        world.write(self.inode, bytes, offset)?;
        world.count(self.disk.life)?;
        world.sync(self.inode, Some((offset, bytes.len())));
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        let world = self.disk.world();
        world.check(self.disk.life)?;
        Ok(world.length(self.inode))
    }
}
