//! A disk in memory that loses power, fails and fills up, all from one seed.
//!
//! What a power cut leaves is as bad as a real disk may make it: of each block that was written and not
//! synced the old content, the new or a mixture; of directory entries that were not synced any that the dice
//! choose. What was synced stays.

mod file;

use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::rc::Rc;

use filegrid_journal::sim::World;

use self::file::SimFile;
use super::{DirEntry, Disk, DiskFile, Fut, OpenHow};

pub use filegrid_journal::sim::{Faults, Random};

/// A simulated disk in one of its lives. Clones share it.
#[derive(Clone)]
pub struct SimDisk {
    world: Rc<RefCell<World>>,
    life: u32,
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new(seed: u64, faults: Faults) -> Self {
        Self {
            world: Rc::new(RefCell::new(World::new(seed, faults))),
            life: 0,
        }
    }

    /// Cuts the power and switches it on again: every handle of the old life fails from now on, and the disk
    /// holds what has survived.
    #[must_use]
    pub fn power_cycle(&self, faults: Faults) -> Self {
        let mut world = self.world.borrow_mut();
        world.power_cut();
        world.set_faults(faults);
        Self {
            world: Rc::clone(&self.world),
            life: world.life(),
        }
    }

    /// Ends the process that uses it and starts another one: every handle fails from now on, and nothing is lost. What
    /// was not synced still may be, when the power fails.
    #[must_use]
    pub fn kill(&self, faults: Faults) -> Self {
        let mut world = self.world.borrow_mut();
        world.kill();
        world.set_faults(faults);
        Self {
            world: Rc::clone(&self.world),
            life: world.life(),
        }
    }

    /// Bytes of the files that have a name.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.world.borrow().used_bytes()
    }

    /// Bytes that still fit.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        self.world.borrow().free_bytes()
    }

    /// Sets what goes wrong from now on; operations are counted anew.
    pub fn set_faults(&self, faults: Faults) {
        self.world.borrow_mut().set_faults(faults);
    }

    /// Whether the power has failed in this life.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.world.borrow().check(self.life).is_err()
    }

    /// Whether the operation that was to fail is behind.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.world.borrow().has_failed()
    }

    /// Operations so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.world.borrow().operations()
    }

    /// Flips a bit of a file's durable bytes.
    pub fn flip_bit(&self, path: &Path, bit: u64) {
        self.world.borrow_mut().flip_bit(path, bit);
    }

    /// The files whose paths `which` accepts, with their lengths.
    #[must_use]
    pub fn files(&self, which: impl Fn(&Path) -> bool) -> Vec<(std::path::PathBuf, u64)> {
        self.world.borrow().files(&which)
    }

    async fn turn(&self) -> io::Result<()> {
        turn(&self.world).await;
        self.world.borrow().check(self.life)
    }
}

/// Lets other tasks run, some turns.
async fn turn(world: &Rc<RefCell<World>>) {
    let some = world.borrow_mut().turns();
    turns(some).await;
}

/// Lets other tasks run so many times.
pub(crate) async fn turns(turns: u64) {
    for _ in 0..turns {
        let mut waited = false;
        std::future::poll_fn(|context| {
            if std::mem::replace(&mut waited, true) {
                return std::task::Poll::Ready(());
            }
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
    }
}

impl Disk for SimDisk {
    fn open<'a>(&'a self, path: &'a Path, how: OpenHow) -> Fut<'a, io::Result<Rc<dyn DiskFile>>> {
        Box::pin(async move {
            self.turn().await?;
            let inode = self.world.borrow_mut().open(self.life, path, how.create_new)?;
            let file = SimFile {
                world: Rc::clone(&self.world),
                life: self.life,
                inode,
                dsync: how.dsync,
            };
            Ok(Rc::new(file) as Rc<dyn DiskFile>)
        })
    }

    fn create_dir<'a>(&'a self, path: &'a Path) -> Fut<'a, io::Result<()>> {
        Box::pin(async move {
            self.turn().await?;
            self.world.borrow_mut().create_dir(self.life, path)
        })
    }

    fn sync_dir<'a>(&'a self, path: &'a Path) -> Fut<'a, io::Result<()>> {
        Box::pin(async move {
            self.turn().await?;
            self.world.borrow_mut().sync_dir(self.life, path)
        })
    }

    fn rename<'a>(&'a self, from: &'a Path, to: &'a Path) -> Fut<'a, io::Result<()>> {
        Box::pin(async move {
            self.turn().await?;
            self.world.borrow_mut().rename(self.life, from, to)
        })
    }

    fn remove<'a>(&'a self, path: &'a Path) -> Fut<'a, io::Result<()>> {
        Box::pin(async move {
            self.turn().await?;
            self.world.borrow_mut().remove(self.life, path)
        })
    }

    fn list<'a>(&'a self, path: &'a Path) -> Fut<'a, io::Result<Vec<DirEntry>>> {
        Box::pin(async move {
            self.turn().await?;
            self.world.borrow().list(path)
        })
    }

    fn free_bytes<'a>(&'a self, _path: &'a Path) -> Fut<'a, io::Result<u64>> {
        Box::pin(async move {
            self.turn().await?;
            Ok(self.world.borrow().free_bytes())
        })
    }
}
