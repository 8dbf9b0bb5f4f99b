//! A member as it is run: a [`Host`] whose machine is a [`Store`], which answers nodes.

use std::sync::Arc;

use crate::config::Config;
use crate::host::{Host, take};
use crate::machine::Machine;
use crate::nodes::Nodes;
use crate::operators::Operators;
use crate::raft::Member;
use crate::store::Store;

/// A member that runs.
pub struct Serving {
    host: Host,
    nodes: Nodes,
}

impl Serving {
    /// Takes the directory and starts.
    ///
    /// # Errors
    ///
    /// A text that says what is wrong.
    pub async fn start(config: &Config) -> Result<Self, String> {
        let data = config.data.clone();
        let opened = tokio::task::spawn_blocking(move || -> Result<_, String> {
            let lock = take(&data)?;
            let store = Store::open(&data.join("rows"));
            Ok((
                lock,
                store.map_err(|error| format!("{}: {error}", data.display()))?,
            ))
        });
        let (lock, store) = opened.await.map_err(|error| error.to_string())??;
        let store = Arc::new(store);
        let machine: Arc<dyn Machine> = Arc::clone(&store) as _;
        let mut made = None;
        let host = Host::start(config, lock, machine, |member| {
            let nodes = made.insert(Nodes::new(member.clone(), Arc::clone(&store)));
            Arc::new(Operators::new(nodes.clone(), &config.cluster))
        })
        .await?;
        let nodes = made.unwrap_or_else(|| Nodes::new(host.member().clone(), store));
        Ok(Self { host, nodes })
    }

    /// The member.
    #[must_use]
    pub fn member(&self) -> &Member {
        self.host.member()
    }

    /// What nodes are answered with.
    #[must_use]
    pub fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// The port that it listens on, if it does.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.host.port()
    }

    /// Stops the member and closes its log.
    pub async fn stop(self) {
        drop(self.nodes);
        self.host.stop().await;
    }
}
