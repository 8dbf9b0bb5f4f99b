//! Failed logins, which nodes tell each other by way of the member that leads: what an address has tried at one of them
//! counts at all. In memory only; a member that comes to lead begins with nothing, and each node keeps what it knows.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::time::Instant;

use crate::limits::{GUESSES_KEPT_MAX_COUNT, GUESSES_KEPT_S, GUESSES_TOLD_MAX_COUNT};

/// Bytes of a [`Guess`].
const GUESS_BYTES: usize = 29;

/// A login that a node has decided.
///
/// # Layout
///
/// Little endian: address (16), key (8), age (4), 1 if it was right (1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guess {
    /// Where it came from, as an IPv6 address.
    pub address: [u8; 16],
    /// What it tried: the first bytes of a hash, as the nodes agree on it.
    pub key: u64,
    /// How long ago it was, in seconds.
    pub age_s: u32,
    /// Whether it succeeded, which ends what failures before it have brought.
    pub right: bool,
}

/// What a node has decided, and what it has been told of the others.
///
/// # Layout
///
/// Little endian: board (8), place (8), guesses ([`Guess`]).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guesses {
    /// Which board the place is on: each has a number of its own. Of a request, 0 if none is known.
    pub board: u64,
    /// Place on the board up to which this is all.
    pub place: u64,
    /// At most [`GUESSES_TOLD_MAX_COUNT`].
    pub guesses: Vec<Guess>,
}

impl Guesses {
    /// The bytes.
    #[must_use]
    pub fn write(&self) -> Bytes {
        let mut to = BytesMut::with_capacity(16 + self.guesses.len() * GUESS_BYTES);
        to.put_u64_le(self.board);
        to.put_u64_le(self.place);
        for guess in &self.guesses {
            to.put_slice(&guess.address);
            to.put_u64_le(guess.key);
            to.put_u32_le(guess.age_s);
            to.put_u8(guess.right.into());
        }
        to.freeze()
    }

    /// Reads them; `None` if the bytes are none, or too many.
    #[must_use]
    pub fn read(mut from: Bytes) -> Option<Self> {
        let (board, place) = (from.try_get_u64_le().ok()?, from.try_get_u64_le().ok()?);
        if !from.len().is_multiple_of(GUESS_BYTES) || from.len() / GUESS_BYTES > GUESSES_TOLD_MAX_COUNT {
            return None;
        }
        let mut guesses = Vec::with_capacity(from.len() / GUESS_BYTES);
        while !from.is_empty() {
            let mut address = [0; 16];
            from.try_copy_to_slice(&mut address).ok()?;
            guesses.push(Guess {
                address,
                key: from.try_get_u64_le().ok()?,
                age_s: from.try_get_u32_le().ok()?,
                right: from.try_get_u8().ok()? == 1,
            });
        }
        Some(Self {
            board,
            place,
            guesses,
        })
    }
}

/// Where nodes leave what they have decided, and read what others have.
pub(super) struct Board {
    number: u64,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// Place of the first that is kept.
    first: u64,
    notes: VecDeque<Note>,
}

struct Note {
    node: String,
    at: Instant,
    guess: Guess,
}

impl Board {
    /// An empty one. `number` is not 0 and no other board's.
    pub(super) fn new(number: u64) -> Self {
        Self {
            number,
            kept: Mutex::default(),
        }
    }

