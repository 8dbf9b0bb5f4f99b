//! Has the cluster's rows be those of this node, beside shipping.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use filegrid_meta::nodes::Span;
use filegrid_meta::store::{Compared, Lost};
use filegrid_tree::{Op, View};
use uuid::Uuid;

use super::compare::{Round, Run, Whose, differences, split};
use super::copy::putting;
use super::{Ended, Feeder};
use crate::clock;
use crate::limits::{COMPARE_EVERY_MS, COPY_MAX_ROWS, LOSE_MAX_COUNT, SHIP_RETRY_MAX_MS};

/// Rounds of comparing, one after the other.
pub(super) struct Rounds {
    /// From one round to the next; `None`: there are none by themselves.
    every: Option<Duration>,
    round: Option<Round>,
    /// When to go on; `None`: not by itself.
    next: Option<Instant>,
    /// Whether this round does not pause, as after losses.
    hurries: bool,
    found: Found,
    /// Number of the last request to compare that was taken up.
    asked: u64,
    /// Whether this round answers it.
    answers: bool,
}

/// What a round has found.
#[derive(Debug, Default)]
struct Found {
    /// Rows compared in this round.
    rows: u64,
    put: usize,
    lost: usize,
    /// Path of something that is lost.
    example: Option<String>,
}

impl Rounds {
    pub(super) fn new(every: Option<Duration>) -> Self {
        Self {
            every,
            round: None,
            next: every.map(|every| clock::monotonic() + every),
            hurries: false,
            found: Found::default(),
            asked: 0,
            answers: false,
        }
    }

    /// This request was answered before.
    pub(super) fn answered(&mut self, number: u64) {
        self.asked = number;
    }

    /// Takes up a request to compare, if it is another than the last one: of a cluster that was restored it may be lower.
    pub(super) fn ask(&mut self, number: u64) {
        if number != self.asked {
            self.asked = number;
            self.answers = true;
            self.hurry();
        }
    }

    /// Begins a round at once, from the first row.
    pub(super) fn hurry(&mut self) {
        self.round = None;
        self.found.rows = 0;
        self.hurries = true;
        self.next = Some(clock::monotonic());
    }

    /// How long there is nothing to be compared; `None`: for ever.
    pub(super) fn rest(&self) -> Option<Duration> {
        let next = self.next?;
        Some(next.saturating_duration_since(clock::monotonic()))
    }

    pub(super) fn is_due(&self) -> bool {
        self.rest().is_some_and(|rest| rest.is_zero())
    }

    fn pause(&mut self, pause: Duration) {
        self.next = Some(clock::monotonic() + pause);
    }

    /// What the round has found, if somebody waits for that.
    fn over(&mut self, log: u8) -> Option<Compared> {
        let found = std::mem::take(&mut self.found);
        if found.put > 0 && self.hurries && !self.answers {
            tracing::info!(
                log,
                rows = found.put,
                "the metadata cluster lacked rows of this node: it was sent these"
            );
        } else if found.put > 0 {
            tracing::warn!(
                log,
                rows = found.put,
                "the metadata cluster had other rows than this node: it was sent these"
            );
        }
        if found.lost > 0 {
            tracing::error!(
                log,
                entries = found.lost,
                example = found.example,
                "the metadata cluster knows files or directories that this node has lost: GET /admin/lost names them"
            );
        }
        self.round = None;
        self.hurries = false;
        self.next = self.every.map(|every| clock::monotonic() + every);
        std::mem::take(&mut self.answers).then_some(Compared {
            number: self.asked,
            rows: found.rows,
            sent: found.put as u64,
            lost: found.lost as u64,
        })
    }
}

impl Feeder {
    /// Compares some rows as they are behind one change, having shipped exactly those up to it.
    pub(super) async fn compare_some(&mut self) -> Result<(), Ended> {
        let (view, sequence) = self.owner.rows_now();
        while self.shipped < sequence {
            let before = self.shipped;
            self.ship(Some(sequence)).await?;
            if self.shipped <= before {
                break;
            }
        }
        // Where the cluster has gone back or ahead it is sent what it lacks first.
        if self.shipped != sequence || !self.compared(view.as_ref(), sequence).await? {
            self.rounds.pause(Duration::from_millis(SHIP_RETRY_MAX_MS));
        }
        Ok(())
    }

