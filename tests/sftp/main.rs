//! Black-box tests of SFTP and SCP, against the real program.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(missing_docs, reason = "the names of tests say what they hold")]

mod client;
mod clients;
mod hostile;
mod logins;
mod openssh;
mod partials;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../rest/client.rs"]
mod programs;
mod requests;
mod scp;
mod stdio;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../rest/support.rs"]
mod support;
#[path = "../rest/wire.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod wire;

/// Whether the tests speak TLS to the REST API.
const SECURE: bool = false;
