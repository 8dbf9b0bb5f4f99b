//! Tickets that belong to one control connection of FTP.
//!
//! A data connection that resumes proves that it comes from the client of the control connection, if only that
//! connection's tickets are taken. Every ticket and every stored session therefore begins with the control
//! connection's id, under the protection of the ticket itself.
//!
//! Who resumes by a ticket gets a new one. A session in the cache stays as it is when it resumes, with the id of the
//! control connection that it began with: it resumes for that one's data connections alone.

use std::sync::Arc;

use rustls::server::{ProducesTickets, StoresServerSessions};

/// Names a control connection.
pub(super) type BindingId = [u8; 16];

/// Tickets and sessions of one control connection.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) id: BindingId,
    /// Whether tickets of other connections are taken as well: by control connections, of clients that come again.
    pub(super) any: bool,
    pub(super) tickets: Arc<dyn ProducesTickets>,
    pub(super) sessions: Arc<dyn StoresServerSessions>,
}

impl Bound {
    fn wrap(&self, value: &[u8]) -> Vec<u8> {
        [self.id.as_slice(), value].concat()
    }

    fn unwrap(&self, any: bool, value: &[u8]) -> Option<Vec<u8>> {
        let (id, value) = value.split_first_chunk::<16>()?;
        (any || *id == self.id).then(|| value.to_vec())
    }
}

impl ProducesTickets for Bound {
    fn enabled(&self) -> bool {
        self.tickets.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.tickets.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.tickets.encrypt(&self.wrap(plain))
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.unwrap(self.any, &self.tickets.decrypt(cipher)?)
    }
}

impl StoresServerSessions for Bound {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.sessions.put(key, self.wrap(&value))
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.unwrap(false, &self.sessions.get(key)?)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.unwrap(false, &self.sessions.take(key)?)
    }

    fn can_cache(&self) -> bool {
        self.sessions.can_cache()
    }
}
