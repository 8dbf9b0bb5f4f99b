//! Micro-benchmarks of the node's parts: `cargo bench -p filegrid-bench`.
//!
//! One program, because each one links the whole node.

#![allow(missing_docs, reason = "criterion's macros make functions without")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on fails")]

mod log;
mod parse;
mod token;
mod tree;

criterion::criterion_main!(parse::benches, log::benches, tree::benches, token::benches);
