//! From what somebody wants to what happens: validates in order, against the tree plus what this command has
//! already done, and comes back with row operations or with nothing.

mod delete;
mod make_dir;
mod moves;
mod publish;
mod remove;
mod set;

use std::collections::HashMap;

use crate::{
    BlobId, CHANGE_MAX_BYTES, Change, Command, DirId, DirRow, Id, IdMaker, Op, Protocol, ROOTS, Row,
    TreeError, TreePath, View, keys, root_name,
};

/// What the owner stamps on a change, once.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    /// Unix milliseconds.
    pub now_ms: i64,
    /// Version of the first file that the change publishes: higher than any before in the association. Each further
    /// file has the next one: contents that come together can be swapped, and are told apart all the same.
    pub version: u64,
    /// Who writes.
    pub protocol: Protocol,
}

/// A command that can happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// What happens. Empty `ops`: nothing has to.
    pub change: Change,
    /// Blobs that were handed in and are not referred to: another part took their place.
    pub unused: Vec<BlobId>,
}

/// Resolves a command.
///
/// # Errors
///
/// Whatever the tree does not allow; nothing has happened then.
pub fn resolve(
    view: &dyn View,
    association: [u8; 16],
    stamp: Stamp,
    ids: &mut IdMaker,
    command: &Command,
) -> Result<Resolved, TreeError> {
    let mut work = Work {
        view,
        association,
        stamp,
        ids,
        ops: Vec::new(),
        rows: HashMap::new(),
        unused: Vec::new(),
    };
    match command {
        Command::CreateRoot => work.root().map(drop)?,
        Command::Publish { files, make_parents } => work.publish(files, *make_parents)?,
        Command::MakeDir {
            path,
            parents,
            existing_ok,
        } => work.make_dir(path, *parents, *existing_ok)?,
        Command::Move { moves, replace } => work.moves(moves, *replace)?,
        Command::Delete { paths, root } => work.delete(paths, root)?,
        Command::Remove { path, what } => work.remove(path, *what)?,
        Command::SetTime { path, mtime } => work.set_time(path, *mtime)?,
        Command::SetSha256 { sums } => sums.iter().try_for_each(|sum| work.set_sha256(sum))?,
    }
    let Work { ops, unused, .. } = work;
    let change = Change {
        association,
        time: stamp.now_ms,
        protocol: stamp.protocol,
        ops,
    };
    if change.weight() > CHANGE_MAX_BYTES {
        return Err(TreeError::TooLarge);
    }
    Ok(Resolved { change, unused })
}

struct Work<'a> {
    view: &'a dyn View,
    association: [u8; 16],
    stamp: Stamp,
    ids: &'a mut IdMaker,
    ops: Vec<Op>,
    /// Rows that this command has set or removed.
    rows: HashMap<(DirId, String), Option<Row>>,
    unused: Vec<BlobId>,
}

impl Work<'_> {
    fn row(&self, directory: DirId, name: &str) -> Result<Option<Row>, TreeError> {
        if !self.rows.is_empty()
            && let Some(row) = self.rows.get(&(directory, name.to_owned()))
        {
            return Ok(row.clone());
        }
        let mut row = Ok(None);
        self.view.get(&keys::row(directory, name), &mut |bytes| {
            row = Row::decode(bytes).map(Some)
        })?;
        row
    }

    fn push(&mut self, op: Op) {
        match &op {
            Op::Put {
                directory, name, row, ..
            } => {
                self.rows.insert((*directory, name.clone()), Some(row.clone()));
            }
            Op::Remove { directory, name, .. } | Op::Detach { directory, name, .. } => {
                self.rows.insert((*directory, name.clone()), None);
            }
            Op::Rename {
                from_directory,
                from_name,
                to_directory,
                to_name,
                row,
            } => {
                self.rows.insert((*from_directory, from_name.clone()), None);
                self.rows
                    .insert((*to_directory, to_name.clone()), Some(row.clone()));
            }
            Op::Purge { .. } => {}
        }
        self.ops.push(op);
    }

    /// The root's row, made if it is not there.
    fn root(&mut self) -> Result<DirId, TreeError> {
        let name = root_name(&self.association);
        match self.row(ROOTS, &name)? {
            Some(Row::Dir(row)) => Ok(row.id),
            Some(Row::File(_)) => Err(TreeError::Damaged("the root is a file".to_owned())),
            None => Ok(self.new_dir(ROOTS, &name, Id(self.association))),
        }
    }

    fn new_dir(&mut self, directory: DirId, name: &str, id: DirId) -> DirId {
        let Stamp { now_ms, protocol, .. } = self.stamp;
        let row = Row::Dir(DirRow {
            id,
            created_at: now_ms,
            updated_at: None,
            mtime: now_ms,
            protocol,
        });
        self.put_dir(directory, name, row);
        id
    }

    fn put_dir(&mut self, directory: DirId, name: &str, row: Row) {
        self.push(Op::put(directory, name, row));
    }

    /// The id of a directory; with `make`, missing ones are made on the way.
    fn directory(&mut self, names: &[String], make: bool) -> Result<DirId, TreeError> {
        let mut at = self.root()?;
        for (depth, name) in names.iter().enumerate() {
            at = match self.row(at, name)? {
                Some(Row::Dir(row)) => row.id,
                Some(Row::File(_)) => return Err(TreeError::NotDirectory(shown(names, depth))),
                None if make => {
                    let id = self.ids.next_id()?;
                    self.new_dir(at, name, id)
                }
                None => return Err(TreeError::NotFound(shown(names, depth))),
            };
        }
        Ok(at)
    }

    /// The directory that holds a path, and the path's name in it. The root has neither.
    fn parent<'p>(&mut self, path: &'p TreePath, make: bool) -> Result<Option<(DirId, &'p str)>, TreeError> {
        match path.components().split_last() {
            Some((name, above)) => Ok(Some((self.directory(above, make)?, name))),
            None => Ok(None),
        }
    }
}

/// The path down to and with the name at `depth`.
fn shown(names: &[String], depth: usize) -> String {
    names
        .iter()
        .take(depth + 1)
        .fold(String::new(), |path, name| path + "/" + name)
}
