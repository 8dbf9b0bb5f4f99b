//! A running member.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use openraft::error::{ChangeMembershipError, CheckIsLeaderError, ClientWriteError, RaftError};
use openraft::{ChangeMembers, LogIdOptionExt, SnapshotPolicy};
use tokio::sync::watch;

use super::applier::{Applier, StateMachine};
use super::keeper;
use super::network::Network;
use super::proposer::{Answered, Batch, ProposeError, Proposer, Way, destination};
use super::rpc::Rpc;
use super::status::Status;
use super::store::Store;
use super::types::{Commands, Peer, Raft};
use crate::limits::{COMMAND_MAX_BYTES, LEADER_PATIENCE_S};
use crate::log::{Log, LogError};
use crate::machine::{Machine, MachineError};
use crate::wire::{CallError, Carrier, Destination, Method, Refusal};

/// When things happen, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Between two signs of life of a leader; also the limit for an answer to one.
    pub heartbeat_ms: u64,
    /// A follower that hears nothing stands for election after `election_max_ms` and a time between these two.
    pub election_min_ms: u64,
    /// See `election_min_ms`.
    pub election_max_ms: u64,
}

/// When the log is shortened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// The machine is persisted when so many entries have been applied since.
    pub persist_after_entries: u64,
    /// Or so many bytes of them.
    pub persist_after_bytes: u64,
    /// Or when the log takes more bytes of the disk.
    pub disk_target_bytes: u64,
    /// Entries behind that are kept for followers that lag.
    pub keep_entries: u64,
    /// But no more bytes of them.
    pub keep_bytes: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat_ms: 100,
            election_min_ms: 500,
            election_max_ms: 1000,
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            persist_after_entries: 50_000,
            persist_after_bytes: 64 << 20,
            disk_target_bytes: 256 << 20,
            keep_entries: 20_000,
            keep_bytes: 64 << 20,
        }
    }
}

/// What a member is started with.
#[derive(Debug, Clone, Default)]
pub struct MemberOptions {
    /// Its number, the same for ever.
    pub id: u64,
    /// The members of a new cluster, with their addresses; an address may be empty if there is no other member. Used if
    /// the log is empty. Without it a member with an empty log waits until a leader adds it.
    pub first_members: Option<BTreeMap<u64, String>>,
    /// When things happen.
    pub timing: Timing,
    /// When the log is shortened.
    pub retention: Retention,
}

/// Why a member does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The state machine.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// Raft; says why.
    #[error("{0}")]
    Raft(String),
}

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
            _ => return None,
        })
    }
}

/// A running member. Clones share it; it runs until [`Self::stop`].
#[derive(Clone)]
pub struct Member {
    inner: Arc<Inner>,
}

struct Inner {
    options: MemberOptions,
    raft: Raft,
    log: Log,
    proposer: Proposer,
    carrier: Arc<dyn Carrier>,
    rpc: Rpc,
    paused: watch::Sender<bool>,
}

impl Member {
    /// Starts a member on a log whose writer runs. A member that is alone, or the first of a new cluster, stands for
    /// election at once.
    ///
    /// # Errors
    ///
    /// If log, machine or options do not fit.
    pub async fn start(
        options: MemberOptions,
        log: Log,
        machine: Arc<dyn Machine>,
        carrier: Arc<dyn Carrier>,
    ) -> Result<Self, StartError> {
        let config = config(&options)?;
        let applier = Applier::new(machine);
        let failed = |error: &dyn std::error::Error| StartError::Raft(error.to_string());
        let state_machine = StateMachine::new(Arc::clone(&applier))?;
        let network = Network {
            carrier: Arc::clone(&carrier),
        };
        let store = Store::new(log.clone(), applier);
        let raft = Raft::new(options.id, config, network, store, state_machine)
            .await
            .map_err(|error| failed(&error))?;
        let (paused, is_paused) = watch::channel(false);
        let proposer = Proposer::start(Way {
            raft: raft.clone(),
            carrier: Arc::clone(&carrier),
            paused: is_paused,
        });
        let member = Self {
            inner: Arc::new(Inner {
                rpc: Rpc::new(raft.clone()),
                options,
                raft,
                log,
                proposer,
                carrier,
                paused,
            }),
        };
        member.found().await?;
        let inner = &member.inner;
        tokio::spawn(keeper::keep(
            inner.raft.clone(),
            inner.log.clone(),
            inner.options.retention,
        ));
        tokio::spawn(tell(inner.raft.clone()));
        Ok(member)
    }

