//! The program `loadtest`, as somebody calls it: against a node, and against servers that do wrong. And the library, against
//! other servers.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod examples;
mod fake;
mod ftp;
mod http;
mod node;
mod program;
mod rest;
mod sftp;
mod share;
mod wrong;
