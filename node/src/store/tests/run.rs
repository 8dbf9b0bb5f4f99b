//! One seed: a few lives of a node, and what has to hold in and between them.

use std::path::Path;
use std::rc::Rc;

use filegrid_tree::{Command, Protocol, TreePath};

use super::audit;
use super::client::{Client, publish};
use super::damage::{Flip, highest_mark};
use super::group::{Body, Contents, Group, Held, SharedGroup, Step};
use super::life::{LOGS, Life, OPTIONS, association, data};
use super::reader::{Reader, read};
use crate::disk::sim::{Faults, Random, SimDisk, turns};
use crate::housekeeping::tidy;
use crate::store::log::{Durability, LogOptions, Position};
use crate::store::rows::ModelRows;
use crate::store::scrub::{Scrub, Scrubbed};
use crate::store::{Owner, Store, StoreError, SumCursor, log_directory, sweep};

const CLIENTS: u64 = 4;
const READERS: u64 = 3;
const LIVES: u32 = 4;
/// What a start writes beside the logs.
const STATE_BYTES: u64 = 4096;

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
    options: LogOptions,
    disk: SimDisk,
    rows: ModelRows,
    groups: Vec<SharedGroup>,
    /// Where the logs were closed, if the last life ended cleanly.
    closed: Option<Vec<Position>>,
    /// Bits that have stayed flipped.
    flips: usize,
    /// Whether changes may have been lost by one: those that no later batch knew durable.
    lossy: bool,
    /// Whether the power was cut, and not only the process killed.
    cut: bool,
}

