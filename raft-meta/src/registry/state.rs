//! The registry in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use uuid::Uuid;

use super::{Account, ApiUser, Association, Node, Position, Row, RowChange, RowKey, SigningKey};

/// All rows, found by what they are asked for by. A copy shares its tenants with the original until they differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registry {
    position: Position,
    tenants: BTreeMap<Uuid, Arc<Tenant>>,
    bare_names: BTreeMap<String, Uuid>,
    /// By when they may first sign.
    keys: Vec<Arc<SigningKey>>,
    operator: Option<String>,
    /// Nodes whose own registries are part of this one.
    taken_over: BTreeSet<u64>,
    nodes: BTreeMap<u64, Arc<Node>>,
    /// How often each node was asked to compare its rows.
    compares: BTreeMap<u64, u64>,
}

/// A tenant and all that is its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    association: Arc<Association>,
    users: BTreeMap<String, Arc<ApiUser>>,
    accounts: BTreeMap<u64, Arc<Account>>,
    /// Ids by `Username`.
    names: BTreeMap<String, u64>,
    /// Names in [`Registry::bare_names`] that are this tenant's.
    bare_names: usize,
}

impl Registry {
    /// Rises by one with every command that changed anything.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.position.revision
    }

    /// Which registry this is.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// Whether what a node had of its own before it came to the cluster is part of this.
    #[must_use]
    pub fn is_taken_over(&self, node: u64) -> bool {
        self.taken_over.contains(&node)
    }

    /// Nodes whose own registries are part of this one.
    pub fn taken_over(&self) -> impl Iterator<Item = u64> {
        self.taken_over.iter().copied()
    }

    /// A node that has said where it is, or of which the operator has said something.
    #[must_use]
    pub fn node(&self, id: u64) -> Option<&Arc<Node>> {
        self.nodes.get(&id)
    }

    /// Those nodes, by id.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &Arc<Node>> {
        self.nodes.values()
    }

    /// How often a node was asked to compare its rows with the cluster's.
    #[must_use]
    pub fn compares(&self, node: u64) -> u64 {
        self.compares.get(&node).copied().unwrap_or(0)
    }

    /// A tenant.
    #[must_use]
    pub fn tenant(&self, key: Uuid) -> Option<&Tenant> {
        self.tenants.get(&key).map(|tenant| &**tenant)
    }

    /// All tenants, by their keys.
    pub fn tenants(&self) -> impl ExactSizeIterator<Item = &Tenant> {
        self.tenants.values().map(|tenant| &**tenant)
    }

    /// Tenants from a key on.
    pub fn tenants_from(&self, from: Bound<Uuid>) -> impl Iterator<Item = &Tenant> {
        let tenants = self.tenants.range((from, Bound::Unbounded));
        tenants.map(|(_, tenant)| &**tenant)
    }

    /// An API user.
    #[must_use]
    pub fn user(&self, association: Uuid, access_key: &str) -> Option<&Arc<ApiUser>> {
        self.tenant(association)?.users.get(access_key)
    }

    /// An FTP account.
    #[must_use]
    pub fn account(&self, association: Uuid, id: u64) -> Option<&Arc<Account>> {
        self.tenant(association)?.accounts.get(&id)
    }

    /// The association that a login name without `@` belongs to. It need not have such an account any more.
    #[must_use]
    pub fn bare_name(&self, name: &str) -> Option<Uuid> {
        self.bare_names.get(name).copied()
    }

    /// Signing keys, by when they may first sign.
    #[must_use]
    pub fn keys(&self) -> &[Arc<SigningKey>] {
        &self.keys
    }

    /// The key that signs now: the newest that may, or the oldest if the clock is before all of them.
    #[must_use]
    pub fn signing_key(&self, now_s: u64) -> Option<&Arc<SigningKey>> {
        let may = self.keys.iter().rev().find(|key| key.signs_from <= now_s);
        may.or_else(|| self.keys.first())
    }

    /// SHA-256, in hex, of the operator's token.
    #[must_use]
    pub fn operator(&self) -> Option<&str> {
        self.operator.as_deref()
    }

    /// All rows, an association before what is its own: putting them into an empty registry makes an equal one.
    pub fn rows(&self) -> impl Iterator<Item = Row> {
        let bare = self.bare_names.iter().map(|(name, association)| Row::BareName {
            name: name.clone(),
            association: *association,
        });
        [
            Row::Revision(self.position.revision),
            Row::Chain(self.position.chain),
        ]
        .into_iter()
        .chain(self.tenants.values().flat_map(|tenant| tenant.rows()))
        .chain(self.keys.iter().map(|key| Row::Key((**key).clone())))
        .chain(self.operator.iter().cloned().map(Row::Operator))
        .chain(bare)
        .chain(self.taken_over.iter().copied().map(Row::TakenOver))
        .chain(self.nodes.values().map(|node| Row::Node((**node).clone())))
        .chain(self.compares.iter().map(|(node, number)| Row::Compare {
            node: *node,
            number: *number,
        }))
    }

    /// Puts or removes a row. Rows of a tenant that is not there are dropped.
    pub fn put(&mut self, change: RowChange) {
        match change {
            RowChange::Put(Row::Revision(revision)) => self.position.revision = revision,
            RowChange::Put(Row::Chain(chain)) => self.position.chain = chain,
            RowChange::Put(Row::TakenOver(node)) => drop(self.taken_over.insert(node)),
            RowChange::Put(Row::Node(row)) => drop(self.nodes.insert(row.id, Arc::new(row))),
            RowChange::Put(Row::Compare { node, number }) => drop(self.compares.insert(node, number)),
            RowChange::Put(Row::Association(row)) => self.put_association(row),
            RowChange::Put(Row::User(row)) => self.with(row.association, |tenant| {
                tenant.users.insert(row.access_key.clone(), Arc::new(row));
            }),
            RowChange::Put(Row::Account(row)) => self.with(row.association, |tenant| {
                tenant.put_account(row);
            }),
            RowChange::Put(Row::Key(row)) => {
                self.keys.retain(|key| key.kid != row.kid);
                self.keys.push(Arc::new(row));
                self.keys
                    .sort_by(|a, b| (a.signs_from, &a.kid).cmp(&(b.signs_from, &b.kid)));
            }
            RowChange::Put(Row::Operator(sha256)) => self.operator = Some(sha256),
            RowChange::Put(Row::BareName { name, association }) => {
                self.remove_bare_name(&name);
                self.with(association, |tenant| tenant.bare_names += 1);
                self.bare_names.insert(name, association);
            }
            RowChange::Remove(RowKey::Operator) => self.operator = None,
            RowChange::Remove(RowKey::Revision) => self.position.revision = 0,
            RowChange::Remove(RowKey::Chain) => self.position.chain = 0,
            RowChange::Remove(RowKey::TakenOver(node)) => drop(self.taken_over.remove(&node)),
            RowChange::Remove(RowKey::Node(node)) => drop(self.nodes.remove(&node)),
            RowChange::Remove(RowKey::Compare(node)) => drop(self.compares.remove(&node)),
            RowChange::Remove(RowKey::Association(key)) => {
                self.tenants.remove(&key);
            }
            RowChange::Remove(RowKey::User(association, access_key)) => self.with(association, |tenant| {
                tenant.users.remove(&access_key);
            }),
            RowChange::Remove(RowKey::Account(association, id)) => self.with(association, |tenant| {
                tenant.remove_account(id);
            }),
            RowChange::Remove(RowKey::Key(kid)) => self.keys.retain(|key| key.kid != kid),
            RowChange::Remove(RowKey::BareName(name)) => self.remove_bare_name(&name),
        }
    }

    fn put_association(&mut self, row: Association) {
        let tenant = self.tenants.entry(row.key);
        let row = Arc::new(row);
        tenant
            .and_modify(|tenant| Arc::make_mut(tenant).association = Arc::clone(&row))
            .or_insert_with(|| Arc::new(Tenant::new(row)));
    }

    fn remove_bare_name(&mut self, name: &str) {
        if let Some(association) = self.bare_names.remove(name) {
            self.with(association, |tenant| tenant.bare_names -= 1);
        }
    }

    fn with(&mut self, association: Uuid, change: impl FnOnce(&mut Tenant)) {
        if let Some(tenant) = self.tenants.get_mut(&association) {
            change(Arc::make_mut(tenant));
        }
    }

    pub(super) fn bare_names_of(&self, association: Uuid) -> impl Iterator<Item = &String> {
        self.bare_names
            .iter()
            .filter(move |(_, holder)| **holder == association)
            .map(|(name, _)| name)
    }
}

