//! Says in the cluster's registry where this node is.

use std::sync::Arc;
use std::time::Duration;

use filegrid_meta::registry::{Command, Registry};

use super::session::Session;
use super::{Cluster, Request};
use crate::limits::{ANNOUNCE_RETRY_MS, ANNOUNCE_SIGN_MS};

/// Where others reach this node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Announcement {
    /// Host and port of its relay; empty for none.
    pub relay: String,
    /// Where clients reach its REST API; empty if they are not to be sent there.
    pub public_url: String,
}

impl Announcement {
    /// Whether the registry says the same of a node.
    fn is_known(&self, registry: &Registry, node: u64) -> bool {
        match registry.node(node) {
            Some(known) => known.relay == self.relay && known.public_url == self.public_url,
            None => *self == Self::default(),
        }
    }
}

impl Cluster {
    /// Has the registry say where this node is, from now on.
    pub fn announce(&self, announcement: Announcement) {
        // A node that stops need not be found.
        let _ = self.requests.send(Request::Announce(announcement));
    }
}

impl Session {
    /// Sees to it for ever that the registry says where this node is: a cluster that was restored may have forgotten.
    pub(super) async fn announce(self: Arc<Self>, announcement: Announcement) {
        let us = self.us();
        let _ = self.entered().await;
        let mut said = String::new();
        loop {
            if announcement.is_known(&us.registry.current(), us.node) {
                tokio::time::sleep(Duration::from_millis(ANNOUNCE_SIGN_MS)).await;
                continue;
            }
            let Announcement { relay, public_url } = announcement.clone();
            let command = Command::Announce {
                node: us.node,
                relay,
                public_url,
            };
            match self.register(command).await {
                Ok(_) => continue,
                // Those that pass were told of by whoever noticed that the cluster is away.
                Err(error) if !error.retry_helps() && error.to_string() != said => {
                    said = error.to_string();
                    tracing::error!(%error, "the cluster does not take where this node is");
                }
                Err(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(ANNOUNCE_RETRY_MS)).await;
        }
    }
}
