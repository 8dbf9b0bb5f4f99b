//! Black-box tests of FTP and FTPS over sockets, against the real program.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(missing_docs, reason = "the names of tests say what they hold")]

mod camera;
mod client;
mod clients;
mod commands;
mod faults;
mod hostile;
mod partials;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../rest/client.rs"]
mod programs;
mod sequences;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../rest/support.rs"]
mod support;
mod tls;
mod transfers;
#[path = "../rest/wire.rs"]
mod wire;

/// Whether the tests speak TLS to the REST API.
const SECURE: bool = false;
