//! What must hold of the node's parsers whatever bytes they are shown: the bodies of the fuzz targets.
//!
//! Each is a plain function that panics when something does not hold. `cargo fuzz` calls it with what it makes up,
//! `cargo test` with the seeds in `seeds/<target>`.

#![allow(clippy::unwrap_used, reason = "what fails here is a finding")]

mod archive;
mod chunked;
mod ftp;
mod head;
mod log;
mod multipart;
mod range;
mod sftp;

pub use self::archive::archive;
pub use self::chunked::chunked;
pub use self::ftp::ftp;
pub use self::head::head;
pub use self::log::log;
pub use self::multipart::multipart;
pub use self::range::range;
pub use self::sftp::sftp;

/// Bytes that arrive at a time. Every split of an input has to come to the same.
const STRIDES: [usize; 4] = [1, 3, 64, usize::MAX];

/// Lengths of the input at hand when so many bytes arrive at a time.
fn arrivals(length: usize, stride: usize) -> impl Iterator<Item = usize> {
    let steps = length.div_ceil(stride);
    (1..=steps).map(move |step| step.saturating_mul(stride).min(length))
}

/// Where a needle first stands, found the slow way.
fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// The first line without its line feed, and the rest.
fn first_line(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &[]),
    }
}

/// Numbers taken from the front of an input; zeros behind its end.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn number(&mut self) -> u64 {
        let mut bytes = [0; 8];
        let taken = self.take(8);
        bytes[..taken.len()].copy_from_slice(taken);
        u64::from_le_bytes(bytes)
    }
}
