//! What a node had of its own becomes part of the registry of its cluster.

use super::{Applied, done};
use crate::limits::{ASSOCIATIONS_MAX_COUNT, KEYS_MAX_COUNT, NODES_MAX_COUNT};
use crate::registry::{Association, Home, Registry, Row, RowChange};

impl Registry {
    pub(super) fn take_over(&self, node: u64, rows: &[Row], is_all: bool) -> Applied {
        if self.is_taken_over(node) {
            return done(Vec::new());
        }
        let mut after = self.clone();
        let mut changes = Vec::new();
        let last = is_all.then_some(Row::TakenOver(node));
        for row in rows.iter().cloned().chain(last) {
            if let Some(row) = after.added(node, row) {
                after.put(RowChange::Put(row.clone()));
                changes.push(RowChange::Put(row));
            }
        }
        done(changes)
    }

    /// What a row of a node adds, if it does: nothing that is there is changed.
    fn added(&self, node: u64, row: Row) -> Option<Row> {
        let is_new = match &row {
            // The registry has a position of its own, and nobody waits for what was asked of another.
            Row::Revision(_) | Row::Chain(_) | Row::Compare { .. } => false,
            Row::Association(association) => return self.added_association(node, association),
            Row::User(user) => {
                self.tenant(user.association).is_some()
                    && self.user(user.association, &user.access_key).is_none()
            }
            Row::Account(account) => {
                let tenant = self.tenant(account.association);
                tenant.is_some_and(|tenant| tenant.account_named(&account.username).is_none())
                    && self.account(account.association, account.id).is_none()
            }
            Row::Key(key) => {
                self.keys().iter().all(|known| known.kid != key.kid) && self.keys().len() < KEYS_MAX_COUNT
            }
            Row::Operator(_) => self.operator().is_none(),
            Row::BareName { name, association } => {
                self.bare_name(name).is_none() && self.tenant(*association).is_some()
            }
            Row::TakenOver(other) => !self.is_taken_over(*other),
            Row::Node(other) => self.node(other.id).is_none() && self.nodes().len() < NODES_MAX_COUNT,
        };
        is_new.then_some(row)
    }

    fn added_association(&self, node: u64, association: &Association) -> Option<Row> {
        let mut association = association.clone();
        association.home.get_or_insert(Home { node, generation: 1 });
        match self.tenant(association.key) {
            None if self.tenants().len() >= ASSOCIATIONS_MAX_COUNT => None,
            None => Some(Row::Association(association)),
            // Known by its name only, as nodes made them known that kept accounts to themselves.
            Some(tenant) if tenant.users().len() == 0 && tenant.accounts().len() == 0 => {
                let known = tenant.association();
                association.home = known.home.or(association.home);
                association.next_account = association.next_account.max(known.next_account);
                (association != **known).then_some(Row::Association(association))
            }
            Some(_) => None,
        }
    }
}