impl FromIterator<Row> for Registry {
    /// Rows in the order of [`Registry::rows`].
    fn from_iter<I: IntoIterator<Item = Row>>(rows: I) -> Self {
        let mut registry = Self::default();
        rows.into_iter().for_each(|row| registry.put(RowChange::Put(row)));
        registry
    }
}

impl Tenant {
    fn new(association: Arc<Association>) -> Self {
        Self {
            association,
            users: BTreeMap::new(),
            accounts: BTreeMap::new(),
            names: BTreeMap::new(),
            bare_names: 0,
        }
    }

    /// What it is.
    #[must_use]
    pub fn association(&self) -> &Arc<Association> {
        &self.association
    }

    /// Its API users, by AccessKey.
    pub fn users(&self) -> impl ExactSizeIterator<Item = &Arc<ApiUser>> {
        self.users.values()
    }

    /// Its FTP accounts, by id.
    pub fn accounts(&self) -> impl ExactSizeIterator<Item = &Arc<Account>> {
        self.accounts.values()
    }

    /// An FTP account by `Username`.
    #[must_use]
    pub fn account_named(&self, username: &str) -> Option<&Arc<Account>> {
        self.accounts.get(self.names.get(username)?)
    }

    pub(super) fn bare_names(&self) -> usize {
        self.bare_names
    }

    fn rows(&self) -> impl Iterator<Item = Row> {
        let users = self.users.values().map(|row| Row::User((**row).clone()));
        let accounts = self.accounts.values().map(|row| Row::Account((**row).clone()));
        std::iter::once(Row::Association((*self.association).clone()))
            .chain(users)
            .chain(accounts)
    }

    fn put_account(&mut self, row: Account) {
        self.remove_account(row.id);
        self.names.insert(row.username.clone(), row.id);
        self.accounts.insert(row.id, Arc::new(row));
    }

    fn remove_account(&mut self, id: u64) {
        if let Some(old) = self.accounts.remove(&id) {
            self.names.remove(&old.username);
        }
    }
}
