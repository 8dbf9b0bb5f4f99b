//! The storage node of filegrid.
//!
//! The life of an upload runs down this list; a module imports from modules further down it, never
//! back up. `docs/architecture.md` tells the story.

pub mod api;
pub mod archive;
pub mod auth;
pub mod clock;
pub mod disk;
pub mod error;
pub mod http;
pub mod ingest;
pub mod limits;
pub mod mailbox;
pub mod multipart;
pub mod net;
pub mod ring;
pub mod store;
