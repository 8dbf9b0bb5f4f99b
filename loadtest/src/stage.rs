//! What all connections do together, one stage after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Semaphore, watch};

use crate::content::Content;
use crate::files::Files;
use crate::plan::Plan;
use crate::schedule::Schedule;

/// What is done now.
#[derive(Clone, Debug)]
pub enum Stage {
    /// Nothing yet.
    Begin,
    /// Connect and log in.
    Connect,
    /// The first connection makes the directory of the run.
    MakeRoot,
    /// Each makes its own directory and its share of the prepared files.
    Prepare,
    /// What is measured.
    Work(Arc<Schedule>),
    /// Each reads what it has uploaded and compares it.
    ReadBack,
    /// Each deletes what it has made.
    Delete,
    /// The first deletes what is left.
    DeleteRoot,
    /// All connections end.
    End,
}

/// How a stage is cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Halt {
    /// It is not.
    No,
    /// What has begun is finished.
    Finish,
    /// What has begun is given up.
    Abort,
}

/// What all connections share.
pub struct Shared {
    /// What was asked for.
    pub plan: Plan,
    /// What is in files.
    pub content: Arc<Content>,
    /// Which files there are.
    pub files: Arc<Files>,
    /// Files that the stage has got done.
    pub progress: AtomicU64,
    /// Whether the stage is to be cut short.
    pub halt: watch::Sender<Halt>,
    /// Turns of those that connect.
    pub connecting: Semaphore,
}

impl Shared {
    /// Whether to begin nothing more.
    #[must_use]
    pub fn is_halted(&self) -> bool {
        *self.halt.borrow() > Halt::No
    }

    /// One more file is done.
    pub fn advance(&self) {
        self.progress.fetch_add(1, Ordering::Relaxed);
    }
}
