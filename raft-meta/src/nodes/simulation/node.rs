//! A node that takes changes and ships them, and whose process and disk come and go.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use filegrid_journal::sim::Random;
use filegrid_tree::{IdMaker, Op};
use tokio::task::{JoinHandle, JoinSet, spawn_local};
use tokio::time::{Instant, sleep, timeout};

use super::disk::{Disk, Log, keep, noise};
use super::feeder::{Feeder, Fenced};
use crate::raft::Client;
use crate::raft::tests::net::Way;
use crate::store::{Command, Lost, Reply, Start};

/// Logs of a node, each with one association.
pub(super) const LOGS: u8 = 2;
/// How long a start waits for the cluster before it makes ids of its own number.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the cluster has said.
pub(super) enum Said {
    Applied(u64),
    Gap(u64),
}

/// How the cluster has let a start in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grant {
    /// Sequence that it has of a log.
    pub(super) applied: u64,
    /// Whether it is the start behind the last one that the disk knows of.
    pub(super) is_next: bool,
}

/// What the cluster has said to a start.
#[derive(Debug)]
struct Entered {
    epoch: u64,
    /// Of each log.
    grants: Vec<Grant>,
    /// Of which the start makes its ids.
    number: u32,
}

/// Where a file has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// On the node, and so in the cluster in the end.
    Everywhere,
    /// The node has lost it, after the cluster had it.
    Cluster,
    /// Nobody need have it: who had it has lost it.
    Nowhere,
}

/// A file that was acknowledged to a client and that nobody replaces, deletes or hides. Its size is its name.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) log: u8,
    pub(super) size: u64,
    pub(super) place: Place,
    sequence: u64,
    /// Whether the cluster has acknowledged it.
    is_shipped: bool,
}

/// A node.
pub(super) struct Node {
    pub(super) id: u64,
    pub(super) client: Client<Way>,
    pub(super) disk: RefCell<Disk>,
    pub(super) kept: RefCell<Vec<Kept>>,
    pub(super) random: RefCell<Random>,
    saved: RefCell<Option<Disk>>,
    /// Logs of which the cluster has what this start has.
    sure: RefCell<BTreeSet<u8>>,
    /// Whether anybody has lost something: only then comparing may find differences.
    is_suspect: Cell<bool>,
    process: RefCell<Option<JoinHandle<()>>>,
    size: Cell<u64>,
}

impl Node {
    pub(super) fn new(id: u64, seed: u64, associations: &[[u8; 16]], client: Client<Way>) -> Rc<Self> {
        Rc::new(Self {
            id,
            client,
            disk: RefCell::new(Disk::new(associations)),
            kept: RefCell::default(),
            random: RefCell::new(Random::new(seed ^ (id << 32))),
            saved: RefCell::default(),
            sure: RefCell::default(),
            is_suspect: Cell::new(false),
            process: RefCell::default(),
            size: Cell::new(id << 32),
        })
    }

    fn dice(&self, below: u64) -> u64 {
        self.random.borrow_mut().below(below)
    }

    pub(super) fn start(self: &Rc<Self>) {
        let process = spawn_local(Rc::clone(self).live());
        *self.process.borrow_mut() = Some(process);
    }

    /// Kills the process.
    pub(super) async fn stop(&self) {
        let process = self.process.borrow_mut().take();
        if let Some(process) = process {
            process.abort();
            if let Err(ended) = process.await
                && let Ok(panic) = ended.try_into_panic()
            {
                std::panic::resume_unwind(panic);
            }
        }
    }

