//! openraft's types, filled in, and their bytes.
//!
//! # Layout
//!
//! Numbers little endian, ids as in [`crate::log::record`].
//!
//! - **commands**: number of commands (4), then each: length (4), bytes. Never changed once made: the same bytes go into
//!   the log, over the wire and, cut up, to the state machine.
//! - **members**: number of configurations (4), each: number of voters (4), their ids (8 each); number of members (4),
//!   each: id (8), length of the address (2), address.
//! - **mark**: id of the last applied entry (25), id of the entry with the members (25), members.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use openraft::{CommittedLeaderId, Entry, EntryPayload, LogId, Membership, StoredMembership, Vote};

use super::snapshot::SnapshotData;
use crate::log::record::{self, EntryId, Holds, get_id, put_id};
use crate::wire::{get_text, put_text};

openraft::declare_raft_types!(
    pub(crate) Types:
        D = Commands,
        R = Answers,
        NodeId = u64,
        Node = Peer,
        Entry = Entry<Types>,
        SnapshotData = SnapshotData,
        AsyncRuntime = super::runtime::Runtime,
);

pub(crate) type Raft = openraft::Raft<Types>;
pub(crate) type Id = LogId<u64>;
pub(crate) type Members = Membership<u64, Peer>;
pub(crate) type StoredMembers = StoredMembership<u64, Peer>;

/// Where a member is reached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Peer {
    /// Host and port of its listener; empty for a member that has none.
    pub(crate) address: String,
}

/// Commands that are proposed together: one entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commands(pub(crate) Bytes);

/// An answer for each command.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Answers(pub(crate) Vec<Vec<u8>>);

/// Gathers commands.
pub(crate) struct CommandList {
    bytes: BytesMut,
    count: u32,
}

impl CommandList {
    pub(crate) fn new() -> Self {
        let mut bytes = BytesMut::with_capacity(1024);
        bytes.put_u32_le(0);
        Self { bytes, count: 0 }
    }

    pub(crate) fn push(&mut self, command: &[u8]) {
        self.count += 1;
        self.bytes
            .put_u32_le(u32::try_from(command.len()).unwrap_or(u32::MAX));
        self.bytes.put_slice(command);
    }

    /// Appends all of a list, which must be one.
    pub(crate) fn push_all(&mut self, commands: &Commands) {
        self.count += commands.count();
        self.bytes.put_slice(commands.0.get(4..).unwrap_or_default());
    }

    pub(crate) fn finish(mut self) -> Commands {
        if let Some(count) = self.bytes.first_chunk_mut() {
            *count = self.count.to_le_bytes();
        }
        Commands(self.bytes.freeze())
    }
}

impl Commands {
    pub(crate) fn one(command: &[u8]) -> Self {
        let mut list = CommandList::new();
        list.push(command);
        list.finish()
    }

    pub(crate) fn count(&self) -> u32 {
        self.0.first_chunk().map_or(0, |count| u32::from_le_bytes(*count))
    }

    /// Whether the bytes are a list of at least one command.
    pub(crate) fn is_sound(&self) -> bool {
        self.count() > 0 && self.split().is_some()
    }

    /// The commands. `None` if the bytes are no list.
    pub(crate) fn split(&self) -> Option<Vec<&[u8]>> {
        let mut rest = self.0.get(4..)?;
        // Each takes four bytes at least: a wrong count cannot make us reserve more than what is there.
        let count = self.count() as usize;
        if count > rest.len() / 4 {
            return None;
        }
        let mut commands = Vec::with_capacity(count);
        for _ in 0..count {
            let length = rest.try_get_u32_le().ok()? as usize;
            let (command, behind) = rest.split_at_checked(length)?;
            commands.push(command);
            rest = behind;
        }
        rest.is_empty().then_some(commands)
    }
}

