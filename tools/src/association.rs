//! Associations.

use std::fmt::Write as _;
use std::time::Duration;

use filegrid_meta::nodes::{LIST, ListRequest, Page, ROSTER, read_roster};
use filegrid_meta::operators::{AssociationShown, TENANTS, TenantsAfter, TenantsPage, TenantsRequest};
use filegrid_meta::registry::Command;
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::operator::{Operator, unreadable};
use crate::report::Report;

/// How often is looked.
const LOOK_MS: u64 = 200;

impl Operator {
    /// Makes one, at home on a node; without `home` on the one that has the fewest, and waits for that to take it. With a `key` of an association that is
    /// there already, by this name, it does nothing.
    ///
    /// # Errors
    ///
    /// A text that says why not.
    pub async fn create_association(
        &self,
        name: &str,
        key: Option<Uuid>,
        home: Option<u64>,
        patience: Duration,
    ) -> Result<Report, String> {
        if let Some(key) = key
            && let Some(known) = self.association(key).await?
        {
            if known.name != name || home.is_some_and(|home| known.home.is_none_or(|at| at.node != home)) {
                return Err(format!(
                    "there is an association {key} already, with another name or home: see association show {key}"
                ));
            }
            return Ok(told(&known, &[("created", false.into())]));
        }
        let node = self.home_for(home).await?;
        let key = key.unwrap_or_else(Uuid::new_v4);
        self.register(&Command::CreateAssociation {
            key,
            name: name.to_owned(),
            node: Some(node),
        })
        .await?;
        let ready = self.is_taken(key, patience).await;
        let made = self.association(key).await?.ok_or_else(|| missing(key))?;
        let mut report = told(&made, &[("created", true.into()), ("ready", ready.into())]);
        if !ready {
            report.text += &format!("node {node:016x} has not taken it yet, and will when it can\n");
        }
        Ok(report)
    }

