//! Ships the changes of a log to the metadata cluster, in order, one batch at a time.
//!
//! The cursor moves on what the cluster has acknowledged, and on nothing else: whatever is sent twice is applied once.

mod compare;
mod copy;
mod reconcile;
#[cfg(test)]
mod samples;
mod walk;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use filegrid_tree::Change;

use self::copy::Copy;
use self::reconcile::Rounds;
use crate::clock;
use crate::cluster::{Batch, Cluster, Shipped};
use crate::limits::{
    COPY_MAX_ROWS, SHIP_EVERY_MS, SHIP_MAX_BYTES, SHIP_MAX_COUNT, SHIP_RETRY_MAX_MS, SHIP_RETRY_MIN_MS,
    SHIP_SIGN_MS,
};
use crate::ring;
use crate::store::{Follower, Following, Most, Owner, Store, StoreError};

/// Bounds of a batch.
const MOST: Most = Most {
    count: SHIP_MAX_COUNT,
    bytes: SHIP_MAX_BYTES,
};

/// The feeder of one log.
pub struct Feeder {
    owner: Rc<Owner>,
    log: u8,
    store: Store,
    cluster: Arc<Cluster>,
    follower: Follower,
    /// Sequence that the log had when this start opened it. The cluster cannot have more, unless the node has lost that.
    opened: u64,
    /// Sequence that the cluster has.
    shipped: u64,
    rounds: Rounds,
}

/// What has become of what was sent.
enum Sent {
    /// All up to this sequence is applied.
    Applied(u64),
    /// The cluster goes on from this sequence.
    Gap(u64),
}

/// Why a feeder has ended.
enum Ended {
    /// The cluster has let another start of the node in.
    Fenced,
    /// The cluster knows later starts: ids have to be made of this number from now on.
    Older(u32),
    /// The log cannot be read.
    Store(StoreError),
    /// The node stops.
    Stopped,
}

impl Feeder {
    /// A feeder of a log that is open. From now on the log keeps what the cluster does not have. Every `compare_every` the
    /// rows are compared with the cluster's.
    #[must_use]
    pub fn new(
        owner: Rc<Owner>,
        log: u8,
        store: Store,
        cluster: Arc<Cluster>,
        compare_every: Option<Duration>,
    ) -> Self {
        // A node that the cluster does not know yet may be nobody's home: it takes nothing before it is let in.
        owner.set_closed(!cluster.is_known() && !cluster.is_embedded());
        owner.follow();
        cluster.adopt(log, owner.progress());
        Self {
            opened: owner.progress().applied(),
            owner,
            log,
            store,
            cluster,
            follower: Follower::default(),
            shipped: 0,
            rounds: Rounds::new(compare_every),
        }
    }

    /// Goes on until the node stops, or must not go on.
    pub async fn run(mut self) {
        let ended = self.feed().await;
        match ended {
            Ended::Stopped => {}
            Ended::Fenced => self.owner.fence_by_follower(),
            Ended::Older(number) => {
                if let Err(error) = self.store.begin_behind(number).await {
                    tracing::error!(log = self.log, %error, "the number of the next start cannot be raised");
                }
                self.owner.fence_as_older();
            }
            Ended::Store(error) => {
                tracing::error!(log = self.log, %error, "changes cannot be shipped to the metadata cluster");
            }
        }
    }

    async fn feed(&mut self) -> Ended {
        let Some(granted) = self.cluster.entered(self.log).await else {
            return Ended::Stopped;
        };
        if granted.number > self.store.number() {
            return Ended::Older(granted.number);
        }
        self.rounds.answered(granted.compared);
        self.owner.set_closed(false);
        if let Err(ended) = self.resume(granted.applied).await {
            return ended;
        }
        if !granted.is_next {
            self.rounds.hurry();
        } else if granted.applied <= self.opened {
            self.cluster.agree(self.log);
        }
        // Other nodes hear of this start at once.
        if !self.cluster.is_embedded()
            && let Err(ended) = self.ship(None).await
        {
            return ended;
        }
        loop {
            if let Err(ended) = self.go_on().await {
                return ended;
            }
        }
    }

