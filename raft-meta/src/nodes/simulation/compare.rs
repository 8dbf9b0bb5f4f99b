//! Compares the rows of a log with the cluster's, as a node does.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use filegrid_tree::{Id, Op, ROOTS, Row, RowRef, root_name};
use tokio::time::Instant;
use uuid::Uuid;

use super::disk::{Rows, putting};
use super::feeder::{COPY_MAX_ROWS, Feeder, Fenced};
use crate::nodes::{COMPARE, CompareRequest, Event, ROWS, RowsPage, Span, behind, read_digests};
use crate::store::{Command, Lost, LostMark};

/// From one comparison to the next.
const EVERY: Duration = Duration::from_secs(4);
const PATIENCE_MS: u64 = 500;

/// The runs of an association, each directory before what is in it: the root's own row, then a run a directory.
pub(super) fn directories(rows: &dyn filegrid_tree::View, association: [u8; 16]) -> Vec<(String, Span)> {
    let mut runs = vec![(String::new(), Span::one(ROOTS, &root_name(&association)))];
    let mut at = 0;
    while let Some((path, span)) = runs.get(at).cloned() {
        let below = &mut |name: &str, row: &[u8]| {
            if let Some(directory) = RowRef::new(row).unwrap().directory() {
                let path = match at {
                    0 => String::new(),
                    _ => format!("{path}/{name}"),
                };
                let (from, to) = (String::new(), None);
                runs.push((path, Span { directory, from, to }));
            }
            ControlFlow::Continue(())
        };
        span.each(rows, below).unwrap();
        at += 1;
    }
    runs
}

impl Feeder {
    /// Compares all rows as they are behind one change, having shipped exactly those up to it; says whether that was done
    /// and the cluster lacked nothing. What only it has is marked then.
    pub(super) async fn compare(&mut self) -> Result<bool, Fenced> {
        self.compare_at = Instant::now() + Duration::from_millis(200);
        let (rows, association, sequence) = {
            let disk = self.node.disk.borrow();
            let log = &disk.logs[usize::from(self.log)];
            (log.rows.clone(), log.association, log.applied())
        };
        while self.shipped < sequence {
            let before = self.shipped;
            self.ship(sequence).await?;
            if self.shipped <= before {
                break;
            }
        }
        if self.shipped != sequence {
            return Ok(false);
        }
        let runs = directories(&rows, association);
        let at = Event {
            node: self.node.id,
            log: self.log,
            sequence,
        };
        let request = |spans| CompareRequest {
            at,
            patience_ms: PATIENCE_MS,
            spans,
        };
        let spans = runs.iter().map(|(_, span)| span.clone()).collect();
        let Ok(answer) = self.node.client.call(COMPARE, request(spans).write()).await else {
            return Ok(false);
        };
        let mut lacks_nothing = true;
        for ((path, span), digest) in runs.into_iter().zip(read_digests(&answer).unwrap()) {
            if span.digest(&rows).unwrap() == digest {
                continue;
            }
            let mut rest = Some(span);
            while let Some(mut span) = rest.take() {
                let request = request(vec![span.clone()]);
                let Ok(answer) = self.node.client.call(ROWS, request.write()).await else {
                    return Ok(false);
                };
                let page = RowsPage::read(&answer).unwrap();
                if let Some((last, _)) = page.rows.last().filter(|_| page.more) {
                    let from = behind(last);
                    rest = Some(Span {
                        from: from.clone(),
                        ..span.clone()
                    });
                    span.to = Some(from);
                }
                let Some(lacked) = self.mend(&rows, association, &path, &span, page.rows).await? else {
                    return Ok(false);
                };
                lacks_nothing &= !lacked;
            }
        }
        self.compare_at = Instant::now() + EVERY;
        self.is_sure = true;
        self.node.is_sure(self.log, self.epoch);
        self.node.shipped(self.log, sequence);
        Ok(lacks_nothing)
    }

    /// Sends what the cluster lacks, and marks what only it has; says whether it lacked something, or nothing if the cluster
    /// is not where it was any more.
    async fn mend(
        &mut self,
        rows: &Rows,
        association: [u8; 16],
        path: &str,
        span: &Span,
        theirs: Vec<(String, Vec<u8>)>,
    ) -> Result<Option<bool>, Fenced> {
        let mut ours = BTreeMap::new();
        let each = &mut |name: &str, row: &[u8]| {
            ours.insert(name.to_owned(), row.to_vec());
            ControlFlow::Continue(())
        };
        span.each(rows, each).unwrap();
        let (mut put, mut lost) = (Vec::new(), Vec::new());
        let mark = |name: &str| LostMark {
            association: Uuid::from_bytes(association),
            node: self.node.id,
            path: format!("{path}/{name}"),
        };
        for (name, theirs) in theirs {
            let Some(own) = ours.remove(&name) else {
                lost.push(Lost::new(span.directory, &name, mark(&name)));
                continue;
            };
            if own == theirs {
                continue;
            }
            let (own, theirs) = (Row::decode(&own).unwrap(), Row::decode(&theirs).unwrap());
            if let Row::Dir(gone) = theirs
                && !matches!(&own, Row::Dir(dir) if dir.id == gone.id)
            {
                lost.push(Lost::new(Id(gone.id.0), "", mark(&name)));
            }
            put.push(Op::put(span.directory, &name, own));
        }
        for (name, own) in ours {
            put.push(Op::put(span.directory, &name, Row::decode(&own).unwrap()));
        }
        self.node.found(self.log, &put, &lost);
        // Marks come first: once a name is taken, nothing leads to the directory that had it.
        if !lost.is_empty() {
            let entries = lost;
            let lose = Command::Lost {
                node: self.node.id,
                log: self.log,
                epoch: self.epoch,
                at: self.shipped,
                entries,
            };
            if !self.tell(&lose).await? {
                return Ok(None);
            }
        }
        for some in put.chunks(COPY_MAX_ROWS) {
            if !self.copy(&putting(association, some.to_vec())).await? {
                return Ok(None);
            }
        }
        Ok(Some(!put.is_empty()))
    }
}
