//! The file tree and the changes that act on it, as a pure state machine: no I/O, no clock.
//!
//! A [`Command`] says what somebody wants, by path. The owner of an association [`resolve`]s it against the
//! tree as it is into a [`Change`]: row operations that hold directory ids and names, never paths or
//! preconditions. [`apply`] turns a change into rows and decides nothing, so every copy of the tree that applies
//! the same changes in the same order is the same.
//!
//! Rows are keyed by `(directory id, name)`: renaming a directory moves one row, whatever hangs below it.

mod apply;
mod change;
mod command;
mod error;
mod id;
pub mod keys;
mod overlay;
mod path;
mod purge;
mod resolve;
mod row;
mod view;
mod walk;

pub use self::apply::{Sink, apply};
pub use self::change::{Change, Op, PurgedEntry};
pub use self::command::{Base, Command, FileContent, Publication, Removal, Sum};
pub use self::error::{PathError, TreeError};
pub use self::id::{BlobId, DirId, Id, IdMaker, ROOTS, STARTS_MAX};
pub use self::overlay::Overlay;
pub use self::path::{NAME_MAX_BYTES, PATH_MAX_BYTES, TreePath};
pub use self::purge::purge_step;
pub use self::resolve::{Resolved, Stamp, resolve};
pub use self::row::{DirRow, Extent, FileRow, Protocol, Row, RowRef};
pub use self::view::{View, ViewError, Visit};
pub use self::walk::{list_dir, lookup, root_name, walk};

/// Longest encoded change, in bytes: what one record of a log may hold beside inline blobs.
pub const CHANGE_MAX_BYTES: usize = 4 << 20;
