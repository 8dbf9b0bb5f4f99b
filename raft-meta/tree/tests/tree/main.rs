//! The tree against a naive model of it: random commands, queued and applied in batches of random size.

#![allow(clippy::unwrap_used)] // A test that cannot go on fails.

mod agree;
mod deep;
mod encoding;
mod model;
mod plan;
mod purge;
mod rows;
mod sequences;
mod twin;
