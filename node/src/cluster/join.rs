//! The first start of a node with a cluster that may hold a registry already.

use std::time::Duration;

use filegrid_meta::nodes::{Following, REGISTRY, RegistryItem, Taken, write_position};
use filegrid_meta::registry::{Position, Registry};
use tokio::time::timeout;

use super::registry::take_over;
use super::way::{Way, unreadable};
use super::{Place, open_way};
use crate::auth::First;
use crate::limits::{JOIN_PATIENCE_S, SHIP_RETRY_MAX_MS};

/// The cluster's registry, for a node that has none. One that holds nothing is given what `first` makes, which comes back
/// too. Blocks.
///
/// # Errors
///
/// If the cluster cannot be asked in time; says why.
pub fn join(
    place: &Place,
    node: u64,
    first: impl FnOnce() -> Result<(Registry, First), String>,
) -> Result<(Registry, Option<First>), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start a runtime: {error}"))?;
    runtime.block_on(async {
        let (serving, way) = open_way(place, node).await?;
        let mut joining = Joining {
            way,
            node,
            first: Some(first),
            made: None,
        };
        let patience = Duration::from_secs(JOIN_PATIENCE_S);
        let mut why = String::new();
        let joined = timeout(patience, joining.until_joined(&mut why)).await;
        let made = joining.made.take();
        drop(joining);
        if let Some(serving) = serving {
            serving.stop().await;
        }
        let registry = joined.map_err(|_| {
            format!("the first start of this node needs the metadata cluster, which cannot be reached: {why}")
        })??;
        // If another node was quicker, that one tells the keys.
        let first = made.map(|(_, first)| first);
        let first = first.filter(|first| registry.tenant(first.keys.association).is_some());
        Ok((registry, first))
    })
}

struct Joining<F> {
    way: Way,
    node: u64,
    first: Option<F>,
    made: Option<(Registry, First)>,
}

impl<F: FnOnce() -> Result<(Registry, First), String>> Joining<F> {
    /// Tries again while the cluster is away; `why` says what is in the way.
    async fn until_joined(&mut self, why: &mut String) -> Result<Registry, String> {
        loop {
            let known = match self.known().await {
                Ok(known) if known.is_taken_over(self.node) => return Ok(known),
                Ok(known) => known,
                Err(error) => {
                    *why = error;
                    tokio::time::sleep(Duration::from_millis(SHIP_RETRY_MAX_MS / 4)).await;
                    continue;
                }
            };
            if known.tenants().len() == 0
                && known.operator().is_none()
                && let Some(first) = self.first.take()
            {
                self.made = Some(first()?);
            }
            let made = self.made.iter().flat_map(|(own, _)| own.rows());
            if let Err(error) = take_over(&self.way, self.node, made, true).await {
                *why = error;
            }
        }
    }

    /// The cluster's registry, as new as any member knows it.
    async fn known(&self) -> Result<Registry, String> {
        let client = match &self.way {
            Way::Here(nodes) => {
                let read = nodes.member().read_barrier().await;
                read.map_err(|error| error.to_string())?;
                return Ok((*nodes.store().registry()).clone());
            }
            Way::There(client) => client,
        };
        let asked = client.watch(REGISTRY, write_position(Position::default())).await;
        let (mut items, member) = asked.map_err(|error| error.to_string())?;
        let mut following = Following::default();
        let why = loop {
            let item = match items.next().await {
                Some(Ok(item)) => RegistryItem::read(item),
                Some(Err(error)) => break error.to_string(),
                None => break "it has ended the registry".to_owned(),
            };
            let Some(item) = item else { break unreadable() };
            if following.take(item) == Some(Taken::Sign) {
                return Ok(following.registry().clone());
            }
        };
        client.pass_over(&member);
        Err(why)
    }
}