    /// Runs, and starts anew when it was fenced.
    async fn live(self: Rc<Self>) {
        loop {
            let mut tasks = JoinSet::new();
            let start = {
                let mut disk = self.disk.borrow_mut();
                disk.starts += 1;
                disk.lives += 1;
                self.start_of(disk.starts)
            };
            let write = |tasks: &mut JoinSet<()>, number, is_sure| {
                self.disk.borrow_mut().starts = number;
                for log in 0..LOGS {
                    let ids = if is_sure {
                        IdMaker::new(self.id, number, log)
                    } else {
                        let chance = u32::try_from(self.dice(1 << 32)).unwrap();
                        IdMaker::unsure(self.id, number, log, chance)
                    };
                    tasks.spawn_local(Rc::clone(&self).write(log, ids));
                }
            };
            let was_known = self.disk.borrow().is_known;
            let opened = self.opened();
            let mut entering = Box::pin(self.enter(start));
            // One that was let in before does not wait for ever: it makes ids of its own number then.
            let patience = if was_known { PATIENCE } else { Duration::MAX };
            let entered = match timeout(patience, &mut entering).await {
                Ok(entered) => {
                    write(&mut tasks, entered.number, true);
                    entered
                }
                Err(_) => {
                    write(&mut tasks, start.number, false);
                    entering.await
                }
            };
            self.disk.borrow_mut().is_known = true;
            if entered.number > self.disk.borrow().starts {
                // Another has had its number.
                drop(tasks);
                self.disk.borrow_mut().starts = entered.number;
                continue;
            }
            let Entered { epoch, grants, .. } = entered;
            for (log, (grant, opened)) in (0..LOGS).zip(grants.into_iter().zip(opened)) {
                let feeder = self.feeder(log, epoch, opened);
                tasks.spawn_local(async move {
                    let Fenced = feeder.run(grant).await;
                });
            }
            // Nobody ends but a feeder that is fenced.
            if let Some(Err(ended)) = tasks.join_next().await
                && let Ok(panic) = ended.try_into_panic()
            {
                std::panic::resume_unwind(panic);
            }
            drop(tasks);
            sleep(Duration::from_millis(self.dice(500))).await;
        }
    }

    /// Sequences of the logs as they are now.
    pub(super) fn opened(&self) -> Vec<u64> {
        self.disk.borrow().logs.iter().map(Log::applied).collect()
    }

    /// Ships and compares, without a process, until there is nothing left to do.
    pub(super) async fn settle(self: &Rc<Self>) -> Result<(), Fenced> {
        let opened = self.opened();
        let start = self.start_of(self.disk.borrow().starts + 1);
        let Entered { epoch, grants, .. } = self.enter(start).await;
        for (log, (grant, opened)) in (0..LOGS).zip(grants.into_iter().zip(opened)) {
            self.feeder(log, epoch, opened).settle(grant).await?;
        }
        Ok(())
    }

    pub(super) fn feeder(self: &Rc<Self>, log: u8, epoch: u64, opened: u64) -> Feeder {
        Feeder {
            node: Rc::clone(self),
            log,
            epoch,
            opened,
            is_sure: true,
            shipped: 0,
            compare_at: Instant::now() + Duration::from_secs(2),
        }
    }

    /// A start of this number.
    fn start_of(&self, number: u32) -> Start {
        let nonce = 1 + self.dice(u64::MAX - 1);
        Start { number, nonce }
    }

    /// Has the cluster let a start in.
    async fn enter(&self, start: Start) -> Entered {
        let entered = self.let_in(start).await;
        self.sure.borrow_mut().clear();
        entered
    }

    /// The cluster's changes of a log are known to be this start's own. The number of the start is noted when they all are.
    pub(super) fn is_sure(&self, log: u8, epoch: u64) {
        let mut sure = self.sure.borrow_mut();
        sure.insert(log);
        if sure.len() == usize::from(LOGS) {
            self.disk.borrow_mut().epoch = epoch;
        }
    }

    /// Has the cluster let a process in that runs on a copy of this disk, and knows nothing here.
    pub(super) async fn let_copy_in(&self) {
        let start = self.start_of(self.disk.borrow().starts + 1);
        self.let_in(start).await;
    }