    /// Makes the cluster if it is to be made, and does not wait for a timer where there is nobody to wait for.
    async fn found(&self) -> Result<(), StartError> {
        let Inner { raft, options, .. } = &*self.inner;
        let failed = |error: String| StartError::Raft(error);
        let made = raft
            .is_initialized()
            .await
            .map_err(|error| failed(error.to_string()))?;
        match &options.first_members {
            Some(members) if !made => {
                let members: BTreeMap<_, _> = members
                    .iter()
                    .map(|(id, address)| {
                        (
                            *id,
                            Peer {
                                address: address.clone(),
                            },
                        )
                    })
                    .collect();
                raft.initialize(members)
                    .await
                    .map_err(|error| failed(error.to_string()))
            }
            _ => {
                let alone = self.status().members.iter().filter(|member| member.voter).count() == 1;
                if alone && made {
                    let elected = raft.trigger().elect().await;
                    elected.map_err(|error| failed(error.to_string()))?;
                }
                Ok(())
            }
        }
    }

    /// Proposes a command and waits until it has been applied here or, if another member leads, there.
    ///
    /// # Errors
    ///
    /// [`ProposeError`] says whether it may have been applied. A caller that stops waiting does not know either.
    pub async fn propose(&self, command: &[u8]) -> Result<Answered, ProposeError> {
        if command.len() > COMMAND_MAX_BYTES {
            return Err(ProposeError::TooLong(command.len()));
        }
        let mut batch = self.inner.proposer.propose(Commands::one(command), true).await?;
        let none = || ProposeError::Unknown("the state machine gave no answer".to_owned());
        Ok(Answered {
            index: batch.index,
            answer: batch.answers.0.pop().ok_or_else(none)?,
        })
    }

    /// Proposes for another member, which is to ask elsewhere if this one does not lead.
    pub(super) async fn propose_here(&self, commands: Commands) -> Result<Batch, ProposeError> {
        self.inner.proposer.propose(commands, false).await
    }

    /// Whether this member leads, as far as it knows; otherwise who does.
    pub(super) fn leads(&self) -> Result<(), Option<Destination>> {
        let status = self.status();
        if status.leader == Some(status.id) {
            return Ok(());
        }
        Err(status.leader.and_then(|leader| self.destination(leader)))
    }

    fn destination(&self, member: u64) -> Option<Destination> {
        let members = self.status().members;
        let found = members.into_iter().find(|of| of.id == member)?;
        Some(Destination {
            member,
            address: found.address,
        })
    }

