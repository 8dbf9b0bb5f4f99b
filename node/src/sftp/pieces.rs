//! What a file that is being written consists of: a map from its bytes to where they come from.

use std::collections::BTreeMap;
use std::ops::Range;

/// Where bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The content that was there when the file was opened.
    Old,
    /// What has come since; which of the streams it went into.
    New(usize),
    /// Nowhere: nobody has written them, so they are zero.
    Zero,
}

/// A run of bytes of the file from one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// First byte in the file.
    pub at: u64,
    /// How many.
    pub length: u64,
    /// Where they come from.
    pub origin: Origin,
    /// First byte there.
    pub from: u64,
}

impl Piece {
    fn end(&self) -> u64 {
        self.at + self.length
    }

    /// The part of it in a range.
    fn part(&self, range: &Range<u64>) -> Option<Self> {
        let (start, end) = (self.at.max(range.start), self.end().min(range.end));
        (start < end).then(|| Self {
            at: start,
            length: end - start,
            origin: self.origin,
            from: match self.origin {
                Origin::Zero => 0,
                _ => self.from + (start - self.at),
            },
        })
    }
}

/// All of a file. Pieces lie side by side, from its first byte to its last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pieces {
    by_start: BTreeMap<u64, Piece>,
}

impl Pieces {
    /// A file that is as it was.
    #[must_use]
    pub fn old(size: u64) -> Self {
        let mut pieces = Self::default();
        pieces.put(0, size, Origin::Old, 0);
        pieces
    }

    /// A file that has come in one stream.
    #[must_use]
    pub fn new(size: u64) -> Self {
        let mut pieces = Self::default();
        pieces.put(0, size, Origin::New(0), 0);
        pieces
    }

    /// Bytes of the file.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.by_start.last_key_value().map_or(0, |(_, last)| last.end())
    }

    /// How many pieces there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.by_start.len()
    }

    /// The pieces in order.
    pub fn iter(&self) -> impl Iterator<Item = &Piece> {
        self.by_start.values()
    }

    /// The part of a piece that begins at `at` and has at most `most` bytes; `None` behind the end.
    #[must_use]
    pub fn piece(&self, at: u64, most: u64) -> Option<Piece> {
        let (_, piece) = self.by_start.range(..=at).next_back()?;
        piece.part(&(at..at.saturating_add(most)))
    }

    /// Puts `length` bytes at `at`, in the place of what is there. Between the end and `at` there are zeros then.
    pub fn put(&mut self, at: u64, length: u64, origin: Origin, from: u64) {
        if length == 0 {
            return;
        }
        self.grow(at);
        self.remove(at..at + length);
        let piece = Piece {
            at,
            length,
            origin,
            from,
        };
        if let Some((_, before)) = self.by_start.range_mut(..at).next_back()
            && before.end() == at
            && before.origin == origin
            && (origin == Origin::Zero || before.from + before.length == from)
        {
            before.length += length;
            return;
        }
        self.by_start.insert(at, piece);
    }

    /// Makes it `size` bytes long.
    pub fn resize(&mut self, size: u64) {
        let now = self.size();
        if size < now {
            self.remove(size..now);
        } else {
            self.grow(size);
        }
    }

    fn grow(&mut self, size: u64) {
        let now = self.size();
        if size > now {
            self.put(now, size - now, Origin::Zero, 0);
        }
    }

    /// Takes out what is in a range; the caller fills it or it is the end.
    fn remove(&mut self, range: Range<u64>) {
        let first = self.by_start.range(..=range.start).next_back();
        let from = first.map_or(range.start, |(start, _)| *start);
        let touched: Vec<Piece> = self
            .by_start
            .range(from..range.end)
            .map(|(_, piece)| *piece)
            .collect();
        for piece in touched {
            self.by_start.remove(&piece.at);
            let around = [piece.part(&(0..range.start)), piece.part(&(range.end..u64::MAX))];
            for kept in around.into_iter().flatten() {
                self.by_start.insert(kept.at, kept);
            }
        }
    }

    /// Whether it is the beginning of the old content, perhaps, and what has come behind it: then it can be gone on
    /// with where it ends.
    #[must_use]
    pub fn is_beginning(&self) -> bool {
        let mut new = false;
        self.iter().all(|piece| {
            let fits = match piece.origin {
                Origin::Old => !new && piece.from == piece.at,
                Origin::New(_) => true,
                Origin::Zero => false,
            };
            new |= piece.origin != Origin::Old;
            fits
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The bytes of a file, each with where it comes from.
    fn flat(pieces: &Pieces) -> Vec<(Origin, u64)> {
        let mut bytes = Vec::new();
        for piece in pieces.iter() {
            assert_eq!(piece.at, bytes.len() as u64, "side by side");
            for n in 0..piece.length {
                let from = if piece.origin == Origin::Zero {
                    0
                } else {
                    piece.from + n
                };
                bytes.push((piece.origin, from));
            }
        }
        bytes
    }

    proptest! {
        #[test]
        fn a_map_is_what_a_plain_array_would_be(
            old in 0..40_u64,
            writes in proptest::collection::vec((0..80_u64, 0..20_u64, any::<bool>()), 0..30),
        ) {
            let mut pieces = Pieces::old(old);
            let mut model: Vec<_> = (0..old).map(|n| (Origin::Old, n)).collect();
            let mut from = 0;
            for (at, length, write) in writes {
                let start = usize::try_from(at).unwrap();
                if write {
                    pieces.put(at, length, Origin::New(0), from);
                    let end = usize::try_from(at + length).unwrap();
                    if length > 0 {
                        model.resize(model.len().max(end), (Origin::Zero, 0));
                        let bytes = (from..from + length).map(|n| (Origin::New(0), n));
                        model.splice(start..end, bytes);
                    }
                    from += length;
                } else {
                    pieces.resize(at);
                    model.resize(start, (Origin::Zero, 0));
                }
                prop_assert_eq!(pieces.size(), model.len() as u64);
            }
            prop_assert_eq!(flat(&pieces), model.clone());
            for (at, byte) in model.iter().enumerate() {
                let piece = pieces.piece(at as u64, 3).unwrap();
                prop_assert_eq!((piece.origin, piece.from), *byte);
                prop_assert!((1..=3).contains(&piece.length));
            }
            prop_assert!(pieces.piece(model.len() as u64, 1).is_none());
        }
    }

    #[test]
    fn what_comes_in_order_is_one_piece() {
        let mut pieces = Pieces::default();
        for n in 0..10 {
            pieces.put(n * 7, 7, Origin::New(0), n * 7);
        }
        assert_eq!(pieces, Pieces::new(70));
        assert!(pieces.is_beginning());
        pieces.put(80, 1, Origin::New(0), 70);
        assert!(!pieces.is_beginning(), "a hole");
        let mut pieces = Pieces::old(10);
        pieces.put(10, 5, Origin::New(0), 0);
        assert!(pieces.is_beginning());
        pieces.put(3, 1, Origin::New(0), 5);
        assert!(!pieces.is_beginning(), "the old content was changed");
    }
}
