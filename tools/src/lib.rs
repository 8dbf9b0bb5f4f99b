//! The operator's command line of filegrid: what it does, apart from the program that is called.

pub mod association;
pub mod authority;
pub mod backup;
pub mod cli;
pub mod cluster;
pub mod fsck;
pub mod init;
pub mod nodes;
pub mod operator;
pub mod report;
pub mod settings;
pub mod user;