    /// Waits until this member has applied all that was committed anywhere when it was called: what is read from the
    /// machine then is as new as what any other member can tell. Returns how many entries are applied.
    ///
    /// # Errors
    ///
    /// [`ProposeError::Unavailable`].
    pub async fn read_barrier(&self) -> Result<u64, ProposeError> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(LEADER_PATIENCE_S);
        loop {
            let (why, leader) = match self.read_here().await {
                Ok(entries) => return self.wait_applied(entries).await,
                Err(elsewhere) => elsewhere,
            };
            let mut why = why;
            if let Some(leader) = leader {
                match self
                    .inner
                    .carrier
                    .call(&leader, Method::READ_INDEX, Bytes::new())
                    .await
                {
                    Ok(mut answer) => {
                        if let Ok(entries) = answer.try_get_u64_le() {
                            return self.wait_applied(entries).await;
                        }
                    }
                    Err(error) => why = error.to_string(),
                }
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(ProposeError::Unavailable(why));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How many entries must be applied to read here, if this member leads.
    pub(super) async fn read_here(&self) -> Result<u64, (String, Option<Destination>)> {
        match self.inner.raft.get_read_log_id().await {
            Ok((committed, _)) => Ok(committed.next_index()),
            Err(RaftError::APIError(CheckIsLeaderError::ForwardToLeader(to))) => {
                Err(("no member leads".to_owned(), destination(to)))
            }
            Err(error) => Err((error.to_string(), None)),
        }
    }

    /// Waits until so many entries have been applied here: one more than the index of the one that is needed.
    ///
    /// # Errors
    ///
    /// [`ProposeError::Unavailable`] if the member stops. The caller sets a limit of time.
    pub async fn wait_applied(&self, entries: u64) -> Result<u64, ProposeError> {
        let mut metrics = self.inner.raft.data_metrics();
        let stopped = |_| ProposeError::Unavailable("the member is stopping".to_owned());
        let enough = metrics
            .wait_for(|data| data.last_applied.next_index() >= entries)
            .await
            .map_err(stopped)?;
        Ok(enough.last_applied.next_index())
    }

    /// Waits until some member leads and this one knows it.
    ///
    /// # Errors
    ///
    /// [`ProposeError::Unavailable`] if the member stops. The caller sets a limit of time.
    pub async fn wait_leader(&self) -> Result<u64, ProposeError> {
        let mut metrics = self.inner.raft.server_metrics();
        let stopped = || ProposeError::Unavailable("the member is stopping".to_owned());
        let found = metrics.wait_for(|server| server.current_leader.is_some()).await;
        found.map_err(|_| stopped())?.current_leader.ok_or_else(stopped)
    }

    /// How the member is.
    #[must_use]
    pub fn status(&self) -> Status {
        Status::of(&self.inner.raft.metrics().borrow())
    }

    /// Waits until the member cannot go on and says why; for ever if it is stopped instead.
    pub async fn failed(&self) -> String {
        let mut metrics = self.inner.raft.metrics();
        let failed = metrics.wait_for(|now| {
            let stopped = Err(openraft::error::Fatal::Stopped);
            now.running_state.is_err() && now.running_state != stopped
        });
        if let Ok(now) = failed.await
            && let Err(error) = &now.running_state
        {
            return error.to_string();
        }
        std::future::pending().await
    }

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
    async fn change(&self, change: Change) -> Result<(), MembersError> {
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

    async fn set_members(&self, change: ChangeMembers<u64, Peer>) -> Result<(), MembersError> {
        match self.inner.raft.change_membership(change, false).await {
            Ok(_) => Ok(()),
            Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(error))) => Err(match error {
                ChangeMembershipError::InProgress(_) => {
                    MembersError::NotNow("another change of the members is on its way".to_owned())
                }
                other => MembersError::Refused(other.to_string()),
            }),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => {
                Err(MembersError::NotNow("another member leads".to_owned()))
            }
            Err(RaftError::Fatal(error)) => Err(MembersError::Unknown(error.to_string())),
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
            if id == status.id
                || member
                    .entries
                    .is_some_and(|entries| entries + NEARLY >= status.entries)
            {
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

    /// Stands for election.
    pub(super) async fn elect(&self) -> Result<(), String> {
        let elected = self.inner.raft.trigger().elect().await;
        elected.map_err(|error| error.to_string())
    }

    /// Entries that the log has given up.
    #[cfg(test)]
    pub(super) fn purged(&self) -> u64 {
        self.inner.raft.metrics().borrow().purged.next_index()
    }

    pub(super) fn rpc(&self) -> &Rpc {
        &self.inner.rpc
    }

    /// Stops the member: nothing is answered afterwards, and the log is closed when its last handle is dropped.
    pub async fn stop(&self) {
        // It ends either way; why it may have failed is told by `failed`.
        let _ = self.inner.raft.shutdown().await;
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

fn config(options: &MemberOptions) -> Result<Arc<openraft::Config>, StartError> {
    let timing = options.timing;
    let config = openraft::Config {
        cluster_name: "filegrid".to_owned(),
        heartbeat_interval: timing.heartbeat_ms,
        election_timeout_min: timing.election_min_ms,
        election_timeout_max: timing.election_max_ms,
        // The keeper decides when to persist and what to purge: by bytes too.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        ..openraft::Config::default()
    };
    let sound = config.validate();
    Ok(Arc::new(
        sound.map_err(|error| StartError::Raft(error.to_string()))?,
    ))
}

/// Says who leads when that changes.
async fn tell(raft: Raft) {
    let mut server = raft.server_metrics();
    let mut last = None;
    loop {
        let now = {
            let server = server.borrow_and_update();
            server
                .current_leader
                .map(|leader| (server.vote.leader_id.term, leader))
        };
        if now.is_some() && now != last {
            let (term, leader) = now.unwrap_or_default();
            tracing::info!("metadata: member {leader} leads in term {term}");
            last = now;
        }
        if server.changed().await.is_err() {
            return;
        }
    }
}
