//! Changes of the members, and of who leads.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use openraft::ChangeMembers;
use openraft::error::{ChangeMembershipError, ClientWriteError, RaftError};
use tokio::time::Instant;

use super::member::{Inner, Member};
use super::status::Status;
use super::types::Peer;
use crate::limits::LEADER_PATIENCE_S;
use crate::wire::{CallError, Method, Refusal};

/// Why the members were not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MembersError {
    /// It cannot be done; says why.
    #[error("{0}")]
    Refused(String),
    /// Not now: another change is on its way, or no leader is there.
    #[error("{0}")]
    NotNow(String),
    /// It may or may not have been done.
    #[error("the outcome is unknown: {0}")]
    Unknown(String),
}

impl From<CallError> for MembersError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(Refusal::BadRequest(why) | Refusal::Forbidden(why)) => Self::Refused(why),
            CallError::Unreachable(why) | CallError::Refused(Refusal::NotNow(why)) => Self::NotNow(why),
            CallError::Refused(refusal @ Refusal::NotLeader(_)) => Self::NotNow(refusal.to_string()),
            error => Self::Unknown(error.to_string()),
        }
    }
}

/// A change of the members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// A member that only follows.
    AddLearner(u64, String),
    /// Another address for a member.
    Readdress(u64, String),
    /// A member that follows becomes one that votes.
    Promote(u64),
    Remove(u64),
    /// A member becomes the leader.
    Transfer(u64),
}

impl Change {
    /// # Layout
    ///
    /// Code (1), member (8), address.
    pub(super) fn write(&self) -> Bytes {
        let (code, member, address) = match self {
            Self::AddLearner(member, address) => (1, member, address.as_str()),
            Self::Promote(member) => (2, member, ""),
            Self::Remove(member) => (3, member, ""),
            Self::Transfer(member) => (4, member, ""),
            Self::Readdress(member, address) => (5, member, address.as_str()),
        };
        let mut to = BytesMut::new();
        to.put_u8(code);
        to.put_u64_le(*member);
        to.put_slice(address.as_bytes());
        to.freeze()
    }

    pub(super) fn read(mut from: Bytes) -> Option<Self> {
        let (code, member) = (from.try_get_u8().ok()?, from.try_get_u64_le().ok()?);
        Some(match code {
            1 => Self::AddLearner(member, String::from_utf8(from.to_vec()).ok()?),
            2 => Self::Promote(member),
            3 => Self::Remove(member),
            4 => Self::Transfer(member),
            5 => Self::Readdress(member, String::from_utf8(from.to_vec()).ok()?),
            _ => return None,
        })
    }
}

impl Member {
    /// Adds a member that follows: it gets all entries and does not vote.
    ///
    /// # Errors
    ///
    /// [`MembersError`].
    pub async fn add_learner(&self, id: u64, address: &str) -> Result<(), MembersError> {
        self.change(Change::AddLearner(id, address.to_owned())).await
    }

    /// Makes a member that follows one that votes, when it has caught up.
    ///
    /// # Errors
    ///
    /// [`MembersError`].
    pub async fn promote(&self, id: u64) -> Result<(), MembersError> {
        self.change(Change::Promote(id)).await
    }

    /// Removes a member.
    ///
    /// # Errors
    ///
    /// [`MembersError`].
    pub async fn remove(&self, id: u64) -> Result<(), MembersError> {
        self.change(Change::Remove(id)).await
    }

    /// Hands leadership over to a member. Commands wait meanwhile, some `election_max_ms`: members grant no vote while
    /// they have heard from a leader.
    ///
    /// # Errors
    ///
    /// [`MembersError`].
    pub async fn transfer(&self, id: u64) -> Result<(), MembersError> {
        self.change(Change::Transfer(id)).await
    }

    /// Changes the members, here or at the leader.
    pub(super) async fn change(&self, change: Change) -> Result<(), MembersError> {
        let leader = match self.leads() {
            Ok(()) => return self.change_here(change).await,
            Err(leader) => leader,
        };
        let leader = leader.ok_or_else(|| MembersError::NotNow("no member leads".to_owned()))?;
        let answer = self
            .inner
            .carrier
            .call(&leader, Method::MEMBERS, change.write())
            .await;
        answer.map(drop).map_err(MembersError::from)
    }

