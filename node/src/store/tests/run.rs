//! One seed: a few lives of a node, and what has to hold in and between them.

use std::cell::Cell;
use std::rc::Rc;

use filegrid_tree::{Command, Protocol, TreePath};

use super::audit;
use super::client::{Client, publish};
use super::group::{Body, Contents, Group, SharedGroup, Step};
use super::life::{LOGS, Life, association, turns};
use super::reader::{Reader, read};
use crate::disk::sim::{Faults, Random, SimDisk};
use crate::housekeeping::tidy;
use crate::store::rows::ModelRows;
use crate::store::scrub::{Scrub, Scrubbed};
use crate::store::{Owner, Store, StoreError, SumCursor, sweep};

const CLIENTS: u64 = 4;
const READERS: u64 = 3;
const LIVES: u32 = 4;

/// What goes wrong in a life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    None,
    /// The power fails during some operation.
    PowerCut,
    /// Some writes and syncs fail, one after the other.
    Failing,
    /// The disk fills up.
    FullDisk,
}

pub(super) struct Run {
    random: Random,
    disk: SimDisk,
    rows: ModelRows,
    groups: Vec<SharedGroup>,
    flips: Rc<Cell<u32>>,
}

impl Run {
    pub(super) fn new(seed: u64) -> Self {
        let mut groups = Vec::new();
        for client in 0..CLIENTS {
            for log in 0..LOGS {
                groups.push(Group::new(association(log), log, &format!("/g{client}")));
            }
        }
        Self {
            random: Random::new(seed),
            disk: SimDisk::new(seed, Faults::default()),
            rows: ModelRows::default(),
            groups,
            flips: Rc::default(),
        }
    }

    pub(super) fn play(mut self) {
        for _ in 0..LIVES {
            self.life();
        }
        // Recovering twice finds the same.
        drop(self.recover());
        let first = self.rows.dump();
        self.disk = self.disk.power_cycle(Faults::default());
        drop(self.recover());
        assert!(first == self.rows.dump(), "recovering twice differs");
    }

    fn life(&mut self) {
        let trouble = match self.random.below(6) {
            0 => Trouble::Failing,
            1 => Trouble::FullDisk,
            2 => Trouble::None,
            _ => Trouble::PowerCut,
        };
        let mut life = self.recover();
        if trouble == Trouble::FullDisk {
            // The reserve is written ahead while there is room.
            life.pool.run_until_stalled();
        }
        let faults = self.faults(trouble);
        self.disk.set_faults(faults);
        self.spawn_all(&life, trouble);
        life.pool.run_until_stalled();
        let well = !self.disk.is_down() && !life.is_fenced();
        if well && trouble == Trouble::FullDisk {
            self.cure(&mut life);
        }
        if well && trouble != Trouble::Failing {
            self.tidy_up(&mut life);
        }
        if well && self.random.one_in(2) {
            match life.close() {
                Err(error) if trouble == Trouble::None => panic!("the node does not stop: {error}"),
                _ => {}
            }
        }
        drop(life);
        self.end();
    }

    fn faults(&mut self, trouble: Trouble) -> Faults {
        let random = &mut self.random;
        match trouble {
            Trouble::None => Faults::default(),
            Trouble::PowerCut => Faults {
                crash_at: Some(5 + random.below(500)),
                ..Faults::default()
            },
            Trouble::Failing => Faults {
                fail_at: Some(1 + random.below(300)),
                ..Faults::default()
            },
            Trouble::FullDisk => Faults {
                capacity_bytes: Some(self.disk.used_bytes() + random.below(3 << 20)),
                ..Faults::default()
            },
        }
    }

    /// The process or the power ends.
    fn end(&mut self) {
        self.disk = if self.disk.is_down() || self.random.one_in(2) {
            self.disk.power_cycle(Faults::default())
        } else {
            self.disk.kill(Faults::default())
        };
        let keep = self.random.next_u64();
        self.rows = self
            .rows
            .power_cut(|batches| usize::try_from(keep % (batches as u64 + 1)).unwrap());
    }

    fn spawn_all(&mut self, life: &Life, trouble: Trouble) {
        for number in 0..CLIENTS {
            let store = life.stores[usize::try_from(number).unwrap() % life.stores.len()].clone();
            let mine = usize::try_from(number).unwrap() * usize::from(LOGS);
            let client = Client {
                store,
                disk: self.disk.clone(),
                groups: self.groups[mine..mine + usize::from(LOGS)].to_vec(),
                random: Random::new(self.random.next_u64()),
            };
            life.spawn(client.run());
        }
        for number in 0..READERS {
            let reader = Reader {
                store: life.stores[usize::try_from(number).unwrap() % life.stores.len()].clone(),
                disk: self.disk.clone(),
                groups: self.groups.clone(),
                random: Random::new(self.random.next_u64()),
                flips: Rc::clone(&self.flips),
            };
            life.spawn(reader.run(20));
        }
        for log in 0..LOGS {
            let at = usize::from(log);
            life.spawn(look_after(Rc::clone(&life.owners[at]), life.stores[at].clone()));
            let (shared, disk) = (life.shared.clone(), Rc::clone(&life.disk));
            life.spawn(async move {
                // What cannot be swept now is swept at the next start.
                let _ = sweep(&shared, &disk, log, 0).await;
            });
        }
        if trouble == Trouble::Failing {
            let (disk, random) = (self.disk.clone(), Random::new(self.random.next_u64()));
            life.spawn(fail_again(disk, random));
        }
    }

