//! What the FTP sessions of a shard share.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use super::abort::Abort;
use super::public::PublicAddresses;
use super::state::Policy;
use crate::auth::{AccountPrincipal, Login};
use crate::limits::{
    FTP_PORT_RETRY_MS, FTP_PORT_TRIES_MAX_COUNT, FTP_PORTS_SOUGHT_MAX_COUNT, FTP_SESSION_CHECK_MS,
};
use crate::net::{Drain, Handshakes, Sweeper, Watch};
use crate::relay::Links;
use crate::ring::{self, Listener};
use crate::store::Store;
use crate::tls::Tls;

/// What the operator has decided about FTP.
#[derive(Debug, Clone)]
pub struct Settings {
    /// TLS and active mode.
    pub policy: Policy,
    /// Whether data connections have to resume the control connection's session.
    pub resumption_required: bool,
    /// Whether an upload over TLS may end without `close_notify`.
    pub lenient: bool,
    /// Ports for passive data connections.
    pub ports: RangeInclusive<u16>,
    /// For a data connection to be opened.
    pub data_timeout: Duration,
    /// Between connecting and the login.
    pub login_timeout: Duration,
    /// Whether uploads that break are kept to be gone on with.
    pub keeps_partials: bool,
}

/// What the FTP sessions of a shard share.
pub struct Ftp {
    /// Files.
    pub store: Store,
    /// Accounts.
    pub login: Arc<Login>,
    /// The way to other nodes.
    pub links: Rc<Links>,
    /// Certificates.
    pub tls: Option<Arc<Tls>>,
    /// The operator's decisions.
    pub settings: Settings,
    /// What PASV tells.
    pub public: Arc<PublicAddresses>,
    /// Deadlines.
    pub sweeper: Rc<Sweeper>,
    /// TLS handshakes under way.
    pub handshakes: Rc<Handshakes>,
    /// The way to a stop.
    pub drain: Rc<Drain>,
    /// Sessions that are open.
    pub sessions: Sessions,
}

/// A session, as others may end it.
#[derive(Default)]
pub(super) struct Handle {
    account: RefCell<Option<AccountPrincipal>>,
    watch: RefCell<Option<Rc<Watch>>>,
    abort: RefCell<Option<Rc<Abort>>>,
    ended: Cell<bool>,
}

impl Handle {
    /// Whose session it is by now.
    pub(super) fn belongs_to(&self, account: Option<AccountPrincipal>) {
        self.account.replace(account);
    }

    pub(super) fn is_on(&self, watch: Rc<Watch>) {
        self.watch.replace(Some(watch));
    }

    /// What a running transfer is ended by.
    pub(super) fn transfers(&self, abort: Option<Rc<Abort>>) {
        self.abort.replace(abort);
    }

    /// Whether the account has changed under the session.
    pub(super) fn is_ended(&self) -> bool {
        self.ended.get()
    }

    fn end(&self) {
        self.ended.set(true);
        if let Some(abort) = self.abort.borrow().as_ref() {
            abort.raise();
        }
        if let Some(watch) = self.watch.borrow().as_ref() {
            watch.wake();
        }
    }
}

/// The sessions of a shard.
#[derive(Default)]
pub struct Sessions(RefCell<Vec<Weak<Handle>>>);

impl Sessions {
    pub(super) fn open(&self) -> Rc<Handle> {
        let handle = Rc::new(Handle::default());
        self.0.borrow_mut().push(Rc::downgrade(&handle));
        handle
    }
}

impl Ftp {
    /// Ends sessions whose account has changed, as long as the shard's FTP lives.
    pub async fn look_after(ftp: Weak<Self>) {
        let mut seen = None;
        loop {
            ring::sleep(Duration::from_millis(FTP_SESSION_CHECK_MS)).await;
            let Some(ftp) = ftp.upgrade() else { return };
            let registry = ftp.login.registry();
            let version = Some(registry.version());
            let changed = std::mem::replace(&mut seen, version) != version;
            let registry = registry.current();
            ftp.sessions.0.borrow_mut().retain(|handle| {
                let Some(handle) = handle.upgrade() else {
                    return false;
                };
                let account = handle.account.borrow();
                if changed
                    && account
                        .as_ref()
                        .is_some_and(|account| !account.is_current(&registry))
                {
                    handle.end();
                }
                true
            });
        }
    }

    /// Listens for a passive data connection. Where all ports are taken it waits a moment: the ring may still be
    /// closing one that was given up.
    ///
    /// The port is chosen here, also where any will do: one that the kernel chooses is none on which a connection has
    /// ended within the last minute, and with some ten thousand of those each search takes milliseconds.
    pub(super) async fn listen(&self, address: IpAddr) -> std::io::Result<Listener> {
        for _ in 0..FTP_PORT_TRIES_MAX_COUNT {
            if let Ok(listener) = self.listen_now(address) {
                return Ok(listener);
            }
            ring::sleep(Duration::from_millis(FTP_PORT_RETRY_MS)).await;
        }
        self.listen_now(address)
    }

    fn listen_now(&self, address: IpAddr) -> std::io::Result<Listener> {
        let ports = self.settings.ports.clone();
        // Nobody is to know beforehand where the next data connection goes.
        let mut random = [0; 2];
        let _ = aws_lc_rs::rand::fill(&mut random);
        let first = usize::from(u16::from_ne_bytes(random)) % ports.len().max(1);
        let from_there = ports.clone().skip(first).chain(ports.take(first));
        let mut failed = None;
        for port in from_there.take(FTP_PORTS_SOUGHT_MAX_COUNT) {
            match Listener::bind_alone(SocketAddr::new(address, port)) {
                Ok(listener) => return Ok(listener),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into()))
    }
}
