//! Ships the changes of a log, as a node's own feeder does (`node/src/feed`).

use std::rc::Rc;
use std::time::Duration;

use filegrid_tree::{Change, Op, Row};
use tokio::time::{Instant, sleep};

use super::compare::directories;
use super::disk::putting;
use super::node::{Grant, Node, Said};
use crate::nodes::Span;
use crate::store::{Batch, Command, Shipped};

/// Changes of a batch: few, so that there are many.
const BATCH_MAX_COUNT: usize = 5;
/// Rows that are copied at a time.
pub(super) const COPY_MAX_ROWS: usize = 4;

/// The feeder of one log.
pub(super) struct Feeder {
    pub(super) node: Rc<Node>,
    pub(super) log: u8,
    pub(super) epoch: u64,
    /// Sequence that the log had when this start opened it.
    pub(super) opened: u64,
    /// Whether the cluster's changes up to its sequence are known to be this node's.
    pub(super) is_sure: bool,
    /// Sequence that the cluster has.
    pub(super) shipped: u64,
    /// When rows are compared next.
    pub(super) compare_at: Instant,
}

/// Another start of the node was let in.
pub(super) struct Fenced;

impl Feeder {
    /// Goes on from where the cluster is, until it is fenced.
    pub(super) async fn run(mut self, grant: Grant) -> Fenced {
        match self.feed(grant).await {
            Ok(never) => never,
            Err(fenced) => fenced,
        }
    }

    /// Goes on until all is shipped, and the cluster lacks nothing any more.
    pub(super) async fn settle(&mut self, grant: Grant) -> Result<(), Fenced> {
        self.resume(grant).await?;
        for _ in 0..20 {
            if self.compare().await? {
                return Ok(());
            }
        }
        panic!(
            "rows of log {} of node {} go on being different",
            self.log, self.node.id
        );
    }

    async fn resume(&mut self, grant: Grant) -> Result<(), Fenced> {
        if grant.applied > self.opened {
            return self.catch_up(grant.applied).await;
        }
        self.is_sure = grant.is_next;
        self.moved_to(grant.applied);
        if grant.is_next {
            self.node.is_sure(self.log, self.epoch);
        } else {
            self.compare_at = Instant::now();
        }
        Ok(())
    }

    /// Makes the cluster go on with this node, which has lost changes: what differs is found by comparing.
    async fn catch_up(&mut self, applied: u64) -> Result<(), Fenced> {
        self.is_sure = false;
        self.jump(applied, self.last()).await
    }

    async fn jump(&mut self, mut from: u64, to: u64) -> Result<(), Fenced> {
        loop {
            let jump = Command::Jump {
                node: self.node.id,
                log: self.log,
                epoch: self.epoch,
                from,
                to,
            };
            match self.insist(&jump).await? {
                Said::Applied(applied) => {
                    self.moved_to(applied);
                    break;
                }
                Said::Gap(next) => from = next - 1,
            }
        }
        self.compare_at = Instant::now();
        Ok(())
    }

    async fn feed(&mut self, grant: Grant) -> Result<Fenced, Fenced> {
        self.resume(grant).await?;
        loop {
            if self.last() > self.shipped {
                self.ship(u64::MAX).await?;
            } else {
                sleep(Duration::from_millis(5)).await;
            }
            if Instant::now() >= self.compare_at {
                self.compare().await?;
            }
        }
    }

    pub(super) fn last(&self) -> u64 {
        self.node.disk.borrow().logs[usize::from(self.log)].applied()
    }

    fn moved_to(&mut self, shipped: u64) {
        self.shipped = shipped;
        if self.is_sure {
            self.node.shipped(self.log, shipped);
        }
        self.node.give_up(self.log, shipped);
    }

    /// Ships the next batch, of changes up to a sequence, until it is acknowledged.
    pub(super) async fn ship(&mut self, up_to: u64) -> Result<(), Fenced> {
        let most = usize::try_from(up_to.saturating_sub(self.shipped)).unwrap_or(usize::MAX);
        let changes = {
            let disk = self.node.disk.borrow();
            disk.logs[usize::from(self.log)].after(self.shipped, most.min(BATCH_MAX_COUNT))
        };
        if changes.is_empty() {
            // The log has them no more.
            return self.copy_all().await;
        }
        let sent = self.shipped + changes.len() as u64;
        let batch = self.batch(self.shipped + 1, changes);
        match self.insist(&Command::Ship(batch)).await? {
            Said::Applied(applied) if applied > sent => self.catch_up(applied).await?,
            Said::Applied(applied) => self.moved_to(applied),
            Said::Gap(next) => self.moved_to(next - 1),
        }
        Ok(())
    }

    fn batch(&self, first: u64, changes: Vec<Vec<u8>>) -> Batch {
        let shipped = |change| Shipped {
            generation: 1,
            change,
        };
        Batch {
            node: self.node.id,
            log: self.log,
            epoch: self.epoch,
            first,
            as_of_ms: 0,
            changes: changes.into_iter().map(shipped).collect(),
        }
    }

    /// Tells the cluster something until it is taken.
    pub(super) async fn insist(&self, command: &Command) -> Result<Said, Fenced> {
        loop {
            match self.node.tell(command).await {
                Some(Ok(said)) => return Ok(said),
                Some(Err(fenced)) => return Err(fenced),
                None => sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// Sends the rows as they are, and has the cluster go on behind the last change that they show.
    async fn copy_all(&mut self) -> Result<(), Fenced> {
        let (rows, association, to) = {
            let disk = self.node.disk.borrow();
            let log = &disk.logs[usize::from(self.log)];
            (log.rows.clone(), log.association, log.applied())
        };
        let mut ops = Vec::new();
        for (_, span) in directories(&rows, association) {
            ops.extend(puts(&rows, &span));
        }
        for some in ops.chunks(COPY_MAX_ROWS) {
            if !self.copy(&putting(association, some.to_vec())).await? {
                return Ok(());
            }
        }
        self.is_sure = true;
        self.jump(self.shipped, to).await
    }

    /// Sends a change that puts rows, outside the sequence; `false` if the cluster is not where it was any more.
    pub(super) async fn copy(&mut self, change: &Change) -> Result<bool, Fenced> {
        let batch = self.batch(self.shipped + 1, vec![change.encode()]);
        self.tell(&Command::Copy(batch)).await
    }

    /// Tells the cluster what holds behind what is shipped; `false` if it is not there any more.
    pub(super) async fn tell(&mut self, command: &Command) -> Result<bool, Fenced> {
        match self.insist(command).await? {
            Said::Applied(_) => Ok(true),
            Said::Gap(next) => {
                self.moved_to(next - 1);
                Ok(false)
            }
        }
    }
}

/// Puts the rows of a run.
fn puts(rows: &super::disk::Rows, span: &Span) -> Vec<Op> {
    let mut ops = Vec::new();
    let put = &mut |name: &str, row: &[u8]| {
        ops.push(Op::put(span.directory, name, Row::decode(row).unwrap()));
        std::ops::ControlFlow::Continue(())
    };
    span.each(rows, put).unwrap();
    ops
}
