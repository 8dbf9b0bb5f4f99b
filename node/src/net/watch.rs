//! Deadlines: one task per shard looks at all connections four times a second.
//!
//! An expired connection is shut down, which wakes whoever waits on it: no ring operation is ever cancelled
//! and no timer is set per request. Only time spent waiting for the peer counts, never time of ours.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::Shutdown;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

use futures::future::{Either, select};

use crate::limits::{RUN_MAX_BYTES, SWEEP_INTERVAL_MS};
use crate::ring::{self, Socket};

/// Looks after which a peer that sends nothing is quiet: a quarter to half a second.
const QUIET_TICKS: u32 = 2;

/// How long a peer may keep us waiting.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// Between requests.
    pub idle: Duration,
    /// For a whole TLS handshake.
    pub handshake: Duration,
    /// For a whole request head.
    pub head: Duration,
    /// Window in which [`Timeouts::stall_min_bytes`] of a body have to move.
    pub stall: Duration,
    /// Least bytes of a body in a window, either direction.
    pub stall_min_bytes: u64,
}

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Between requests.
    Idle,
    /// In a TLS handshake.
    Handshake,
    /// Between connecting and a login, where the protocol has one.
    Login,
    /// Between two commands, where the protocol has a last word for those who are too slow.
    Command,
    /// As long as something else is under way.
    Busy,
    /// Receiving a head.
    Head,
    /// Receiving a body.
    Body,
    /// Sending a reply.
    Reply,
}

/// The phase in which the peer was too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expired(pub Phase);

/// What the sweeper knows of one connection.
pub struct Watch {
    socket: Rc<Socket>,
    phase: Cell<Phase>,
    waiting: Cell<bool>,
    /// Ticks of the phase that were spent waiting.
    waited_ticks: Cell<u32>,
    /// Ticks of the wait under way.
    quiet_ticks: Cell<u32>,
    /// Who wants to know that the peer is quiet.
    waker: Cell<Option<Waker>>,
    moved_bytes: Cell<u64>,
    /// Bytes moved since the connection last let others have their turn.
    run_bytes: Cell<u64>,
    expired: Cell<Option<Expired>>,
}

/// A wait for the peer, also one that is given up.
struct Waiting<'a>(&'a Watch);

impl<'a> Waiting<'a> {
    fn begin(watch: &'a Watch) -> Self {
        watch.waiting.set(true);
        watch.quiet_ticks.set(0);
        watch.run_bytes.set(0);
        Self(watch)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(false);
        self.0.waker.set(None);
    }
}

/// Looks after the connections of a shard.
pub struct Sweeper {
    timeouts: Timeouts,
    watches: RefCell<Vec<Weak<Watch>>>,
}