    /// Ships what comes next, or compares what it is time for.
    async fn go_on(&mut self) -> Result<(), Ended> {
        if self.more().await {
            self.ship(Some(u64::MAX)).await?;
        } else if !self.cluster.is_embedded() {
            self.ship(None).await?;
        }
        self.rounds.ask(self.cluster.compares());
        if self.rounds.is_due() {
            self.compare_some().await?;
        }
        Ok(())
    }

    /// Goes on where the cluster is, if that is possible.
    async fn resume(&mut self, applied: u64) -> Result<(), Ended> {
        // What was changed since, before the cluster could be asked, has sequences that the cluster may know already.
        if applied > self.opened {
            return self.catch_up(applied, self.opened).await;
        }
        self.moved_to(applied, None);
        Ok(())
    }

    /// Makes the cluster go on with this node, which has lost the changes behind `own`.
    async fn catch_up(&mut self, applied: u64, own: u64) -> Result<(), Ended> {
        tracing::error!(
            log = self.log,
            cluster = applied,
            node = own,
            "the cluster knows more changes than this node, which has lost some: list/tree may show what it lost"
        );
        // Its rows are not sent as they are: a directory whose name another has again would be out of sight for ever.
        // Comparing sends what the cluster lacks, and marks that.
        let sequence = self.owner.progress().applied();
        self.jump(applied, sequence).await?;
        self.rounds.hurry();
        Ok(())
    }

    /// Waits until there is something to ship; says whether there is, or only a sign of life to be given, or rows to be
    /// compared.
    async fn more(&self) -> bool {
        let more = std::pin::pin!(self.owner.wait_applied_behind(self.shipped));
        // A member of our own needs no sign.
        let sign = (!self.cluster.is_embedded()).then_some(Duration::from_millis(SHIP_SIGN_MS));
        let pause = [sign, self.rounds.rest()].into_iter().flatten().min();
        let Some(pause) = pause else {
            more.await;
            return true;
        };
        let pause = std::pin::pin!(ring::sleep(pause));
        matches!(
            futures::future::select(more, pause).await,
            futures::future::Either::Left(_)
        )
    }

    /// Ships the next batch, of changes up to a sequence, or one without any, until it is acknowledged.
    async fn ship(&mut self, up_to: Option<u64>) -> Result<(), Ended> {
        let now_ms = clock::now_ms();
        let last = self.owner.progress().applied();
        let changes = match up_to {
            Some(up_to) => self.next(up_to).await?,
            None => Vec::new(),
        };
        let Some(changes) = self.unless_missing(changes, up_to.is_some()).await? else {
            return Ok(());
        };
        let sent = self.shipped + changes.len() as u64;
        let is_behind = sent < last;
        // All that the log had is told only by a batch that reaches its end.
        let as_of_ms = (sent >= last).then_some(now_ms);
        let batch = Batch {
            log: self.log,
            first: self.shipped + 1,
            as_of_ms,
            changes: Arc::new(changes),
        };
        let begun = clock::monotonic();
        match self.insist(|| self.cluster.ship(batch.clone())).await? {
            Sent::Applied(applied) if applied > sent => self.catch_up(applied, sent).await?,
            Sent::Applied(applied) => self.moved_to(applied, as_of_ms),
            // The cluster was restored meanwhile, or has applied more than it has answered.
            Sent::Gap(next) => self.went_to(next),
        }
        let rest = Duration::from_millis(SHIP_EVERY_MS).saturating_sub(begun.elapsed());
        if !is_behind && !rest.is_zero() {
            ring::sleep(rest).await;
        }
        Ok(())
    }