impl Answers {
    pub(crate) fn write(&self, to: &mut impl BufMut) {
        to.put_u32_le(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        for answer in &self.0 {
            to.put_u32_le(u32::try_from(answer.len()).unwrap_or(u32::MAX));
            to.put_slice(answer);
        }
    }

    pub(crate) fn read(bytes: Bytes) -> Option<Self> {
        // The same layout as commands, but none is fine.
        let list = Commands(bytes);
        let answers = list.split()?;
        Some(Self(answers.into_iter().map(<[u8]>::to_vec).collect()))
    }
}

pub(crate) fn entry_id(id: &Id) -> EntryId {
    EntryId {
        term: id.leader_id.term,
        leader: id.leader_id.node_id,
        index: id.index,
    }
}

pub(crate) fn log_id(id: EntryId) -> Id {
    LogId::new(CommittedLeaderId::new(id.term, id.leader), id.index)
}

pub(crate) fn vote_to_record(vote: &Vote<u64>) -> record::Vote {
    record::Vote {
        term: vote.leader_id.term,
        member: vote.leader_id.node_id,
        granted: vote.committed,
    }
}

pub(crate) fn vote_of_record(vote: record::Vote) -> Vote<u64> {
    if vote.granted {
        Vote::new_committed(vote.term, vote.member)
    } else {
        Vote::new(vote.term, vote.member)
    }
}

pub(crate) fn entry_to_record(entry: Entry<Types>) -> record::Entry {
    let (holds, payload) = match entry.payload {
        EntryPayload::Blank => (Holds::Nothing, Bytes::new()),
        EntryPayload::Normal(commands) => (Holds::Commands, commands.0),
        EntryPayload::Membership(members) => {
            let mut bytes = Vec::new();
            put_members(&mut bytes, &members);
            (Holds::Members, bytes.into())
        }
    };
    record::Entry {
        id: entry_id(&entry.log_id),
        holds,
        payload,
    }
}

/// `None` if the members cannot be read.
pub(crate) fn entry_of_record(entry: record::Entry) -> Option<Entry<Types>> {
    let payload = match entry.holds {
        Holds::Nothing => EntryPayload::Blank,
        Holds::Commands => EntryPayload::Normal(Commands(entry.payload)),
        Holds::Members => EntryPayload::Membership(get_members(&mut entry.payload.clone())?),
    };
    Some(Entry {
        log_id: log_id(entry.id),
        payload,
    })
}

pub(crate) fn put_members(to: &mut impl BufMut, members: &Members) {
    let configurations = members.get_joint_config();
    put_count(to, configurations.len());
    for voters in configurations {
        put_count(to, voters.len());
        voters.iter().for_each(|voter| to.put_u64_le(*voter));
    }
    let nodes: Vec<_> = members.nodes().collect();
    put_count(to, nodes.len());
    for (id, peer) in nodes {
        to.put_u64_le(*id);
        put_text(to, &peer.address);
    }
}

pub(crate) fn get_members(from: &mut impl Buf) -> Option<Members> {
    let mut configurations = Vec::new();
    for _ in 0..get_count(from, 4)? {
        let mut voters = BTreeSet::new();
        for _ in 0..get_count(from, 8)? {
            voters.insert(from.try_get_u64_le().ok()?);
        }
        configurations.push(voters);
    }
    let mut nodes = BTreeMap::new();
    for _ in 0..get_count(from, 10)? {
        let id = from.try_get_u64_le().ok()?;
        let address = get_text(from)?;
        nodes.insert(id, Peer { address });
    }
    Some(Membership::new(configurations, nodes))
}

fn put_count(to: &mut impl BufMut, count: usize) {
    to.put_u32_le(u32::try_from(count).unwrap_or(u32::MAX));
}

/// A number of things that take so many bytes each, at least; `None` if there cannot be so many.
fn get_count(from: &mut impl Buf, each: usize) -> Option<u32> {
    let count = from.try_get_u32_le().ok()?;
    (count as usize <= from.remaining() / each).then_some(count)
}

/// What the state machine keeps for us with its rows: how far it is, and who the members are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Mark {
    pub(crate) applied: Option<Id>,
    pub(crate) members: StoredMembers,
}

impl Mark {
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(128);
        put_id(&mut bytes, self.applied.as_ref().map(entry_id));
        put_id(&mut bytes, self.members.log_id().as_ref().map(entry_id));
        put_members(&mut bytes, self.members.membership());
        bytes
    }

    pub(crate) fn read(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        let applied = get_id(bytes)?.map(log_id);
        let set_by = get_id(bytes)?.map(log_id);
        let members = StoredMembership::new(set_by, get_members(bytes)?);
        Some(Self { applied, members })
    }
}

/// The mark of a machine that a cluster of `members` begins with: of one entry of no leader's term, behind which it goes on
/// with the first. `origin` tells what begins from other rows apart.
pub(crate) fn first_mark(applied: u64, origin: u32, members: &BTreeMap<u64, String>) -> Vec<u8> {
    let first = log_id(EntryId {
        term: 0,
        leader: u64::from(origin),
        index: applied.saturating_sub(1),
    });
    let peers = members.iter().map(|(id, address)| {
        let address = address.clone();
        (*id, Peer { address })
    });
    let voters = members.keys().copied().collect();
    let members = Membership::new(vec![voters], peers.collect::<BTreeMap<_, _>>());
    Mark {
        applied: Some(first),
        members: StoredMembership::new(Some(first), members),
    }
    .write()
}

/// How many entries are applied where a machine has a mark.
pub(crate) fn applied_of(mark: &[u8]) -> Option<u64> {
    Some(Mark::read(mark)?.applied.map_or(0, |applied| applied.index + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn commands_are_split_as_they_were_joined(commands in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 1..20)) {
            let (first, second) = commands.split_at(commands.len() / 2);
            let mut list = CommandList::new();
            first.iter().for_each(|command| list.push(command));
            let mut rest = CommandList::new();
            second.iter().for_each(|command| rest.push(command));
            list.push_all(&rest.finish());
            let joined = list.finish();
            prop_assert!(joined.is_sound());
            prop_assert_eq!(joined.split().unwrap(), commands);
        }

        #[test]
        fn a_mark_is_read_as_written(
            applied in any::<(u64, u64, u64)>(), voters in proptest::collection::btree_set(any::<u64>(), 1..5), address in ".{0,20}",
        ) {
            let (term, leader, index) = applied;
            let applied = Some(log_id(EntryId { term, leader, index }));
            let nodes: BTreeMap<_, _> = voters.iter().map(|id| (*id, Peer { address: address.clone() })).collect();
            let members = StoredMembership::new(applied, Membership::new(vec![voters], nodes));
            let mark = Mark { applied, members };
            prop_assert_eq!(Mark::read(&mark.write()), Some(mark));
        }

        #[test]
        fn any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = Mark::read(&bytes);
            let _ = get_members(&mut &bytes[..]);
            let _ = Commands(bytes.clone().into()).split();
            let _ = Answers::read(bytes.into());
        }
    }
}