    /// Whether the node of an association has made a place for its files, waiting a while for that.
    async fn is_taken(&self, association: Uuid, patience: Duration) -> bool {
        let request = ListRequest {
            association,
            path: "/".to_owned(),
            after: None,
            shows: Vec::new(),
            patience_ms: 0,
            entries: 1,
        };
        let deadline = Instant::now() + patience;
        loop {
            let page = self.client.call(LIST, request.write()).await;
            if page.ok().and_then(Page::read).is_some_and(|page| page.found) {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        }
    }

    /// All of them.
    ///
    /// # Errors
    ///
    /// If no member answers: why.
    pub async fn list_associations(&self) -> Result<Report, String> {
        let all = self.associations().await?;
        let mut text = String::new();
        for association in &all {
            text += &line(association);
        }
        Ok(Report::new(
            text,
            all.iter().map(shown).collect::<Vec<_>>().into(),
        ))
    }

    /// One of them.
    ///
    /// # Errors
    ///
    /// If it is not there.
    pub async fn show_association(&self, key: Uuid) -> Result<Report, String> {
        let known = self.association(key).await?.ok_or_else(|| missing(key))?;
        Ok(told(&known, &[]))
    }

    /// Changes its name, or whether anybody of it may do anything.
    ///
    /// # Errors
    ///
    /// A text that says why not.
    pub async fn update_association(
        &self,
        key: Uuid,
        name: Option<&str>,
        enabled: Option<bool>,
    ) -> Result<Report, String> {
        let name = name.map(ToOwned::to_owned);
        self.register(&Command::UpdateAssociation { key, name, enabled })
            .await?;
        self.show_association(key).await
    }

    /// Deletes one that is disabled: its node deletes the files first, which is waited for. With `force` it is deleted at once, and a node that
    /// comes back keeps files that nobody can reach.
    ///
    /// # Errors
    ///
    /// A text that says why not.
    pub async fn delete_association(
        &self,
        key: Uuid,
        force: bool,
        patience: Duration,
    ) -> Result<Report, String> {
        let known = self.association(key).await?.ok_or_else(|| missing(key))?;
        if known.enabled {
            return Err(format!("the association {key} is enabled: disable it first"));
        }
        let Some(home) = known.home.filter(|_| !force) else {
            self.register(&Command::DeleteAssociation { key }).await?;
            return Ok(deleted(key));
        };
        self.register(&Command::RetireAssociation { key }).await?;
        let deadline = Instant::now() + patience;
        while self.association(key).await?.is_some() {
            if Instant::now() >= deadline {
                let node = format!("{:016x}", home.node);
                return Ok(Report::new(
                    format!(
                        "the association {key} ends: its node {node} has not deleted the files yet, and will when it can\n"
                    ),
                    json!({ "associationKey": key, "deleted": false, "waitsFor": node }),
                ));
            }
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        }
        Ok(deleted(key))
    }

    async fn association(&self, key: Uuid) -> Result<Option<AssociationShown>, String> {
        let request = TenantsRequest {
            association: Some(key),
            after: TenantsAfter::Association(None),
        };
        let page: TenantsPage = self.ask(TENANTS, &request).await?;
        Ok(page.associations.into_iter().next())
    }

    async fn associations(&self) -> Result<Vec<AssociationShown>, String> {
        let mut all: Vec<AssociationShown> = Vec::new();
        loop {
            let request = TenantsRequest {
                association: None,
                after: TenantsAfter::Association(all.last().map(|last| last.key)),
            };
            let page: TenantsPage = self.ask(TENANTS, &request).await?;
            all.extend(page.associations);
            if !page.more {
                return Ok(all);
            }
        }
    }

    /// The node that is named, if the cluster knows it, or the one that has the fewest associations and takes more.
    async fn home_for(&self, wanted: Option<u64>) -> Result<u64, String> {
        let answer = self.insist(ROSTER, Vec::new(), &mut false).await?;
        let nodes = read_roster(&answer).ok_or_else(|| unreadable(&"the nodes"))?;
        if let Some(wanted) = wanted {
            let others: Vec<_> = nodes.iter().map(|of| format!("{:016x}", of.node.id)).collect();
            let unknown = || {
                format!(
                    "no node {wanted:016x} has come to the cluster: it knows {}",
                    others.join(", ")
                )
            };
            let is_known = nodes.iter().any(|of| of.node.id == wanted);
            return is_known.then_some(wanted).ok_or_else(unknown);
        }
        let open = nodes.iter().filter(|of| !of.node.drained);
        let least = open.min_by_key(|of| (of.associations, of.node.id));
        let none = if nodes.is_empty() {
            "no node has come to the cluster yet: start one first"
        } else {
            "all nodes are drained: let one take part again with node undrain"
        };
        least.map(|of| of.node.id).ok_or_else(|| none.to_owned())
    }
}

fn missing(key: Uuid) -> String {
    format!("the association {key} does not exist")
}

fn deleted(key: Uuid) -> Report {
    Report::new(
        format!("the association {key} is deleted\n"),
        json!({ "associationKey": key, "deleted": true }),
    )
}

fn told(association: &AssociationShown, more: &[(&str, Value)]) -> Report {
    let mut json = shown(association);
    if let Some(object) = json.as_object_mut() {
        object.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    }
    Report::new(line(association), json)
}

fn shown(association: &AssociationShown) -> Value {
    json!({
        "associationKey": association.key,
        "name": association.name,
        "enabled": association.enabled,
        "ends": association.retired,
        "home": association.home.map(|home| format!("{:016x}", home.node)),
        "apiUsers": association.users,
        "ftpAccounts": association.accounts,
    })
}

fn line(association: &AssociationShown) -> String {
    let state = match (association.retired, association.enabled) {
        (true, _) => "ends",
        (false, true) => "enabled",
        (false, false) => "disabled",
    };
    let mut text = format!("{} {state}", association.key);
    // Text in memory cannot fail.
    let _ = match association.home {
        Some(home) => write!(text, ", at home on node {:016x}", home.node),
        None => write!(text, ", at home nowhere"),
    };
    let _ = writeln!(
        text,
        ", {} API users, {} FTP accounts: {}",
        association.users, association.accounts, association.name
    );
    text
}
