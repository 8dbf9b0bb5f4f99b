//! What the node counts.
//!
//! Each thread counts for itself, so that counting costs next to nothing; [`total`] sums them. What a thread has counted stays
//! counted when it ends.

mod health;
mod histogram;
mod text;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use filegrid_tree::Protocol;

pub use self::health::{Health, LogHealth};
pub use self::histogram::Histogram;
pub use self::text::{CONTENT_TYPE, text};

/// A number that only rises, written by one thread.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, more: u64) {
        // No other thread writes, so this need not be one step.
        let now = self.0.load(Ordering::Relaxed);
        self.0.store(now.wrapping_add(more), Ordering::Relaxed);
    }

    /// What it stands at.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How a client comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// REST.
    Http,
    /// REST over TLS.
    Https,
    /// FTP in the clear.
    Ftp,
    /// FTP over TLS.
    Ftps,
    /// SFTP.
    Sftp,
    /// SCP.
    Scp,
}

impl Via {
    /// All, with the label that they are shown by.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Http, "http"),
        (Self::Https, "https"),
        (Self::Ftp, "ftp"),
        (Self::Ftps, "ftps"),
        (Self::Sftp, "sftp"),
        (Self::Scp, "scp"),
    ];
}

impl From<Protocol> for Via {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Api => Self::Http,
            Protocol::Ftp => Self::Ftp,
            Protocol::Ftps => Self::Ftps,
            Protocol::Sftp => Self::Sftp,
            Protocol::Scp => Self::Scp,
        }
    }
}

/// What has become of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginOutcome {
    /// It succeeded.
    Accepted,
    /// Wrong name or secret.
    Failed,
    /// Refused unseen, after too many failures.
    Blocked,
}

impl LoginOutcome {
    /// All, with the label that they are shown by.
    pub const ALL: [(Self, &'static str); 3] = [
        (Self::Accepted, "accepted"),
        (Self::Failed, "failed"),
        (Self::Blocked, "blocked"),
    ];

    /// The outcome of a login that was answered so.
    pub fn of<T>(answer: &Result<T, crate::error::Error>) -> Option<Self> {
        match answer {
            Ok(_) => Some(Self::Accepted),
            Err(crate::error::Error::Unauthorized(_)) => Some(Self::Failed),
            Err(crate::error::Error::TooManyRequests { .. }) => Some(Self::Blocked),
            Err(_) => None,
        }
    }
}

/// What is counted of each way in.
#[derive(Debug, Default)]
pub struct ViaCounters {
    /// Connections and sessions that came.
    pub opened: Counter,
    /// And ended.
    pub closed: Counter,
    /// Payload bytes received.
    pub received: Counter,
    /// Payload bytes of files sent.
    pub sent: Counter,
    /// Changes acknowledged.
    pub changes: Counter,
    /// Requests and sessions passed on to the node that has the files.
    pub relayed: Counter,
    /// Answers by the first digit of their code.
    pub answers: [Counter; 6],
    /// Logins, as [`LoginOutcome::ALL`] has them.
    pub logins: [Counter; 3],
}

/// What a thread counts.
#[derive(Debug, Default)]
pub struct Counters {
    /// By the way in, as [`Via::ALL`] has them.
    pub via: [ViaCounters; 6],
    /// Payload bytes that were copied on their way to the disk.
    pub payload_copied: Counter,
    /// Bytes of large files that the scrub has read.
    pub scrubbed: Counter,
    /// Large blobs that did not match their checksums.
    pub blobs_damaged: Counter,
    /// TLS handshakes that succeeded.
    pub handshakes: Counter,
    /// And that did not.
    pub handshakes_failed: Counter,
    /// Writes of the logs, in microseconds.
    pub log_writes: Histogram,
    /// Their bytes.
    pub log_bytes: Counter,
}

impl Counters {
    /// What is counted of a way in.
    #[must_use]
    pub fn via(&self, via: Via) -> &ViaCounters {
        let [http, https, ftp, ftps, sftp, scp] = &self.via;
        match via {
            Via::Http => http,
            Via::Https => https,
            Via::Ftp => ftp,
            Via::Ftps => ftps,
            Via::Sftp => sftp,
            Via::Scp => scp,
        }
    }
}

static ALL: Mutex<Vec<&'static Counters>> = Mutex::new(Vec::new());

thread_local! {
    static MINE: &'static Counters = {
        // There are few threads, and their counts outlive them.
        let mine: &'static Counters = Box::leak(Box::default());
        ALL.lock().unwrap_or_else(PoisonError::into_inner).push(mine);
        mine
    };
}

/// The counters of this thread.
#[must_use]
pub fn mine() -> &'static Counters {
    MINE.with(|mine| *mine)
}

/// Sums a counter over all threads.
pub fn total(of: impl Fn(&Counters) -> u64) -> u64 {
    let all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.iter().fold(0, |sum, counters| sum.wrapping_add(of(counters)))
}

/// Sums a counter of all ways in over all threads.
pub fn total_via(of: impl Fn(&ViaCounters) -> u64) -> u64 {
    total(|counters| counters.via.iter().map(&of).fold(0, u64::wrapping_add))
}

/// Counts an answer with a code of three digits.
pub fn answered(via: Via, code: u16) {
    if let Some(counter) = mine().via(via).answers.get(usize::from(code / 100)) {
        counter.add(1);
    }
}

/// Counts a login.
pub fn logged_in<T>(via: Via, answer: &Result<T, crate::error::Error>) {
    let Some(outcome) = LoginOutcome::of(answer) else {
        return;
    };
    let [accepted, failed, blocked] = &mine().via(via).logins;
    match outcome {
        LoginOutcome::Accepted => accepted.add(1),
        LoginOutcome::Failed => failed.add(1),
        LoginOutcome::Blocked => blocked.add(1),
    }
}

/// A connection that is counted for as long as this is kept, on whichever thread that ends.
pub struct Open(Via);

impl Open {
    /// Counts a connection that has come.
    #[must_use]
    pub fn new(via: Via) -> Self {
        mine().via(via).opened.add(1);
        Self(via)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        mine().via(self.0).closed.add(1);
    }
}
