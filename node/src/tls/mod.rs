//! TLS for every protocol: who we are, how sessions resume, handshakes, and records. No I/O but the certificates' files.
//!
//! TLS 1.2 and 1.3 by rustls with aws-lc-rs. What clients need to resume lies in tickets, or in a cache for those that
//! know session ids only; keys and cache are shared by all shards.

mod buffer;
mod certificates;
mod error;
mod handshake;
mod nodes;
mod record;
mod self_made;
mod session;
mod side;
mod tickets;

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::{ProducesTickets, ServerConfig, ServerSessionMemoryCache, StoresServerSessions};

use self::tickets::Bound;
use crate::limits::TLS_SESSIONS_MAX_COUNT;

pub use self::certificates::{CertificateFiles, Certificates};
pub use self::error::TlsError;
pub use self::handshake::Handshake;
pub use self::nodes::{NodeTls, is_node};
pub use self::session::Session;
pub use self::side::Side;

/// First byte of a TLS connection: a handshake record.
pub const FIRST_BYTE: u8 = 0x16;

/// Tickets that a control connection gets: some clients use each but once.
const CONTROL_TICKETS_COUNT: usize = 4;

/// What handshakes need, shared by all shards.
pub struct Tls {
    certificates: Arc<Certificates>,
    http: Arc<ServerConfig>,
    ftp: Arc<ServerConfig>,
    tickets: Arc<dyn ProducesTickets>,
    sessions: Arc<dyn StoresServerSessions>,
    self_made: bool,
}

/// The handshakes of one control connection of FTP and of its data connections.
pub struct FtpHandshakes {
    /// Of the control connection. Data connections resume its session and no other.
    pub control: Arc<ServerConfig>,
    /// Of data connections that clients send over. They get no tickets there: many close without reading, and what
    /// they have not read makes their system cut the connection off and drop what it has not sent.
    pub inward: Arc<ServerConfig>,
    /// Of data connections that clients receive over.
    pub outward: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the certificates and watches their files. Without any, one is made and kept in `data`.
    ///
    /// # Errors
    ///
    /// A text that says what is wrong with which file.
    pub fn open(files: &[CertificateFiles], data: &Path) -> Result<Arc<Self>, String> {
        let provider = Arc::new(default_provider());
        let self_made = files.is_empty();
        let files = if self_made {
            vec![self_made::ensure(data)?]
        } else {
            files.to_vec()
        };
        let certificates = Certificates::open(files, Arc::clone(&provider))?;
        certificates
            .watch()
            .map_err(|error| format!("cannot watch the certificates: {error}"))?;
        let mut ftp = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&certificates) as _);
        let tickets = Ticketer::new().map_err(|error| error.to_string())?;
        let sessions = ServerSessionMemoryCache::new(TLS_SESSIONS_MAX_COUNT);
        ftp.ticketer = Arc::clone(&tickets);
        ftp.session_storage = Arc::clone(&sessions) as _;
        // The record layer is ours.
        ftp.enable_secret_extraction = true;
        let mut http = ftp.clone();
        http.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(Self {
            certificates,
            http: Arc::new(http),
            ftp: Arc::new(ftp),
            tickets,
            sessions,
            self_made,
        }))
    }

    /// Handshakes of HTTPS.
    #[must_use]
    pub fn http(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.http)
    }

    /// Handshakes of a control connection of FTP, and of its data connections.
    ///
    /// # Errors
    ///
    /// If the system has no randomness to give.
    pub fn ftp(&self) -> Result<FtpHandshakes, TlsError> {
        let mut id = [0; 16];
        aws_lc_rs::rand::fill(&mut id).map_err(|_| TlsError::Unexpected)?;
        let config = |any, tickets| {
            let bound = Arc::new(Bound {
                id,
                any,
                tickets: Arc::clone(&self.tickets),
                sessions: Arc::clone(&self.sessions),
            });
            let mut config = ServerConfig::clone(&self.ftp);
            config.ticketer = Arc::clone(&bound) as _;
            config.session_storage = bound as _;
            config.send_tls13_tickets = tickets;
            Arc::new(config)
        };
        Ok(FtpHandshakes {
            control: config(true, CONTROL_TICKETS_COUNT),
            inward: config(false, 0),
            outward: config(false, 1),
        })
    }

    /// The certificates.
    #[must_use]
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// Whether the certificate is one that nobody has configured.
    #[must_use]
    pub fn is_self_made(&self) -> bool {
        self.self_made
    }
}

#[cfg(test)]
mod tests;
