//! The operator's command line of filegrid: what it does, apart from the program that is called.

pub mod authority;
pub mod cli;
pub mod cluster;
pub mod init;
pub mod nodes;
pub mod report;
pub mod settings;
