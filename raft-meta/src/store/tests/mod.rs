//! The machine on real directories.

mod codec;
mod install;
mod lost;
mod registry;
mod ship;

use std::ops::ControlFlow;

use filegrid_tree::{Change, DirId, DirRow, Id, Op, Protocol, Row, View as _};
use uuid::Uuid;

use super::*;
use crate::machine::Machine as _;
use crate::registry as accounts;

/// The node that is at home for association 1.
const NODE: u64 = 7;

struct World {
    directory: tempfile::TempDir,
    store: Store,
    applied: u64,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("meta")).unwrap();
        Self {
            directory,
            store,
            applied: 0,
        }
    }

    /// With association 1 at home on [`NODE`], which has two logs and is let in.
    fn with_home() -> Self {
        let mut world = Self::new();
        let key = association(1);
        let name = String::new();
        world.registry(accounts::Command::CreateAssociation {
            key,
            name,
            node: None,
        });
        world.registry(accounts::Command::Place {
            key,
            node: NODE,
            from: 0,
        });
        assert_eq!(world.enter(), (1, vec![0, 0]));
        world
    }

    fn all(&mut self, commands: &[Command]) -> Vec<Reply> {
        let entries = commands.iter().map(|command| Some(command.encode().unwrap()));
        self.applied += commands.len() as u64;
        let replies = self.store.apply(entries.collect(), &self.applied.to_be_bytes());
        replies
            .unwrap()
            .iter()
            .map(|reply| Reply::decode(reply).unwrap())
            .collect()
    }

    fn one(&mut self, command: Command) -> Reply {
        self.all(&[command]).pop().unwrap()
    }

    fn registry(&mut self, command: accounts::Command) {
        let reply = self.one(Command::Registry(command));
        assert!(matches!(reply, Reply::Registry(Ok(_))), "{reply:?}");
    }

    fn enter(&mut self) -> (u64, Vec<u64>) {
        match self.one(Command::Enter {
            node: NODE,
            logs: 2,
            start: Start::default(),
        }) {
            Reply::Entered { epoch, applied, .. } => (epoch, applied),
            other => panic!("{other:?}"),
        }
    }

    /// Names of association 1's directory.
    fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let visit = &mut |name: &str, _: filegrid_tree::RowRef<'_>| {
            names.push(name.to_owned());
            ControlFlow::Continue(())
        };
        filegrid_tree::list_dir(&self.store.view(), DIRECTORY, None, visit).unwrap();
        names
    }

    /// Every row.
    fn rows(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        rows(&self.store)
    }

    fn reopen(self) -> Self {
        drop(self.store);
        Self {
            store: Store::open(&self.directory.path().join("meta")).unwrap(),
            directory: self.directory,
            applied: self.applied,
        }
    }
}

fn rows(store: &Store) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    let visit = &mut |key: &[u8], value: &[u8]| {
        rows.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    };
    store.view().scan(&[], &[0xff], visit).unwrap();
    rows
}

const DIRECTORY: DirId = Id([1; 16]);

fn association(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn change(tenant: u128, ops: Vec<Op>) -> Vec<u8> {
    let change = Change {
        association: *association(tenant).as_bytes(),
        time: 1,
        protocol: Protocol::Api,
        ops,
    };
    change.encode()
}

/// Makes a directory with a name.
fn put(tenant: u128, name: &str) -> Vec<u8> {
    let row = Row::Dir(DirRow {
        id: Id([2; 16]),
        created_at: 1,
        updated_at: None,
        mtime: 1,
        protocol: Protocol::Api,
    });
    let op = Op::Put {
        directory: DIRECTORY,
        name: name.to_owned(),
        row,
        released: Vec::new(),
        linked: Vec::new(),
        was_unsummed: false,
    };
    change(tenant, vec![op])
}

fn batch(epoch: u64, first: u64, changes: Vec<Vec<u8>>) -> Batch {
    let changes = changes.into_iter();
    Batch {
        node: NODE,
        log: 0,
        epoch,
        first,
        as_of_ms: i64::try_from(first).unwrap_or(0),
        changes: changes
            .map(|change| Shipped {
                generation: 1,
                change,
            })
            .collect(),
    }
}
