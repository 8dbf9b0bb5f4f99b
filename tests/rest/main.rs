//! Black-box tests of the REST API over sockets, against the real program.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(missing_docs, reason = "the names of tests say what they hold")]

mod accounts;
mod admin;
mod archives;
mod auth;
#[allow(dead_code, reason = "other tests use the rest")]
mod client;
mod connections;
mod cors;
mod crash;
mod downloads;
mod examples;
mod files;
mod forge;
mod framing;
mod lifecycle;
mod memory;
mod metrics;
mod options;
mod paths;
mod routes;
mod scrub;
mod status;
#[allow(dead_code, reason = "other tests use the rest")]
mod support;
mod tokens;
mod trees;
mod uploads;
mod wire;

/// Whether the tests speak TLS.
const SECURE: bool = false;