    /// Compares the next rows; `false` if the cluster could not be asked: they come again.
    async fn compared(&mut self, view: &dyn View, sequence: u64) -> Result<bool, Ended> {
        let mut round = match self.rounds.round.clone() {
            Some(round) => round,
            None => Round::through(self.at_home()),
        };
        let unreadable = |error: filegrid_tree::TreeError| Ended::Store(error.into());
        let runs = round.next(view).map_err(unreadable)?;
        let spans = runs.iter().map(|run| run.span.clone()).collect();
        let Some(digests) = self.cluster.digests(self.log, sequence, spans).await else {
            return Ok(false);
        };
        for (run, digest) in runs.iter().zip(digests) {
            if run.digest != digest && !self.mend(view, sequence, run).await? {
                return Ok(false);
            }
        }
        self.rounds.found.rows += runs.iter().map(|run| run.digest.rows).sum::<u64>();
        if round.is_over() {
            if let Some(compared) = self.rounds.over(self.log) {
                self.insist(|| self.cluster.compared(self.log, compared)).await?;
            }
            self.cluster.agree(self.log);
        } else {
            let pause = if self.rounds.hurries { 0 } else { COMPARE_EVERY_MS };
            self.rounds.round = Some(round);
            self.rounds.pause(Duration::from_millis(pause));
        }
        Ok(true)
    }

    /// Associations of this log that the cluster takes our word for.
    fn at_home(&self) -> Vec<[u8; 16]> {
        let all = self.cluster.associations().into_iter();
        all.filter(|association| {
            self.owner.owns(association) && self.cluster.is_home(Uuid::from_bytes(*association))
        })
        .collect()
    }

    /// Has the cluster's rows of a run be ours; `false` if it could not be asked.
    async fn mend(&mut self, view: &dyn View, sequence: u64, run: &Run) -> Result<bool, Ended> {
        let whose = Whose {
            node: self.cluster.node(),
            association: run.association,
            path: run.path.as_deref(),
        };
        let unreadable = |error: filegrid_tree::TreeError| Ended::Store(error.into());
        let mut rest = Some(run.span.clone());
        while let Some(span) = rest {
            let Some(page) = self.cluster.rows(self.log, sequence, span.clone()).await else {
                return Ok(false);
            };
            let last = page.rows.last().filter(|_| page.more);
            let (part, behind) = split(span, last.map(|(name, _)| name.as_str()));
            rest = behind;
            let ours = rows_of(view, &part).map_err(unreadable)?;
            let found = differences(&whose, part.directory, ours, page.rows).map_err(unreadable)?;
            // Marks come first: once another directory has taken its name, nothing leads to the one that is gone, and a node that
            // ends in between would never mark it.
            if !self.lose(found.lost).await? || !self.put(run.association, found.put).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sends rows that the cluster lacks; `false` if it is not where it was any more.
    async fn put(&mut self, association: [u8; 16], mut ops: Vec<Op>) -> Result<bool, Ended> {
        self.rounds.found.put += ops.len();
        while !ops.is_empty() {
            let rest = ops.split_off(ops.len().min(COPY_MAX_ROWS));
            let change = putting(association, std::mem::replace(&mut ops, rest));
            if !self.send_rows(&change).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Marks what this node has lost; `false` if the cluster is not where it was any more.
    async fn lose(&mut self, lost: Vec<Lost>) -> Result<bool, Ended> {
        let found = &mut self.rounds.found;
        found.lost += lost.len();
        if let Some(first) = lost.first() {
            found.example.get_or_insert_with(|| first.mark.path.clone());
        }
        for some in lost.chunks(LOSE_MAX_COUNT) {
            let told = self.insist(|| self.cluster.lose(self.log, self.shipped, some.to_vec()));
            let told = told.await?;
            if !self.is_here(&told) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn rows_of(view: &dyn View, span: &Span) -> Result<BTreeMap<String, Vec<u8>>, filegrid_tree::TreeError> {
    let mut rows = BTreeMap::new();
    span.each(view, &mut |name, row| {
        rows.insert(name.to_owned(), row.to_vec());
        ControlFlow::Continue(())
    })?;
    Ok(rows)
}
