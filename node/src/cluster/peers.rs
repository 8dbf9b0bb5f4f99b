//! The way to other nodes for what runs on tokio.

use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use filegrid_meta::wire::{Identity, Reader, Security, Writer};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::Place;
use crate::auth::RegistryFile;
use crate::limits::RELAY_CONNECT_MS;
use crate::ring::notice_loss;

/// Makes connections to other nodes.
pub struct Peers {
    registry: Arc<RegistryFile>,
    security: Security,
}

impl Peers {
    /// By the certificates that this node has for the members; `None` where it is alone.
    #[must_use]
    pub fn of(place: &Place, registry: &Arc<RegistryFile>) -> Option<Arc<Self>> {
        match place {
            Place::Embedded(_) => None,
            Place::Members { security, .. } => Some(Arc::new(Self {
                registry: Arc::clone(registry),
                security: security.clone(),
            })),
        }
    }

    /// A connection to a node, on which `first` is sent.
    ///
    /// # Errors
    ///
    /// A text that says why there is none.
    pub async fn dial(&self, node: u64, first: &[u8]) -> Result<(Reader, Writer), String> {
        let announced = self.registry.current().node(node).map(|node| node.relay.clone());
        let address = announced.filter(|relay| !relay.is_empty());
        let address = address.ok_or("it has not said where its relay is: set relay there")?;
        let dialed = tokio::time::timeout(
            Duration::from_millis(RELAY_CONNECT_MS),
            self.open(node, &address, first),
        );
        match dialed.await {
            Ok(dialed) => dialed.map_err(|why| format!("{address}: {why}")),
            Err(_) => Err(format!("{address}: no answer")),
        }
    }

    async fn open(&self, node: u64, address: &str, first: &[u8]) -> Result<(Reader, Writer), String> {
        let failed = |error: std::io::Error| error.to_string();
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host(address).await.map_err(failed)?.collect();
        addresses
            .iter()
            .try_for_each(|address| self.security.allows(address))?;
        let stream = TcpStream::connect(&*addresses).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        notice_loss(stream.as_fd());
        let node = Identity::node(&format!("{node:016x}"));
        let (reader, mut writer) = self.security.connect_to(&node, stream).await.map_err(failed)?;
        writer.write_all(first).await.map_err(failed)?;
        writer.flush().await.map_err(failed)?;
        Ok((reader, writer))
    }
}