    pub(super) async fn change_here(&self, change: Change) -> Result<(), MembersError> {
        match change {
            Change::AddLearner(id, address) => {
                let peer = Peer { address };
                self.set_members(ChangeMembers::AddNodes([(id, peer)].into()))
                    .await
            }
            Change::Readdress(id, address) => {
                if !self.status().members.iter().any(|member| member.id == id) {
                    return Err(MembersError::Refused(format!("there is no member {id}")));
                }
                // Whoever answers there has to be this member: see the hello.
                let peer = Peer { address };
                self.set_members(ChangeMembers::SetNodes([(id, peer)].into()))
                    .await
            }
            Change::Promote(id) => {
                self.wait_caught_up(id).await?;
                self.set_members(ChangeMembers::AddVoterIds([id].into())).await
            }
            Change::Remove(id) => {
                let status = self.status();
                let member = status.members.iter().find(|member| member.id == id);
                match member.map(|member| member.voter) {
                    Some(true) => self.set_members(ChangeMembers::RemoveVoters([id].into())).await,
                    Some(false) => self.set_members(ChangeMembers::RemoveNodes([id].into())).await,
                    None => Err(MembersError::Refused(format!("there is no member {id}"))),
                }
            }
            Change::Transfer(id) => self.transfer_here(id).await,
        }
    }

    /// Changes the members, after a change that is on its way.
    async fn set_members(&self, change: ChangeMembers<u64, Peer>) -> Result<(), MembersError> {
        let deadline = Instant::now() + Duration::from_secs(LEADER_PATIENCE_S);
        loop {
            match self.inner.raft.change_membership(change.clone(), false).await {
                Ok(_) => return Ok(()),
                Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(error))) => {
                    if !matches!(error, ChangeMembershipError::InProgress(_)) {
                        return Err(MembersError::Refused(error.to_string()));
                    }
                    if Instant::now() >= deadline {
                        let why = "another change of the members is on its way";
                        return Err(MembersError::NotNow(why.to_owned()));
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => {
                    return Err(MembersError::NotNow("another member leads".to_owned()));
                }
                Err(RaftError::Fatal(error)) => return Err(MembersError::Unknown(error.to_string())),
            }
        }
    }

    /// Waits until a member has all entries but a few. The caller's patience is the limit.
    async fn wait_caught_up(&self, id: u64) -> Result<(), MembersError> {
        /// Entries that may still be on their way.
        const NEARLY: u64 = 100;
        let mut metrics = self.inner.raft.metrics();
        loop {
            let status = Status::of(&metrics.borrow_and_update());
            let Some(member) = status.members.iter().find(|member| member.id == id) else {
                return Err(MembersError::Refused(format!("there is no member {id}")));
            };
            if status.leader != Some(status.id) {
                return Err(MembersError::NotNow("another member leads".to_owned()));
            }
            // One that has never been there has none, and would take the majority from those that are.
            let entries = member.entries.filter(|entries| *entries > 0);
            if id == status.id || entries.is_some_and(|entries| entries + NEARLY >= status.entries) {
                return Ok(());
            }
            let stopped = |_| MembersError::NotNow("the member is stopping".to_owned());
            metrics.changed().await.map_err(stopped)?;
        }
    }

    async fn transfer_here(&self, id: u64) -> Result<(), MembersError> {
        let status = self.status();
        if id == status.id {
            return Ok(());
        }
        let member = status
            .members
            .iter()
            .find(|member| member.id == id && member.voter);
        if member.is_none() {
            return Err(MembersError::Refused(format!("member {id} has no vote")));
        }
        let to = self
            .destination(id)
            .ok_or_else(|| MembersError::Refused(format!("there is no member {id}")))?;
        self.wait_caught_up(id).await?;
        // Silence here lets the others grant a vote; whatever comes of it, this member speaks again afterwards.
        let _silence = Silence::begin(&self.inner);
        let lease = Duration::from_millis(self.inner.options.timing.election_max_ms);
        let mut server = self.inner.raft.server_metrics();
        for attempt in 0..5 {
            tokio::time::sleep(if attempt == 0 { lease } else { lease / 5 }).await;
            // Whether it was elected shows in what it says as a leader.
            let _ = self.inner.carrier.call(&to, Method::ELECT, Bytes::new()).await;
            let elected = server.wait_for(|server| server.current_leader == Some(id));
            if tokio::time::timeout(lease / 2, elected).await.is_ok() {
                return Ok(());
            }
        }
        Err(MembersError::NotNow(format!("member {id} was not elected")))
    }
}

/// While it lives, a leader sends no signs of life and proposes nothing.
struct Silence<'a>(&'a Inner);

impl<'a> Silence<'a> {
    fn begin(inner: &'a Inner) -> Self {
        inner.paused.send_replace(true);
        inner.raft.runtime_config().heartbeat(false);
        Self(inner)
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        self.0.raft.runtime_config().heartbeat(true);
        self.0.paused.send_replace(false);
    }
}
