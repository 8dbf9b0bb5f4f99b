//! What a command does: the rules.

mod account;
mod association;
mod key;
mod node;
mod take_over;
mod user;

use serde::{Deserialize, Serialize};

use super::{Command, Refusal, Registry, Row, RowChange};
use crate::limits::{DESCRIPTION_MAX_BYTES, HASH_MAX_BYTES};

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Rows in the order in which they are put; none if nothing changed.
    pub rows: Vec<RowChange>,
    /// What the caller is told.
    pub outcome: Outcome,
}

/// What the caller of a command is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Done.
    Done,
    /// An FTP account was made.
    Account {
        /// Its id.
        id: u64,
    },
    /// A node was asked to compare its rows.
    Compare {
        /// Number of the request.
        number: u64,
    },
}

impl Registry {
    /// What a command does to this registry, which stays as it is.
    ///
    /// # Errors
    ///
    /// If the command is not allowed.
    pub fn resolve(&self, command: &Command) -> Result<Applied, Refusal> {
        let mut applied = match command {
            Command::CreateAssociation { key, name, node } => self.create_association(*key, name, *node),
            Command::UpdateAssociation { key, name, enabled } => {
                self.update_association(*key, name.as_deref(), *enabled)
            }
            Command::RetireAssociation { key } => self.retire_association(*key),
            Command::DeleteAssociation { key } => self.delete_association(*key),
            Command::Place { key, node, from } => self.place(*key, *node, *from),
            Command::CreateUser { association, user } => self.create_user(*association, user),
            Command::UpdateUser {
                association,
                access_key,
                change,
            } => self.update_user(*association, access_key, change),
            Command::DeleteUser {
                association,
                access_key,
            } => self.delete_user(*association, access_key),
            Command::CreateAccount { association, account } => self.create_account(*association, account),
            Command::UpdateAccount {
                association,
                id,
                change,
            } => self.update_account(*association, *id, change),
            Command::DeleteAccount { association, id } => self.delete_account(*association, *id),
            Command::Compare { node } => self.compare(*node),
            Command::SetOperator { sha256 } => self.set_operator(sha256),
            Command::PublishKey { key, now_s } => self.publish_key(key, *now_s),
            Command::ForgetKeys { now_s, token_s } => Ok(self.forget_keys(*now_s, *token_s)),
            Command::Announce {
                node,
                relay,
                public_url,
            } => self.announce(*node, relay, public_url),
            Command::Drain { node, drained } => self.drain(*node, *drained),
            Command::TakeOver {
                node,
                rows,
                is_all,
                if_empty,
            } => {
                let has_some = self.tenants().len() > 0 || self.operator().is_some();
                let rows = if *if_empty && has_some {
                    &[]
                } else {
                    rows.as_slice()
                };
                Ok(self.take_over(*node, rows, *is_all))
            }
        }?;
        if !applied.rows.is_empty() {
            let next = self.position().behind(&applied.rows);
            let position = [Row::Revision(next.revision), Row::Chain(next.chain)];
            applied.rows.extend(position.map(RowChange::Put));
        }
        Ok(applied)
    }

    /// Resolves a command and puts its rows.
    ///
    /// # Errors
    ///
    /// If the command is not allowed; nothing has changed then.
    pub fn apply(&mut self, command: &Command) -> Result<Applied, Refusal> {
        let applied = self.resolve(command)?;
        applied.rows.iter().cloned().for_each(|row| self.put(row));
        Ok(applied)
    }
}

impl Registry {
    fn compare(&self, node: u64) -> Result<Applied, Refusal> {
        if !self.is_taken_over(node) {
            return Err(Refusal::NotFound(format!("the node {node:016x}")));
        }
        let number = self.compares(node) + 1;
        Ok(Applied {
            rows: vec![RowChange::Put(Row::Compare { node, number })],
            outcome: Outcome::Compare { number },
        })
    }

    fn set_operator(&self, sha256: &str) -> Result<Applied, Refusal> {
        if sha256.len() != 64 || !sha256.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(Refusal::invalid("OperatorToken", "is not stored as a SHA-256"));
        }
        let known = self.operator() == Some(sha256);
        let row = (!known).then(|| RowChange::Put(Row::Operator(sha256.to_owned())));
        Ok(done(row.into_iter().collect()))
    }
}

fn done(rows: Vec<RowChange>) -> Applied {
    Applied {
        rows,
        outcome: Outcome::Done,
    }
}

/// A row in the place of another, if it differs.
fn replaced<R: PartialEq>(old: &R, new: R, row: impl FnOnce(R) -> Row) -> Vec<RowChange> {
    if *old == new {
        Vec::new()
    } else {
        vec![RowChange::Put(row(new))]
    }
}

fn check_text(field: &str, text: &str) -> Result<(), Refusal> {
    if text.len() > DESCRIPTION_MAX_BYTES {
        Err(Refusal::invalid(
            field,
            format!("longer than {DESCRIPTION_MAX_BYTES} bytes"),
        ))
    } else if text.contains(char::is_control) {
        Err(Refusal::invalid(field, "holds a control character"))
    } else {
        Ok(())
    }
}

fn check_hash(field: &str, hash: &str) -> Result<(), Refusal> {
    if hash.starts_with("$argon2") && hash.len() <= HASH_MAX_BYTES {
        Ok(())
    } else {
        Err(Refusal::invalid(field, "is not stored as an argon2 hash"))
    }
}

/// A path that bounds what somebody sees, as it is kept.
fn bound(field: &str, path: &str) -> Result<String, Refusal> {
    filegrid_tree::TreePath::parse_chroot(path)
        .map(|path| path.to_string())
        .map_err(|error| Refusal::invalid(field, error.to_string()))
}