    /// Tells the cluster something until it is taken or refused.
    async fn insist<T: Future<Output = Shipped>>(&self, tell: impl Fn() -> T) -> Result<Sent, Ended> {
        let mut pause_ms = SHIP_RETRY_MIN_MS;
        loop {
            match tell().await {
                Shipped::Applied(applied) => return Ok(Sent::Applied(applied)),
                Shipped::Gap(next) => return Ok(Sent::Gap(next)),
                Shipped::Fenced => return Err(Ended::Fenced),
                Shipped::Stopped => return Err(Ended::Stopped),
                Shipped::Away => {
                    ring::sleep(Duration::from_millis(pause_ms)).await;
                    pause_ms = (pause_ms * 2).min(SHIP_RETRY_MAX_MS);
                }
            }
        }
    }

    async fn next(&mut self, up_to: u64) -> Result<Vec<Vec<u8>>, Ended> {
        let left = usize::try_from(up_to.saturating_sub(self.shipped)).unwrap_or(usize::MAX);
        let most = Most {
            count: MOST.count.min(left),
            ..MOST
        };
        let next = self.owner.changes_after(&mut self.follower, self.shipped, most);
        match next.await.map_err(Ended::Store)? {
            Following::Changes(changes) => Ok(changes),
            Following::Missing => Ok(Vec::new()),
        }
    }

    /// The changes; `None` if the log does not have them any more, and shipping goes on behind them.
    async fn unless_missing(
        &mut self,
        changes: Vec<Vec<u8>>,
        more: bool,
    ) -> Result<Option<Vec<Vec<u8>>>, Ended> {
        if !more || !changes.is_empty() {
            return Ok(Some(changes));
        }
        let last = self.owner.progress().applied();
        tracing::warn!(
            log = self.log,
            cluster = self.shipped,
            node = last,
            "the cluster lacks changes that the log does not have any more: the rows are sent instead"
        );
        self.copy_all().await.map(|()| None)
    }

    /// Sends the rows as they are, and has the cluster go on behind the last change that they show.
    async fn copy_all(&mut self) -> Result<(), Ended> {
        let (view, sequence) = self.owner.rows_now();
        let mut rows = 0;
        for association in self.cluster.associations() {
            let mut copy = Copy::new(association);
            while self.owner.owns(&association)
                && let Some(change) = copy
                    .next(view.as_ref(), COPY_MAX_ROWS)
                    .map_err(|error| Ended::Store(error.into()))?
            {
                rows += change.ops.len();
                if !self.send_rows(&change).await? {
                    return Ok(());
                }
            }
        }
        drop(view);
        self.jump(self.shipped, sequence).await?;
        tracing::info!(
            log = self.log,
            rows,
            "the rows of this log were sent to the metadata cluster once more"
        );
        // What only the cluster has is found by comparing.
        self.rounds.hurry();
        Ok(())
    }

    /// Sends a change that puts rows as they are behind what is shipped; `false` if the cluster is not there any more.
    async fn send_rows(&mut self, change: &Change) -> Result<bool, Ended> {
        let change = change.encode();
        let sent = self.insist(|| self.cluster.copy(self.log, self.shipped, change.clone()));
        let sent = sent.await?;
        Ok(self.is_here(&sent))
    }

    /// Whether the cluster is still where it was when it was told something; else it is gone after.
    fn is_here(&mut self, told: &Sent) -> bool {
        match told {
            Sent::Applied(_) => true,
            Sent::Gap(next) => {
                self.went_to(*next);
                false
            }
        }
    }

    /// Has the cluster, which has applied `from`, go on behind another sequence.
    async fn jump(&mut self, mut from: u64, to: u64) -> Result<(), Ended> {
        loop {
            match self.insist(|| self.cluster.jump(self.log, from, to)).await? {
                Sent::Applied(applied) => {
                    self.moved_to(applied, None);
                    return Ok(());
                }
                Sent::Gap(next) => from = next.saturating_sub(1),
            }
        }
    }

    /// The cluster goes on from a sequence, wherever it was.
    fn went_to(&mut self, next: u64) {
        self.follower = Follower::default();
        self.moved_to(next.saturating_sub(1), None);
    }

    fn moved_to(&mut self, shipped: u64, as_of_ms: Option<i64>) {
        self.shipped = shipped;
        self.owner.set_shipped(shipped, as_of_ms);
    }
}