    /// Starts the node, and holds what it finds against what is known.
    fn recover(&mut self) -> Life {
        let mut life = Life::open(&self.disk, &self.rows)
            .unwrap_or_else(|error| panic!("the store does not open: {error}"));
        self.verify(&mut life, false);
        life
    }

    fn verify(&mut self, life: &mut Life, lost: bool) {
        audit::audit(&self.rows);
        let view = life.stores[0].view();
        for group in &self.groups {
            let end = audit::end_of(&self.rows, group.borrow().log);
            group.borrow_mut().recovered(view.as_ref(), end, lost);
        }
        for group in &self.groups {
            let group = group.borrow();
            let store = life.store_of(&group.association).clone();
            for (path, body) in &group.acknowledged().files {
                let found = life.pool.run_until(read(&store, &group.association, path));
                assert!(
                    found
                        .as_ref()
                        .is_ok_and(|found| found.as_ref() == Some(&body.bytes)),
                    "{path} does not read as {body:?}: {:?}",
                    found.map(|found| found.map(Body::new))
                );
            }
        }
    }

    /// A full disk can always be emptied, and then takes uploads again.
    fn cure(&mut self, life: &mut Life) {
        settle(life);
        for group in self.groups.clone() {
            let (key, path) = (group.borrow().association, group.borrow().tree_path());
            let command = Command::Delete {
                paths: vec![path],
                root: TreePath::root(),
            };
            let store = life.store_of(&key).clone();
            let done = store.commit(key, Protocol::Api, command, Vec::new(), Vec::new());
            let receipt = life.pool.run_until(done);
            let receipt = receipt.unwrap_or_else(|error| panic!("a full disk refuses a delete: {error}"));
            let mut group = group.borrow_mut();
            group.history.push((receipt.sequence, Contents::default()));
        }
        settle(life);
        for group in self.groups.clone() {
            let mut group = group.borrow_mut();
            let (path, body) = (format!("{}/f0", group.path), Body::new(self.random.bytes(5000)));
            let store = life.store_of(&group.association).clone();
            let file = [(path.as_str(), Rc::clone(&body))];
            let done = life.pool.run_until(publish(&store, group.association, &file));
            let receipt = done.unwrap_or_else(|error| panic!("an empty disk refuses an upload: {error}"));
            let after = group.acknowledged().after(&Step::Publish(vec![(path, body)]));
            group.history.push((receipt.sequence, after.unwrap()));
        }
    }

    /// Ends what is under way, and looks whether all is given back that nobody holds.
    fn tidy_up(&mut self, life: &mut Life) {
        settle(life);
        if self.disk.is_down() {
            return;
        }
        audit::audit(&self.rows);
        assert_eq!(
            audit::detached(&self.rows),
            0,
            "directories are left to be purged"
        );
        audit::files_are_those_of_rows(&self.disk, &self.rows);
        let damaged = self
            .disk
            .files(|path| path.components().any(|part| part.as_os_str() == "damaged"));
        assert!(damaged.len() <= self.flips.get() as usize, "{damaged:?}");
    }
}

/// Housekeeping until there is nothing left to be done.
fn settle(life: &mut Life) {
    for turn in 0..40 {
        for (owner, store) in life.owners.iter().zip(&life.stores) {
            life.pool.run_until(store.remove_abandoned());
            if life.pool.run_until(tidy(owner, 4 * turn)).is_err() {
                assert!(owner.is_fenced(), "housekeeping fails");
                return;
            }
        }
        life.pool.run_until_stalled();
    }
}

/// What a shard does beside serving, for a while.
async fn look_after(owner: Rc<Owner>, store: Store) {
    let (mut sums, mut scrub) = (SumCursor::default(), Scrub::default());
    for turn in 0..40_u64 {
        store.remove_abandoned().await;
        match tidy(&owner, turn).await {
            Ok(()) | Err(StoreError::Full) => {}
            Err(StoreError::Fenced | StoreError::Disk(_)) => return,
            Err(error) => panic!("housekeeping: {error}"),
        }
        if turn % 8 == 0 {
            match store.sum_some(&mut sums).await {
                Ok(_) | Err(StoreError::Full) => {}
                Err(StoreError::Fenced | StoreError::Disk(_)) => return,
                Err(error) => panic!("sums: {error}"),
            }
        }
        if turn % 4 == 0 {
            match store.scrub_step(&mut scrub).await {
                Ok(Scrubbed::Bytes(_) | Scrubbed::Round) => {}
                Err(StoreError::Disk(_)) => return,
                Err(error) => panic!("scrub: {error}"),
            }
        }
        turns(20).await;
    }
}

/// Lets a further operation fail when one has.
async fn fail_again(disk: SimDisk, mut random: Random) {
    for _ in 0..20 {
        turns(50 + random.below(100)).await;
        if disk.has_failed() {
            disk.set_faults(Faults {
                fail_at: Some(1 + random.below(300)),
                ..Faults::default()
            });
        }
    }
}
