//! What members say to each other, in bytes. Pure.
//!
//! # Layout
//!
//! Numbers little endian; ids of 25 bytes as in [`crate::log::record`]; a vote is term (8), member (8), granted (1).
//!
//! | message | body |
//! |---|---|
//! | vote request | vote, id of the last entry |
//! | vote answer | vote, whether it was given (1), id of the last entry |
//! | append request | vote, id before the entries, committed id, number of entries (4), each: length (4), entry |
//! | append answer | 0 all taken; 1 taken up to: id; 2 the entry before is not there; 3 there is a higher: vote |
//! | snapshot begins | vote, mark |
//! | snapshot rows | number of the snapshot (8), number of this chunk (4), rows as in [`crate::machine::chunk`] |
//! | snapshot ends | number of the snapshot (8), number of chunks (4) |

use bytes::{Buf, BufMut, Bytes, BytesMut};
use openraft::Vote;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest, VoteResponse};

use super::types::{Id, Mark, Types, entry_id, entry_of_record, entry_to_record, log_id};
use crate::log::record::{ENTRY_HEAD_BYTES, Entry, get_id, put_id};
use crate::machine::{Chunk, chunk};

fn put_log_id(to: &mut impl BufMut, id: Option<&Id>) {
    put_id(to, id.map(entry_id));
}

fn get_log_id(from: &mut impl Buf) -> Option<Option<Id>> {
    Some(get_id(from)?.map(log_id))
}

fn put_vote(to: &mut impl BufMut, vote: &Vote<u64>) {
    to.put_u64_le(vote.leader_id.term);
    to.put_u64_le(vote.leader_id.node_id);
    to.put_u8(u8::from(vote.committed));
}

fn get_vote(from: &mut impl Buf) -> Option<Vote<u64>> {
    let (term, member) = (from.try_get_u64_le().ok()?, from.try_get_u64_le().ok()?);
    match from.try_get_u8().ok()? {
        0 => Some(Vote::new(term, member)),
        1 => Some(Vote::new_committed(term, member)),
        _ => None,
    }
}

/// `Some` if nothing is left of it.
fn all_read<T>(rest: &impl Buf, value: T) -> Option<T> {
    (!rest.has_remaining()).then_some(value)
}

pub(super) fn write_vote_request(request: &VoteRequest<u64>) -> Bytes {
    let mut to = BytesMut::with_capacity(64);
    put_vote(&mut to, &request.vote);
    put_log_id(&mut to, request.last_log_id.as_ref());
    to.freeze()
}

pub(super) fn read_vote_request(mut from: Bytes) -> Option<VoteRequest<u64>> {
    let request = VoteRequest::new(get_vote(&mut from)?, get_log_id(&mut from)?);
    all_read(&from, request)
}

pub(super) fn write_vote_answer(answer: &VoteResponse<u64>) -> Bytes {
    let mut to = BytesMut::with_capacity(64);
    put_vote(&mut to, &answer.vote);
    to.put_u8(u8::from(answer.vote_granted));
    put_log_id(&mut to, answer.last_log_id.as_ref());
    to.freeze()
}

pub(super) fn read_vote_answer(mut from: Bytes) -> Option<VoteResponse<u64>> {
    let vote = get_vote(&mut from)?;
    let granted = from.try_get_u8().ok()? == 1;
    let answer = VoteResponse::new(vote, get_log_id(&mut from)?, granted);
    all_read(&from, answer)
}

pub(super) fn write_append(request: AppendEntriesRequest<Types>) -> Bytes {
    let entries: Vec<_> = request.entries.into_iter().map(entry_to_record).collect();
    let payloads: usize = entries.iter().map(|entry| entry.payload.len()).sum();
    let mut to = BytesMut::with_capacity(128 + payloads + entries.len() * (ENTRY_HEAD_BYTES + 4));
    put_vote(&mut to, &request.vote);
    put_log_id(&mut to, request.prev_log_id.as_ref());
    put_log_id(&mut to, request.leader_commit.as_ref());
    to.put_u32_le(u32::try_from(entries.len()).unwrap_or(u32::MAX));
    for entry in entries {
        let length = ENTRY_HEAD_BYTES + entry.payload.len();
        to.put_u32_le(u32::try_from(length).unwrap_or(u32::MAX));
        to.put_slice(&entry.head());
        to.put_slice(&entry.payload);
    }
    to.freeze()
}

pub(super) fn read_append(mut from: Bytes) -> Option<AppendEntriesRequest<Types>> {
    let vote = get_vote(&mut from)?;
    let prev_log_id = get_log_id(&mut from)?;
    let leader_commit = get_log_id(&mut from)?;
    let count = from.try_get_u32_le().ok()? as usize;
    if count > from.len() / (ENTRY_HEAD_BYTES + 4) {
        return None;
    }
    let mut entries = Vec::with_capacity(count);
    let mut next = prev_log_id.map(|id| id.index);
    for _ in 0..count {
        let length = from.try_get_u32_le().ok()? as usize;
        if length > from.len() {
            return None;
        }
        let entry = Entry::read(from.split_to(length))?;
        // A gap would be found by the log, but as a fault of its own, which ends the process.
        let follows = next.is_none_or(|before| entry.id.index == before.wrapping_add(1));
        if !follows {
            return None;
        }
        next = Some(entry.id.index);
        entries.push(entry_of_record(entry)?);
    }
    let request = AppendEntriesRequest {
        vote,
        prev_log_id,
        entries,
        leader_commit,
    };
    all_read(&from, request)
}

