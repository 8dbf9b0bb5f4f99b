//! What is in files: bytes that follow from a seed and the number of the file, so that what comes back can be compared
//! without being kept.

use std::sync::Arc;

use crate::limits::PIECE_BYTES;
use crate::noise;

/// Length of the block that content repeats: a prime, so that a piece which came to the wrong place by any multiple of a
/// power of two does not fit there.
const BLOCK_BYTES: usize = 1_048_583;
/// Distance between where two files with numbers in a row begin in the block. Any does with a prime: the next
/// [`BLOCK_BYTES`] numbers all begin elsewhere.
const STRIDE: u64 = 611_953;

/// All content of a run.
#[derive(Debug)]
pub struct Content {
    /// The block, and behind it as much of it again as a piece may have.
    bytes: Vec<u8>,
}

impl Content {
    /// Content of a seed. It cannot be compressed.
    #[must_use]
    pub fn new(seed: u64) -> Arc<Self> {
        let words = BLOCK_BYTES as u64 / 8 + 1;
        let mut bytes: Vec<u8> = (0..words)
            .flat_map(|word| noise::hash(seed, word).to_le_bytes())
            .take(BLOCK_BYTES)
            .collect();
        bytes.extend_from_within(..PIECE_BYTES.min(BLOCK_BYTES));
        Arc::new(Self { bytes })
    }

    /// Bytes of a file from an offset on, at most `most` of them and at most [`PIECE_BYTES`]. Never empty unless `most` is 0.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "it is less than the length of the block"
    )]
    pub fn piece(&self, number: u64, offset: u64, most: u64) -> &[u8] {
        let block = BLOCK_BYTES as u64;
        let at = ((number % block * STRIDE + offset % block) % block) as usize;
        let most = most.min(PIECE_BYTES as u64) as usize;
        self.bytes.get(at..at + most).unwrap_or_default()
    }
}

/// Compares what arrives with what a file should be.
#[derive(Debug)]
pub struct Check {
    content: Arc<Content>,
    number: u64,
    size: u64,
    at: u64,
    wrong_at: Option<u64>,
}

impl Check {
    /// For a file of a number and a size.
    #[must_use]
    pub fn new(content: &Arc<Content>, number: u64, size: u64) -> Self {
        Self {
            content: Arc::clone(content),
            number,
            size,
            at: 0,
            wrong_at: None,
        }
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.wrong_at.is_none() {
            let left = self.size.saturating_sub(self.at);
            let expected = self
                .content
                .piece(self.number, self.at, left.min(bytes.len() as u64));
            let (compared, rest) = bytes.split_at(expected.len());
            if compared != expected {
                let same = compared
                    .iter()
                    .zip(expected)
                    .take_while(|(one, other)| one == other);
                self.wrong_at = Some(self.at + same.count() as u64);
            }
            if expected.is_empty() {
                // Longer than the file is.
                self.wrong_at = Some(self.at);
            }
            self.at += compared.len() as u64;
            bytes = rest;
        }
    }

    /// Whether all came, and nothing else.
    ///
    /// # Errors
    ///
    /// A text that says what is different.
    pub fn finish(&self) -> Result<(), String> {
        match self.wrong_at {
            Some(at) if at >= self.size => Err(format!("more came than the {} bytes of the file", self.size)),
            Some(at) => Err(format!("byte {at} of {} is wrong", self.size)),
            None if self.at < self.size => Err(format!("{} bytes came instead of {}", self.at, self.size)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(content: &Content, number: u64, size: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < size {
            let at = bytes.len() as u64;
            bytes.extend_from_slice(content.piece(number, at, size - at));
        }
        bytes
    }

    fn check(
        content: &Arc<Content>,
        number: u64,
        size: u64,
        bytes: &[u8],
        step: usize,
    ) -> Result<(), String> {
        let mut check = Check::new(content, number, size);
        for piece in bytes.chunks(step) {
            check.feed(piece);
        }
        check.finish()
    }

    #[test]
    fn large_files_are_compared_over_all_edges() {
        let content = Content::new(1);
        let size = 3 * BLOCK_BYTES as u64 + 17;
        let mut bytes = whole(&content, 5, size);
        assert_eq!(check(&content, 5, size, &bytes, 65_536), Ok(()));
        bytes[2_500_000] ^= 1;
        let told = check(&content, 5, size, &bytes, 65_536).unwrap_err();
        assert!(told.contains("byte 2500000 of"), "{told}");
    }

    #[test]
    fn pieces_in_the_wrong_place_are_seen() {
        let content = Content::new(1);
        let mut bytes = whole(&content, 0, 4 << 20);
        // Pieces that are 1 MiB long change places.
        let (front, back) = bytes.split_at_mut(1 << 20);
        front.swap_with_slice(&mut back[..1 << 20]);
        assert!(check(&content, 0, 4 << 20, &bytes, 65_536).is_err());
    }

    proptest! {
        #[test]
        fn what_is_as_it_was_is_right(number: u64, size in 0_u64..5000, step in 1_usize..5000) {
            let content = Content::new(9);
            let bytes = whole(&content, number, size);
            prop_assert_eq!(bytes.len() as u64, size);
            prop_assert_eq!(check(&content, number, size, &bytes, step), Ok(()));
        }

        #[test]
        fn what_is_not_is_wrong(
            number in 0..u64::MAX, size in 64_u64..5000, at: prop::sample::Index, step in 1_usize..5000,
        ) {
            let content = Content::new(9);
            let bytes = whole(&content, number, size);
            let mut flipped = bytes.clone();
            let at = at.index(flipped.len());
            flipped[at] ^= 0x40;
            let told = check(&content, number, size, &flipped, step).unwrap_err();
            prop_assert_eq!(told, format!("byte {at} of {size} is wrong"));
            prop_assert!(check(&content, number + 1, size, &bytes, step).is_err());
            prop_assert!(check(&content, number, size + 1, &bytes, step).is_err());
            prop_assert!(check(&content, number, size - 1, &bytes, step).is_err());
        }
    }
}
