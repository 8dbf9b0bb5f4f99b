//! Associations that are given to this node, or taken from it, by the cluster's registry alone: not by a request that
//! comes through this node.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use filegrid_meta::registry::{Command, Registry};
use filegrid_tree::{Command as TreeCommand, Protocol, TreePath};
use uuid::Uuid;

use crate::auth::Registrar;
use crate::cluster::Cluster;
use crate::error::Error;
use crate::limits::TENANTS_LOOK_MS;
use crate::ring;
use crate::store::{Owner, StoreError};

/// Looks after the associations of a shard's logs.
pub(crate) struct Tenants {
    owners: Vec<(u8, Rc<Owner>)>,
    cluster: Arc<Cluster>,
    registrar: Arc<Registrar>,
    /// Associations whose root is there.
    rooted: BTreeSet<Uuid>,
}

impl Tenants {
    pub(crate) fn new(
        owners: Vec<(u8, Rc<Owner>)>,
        cluster: Arc<Cluster>,
        registrar: Arc<Registrar>,
    ) -> Self {
        Self {
            owners,
            cluster,
            registrar,
            rooted: BTreeSet::new(),
        }
    }

    /// Goes on until the node stops.
    pub(crate) async fn attend(mut self) {
        let mut seen = None;
        let mut said = String::new();
        loop {
            ring::sleep(Duration::from_millis(TENANTS_LOOK_MS)).await;
            let registry = self.registrar.current();
            if seen == Some(registry.position()) {
                continue;
            }
            match self.look(&registry).await {
                Ok(()) => seen = Some(registry.position()),
                Err(Error::Fenced) => return,
                // What the cluster and the disk have in the way is told by others.
                Err(error) if error.retry_helps() || matches!(error, Error::StorageFull) => {}
                Err(error) if error.to_string() != said => {
                    said = error.to_string();
                    tracing::error!(%error, "an association of this node cannot be made or deleted");
                }
                Err(_) => {}
            }
        }
    }

    async fn look(&mut self, registry: &Registry) -> Result<(), Error> {
        let node = self.cluster.node();
        let ours = registry.tenants().map(|tenant| tenant.association());
        let ours = ours.filter(|of| of.home.is_some_and(|home| home.node == node));
        let ours: Vec<_> = ours.map(|of| (of.key, of.retired)).collect();
        self.rooted.retain(|key| registry.tenant(*key).is_some());
        for (key, retired) in ours {
            let Some((log, owner)) = self.owner_of(key) else {
                continue;
            };
            if retired {
                self.delete(key, log, &owner).await?;
            } else if !self.rooted.contains(&key) {
                owner.ensure_root(*key.as_bytes()).await.map_err(Error::from)?;
                self.rooted.insert(key);
            }
        }
        Ok(())
    }

    fn owner_of(&self, key: Uuid) -> Option<(u8, Rc<Owner>)> {
        let mut owners = self.owners.iter();
        let found = owners.find(|(_, owner)| owner.owns(key.as_bytes()));
        found.map(|(log, owner)| (*log, Rc::clone(owner)))
    }

    /// Files first: if it ends here, the next look goes on.
    async fn delete(&self, key: Uuid, log: u8, owner: &Owner) -> Result<(), Error> {
        let (paths, root) = (vec![TreePath::root()], TreePath::root());
        let delete = TreeCommand::Delete { paths, root };
        let done = owner.commit(*key.as_bytes(), Protocol::Api, delete, Vec::new(), Vec::new());
        done.await.map_err(|error: StoreError| Error::from(error))?;
        // Of an association that it does not know the cluster takes no changes.
        self.cluster.catch_up(log).await?;
        match self.registrar.submit(Command::DeleteAssociation { key }).await {
            Ok(_) | Err(Error::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
        tracing::info!(association = %key, "the operator has deleted an association: its files are given back");
        Ok(())
    }
}
