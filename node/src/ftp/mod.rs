//! FTP and FTPS: our own engine on the shards.
//!
//! | | |
//! |---|---|
//! | `line`, `command`, `state` | bytes to lines to commands to what may be done: pure |
//! | `address`, `time`, `path`, `listing`, `reply` | arguments and lines: pure |
//! | `server`, `session`, `control`, `data`, `abort`, `public` | connections |
//! | `transfer`, `resume`, `list`, `files` | the commands |
//! | `away` | sessions whose files are on another node |
//! | `arrived` | sessions whose client is on another node |
//!
//! A session is one task. While a transfer runs it minds the control connection as well; nothing is ever cancelled:
//! what has to end early has its socket shut down and comes to its own end.

mod abort;
pub mod address;
mod arrived;
mod away;
pub mod command;
mod control;
mod data;
mod files;
pub mod line;
mod list;
pub mod listing;
pub mod path;
pub mod public;
pub mod reply;
mod resume;
mod server;
mod session;
pub mod state;
pub mod time;
mod transfer;
mod upload;

pub use self::arrived::{Arrived, serve_relayed};
pub use self::public::{PublicAddresses, Rule};
pub use self::server::{Ftp, Sessions, Settings};
pub use self::session::{TOO_MANY, serve};