pub(super) fn write_append_answer(answer: &AppendEntriesResponse<u64>) -> Bytes {
    let mut to = BytesMut::with_capacity(32);
    match answer {
        AppendEntriesResponse::Success => to.put_u8(0),
        AppendEntriesResponse::PartialSuccess(upto) => {
            to.put_u8(1);
            put_log_id(&mut to, upto.as_ref());
        }
        AppendEntriesResponse::Conflict => to.put_u8(2),
        AppendEntriesResponse::HigherVote(vote) => {
            to.put_u8(3);
            put_vote(&mut to, vote);
        }
    }
    to.freeze()
}

pub(super) fn read_append_answer(mut from: Bytes) -> Option<AppendEntriesResponse<u64>> {
    let answer = match from.try_get_u8().ok()? {
        0 => AppendEntriesResponse::Success,
        1 => AppendEntriesResponse::PartialSuccess(get_log_id(&mut from)?),
        2 => AppendEntriesResponse::Conflict,
        3 => AppendEntriesResponse::HigherVote(get_vote(&mut from)?),
        _ => return None,
    };
    all_read(&from, answer)
}

pub(super) fn write_snapshot_begin(vote: &Vote<u64>, mark: &Mark) -> Bytes {
    let mut to = BytesMut::new();
    put_vote(&mut to, vote);
    to.put_slice(&mark.write());
    to.freeze()
}

pub(super) fn read_snapshot_begin(mut from: Bytes) -> Option<(Vote<u64>, Mark)> {
    let vote = get_vote(&mut from)?;
    Some((vote, Mark::read(&from)?))
}

pub(super) fn write_rows(snapshot: u64, number: u32, rows: &Chunk) -> Bytes {
    let mut to = BytesMut::with_capacity(chunk::length_of(rows) + 12);
    to.put_u64_le(snapshot);
    to.put_u32_le(number);
    chunk::put(&mut to, rows);
    to.freeze()
}

/// Number of the snapshot, number of the chunk, rows.
pub(super) fn read_rows(mut from: Bytes) -> Option<(u64, u32, Chunk)> {
    let (snapshot, number) = (from.try_get_u64_le().ok()?, from.try_get_u32_le().ok()?);
    let rows = chunk::get(&mut from)?;
    all_read(&from, (snapshot, number, rows))
}

pub(super) fn write_snapshot_end(snapshot: u64, chunks: u32) -> Bytes {
    let mut to = BytesMut::with_capacity(12);
    to.put_u64_le(snapshot);
    to.put_u32_le(chunks);
    to.freeze()
}

pub(super) fn read_snapshot_end(mut from: Bytes) -> Option<(u64, u32)> {
    let end = (from.try_get_u64_le().ok()?, from.try_get_u32_le().ok()?);
    all_read(&from, end)
}

pub(super) fn write_vote(vote: &Vote<u64>) -> Bytes {
    let mut to = BytesMut::with_capacity(17);
    put_vote(&mut to, vote);
    to.freeze()
}

pub(super) fn read_vote(mut from: Bytes) -> Option<Vote<u64>> {
    let vote = get_vote(&mut from)?;
    all_read(&from, vote)
}

#[cfg(test)]
mod tests {
    use super::*;
    use openraft::{Entry, EntryPayload};
    use proptest::prelude::*;

    use crate::log::record::EntryId;
    use crate::raft::types::Commands;

    fn id(term: u64, index: u64) -> Id {
        log_id(EntryId {
            term,
            leader: 2,
            index,
        })
    }

    proptest! {
        #[test]
        fn an_append_is_read_as_written(term in 1..9_u64, before in any::<u32>(), commands in proptest::collection::vec(any::<Vec<u8>>(), 0..10)) {
            let before = u64::from(before);
            let entries: Vec<_> = commands.iter().zip(before + 1..).map(|(command, index)| Entry::<Types> {
                log_id: id(term, index),
                payload: EntryPayload::Normal(Commands::one(command)),
            }).collect();
            let request = AppendEntriesRequest {
                vote: Vote::new_committed(term, 2), prev_log_id: Some(id(term, before)), entries: entries.clone(), leader_commit: None,
            };
            let read = read_append(write_append(request)).unwrap();
            prop_assert_eq!(read.entries, entries);
            prop_assert_eq!(read.prev_log_id, Some(id(term, before)));
        }

        #[test]
        fn rows_are_read_as_written(rows in proptest::collection::vec(any::<(Vec<u8>, Vec<u8>)>(), 0..10)) {
            prop_assert_eq!(read_rows(write_rows(3, 4, &rows)), Some((3, 4, rows)));
        }

        #[test]
        fn any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let bytes = Bytes::from(bytes);
            let _ = read_append(bytes.clone());
            let _ = read_vote_request(bytes.clone());
            let _ = read_vote_answer(bytes.clone());
            let _ = read_append_answer(bytes.clone());
            let _ = read_snapshot_begin(bytes.clone());
            let _ = read_rows(bytes.clone());
            let _ = read_snapshot_end(bytes);
        }
    }
}