impl Watch {
    /// Enters a phase; its clock starts at zero.
    pub fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.waited_ticks.set(0);
        self.moved_bytes.set(0);
    }

    /// The phase last entered.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Bytes of the phase went through. Lets others have their turn when many did without a wait: a peer that always
    /// keeps up would have the shard for itself.
    pub async fn moved(&self, bytes: usize) {
        self.moved_bytes.set(self.moved_bytes.get() + bytes as u64);
        self.run_bytes.set(self.run_bytes.get() + bytes as u64);
        if self.run_bytes.get() >= RUN_MAX_BYTES {
            self.run_bytes.set(0);
            ring::yield_now().await;
        }
    }

    /// Whether, and where, the peer was too slow.
    #[must_use]
    pub fn expired(&self) -> Option<Expired> {
        self.expired.get()
    }

    /// Waits for the peer to send; this time counts.
    ///
    /// # Errors
    /// The ring refuses the poll.
    pub async fn readable(&self) -> std::io::Result<()> {
        self.wait(self.socket.readable()).await
    }

    /// As [`Watch::readable`], but gives up when the peer is quiet for a moment: false then.
    ///
    /// # Errors
    /// The ring refuses the poll.
    pub async fn readable_soon(&self) -> std::io::Result<bool> {
        let mut readable = pin!(self.socket.readable());
        let either = poll_fn(|context| {
            if let Poll::Ready(result) = readable.as_mut().poll(context) {
                return Poll::Ready(result.map(|()| true));
            }
            if self.quiet_ticks.get() >= QUIET_TICKS {
                return Poll::Ready(Ok(false));
            }
            self.waker.set(Some(context.waker().clone()));
            Poll::Pending
        });
        self.wait(either).await
    }

    /// As [`Watch::readable`], but gives up after `moment`: false then.
    ///
    /// # Errors
    /// The ring refuses the poll.
    pub async fn readable_within(&self, moment: Duration) -> std::io::Result<bool> {
        let (readable, over) = (pin!(self.socket.readable()), pin!(ring::sleep(moment)));
        match self.wait(select(readable, over)).await {
            Either::Left((result, _)) => result.map(|()| true),
            Either::Right(_) => Ok(false),
        }
    }

    /// Waits for the peer to receive; this time counts.
    ///
    /// # Errors
    /// The ring refuses the poll.
    pub async fn writable(&self) -> std::io::Result<()> {
        self.wait(self.socket.writable()).await
    }

    async fn wait<T>(&self, wait: impl Future<Output = T>) -> T {
        let _waiting = Waiting::begin(self);
        wait.await
    }

    /// Ends what the peer sends, which wakes whoever waits for it; a last word can still be said.
    pub fn wake(&self) {
        self.socket.shutdown(Shutdown::Read);
    }

    fn tick(&self, timeouts: &Timeouts) {
        if !self.waiting.get() {
            return;
        }
        self.quiet_ticks.set(self.quiet_ticks.get().saturating_add(1));
        if self.quiet_ticks.get() >= QUIET_TICKS
            && let Some(waker) = self.waker.take()
        {
            waker.wake();
        }
        if self.phase.get() == Phase::Busy {
            return;
        }
        self.waited_ticks.set(self.waited_ticks.get().saturating_add(1));
        let (limit, least) = match self.phase.get() {
            Phase::Idle | Phase::Command | Phase::Busy => (timeouts.idle, u64::MAX),
            Phase::Handshake => (timeouts.handshake, u64::MAX),
            Phase::Head | Phase::Login => (timeouts.head, u64::MAX),
            Phase::Body | Phase::Reply => (timeouts.stall, timeouts.stall_min_bytes),
        };
        if self.waited_ticks.get() <= ticks(limit) {
            return;
        }
        if self.moved_bytes.get() >= least {
            return self.enter(self.phase.get());
        }
        self.expire();
    }

    fn expire(&self) {
        let phase = self.phase.get();
        // What is in the socket already is still read, so that the peer may get on in spite of this: but once.
        let again = self.expired.replace(Some(Expired(phase))).is_some();
        // A slow sender can still be told so, and an idle one that this is the end.
        let both = again || matches!(phase, Phase::Handshake | Phase::Reply);
        self.socket
            .shutdown(if both { Shutdown::Both } else { Shutdown::Read });
        self.enter(phase);
    }
}

impl Sweeper {
    /// A sweeper without connections; [`Sweeper::run`] has to be spawned.
    #[must_use]
    pub fn new(timeouts: Timeouts) -> Rc<Self> {
        Rc::new(Self {
            timeouts,
            watches: RefCell::default(),
        })
    }

    /// Looks after a connection until its watch is dropped.
    #[must_use]
    pub fn watch(&self, socket: Rc<Socket>) -> Rc<Watch> {
        let watch = Rc::new(Watch {
            socket,
            phase: Cell::new(Phase::Idle),
            waiting: Cell::new(false),
            waited_ticks: Cell::new(0),
            quiet_ticks: Cell::new(0),
            waker: Cell::new(None),
            moved_bytes: Cell::new(0),
            run_bytes: Cell::new(0),
            expired: Cell::new(None),
        });
        self.watches.borrow_mut().push(Rc::downgrade(&watch));
        watch
    }

    /// Closes the connections that are between requests.
    pub fn close_idle(&self) {
        self.each(|watch| {
            let idle = matches!(watch.phase(), Phase::Idle | Phase::Login | Phase::Command);
            if idle && watch.waiting.get() {
                // A request that is in the socket already is still read and answered.
                watch.socket.shutdown(Shutdown::Read);
            }
        });
    }

    /// Closes all connections, whatever they are doing. Nobody takes this for the end of what the peer sends.
    pub fn close_all(&self) {
        self.each(|watch| {
            watch.expired.set(Some(Expired(watch.phase())));
            watch.socket.shutdown(Shutdown::Both);
        });
    }

    /// Sweeps until the sweeper is dropped by everyone else.
    pub async fn run(sweeper: Weak<Self>) {
        loop {
            ring::sleep(Duration::from_millis(SWEEP_INTERVAL_MS)).await;
            let Some(sweeper) = sweeper.upgrade() else { return };
            sweeper.each(|watch| watch.tick(&sweeper.timeouts));
        }
    }

    fn each(&self, mut act: impl FnMut(&Watch)) {
        self.watches
            .borrow_mut()
            .retain(|watch| watch.upgrade().inspect(|watch| act(watch)).is_some());
    }
}

fn ticks(limit: Duration) -> u32 {
    u32::try_from(limit.as_millis() / u128::from(SWEEP_INTERVAL_MS)).unwrap_or(u32::MAX)
}
