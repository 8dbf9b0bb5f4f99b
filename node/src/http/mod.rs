//! HTTP/1.1: exchanges on a connection, and the rules that need no connection.

pub mod conditional;
pub mod exchange;
pub mod names;
pub mod problem;
pub mod range;
pub mod urlencoded;
