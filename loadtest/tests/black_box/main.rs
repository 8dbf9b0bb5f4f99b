//! The program `loadtest`, as somebody calls it: against a node, and against servers that do wrong.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod examples;
mod fake;
mod ftp;
mod node;
mod program;
mod rest;
mod sftp;
mod wrong;
