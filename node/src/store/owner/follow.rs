//! Who follows the log: the metadata cluster. It is handed changes that are durable and applied, in order, and what it
//! has not acknowledged is kept.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;

use filegrid_tree::View;

use super::Owner;
use crate::clock;
use crate::limits::TAIL_MAX_BYTES;
use crate::store::log::{ChangeCursor, LoggedChange, Notify};
use crate::store::progress::Progress;
use crate::store::{StoreError, log_of, record};

/// What an owner knows of who follows.
#[derive(Default)]
pub(super) struct Follow {
    /// Sequence that is acknowledged; `None` if nobody follows.
    shipped: Cell<Option<u64>>,
    tail: RefCell<Tail>,
    moved: Notify,
    progress: Arc<Progress>,
    /// Whether there is so much to be shipped that no more is taken.
    is_full: Cell<bool>,
    /// Whether who follows has yet to let this node in.
    is_closed: Cell<bool>,
}

/// The newest changes, in memory.
#[derive(Default)]
struct Tail {
    changes: VecDeque<LoggedChange>,
    bytes: usize,
}

/// What a follower keeps between two looks.
#[derive(Default)]
pub struct Follower {
    /// Where it reads the log, while the changes that it needs are not in memory any more.
    cursor: Option<ChangeCursor>,
    read: VecDeque<LoggedChange>,
}

/// Changes for the follower.
#[derive(Debug, PartialEq, Eq)]
pub enum Following {
    /// The bytes of each, in order.
    Changes(Vec<Vec<u8>>),
    /// The log does not have the next one any more.
    Missing,
}

/// Bounds of what is handed over at a time; one change is, however long.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    /// Changes.
    pub count: usize,
    /// Their bytes.
    pub bytes: usize,
}

impl Follow {
    pub(super) fn new(shipped: Option<u64>, applied: u64) -> Self {
        let follow = Self::default();
        follow.shipped.set(shipped);
        follow.progress.set_applied(applied, clock::now_ms());
        follow.progress.set_shipped(shipped.unwrap_or(applied), None);
        follow
    }

    /// What the tree notes of it.
    pub(super) fn shipped(&self) -> Option<u64> {
        self.shipped.get()
    }

    /// Whether nobody needs the changes up to a sequence any more.
    pub(super) fn has(&self, sequence: u64) -> bool {
        self.shipped.get().is_none_or(|shipped| shipped >= sequence)
    }

    pub(super) fn is_full(&self) -> bool {
        self.is_full.get() || self.is_closed.get()
    }

    /// A change is applied. `payload` is that of its record.
    pub(super) fn push(&self, sequence: u64, payload: Vec<u8>, now_ms: i64) {
        self.progress.set_applied(sequence, now_ms);
        if self.shipped.get().is_some() {
            self.tail.borrow_mut().push(sequence, payload);
        } else {
            self.progress.set_shipped(sequence, None);
        }
    }

    /// All that was pushed may be taken.
    pub(super) fn notify(&self) {
        self.moved.notify();
    }
}

impl Tail {
    fn push(&mut self, sequence: u64, payload: Vec<u8>) {
        self.bytes += payload.len();
        self.changes.push_back((sequence, payload));
        while self.bytes > TAIL_MAX_BYTES
            && let Some((_, payload)) = self.changes.pop_front()
        {
            self.bytes -= payload.len();
        }
    }
}

/// The changes behind `after` at the front of a queue, if they are there, and the bytes that the queue has lost: what
/// comes before them goes too.
fn take(
    queue: &mut VecDeque<LoggedChange>,
    after: u64,
    most: Most,
) -> Result<(Vec<Vec<u8>>, usize), StoreError> {
    let mut lost = 0;
    while let Some((_, payload)) = queue.pop_front_if(|(sequence, _)| *sequence <= after) {
        lost += payload.len();
    }
    let (mut taken, mut bytes) = (Vec::new(), 0);
    let mut next = after + 1;
    while let Some((_, payload)) = queue.pop_front_if(|(sequence, payload)| {
        let fits = taken.len() < most.count && bytes + payload.len() <= most.bytes;
        *sequence == next && (taken.is_empty() || fits)
    }) {
        let change = record::change_of(&payload)
            .ok_or_else(|| StoreError::Damaged(format!("change {next} of the log cannot be read")))?;
        lost += payload.len();
        bytes += payload.len();
        taken.push(change.to_vec());
        next += 1;
    }
    Ok((taken, lost))
}