    /// Takes what a node has decided, and tells it what others have, behind the place it knows.
    pub(super) fn exchange(&self, node: &str, from: &Guesses, now: Instant) -> Guesses {
        let mut kept = self.kept();
        for guess in &from.guesses {
            let at = now.checked_sub(Duration::from_secs(guess.age_s.into()));
            kept.notes.push_back(Note {
                node: node.to_owned(),
                at: at.unwrap_or(now),
                guess: *guess,
            });
        }
        kept.forget(now);
        let known = if from.board == self.number { from.place } else { 0 };
        let behind = usize::try_from(known.saturating_sub(kept.first)).unwrap_or(usize::MAX);
        let mut told = Guesses {
            board: self.number,
            place: known.max(kept.first),
            guesses: Vec::new(),
        };
        for note in kept.notes.iter().skip(behind) {
            if told.guesses.len() == GUESSES_TOLD_MAX_COUNT {
                break;
            }
            told.place += 1;
            if note.node != node {
                let age_s = now.saturating_duration_since(note.at).as_secs();
                told.guesses.push(Guess {
                    age_s: u32::try_from(age_s).unwrap_or(u32::MAX),
                    ..note.guess
                });
            }
        }
        told
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Drops what no longer matters, and the oldest of too many.
    fn forget(&mut self, now: Instant) {
        let kept_for = Duration::from_secs(GUESSES_KEPT_S);
        let is_old = |note: &Note| now.saturating_duration_since(note.at) > kept_for;
        while self.notes.len() > GUESSES_KEPT_MAX_COUNT || self.notes.front().is_some_and(is_old) {
            self.notes.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(key: u64) -> Guess {
        Guess {
            address: [7; 16],
            key,
            age_s: 0,
            right: false,
        }
    }

    fn keys(told: &Guesses) -> Vec<u64> {
        told.guesses.iter().map(|guess| guess.key).collect()
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else_is() {
        let right = Guess {
            right: true,
            age_s: 300,
            ..guess(u64::MAX)
        };
        let guesses = Guesses {
            board: 3,
            place: 9,
            guesses: vec![guess(1), right],
        };
        assert_eq!(Guesses::read(guesses.write()), Some(guesses.clone()));
        let bytes = guesses.write();
        assert_eq!(Guesses::read(bytes.slice(..bytes.len() - 1)), None);
        assert_eq!(Guesses::read(Bytes::from_static(b"short")), None);
        let many = Guesses {
            guesses: vec![guess(1); GUESSES_TOLD_MAX_COUNT + 1],
            ..Guesses::default()
        };
        assert_eq!(Guesses::read(many.write()), None);
    }

    #[test]
    fn each_node_is_told_once_what_the_others_have_seen() {
        let (board, now) = (Board::new(5), Instant::now());
        let of = |told: &Guesses, guesses| Guesses {
            guesses,
            ..told.clone()
        };
        let a = board.exchange("a", &of(&Guesses::default(), vec![guess(1), guess(2)]), now);
        assert_eq!(keys(&a), [0; 0]);
        let b = board.exchange("b", &of(&Guesses::default(), vec![guess(3)]), now);
        assert_eq!(keys(&b), [1, 2]);
        let b = board.exchange("b", &of(&b, Vec::new()), now);
        assert_eq!(keys(&b), [0; 0]);
        let later = now + Duration::from_secs(4);
        let a = board.exchange("a", &of(&a, Vec::new()), later);
        assert_eq!((keys(&a), a.guesses[0].age_s), (vec![3], 4));
        // A place on another board says nothing.
        let elsewhere = Guesses { board: 6, ..a };
        assert_eq!(keys(&board.exchange("a", &elsewhere, now)), [3]);
    }

    #[test]
    fn what_is_old_or_too_much_is_forgotten_and_places_stay_right() {
        let (board, now) = (Board::new(5), Instant::now());
        let many = |count: usize| Guesses {
            guesses: (0..count as u64).map(guess).collect(),
            ..Guesses::default()
        };
        let mut posted = 0;
        while posted <= GUESSES_KEPT_MAX_COUNT {
            board.exchange("a", &many(GUESSES_TOLD_MAX_COUNT), now);
            posted += GUESSES_TOLD_MAX_COUNT;
        }
        assert_eq!(board.kept().notes.len(), GUESSES_KEPT_MAX_COUNT);
        let mut told = Guesses::default();
        let mut count = 0;
        loop {
            told.guesses.clear();
            told = board.exchange("b", &told, now);
            if told.guesses.is_empty() {
                break;
            }
            count += told.guesses.len();
        }
        assert_eq!(count, GUESSES_KEPT_MAX_COUNT);
        let later = now + Duration::from_secs(GUESSES_KEPT_S + 1);
        assert_eq!(keys(&board.exchange("c", &Guesses::default(), later)), [0; 0]);
        let last = board.exchange("a", &many(1), later);
        told.guesses.clear();
        assert_eq!(keys(&board.exchange("b", &told, later)), [0]);
        assert_eq!(last.place, told.place + 1);
    }
}
