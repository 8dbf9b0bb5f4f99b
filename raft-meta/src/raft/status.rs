//! How a member is.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use openraft::{LogIdOptionExt, RaftMetrics, ServerState};

use super::types::Peer;
use crate::wire::{get_text, put_text};

/// One of the members, as another sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    /// Its number.
    pub id: u64,
    /// Host and port; empty if it has no listener.
    pub address: String,
    /// Whether it votes; otherwise it only follows.
    pub voter: bool,
    /// Entries known to be in its log; the leader knows that of all others.
    pub entries: Option<u64>,
}

/// How a member is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// Its number.
    pub id: u64,
    /// The term.
    pub term: u64,
    /// Who leads, as far as it knows.
    pub leader: Option<u64>,
    /// Whether it leads or tries to.
    pub state: String,
    /// Entries in its log, those that were given up included.
    pub entries: u64,
    /// Of those, the ones it has applied.
    pub applied: u64,
    /// Of those, the ones that it does not lose without the log.
    pub persisted: u64,
    /// For a leader: how long ago a quorum has answered it, in milliseconds.
    pub quorum_ms: Option<u64>,
    /// All members.
    pub members: Vec<MemberStatus>,
}

impl Status {
    pub(super) fn of(metrics: &RaftMetrics<u64, Peer>) -> Self {
        let membership = metrics.membership_config.membership();
        let voters: Vec<u64> = membership.voter_ids().collect();
        let entries = |id: &u64| {
            let known = metrics.replication.as_ref()?.get(id)?;
            Some(known.next_index())
        };
        Self {
            id: metrics.id,
            term: metrics.current_term,
            leader: metrics.current_leader,
            state: match metrics.state {
                ServerState::Learner => "learner",
                ServerState::Follower => "follower",
                ServerState::Candidate => "candidate",
                ServerState::Leader => "leader",
                ServerState::Shutdown => "stopped",
            }
            .to_owned(),
            entries: metrics.last_log_index.map_or(0, |index| index + 1),
            applied: metrics.last_applied.next_index(),
            persisted: metrics.snapshot.next_index(),
            quorum_ms: metrics.millis_since_quorum_ack,
            members: membership
                .nodes()
                .map(|(id, peer)| MemberStatus {
                    id: *id,
                    address: peer.address.clone(),
                    voter: voters.contains(id),
                    entries: entries(id),
                })
                .collect(),
        }
    }

    /// # Layout
    ///
    /// Numbers little endian; a number that may be missing is 1 and the number, or 0 and zero (9); a text is its length
    /// (2) and bytes. Member (8), term (8), leader (9), state, entries (8), applied (8), persisted (8), quorum (9), number
    /// of members (4), each: id (8), address, voter (1), entries (9).
    #[must_use]
    pub fn write(&self) -> Bytes {
        let mut to = BytesMut::new();
        to.put_u64_le(self.id);
        to.put_u64_le(self.term);
        put_option(&mut to, self.leader);
        put_text(&mut to, &self.state);
        to.put_u64_le(self.entries);
        to.put_u64_le(self.applied);
        to.put_u64_le(self.persisted);
        put_option(&mut to, self.quorum_ms);
        to.put_u32_le(u32::try_from(self.members.len()).unwrap_or(u32::MAX));
        for member in &self.members {
            to.put_u64_le(member.id);
            put_text(&mut to, &member.address);
            to.put_u8(u8::from(member.voter));
            put_option(&mut to, member.entries);
        }
        to.freeze()
    }

    /// Reads what [`Self::write`] has written; `None` if the bytes are none.
    #[must_use]
    pub fn read(mut from: Bytes) -> Option<Self> {
        let from = &mut from;
        let mut status = Self {
            id: from.try_get_u64_le().ok()?,
            term: from.try_get_u64_le().ok()?,
            leader: get_option(from)?,
            state: get_text(from)?,
            entries: from.try_get_u64_le().ok()?,
            applied: from.try_get_u64_le().ok()?,
            persisted: from.try_get_u64_le().ok()?,
            quorum_ms: get_option(from)?,
            members: Vec::new(),
        };
        for _ in 0..from.try_get_u32_le().ok()? {
            status.members.push(MemberStatus {
                id: from.try_get_u64_le().ok()?,
                address: get_text(from)?,
                voter: from.try_get_u8().ok()? == 1,
                entries: get_option(from)?,
            });
        }
        Some(status)
    }
}

fn put_option(to: &mut impl BufMut, number: Option<u64>) {
    to.put_u8(u8::from(number.is_some()));
    to.put_u64_le(number.unwrap_or_default());
}

fn get_option(from: &mut impl Buf) -> Option<Option<u64>> {
    let there = from.try_get_u8().ok()? == 1;
    let number = from.try_get_u64_le().ok()?;
    Some(there.then_some(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_as_written() {
        let status = Status {
            id: 3,
            term: 9,
            leader: Some(1),
            state: "follower".to_owned(),
            entries: 12,
            applied: 11,
            persisted: 4,
            quorum_ms: None,
            members: vec![MemberStatus {
                id: 1,
                address: "127.0.0.1:8090".to_owned(),
                voter: true,
                entries: Some(12),
            }],
        };
        let bytes = status.write();
        assert_eq!(Status::read(bytes.clone()), Some(status));
        for end in 0..bytes.len() {
            assert_eq!(Status::read(bytes.slice(..end)), None);
        }
    }
}