impl Run {
    pub(super) fn new(seed: u64) -> Self {
        let mut groups = Vec::new();
        for client in 0..CLIENTS {
            for log in 0..LOGS {
                groups.push(Group::new(association(log), log, &format!("/g{client}")));
            }
        }
        let mut random = Random::new(seed);
        let durability = match random.below(8) {
            0 => Durability::Relaxed,
            _ => Durability::Commit,
        };
        Self {
            random,
            options: LogOptions {
                durability,
                ..OPTIONS
            },
            disk: SimDisk::new(seed, Faults::default()),
            rows: ModelRows::default(),
            groups,
            closed: None,
            flips: 0,
            lossy: false,
            cut: false,
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
        let mut life = self.recover_from_damage();
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
        self.closed = None;
        if well && self.random.one_in(2) {
            self.stop(&mut life, trouble);
        }
        drop(life);
        self.end(trouble);
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

    /// The process or the power ends. A disk that was full may still be.
    fn end(&mut self, trouble: Trouble) {
        self.cut = self.disk.is_down() || self.random.one_in(2);
        self.disk = if self.cut {
            self.disk.power_cycle(Faults::default())
        } else {
            self.disk.kill(Faults::default())
        };
        if trouble == Trouble::FullDisk && self.random.one_in(2) {
            self.disk.set_faults(Faults {
                capacity_bytes: Some(self.disk.used_bytes() + STATE_BYTES),
                ..Faults::default()
            });
        }
        let keep = self.random.next_u64();
        self.rows = self
            .rows
            .power_cut(|batches| usize::try_from(keep % (batches as u64 + 1)).unwrap());
    }

    fn spawn_clients(&mut self, life: &Life) {
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
    }

    fn spawn_all(&mut self, life: &Life, trouble: Trouble) {
        self.spawn_clients(life);
        for number in 0..READERS {
            let reader = Reader {
                store: life.stores[usize::try_from(number).unwrap() % life.stores.len()].clone(),
                disk: self.disk.clone(),
                groups: self.groups.clone(),
                random: Random::new(self.random.next_u64()),
            };
            life.spawn(reader.run(20));
        }
        for log in 0..LOGS {
            let at = usize::from(log);
            life.spawn(look_after(Rc::clone(&life.owners[at]), life.stores[at].clone()));
            let (shared, disk) = (life.shared.clone(), Rc::clone(&life.disk));
            let late = self.random.below(400);
            life.spawn(async move {
                turns(late).await;
                // What cannot be swept now is swept at the next start.
                let _ = sweep(&shared, &disk, log, 0).await;
            });
        }
        if trouble == Trouble::Failing {
            let (disk, random) = (self.disk.clone(), Random::new(self.random.next_u64()));
            life.spawn(fail_again(disk, random));
        }
    }

    /// Stops the node cleanly. At times the rows that are found afterwards are older than that, as from a backup.
    fn stop(&mut self, life: &mut Life, trouble: Trouble) {
        let keep = self.random.next_u64();
        let older = self
            .rows
            .power_cut(|batches| usize::try_from(keep % (batches as u64 + 1)).unwrap());
        if self.random.one_in(2) {
            // Whoever still comes is refused: what he wants would be behind the end.
            let view = life.stores[0].view();
            for group in &self.groups {
                let mut group = group.borrow_mut();
                let end = audit::end_of(&self.rows, group.log);
                group.decide(view.as_ref(), end);
            }
            self.spawn_clients(life);
            let some = self.random.below(40);
            life.pool.run_until(turns(some));
        }
        match life.close() {
            Ok(closed) => {
                life.pool.run_until_stalled();
                self.closed = Some(closed);
                if self.random.one_in(2) {
                    self.rows = older;
                }
            }
            Err(error) => assert!(trouble != Trouble::None, "the node does not stop: {error}"),
        }
    }

    /// Starts the node, and holds what it finds against what is known.
    fn recover(&mut self) -> Life {
        let mut life = match Life::open_with(&self.disk, &self.rows, self.options) {
            Ok(life) => life,
            Err(StoreError::Refused(_)) if self.has_no_room() => {
                self.disk.set_faults(Faults::default());
                return self.recover();
            }
            Err(error) => panic!("the store does not open: {error}"),
        };
        self.disk.set_faults(Faults::default());
        self.verify(&mut life, None);
        life
    }

    /// Whether there are files in every segment of some log, and no room for another segment.
    fn has_no_room(&self) -> bool {
        let full = self.disk.free_bytes() < u64::from(OPTIONS.segment_bytes);
        full && (0..LOGS).any(|log| audit::segments_in_use(&self.rows, log) == segments(&self.disk, log))
    }

    /// Starts the node, at times after a bit has flipped.
    fn recover_from_damage(&mut self) -> Life {
        if self.is_relaxed() {
            // No batch knows another durable, so nothing tells damage from a power cut.
            return self.recover();
        }
        if let Some(flip) = self.flip_behind_the_end() {
            self.is_refused(flip);
            return self.recover();
        }
        let flip = self
            .random
            .one_in(3)
            .then(|| Flip::anywhere(&self.disk, &mut self.random));
        let Some(flip) = flip.flatten() else {
            return self.recover();
        };
        let marks: Vec<_> = (0..LOGS).map(|log| highest_mark(&self.disk, log)).collect();
        let mut life = match Life::open_with(&self.disk, &self.rows, self.options) {
            Ok(life) => life,
            Err(StoreError::Damaged(_)) => {
                self.is_refused(flip);
                return self.recover();
            }
            // The disk is full as well.
            Err(StoreError::Refused(_)) => {
                flip.heal();
                return self.recover();
            }
            Err(error) => panic!("{flip:?}: {error}"),
        };
        self.disk.set_faults(Faults::default());
        for log in 0..LOGS {
            let (end, mark) = (audit::end_of(&self.rows, log), marks[usize::from(log)]);
            assert!(
                end >= mark,
                "{flip:?}: a batch knows change {mark}, but the log ends at {end}"
            );
        }
        self.flips += 1;
        self.verify(&mut life, Some(&flip));
        life
    }

    /// A bit in the last batch of a log that was closed cleanly, if the rows still need that batch.
    fn flip_behind_the_end(&mut self) -> Option<Flip> {
        let closed = self.closed.take()?;
        let log = u8::try_from(self.random.below(u64::from(LOGS))).unwrap();
        let closed = closed[usize::from(log)];
        (audit::noted(&self.rows, log) != Some(closed))
            .then(|| Flip::behind(&self.disk, log, &closed, &mut self.random))
            .flatten()
    }

    /// The node does not start and names the place, again and again, until the bit is right again.
    fn is_refused(&self, flip: Flip) {
        for _ in 0..2 {
            match Life::open_with(&self.disk, &self.rows, self.options) {
                Err(StoreError::Damaged(place)) => {
                    assert!(
                        place.contains("segment") && place.contains("byte"),
                        "{flip:?}: {place}"
                    );
                }
                Err(error) => panic!("{flip:?}: {error}"),
                Ok(_) => panic!("{flip:?} is taken for a torn tail"),
            }
        }
        flip.heal();
    }

    fn is_relaxed(&self) -> bool {
        self.options.durability == Durability::Relaxed
    }

    /// Whether the power was cut on a log that is not synced. Chance decides what of rows and log was written then: a file
    /// may be shown whose bytes are gone, and reading it says so.
    fn is_at_chance(&self) -> bool {
        self.cut && self.is_relaxed()
    }

    /// Everything is there that must be. A flipped bit damages one file, and that is said when it is read; in batches
    /// of the tail that no other batch knows durable it looks like a power cut, and takes what they held.
    fn verify(&mut self, life: &mut Life, flip: Option<&Flip>) {
        audit::audit(&self.rows);
        let view = life.stores[0].view();
        let mut lost = false;
        for group in &self.groups {
            let mut group = group.borrow_mut();
            let end = audit::end_of(&self.rows, group.log);
            let may_lose = self.is_at_chance() || flip.is_some_and(|flip| flip.may_lose(group.log, end));
            lost |= group.recovered(view.as_ref(), end, may_lose);
        }
        self.lossy |= lost;
        let mut damaged = 0;
        for group in &self.groups {
            let group = group.borrow();
            let store = life.store_of(&group.association).clone();
            for (path, body) in &group.acknowledged().files {
                let found = life.pool.run_until(read(&store, &group.association, path));
                if found
                    .as_ref()
                    .is_ok_and(|found| found.as_ref() == Some(&body.bytes))
                {
                    assert!(!body.damaged.get(), "{path} was damaged before");
                    continue;
                }
                match found {
                    Ok(Some(found)) => found_by_the_scrub(life, &group, path, body, &found),
                    Err(StoreError::Damaged(_)) => {}
                    found => panic!("{path} does not read as {body:?}: {found:?}"),
                }
                damaged += u32::from(!body.damaged.replace(true));
            }
        }
        let most = if lost || self.is_at_chance() {
            u32::MAX
        } else {
            u32::from(flip.is_some())
        };
        assert!(damaged <= most, "{flip:?} has damaged {damaged} files");
    }

    /// A full disk can always be emptied, and then takes uploads again.
    fn cure(&mut self, life: &mut Life) {
        self.settle(life);
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
            group.pending = None;
            let emptied = Held::since(receipt.sequence, Contents::default());
            group.history.push(emptied);
        }
        self.settle(life);
        for group in self.groups.clone() {
            let mut group = group.borrow_mut();
            let (path, body) = (format!("{}/f0", group.path), Body::new(self.random.bytes(5000)));
            let store = life.store_of(&group.association).clone();
            let file = [(path.as_str(), Rc::clone(&body))];
            let done = life.pool.run_until(publish(&store, group.association, &file));
            let receipt = done.unwrap_or_else(|error| panic!("an empty disk refuses an upload: {error}"));
            let after = group.acknowledged().after(&Step::Publish(vec![(path, body)]));
            group.history.push(Held::since(receipt.sequence, after.unwrap()));
        }
    }

    /// Housekeeping until there is nothing left to be done.
    fn settle(&self, life: &mut Life) {
        for turn in 0..40 {
            for (owner, store) in life.owners.iter().zip(&life.stores) {
                life.pool.run_until(store.remove_abandoned());
                if let Err(error) = life.pool.run_until(tidy(owner, 4 * turn)) {
                    assert!(
                        owner.is_fenced() || self.disk.is_down(),
                        "housekeeping fails: {error}"
                    );
                    return;
                }
            }
            life.pool.run_until_stalled();
        }
    }

    /// Ends what is under way, and looks whether all is given back that nobody holds.
    fn tidy_up(&mut self, life: &mut Life) {
        self.settle(life);
        if self.disk.is_down() {
            return;
        }
        audit::audit(&self.rows);
        assert_eq!(
            audit::detached(&self.rows),
            0,
            "directories are left to be purged"
        );
        let gone = audit::blobs_in(&self.disk, "damaged");
        assert!(gone.len() <= self.flips, "{gone:?} are not damaged");
        let (found, known) = (
            audit::blobs_in(&self.disk, "blobs"),
            audit::large_blobs(&self.rows),
        );
        let missing: Vec<_> = known
            .difference(&found)
            .filter(|blob| !gone.contains(*blob))
            .collect();
        assert!(
            self.lossy || missing.is_empty(),
            "{missing:?} are referred to and not there"
        );
        let left: Vec<_> = found.difference(&known).collect();
        assert!(left.is_empty(), "{left:?} are not referred to and still there");
    }
}

/// What a large blob holds is not what was written: its sum is another, and the scrub finds that.
fn found_by_the_scrub(life: &mut Life, group: &Group, path: &str, body: &Body, found: &[u8]) {
    let sum = crc32fast::hash(found);
    assert_ne!(sum, body.crc32, "{path}: other bytes with the right sum");
    let store = life.store_of(&group.association).clone();
    let mut scrub = Scrub::default();
    while life.pool.run_until(store.scrub_step(&mut scrub)).unwrap() != Scrubbed::Round {}
    let found = life.pool.run_until(read(&store, &group.association, path));
    assert!(
        matches!(found, Err(StoreError::Damaged(_))),
        "{path}: not found by the scrub"
    );
}

/// Segments of a log.
fn segments(disk: &SimDisk, log: u8) -> usize {
    let directory = log_directory(&data(), log).join("log");
    let is_one = |path: &Path| {
        path.parent() == Some(&directory) && path.extension().is_some_and(|extension| extension == "seg")
    };
    disk.files(is_one).len()
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