impl Owner {
    /// Keeps changes for a follower from now on, whatever is acknowledged already.
    pub fn follow(&self) {
        let shipped = self.follow.shipped.get().unwrap_or(0);
        self.follow.shipped.set(Some(shipped));
        self.follow.progress.set_shipped(shipped, Some(clock::now_ms()));
    }

    /// How far the log is, and how far the follower has it.
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.follow.progress)
    }

    /// The rows as they are, and the sequence of the last change that they show.
    #[must_use]
    pub fn rows_now(&self) -> (Box<dyn View + Send>, u64) {
        (self.rows.snapshot(), self.applied.get().sequence)
    }

    /// Whether an association's changes are in this log.
    #[must_use]
    pub fn owns(&self, association: &[u8; 16]) -> bool {
        log_of(association, self.logs) == self.number
    }

    /// Notes that the follower has all up to a sequence, and all that was applied at `as_of_ms` if that is told.
    pub fn set_shipped(&self, sequence: u64, as_of_ms: Option<i64>) {
        self.follow.shipped.set(Some(sequence));
        self.follow.progress.set_shipped(sequence, as_of_ms);
        self.look_again.set(true);
    }

    /// Refuses changes that take space, while too much waits to be shipped.
    pub fn set_full(&self, full: bool) {
        self.follow.is_full.set(full);
    }

    /// Whether changes are refused because the cluster has never let this node in.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.follow.is_closed.get()
    }

    /// Refuses the same until the follower has let this node in.
    pub fn set_closed(&self, closed: bool) {
        self.follow.is_closed.set(closed);
    }

    /// Stops acknowledging at once: the follower knows later starts of this node than this one.
    pub fn fence_as_older(&self) {
        self.fence(&StoreError::Refused(
            "this node's data is an older copy, and what this start makes could be taken for what another has made: \
             the next start makes it anew"
                .to_owned(),
        ));
    }

    /// Stops acknowledging at once: the follower has let another start of this node in.
    pub fn fence_by_follower(&self) {
        self.fence(&StoreError::Refused(
            "another process runs on a copy of this node's data, and the cluster has let that one in"
                .to_owned(),
        ));
    }

    /// Bytes that the log keeps for the follower.
    #[must_use]
    pub fn unshipped_bytes(&self) -> u64 {
        let shipped = self.follow.shipped.get();
        shipped.map_or(0, |shipped| self.log.bytes_after(shipped))
    }

    /// Waits until a change behind a sequence is applied.
    pub async fn wait_applied_behind(&self, sequence: u64) {
        let behind = || (self.follow.progress.applied() > sequence).then_some(());
        self.follow.moved.until(behind).await;
    }

    /// The changes behind a sequence, from memory or from the log. There must be some.
    ///
    /// # Errors
    ///
    /// If the log cannot be read.
    pub async fn changes_after(
        &self,
        follower: &mut Follower,
        after: u64,
        most: Most,
    ) -> Result<Following, StoreError> {
        let taken = {
            let mut tail = self.follow.tail.borrow_mut();
            let (taken, lost) = take(&mut tail.changes, after, most)?;
            tail.bytes -= lost;
            taken
        };
        if !taken.is_empty() {
            *follower = Follower::default();
            return Ok(Following::Changes(taken));
        }
        loop {
            let (taken, _) = take(&mut follower.read, after, most)?;
            if !taken.is_empty() {
                return Ok(Following::Changes(taken));
            }
            // The next one that there is has another sequence.
            if !follower.read.is_empty() {
                *follower = Follower::default();
                return Ok(Following::Missing);
            }
            let cursor = follower
                .cursor
                .get_or_insert_with(|| self.log.cursor_after(after));
            match self.log.changes(cursor).await? {
                Some(changes) => follower.read.extend(changes),
                None => return Ok(Following::Missing),
            }
        }
    }
}
