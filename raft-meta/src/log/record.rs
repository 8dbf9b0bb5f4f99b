//! What the records of the log hold. Pure.
//!
//! # Layout
//!
//! Numbers little endian. Batches and record headers are those of [`filegrid_journal::codec`]; every record is in the
//! sequence.
//!
//! | kind | payload |
//! |---|---|
//! | 1 entry | term (8), leader (8), index (8), what it holds (1): 0 nothing, 1 commands, 2 members; then those |
//! | 2 state | member (8), vote: term (8), member (8), granted (1); committed: id (25); purged: id (25) |
//! | 3 cut | index (8): entries from this one on are void |
//!
//! An id of 25 bytes is 1 and term, leader, index, or 0 and zeros for none. The first record of every segment is a
//! state, so a log can lose its oldest segments and keep what they said.

use bytes::{Buf, BufMut, Bytes};
use filegrid_journal::codec::Kind;

/// Names an entry: its place, and the leader that put it there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct EntryId {
    /// Term of the leader.
    pub term: u64,
    /// The leader that proposed it.
    pub leader: u64,
    /// Place in the log, from 0.
    pub index: u64,
}

/// Whom a member votes for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vote {
    /// The term.
    pub term: u64,
    /// The candidate.
    pub member: u64,
    /// Whether a quorum has granted it.
    pub granted: bool,
}

/// What an entry holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Holds {
    /// Nothing: a leader's first entry.
    Nothing = 0,
    /// Commands for the state machine.
    Commands = 1,
    /// The members of the cluster.
    Members = 2,
}

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub id: EntryId,
    /// What the payload is.
    pub holds: Holds,
    /// The payload.
    pub payload: Bytes,
}

/// What is known besides entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct State {
    /// The member that the log belongs to.
    pub member: u64,
    /// The vote.
    pub vote: Option<Vote>,
    /// An entry known committed. Written when something else is, so it may be older than what was applied.
    pub committed: Option<EntryId>,
    /// The last entry that was given up.
    pub purged: Option<EntryId>,
}

/// Kinds of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordKind {
    /// An [`Entry`].
    Entry = 1,
    /// A [`State`].
    State = 2,
    /// Entries are void from an index on.
    Cut = 3,
}

impl Kind for RecordKind {
    fn number(self) -> u8 {
        self as u8
    }

    fn of(number: u8) -> Option<Self> {
        [Self::Entry, Self::State, Self::Cut]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }
}

/// Bytes of an entry's record before its payload.
pub const ENTRY_HEAD_BYTES: usize = 25;

impl Holds {
    /// The kind of content that a number stands for.
    #[must_use]
    pub fn of(number: u8) -> Option<Self> {
        [Self::Nothing, Self::Commands, Self::Members]
            .into_iter()
            .find(|holds| *holds as u8 == number)
    }
}

impl Entry {
    /// The bytes of the entry before its payload.
    #[must_use]
    pub fn head(&self) -> [u8; ENTRY_HEAD_BYTES] {
        let mut head = [0; ENTRY_HEAD_BYTES];
        let mut to = &mut head[..];
        to.put_u64_le(self.id.term);
        to.put_u64_le(self.id.leader);
        to.put_u64_le(self.id.index);
        to.put_u8(self.holds as u8);
        head
    }

    /// Reads an entry: head and payload. `None` if the bytes are none.
    #[must_use]
    pub fn read(mut bytes: Bytes) -> Option<Self> {
        let id = EntryId {
            term: bytes.try_get_u64_le().ok()?,
            leader: bytes.try_get_u64_le().ok()?,
            index: bytes.try_get_u64_le().ok()?,
        };
        let holds = Holds::of(bytes.try_get_u8().ok()?)?;
        Some(Self {
            id,
            holds,
            payload: bytes,
        })
    }
}

impl State {
    /// The bytes of the state.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(75);
        bytes.put_u64_le(self.member);
        // A vote of term 0 for nobody is no vote.
        let vote = self.vote.unwrap_or(Vote {
            term: 0,
            member: 0,
            granted: false,
        });
        bytes.put_u64_le(vote.term);
        bytes.put_u64_le(vote.member);
        bytes.put_u8(u8::from(self.vote.is_some()) | u8::from(vote.granted) << 1);
        put_id(&mut bytes, self.committed);
        put_id(&mut bytes, self.purged);
        bytes
    }

    /// Reads a state. `None` if the bytes are none.
    #[must_use]
    pub fn read(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        let member = bytes.try_get_u64_le().ok()?;
        let (term, voted) = (bytes.try_get_u64_le().ok()?, bytes.try_get_u64_le().ok()?);
        let flags = bytes.try_get_u8().ok()?;
        Some(Self {
            member,
            vote: (flags & 1 == 1).then_some(Vote {
                term,
                member: voted,
                granted: flags & 2 == 2,
            }),
            committed: get_id(bytes)?,
            purged: get_id(bytes)?,
        })
    }
}

/// Writes an id, or that there is none.
pub fn put_id(to: &mut impl BufMut, id: Option<EntryId>) {
    to.put_u8(u8::from(id.is_some()));
    let id = id.unwrap_or_default();
    to.put_u64_le(id.term);
    to.put_u64_le(id.leader);
    to.put_u64_le(id.index);
}

/// Reads what [`put_id`] has written. `None` if the bytes are none.
#[must_use]
pub fn get_id(from: &mut impl Buf) -> Option<Option<EntryId>> {
    let there = from.try_get_u8().ok()?;
    let id = EntryId {
        term: from.try_get_u64_le().ok()?,
        leader: from.try_get_u64_le().ok()?,
        index: from.try_get_u64_le().ok()?,
    };
    match there {
        0 => Some(None),
        1 => Some(Some(id)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ids() -> impl Strategy<Value = Option<EntryId>> {
        proptest::option::of(
            any::<(u64, u64, u64)>().prop_map(|(term, leader, index)| EntryId { term, leader, index }),
        )
    }

    proptest! {
        #[test]
        fn a_state_is_read_as_written(
            member in any::<u64>(), vote in proptest::option::of(any::<(u64, u64, bool)>()), committed in ids(), purged in ids(),
        ) {
            let vote = vote.map(|(term, member, granted)| Vote { term, member, granted });
            let state = State { member, vote, committed, purged };
            prop_assert_eq!(State::read(&state.write()), Some(state));
        }

        #[test]
        fn any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = State::read(&bytes);
            let _ = Entry::read(bytes.into());
        }
    }
}
