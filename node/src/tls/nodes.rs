//! TLS between nodes: both sides show certificates of the cluster's authority.

use std::sync::Arc;

use filegrid_meta::wire::{Identity, Role, Security};
use rustls::client::{ClientConfig, Resumption, UnbufferedClientConnection};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ServerConfig;

use super::{Handshake, TlsError};

/// What handshakes with other nodes need.
pub struct NodeTls {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl NodeTls {
    /// By the certificates that this node has for the members; `None` where it speaks to them in the clear.
    #[must_use]
    pub fn of(security: &Security) -> Option<Self> {
        let (server, client) = security.configs()?;
        let (mut server, mut client) = ((**server).clone(), (**client).clone());
        // The record layer is ours, and it knows no tickets.
        server.enable_secret_extraction = true;
        server.send_tls13_tickets = 0;
        client.enable_secret_extraction = true;
        client.resumption = Resumption::disabled();
        Some(Self {
            server: Arc::new(server),
            client: Arc::new(client),
        })
    }

    /// For handshakes that other nodes begin.
    #[must_use]
    pub fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    /// Begins a handshake with a node, which has to have its own certificate.
    ///
    /// # Errors
    ///
    /// The configuration is not usable.
    pub fn greet(&self, node: u64) -> Result<Handshake<UnbufferedClientConnection>, TlsError> {
        let name = Identity::node(&format!("{node:016x}")).certificate_names();
        let name = name.into_iter().next().unwrap_or_default();
        let name = ServerName::try_from(name).map_err(|_| TlsError::Unexpected)?;
        let connection = UnbufferedClientConnection::new(Arc::clone(&self.client), name);
        Ok(Handshake::of(connection.map_err(TlsError::Handshake)?))
    }
}

/// Whether a certificate, which the authority has signed, is one of a node.
#[must_use]
pub fn is_node(certificate: &CertificateDer<'_>) -> bool {
    let named = Identity::of_certificate(certificate);
    named.iter().any(|identity| identity.role == Role::Node)
}
