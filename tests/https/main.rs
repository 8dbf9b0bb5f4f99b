//! The REST tests once more over TLS, and what TLS adds.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(missing_docs, reason = "the names of tests say what they hold")]

#[path = "../rest/auth.rs"]
mod auth;
#[path = "../rest/downloads.rs"]
mod downloads;
#[path = "../rest/files.rs"]
mod files;
#[path = "../rest/framing.rs"]
mod framing;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../rest/client.rs"]
mod programs;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../rest/support.rs"]
mod support;
mod tls;
#[path = "../rest/wire.rs"]
mod wire;

/// Whether the tests speak TLS.
const SECURE: bool = true;
