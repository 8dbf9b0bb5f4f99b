//! Black-box tests of a node whose metadata cluster is elsewhere, and goes away.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(missing_docs, reason = "the names of tests say what they hold")]

mod away;
mod compare;
mod example;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../ftp/client.rs"]
mod ftp;
mod grow;
mod member;
mod nodes;
mod operator;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../rest/client.rs"]
mod programs;
mod registry;
mod relay;
mod relay_ftp;
mod relay_sftp;
mod restore;
mod secure;
mod ship;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../rest/support.rs"]
mod support;
#[path = "../rest/wire.rs"]
mod wire;

/// Whether the tests speak TLS to the REST API.
const SECURE: bool = false;
