//! Three members and two nodes as real processes, each in a network namespace of its own, on one bridge: processes are
//! killed and paused, links go down, disks fill up, are lost and come back older. Needs root, and `ip` of iproute2.
//!
//! Meanwhile files are uploaded and accounts are changed, and what was acknowledged is noted. In the end it is all there.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(missing_docs, reason = "the names of tests say what they hold")]

mod away;
mod backups;
mod cluster;
mod disks;
mod leader;
mod load;
mod member;
mod net;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../rest/client.rs"]
mod programs;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../rest/support.rs"]
mod support;
#[path = "../rest/wire.rs"]
mod wire;

/// Whether the tests speak TLS to the REST API.
const SECURE: bool = false;
