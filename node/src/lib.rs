//! The storage node of filegrid.
//!
//! The life of an upload runs down the list in `docs/architecture.md`: `net`, `http`, `auth`, `api`, `multipart`,
//! `ingest`, `store`, `disk`, `ring`. A module imports from modules further down it, never back up. `feed` takes changes
//! from the `store` to the `cluster`, which `api` asks.

pub mod api;
pub mod archive;
pub mod auth;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod disk;
pub mod doors;
pub mod error;
pub mod feed;
pub mod ftp;
mod housekeeping;
pub mod http;
pub mod ingest;
pub mod limits;
pub mod mailbox;
pub mod metrics;
pub mod multipart;
pub mod net;
pub mod node;
mod private;
pub mod read;
pub mod relay;
pub mod ring;
pub mod send;
pub mod sftp;
pub mod shard;
pub mod store;
mod tenants;
pub mod tls;
