//! How many connections there may be, in all and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::metrics::{Open, Via};

/// The count of open connections, shared by all shards: taken at accept and given back at close only.
pub struct Admission {
    max: usize,
    max_per_address: usize,
    open: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// The right to one connection; dropped with it.
pub struct Permit {
    admission: Arc<Admission>,
    address: IpAddr,
    /// Counts the connection.
    open: Option<Open>,
}

impl Permit {
    /// Counts the connection for as long as it lasts.
    #[must_use]
    pub fn counted(mut self, via: Via) -> Self {
        self.open = Some(Open::new(via));
        self
    }
}

impl Admission {
    /// Admits `max` connections in all and `max_per_address` from one address.
    #[must_use]
    pub fn new(max: usize, max_per_address: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            max_per_address,
            open: Mutex::default(),
        })
    }

    /// Admits a connection, unless there are too many.
    #[must_use]
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Permit> {
        // An IPv4 client counts once, whichever family the listener has.
        let address = address.to_canonical();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let from_here = open.by_address.get(&address).copied().unwrap_or(0);
        if open.total >= self.max || from_here >= self.max_per_address {
            return None;
        }
        open.total += 1;
        open.by_address.insert(address, from_here + 1);
        Some(Permit {
            admission: self.clone(),
            address,
            open: None,
        })
    }

    /// Connections that are open now, in all.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).total
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.admission.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.total = open.total.saturating_sub(1);
        if let Some(count) = open.by_address.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.by_address.remove(&self.address);
            }
        }
    }
}