    async fn let_in(&self, start: Start) -> Entered {
        let enter = Command::Enter {
            node: self.id,
            logs: LOGS,
            start,
        };
        loop {
            match self.ask(&enter).await {
                Some(Reply::Entered {
                    epoch,
                    applied,
                    number,
                    ..
                }) => {
                    let is_next = self.disk.borrow().epoch + 1 == epoch;
                    let grants = applied.into_iter().map(|applied| Grant { applied, is_next });
                    return Entered {
                        epoch,
                        grants: grants.collect(),
                        number,
                    };
                }
                Some(other) => panic!("{other:?}"),
                None => sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// The answer, if there is one.
    async fn ask(&self, command: &Command) -> Option<Reply> {
        let answered = self.client.propose(&command.encode().unwrap()).await.ok()?;
        Some(Reply::decode(&answered.answer).unwrap())
    }

    pub(super) async fn tell(&self, command: &Command) -> Option<Result<Said, Fenced>> {
        Some(match self.ask(command).await? {
            Reply::Applied(applied) => Ok(Said::Applied(applied)),
            Reply::Gap(next) => Ok(Said::Gap(next)),
            Reply::Fenced => Err(Fenced),
            other => panic!("{other:?}"),
        })
    }

    /// A client that goes on for ever: what it is told is done is on the disk.
    async fn write(self: Rc<Self>, log: u8, mut ids: IdMaker) {
        let life = self.disk.borrow().lives;
        loop {
            sleep(Duration::from_millis(self.dice(40))).await;
            let size = self.size.get() + 1;
            self.size.set(size);
            let kind = self.dice(10);
            let mut disk = self.disk.borrow_mut();
            let of = &mut disk.logs[usize::from(log)];
            if kind == 0 {
                of.purge();
            } else if kind < 5 {
                let command = noise(&mut self.random.borrow_mut(), life, size);
                of.change(&mut ids, &command);
            } else {
                let command = keep(&mut self.random.borrow_mut(), life, size);
                if of.change(&mut ids, &command) {
                    self.kept.borrow_mut().push(Kept {
                        log,
                        size,
                        place: Place::Everywhere,
                        sequence: of.applied(),
                        is_shipped: false,
                    });
                }
            }
        }
    }

    /// The cluster has acknowledged what is in a log up to a sequence.
    pub(super) fn shipped(&self, log: u8, sequence: u64) {
        for kept in &mut *self.kept.borrow_mut() {
            if kept.log == log && kept.place == Place::Everywhere && kept.sequence <= sequence {
                kept.is_shipped = true;
            }
        }
    }

    /// The log need not keep what is shipped, and may.
    pub(super) fn give_up(&self, log: u8, sequence: u64) {
        if self.dice(2) == 0 {
            self.disk.borrow_mut().logs[usize::from(log)].give_up(sequence);
        }
    }

    /// Comparing has found differences.
    pub(super) fn found(&self, log: u8, put: &[Op], lost: &[Lost]) {
        assert!(
            self.is_suspect.get(),
            "nobody lost anything, and the cluster has other rows of log {log} than node {}: {put:?} {lost:?}",
            self.id
        );
    }

    pub(super) fn save(&self) {
        *self.saved.borrow_mut() = Some(self.disk.borrow().clone());
    }

    /// Goes on with an older disk, if one was saved, or with one on which nothing is but who it is.
    pub(super) async fn lose(self: &Rc<Self>, is_all: bool) {
        self.stop().await;
        let associations = {
            let disk = self.disk.borrow();
            disk.logs.iter().map(|log| log.association).collect::<Vec<_>>()
        };
        let lives = self.disk.borrow().lives;
        if is_all {
            // What is made now is another history than that of a copy from before.
            self.saved.take();
        }
        let saved = self.saved.borrow().clone();
        let older = saved.unwrap_or_else(|| Disk::new(&associations));
        for kept in &mut *self.kept.borrow_mut() {
            let has = older.logs[usize::from(kept.log)].has(kept.size);
            kept.place = match kept.place {
                _ if has => Place::Everywhere,
                Place::Everywhere if kept.is_shipped => Place::Cluster,
                Place::Everywhere => Place::Nowhere,
                gone => gone,
            };
        }
        *self.disk.borrow_mut() = Disk { lives, ..older };
        self.is_suspect.set(true);
        self.start();
    }

    /// The cluster has gone back to an older state.
    pub(super) fn cluster_has_lost(&self) {
        self.is_suspect.set(true);
        for kept in &mut *self.kept.borrow_mut() {
            kept.is_shipped = false;
            if kept.place == Place::Cluster {
                kept.place = Place::Nowhere;
            }
        }
    }
}
