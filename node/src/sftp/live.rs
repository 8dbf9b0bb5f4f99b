//! The connections that are open, to end those whose account has changed.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::flow::Flow;
use crate::auth::{AccountPrincipal, RegistryFile};
use crate::limits::FTP_SESSION_CHECK_MS;
use crate::net::Permit;

/// A connection, as others may end it.
pub(super) struct Live {
    flow: Arc<Flow>,
    account: Mutex<Option<AccountPrincipal>>,
    /// Its place among those that have not logged in.
    start: Mutex<Option<Permit>>,
}

impl Live {
    pub(super) fn new(flow: Arc<Flow>, start: Permit) -> Arc<Self> {
        Arc::new(Self {
            flow,
            account: Mutex::default(),
            start: Mutex::new(Some(start)),
        })
    }

    /// The connection of an account that is logged in.
    pub(super) fn of(flow: Arc<Flow>, account: AccountPrincipal) -> Arc<Self> {
        Arc::new(Self {
            flow,
            account: Mutex::new(Some(account)),
            start: Mutex::default(),
        })
    }

    /// Whose connection it is from now on.
    pub(super) fn logged_in(&self, account: AccountPrincipal) {
        drop(self.start.lock().unwrap_or_else(PoisonError::into_inner).take());
        *self.account.lock().unwrap_or_else(PoisonError::into_inner) = Some(account);
    }

    /// Whose connection it is.
    pub(super) fn account(&self) -> Option<AccountPrincipal> {
        self.account
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// All connections.
#[derive(Default)]
pub(super) struct Connections(Mutex<Vec<Weak<Live>>>);

impl Connections {
    pub(super) fn add(&self, live: &Arc<Live>) {
        self.list().push(Arc::downgrade(live));
    }

    fn list(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Live>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends connections whose account has changed, for ever.
    pub(super) async fn look_after(&self, registry: &RegistryFile) {
        let mut seen = None;
        loop {
            tokio::time::sleep(Duration::from_millis(FTP_SESSION_CHECK_MS)).await;
            let version = Some(registry.version());
            let changed = std::mem::replace(&mut seen, version) != version;
            let registry = registry.current();
            self.list().retain(|live| {
                let Some(live) = live.upgrade() else { return false };
                let account = live.account();
                if changed && account.is_some_and(|account| !account.is_current(&registry)) {
                    live.flow.cut();
                }
                true
            });
        }
    }

    /// Ends all connections.
    pub(super) fn cut_all(&self) {
        for live in self.list().iter().filter_map(Weak::upgrade) {
            live.flow.cut();
        }
    }
}
