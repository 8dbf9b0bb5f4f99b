//! A running member.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use openraft::LogIdOptionExt;
use openraft::error::{CheckIsLeaderError, RaftError};
use tokio::sync::watch;
use tokio::time::Instant;

use super::applier::{Applier, StateMachine};
use super::keeper;
use super::members::Change;
use super::network::Network;
use super::options::{MemberOptions, StartError, config};
use super::proposer::{Answered, Batch, ProposeError, Proposer, Way, destination};
use super::rpc::Rpc;
use super::status::Status;
use super::store::Store;
use super::types::{Commands, Peer, Raft};
use crate::limits::{COMMAND_MAX_BYTES, LEADER_PATIENCE_S};
use crate::log::Log;
use crate::machine::Machine;
use crate::wire::{Carrier, Destination, Method};

/// A running member. Clones share it; it runs until [`Self::stop`].
#[derive(Clone)]
pub struct Member {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) options: MemberOptions,
    pub(super) raft: Raft,
    log: Log,
    proposer: Proposer,
    pub(super) carrier: Arc<dyn Carrier>,
    rpc: Rpc,
    /// The term in which it led when it stopped, and how many entries its log held when it was started again.
    resumed: Option<(u64, u64)>,
    /// Whether nothing may be proposed here.
    pub(super) paused: watch::Sender<bool>,
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
        let vote = log.state().vote;
        let resumed = vote
            .filter(|vote| vote.granted && vote.member == options.id)
            .map(|vote| (vote.term, log.last().map_or(0, |last| last.index + 1)));
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
                resumed,
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
        if !inner.options.address.is_empty() {
            tokio::spawn(member.clone().tell_address());
        }
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

    /// Tells the cluster where this member is reached, if it knows another address.
    async fn tell_address(self) {
        let options = &self.inner.options;
        while !self.has_ended() && self.wait_leader().await.is_ok() {
            let members = self.status().members;
            match members.iter().find(|member| member.id == options.id) {
                Some(member) if member.address == options.address => return,
                Some(_) => {
                    let change = Change::Readdress(options.id, options.address.clone());
                    if let Err(error) = self.change(change).await {
                        tracing::info!("metadata: the cluster does not take the address yet: {error}");
                    }
                }
                // It will be added with its address.
                None => {}
            }
            // The log is not closed before its last handle is dropped.
            let mut ended = self.inner.raft.metrics();
            let ended = ended.wait_for(|now| now.running_state.is_err());
            let _ = tokio::time::timeout(Duration::from_secs(1), ended).await;
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

    /// Whether this member leads, as far as it knows.
    ///
    /// # Errors
    ///
    /// Who does, if it is known.
    pub fn leads(&self) -> Result<(), Option<Destination>> {
        let status = self.status();
        if status.leader == Some(status.id) {
            return Ok(());
        }
        Err(status.leader.and_then(|leader| self.destination(leader)))
    }

    pub(super) fn destination(&self, member: u64) -> Option<Destination> {
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
        let deadline = Instant::now() + Duration::from_secs(LEADER_PATIENCE_S);
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
            if Instant::now() >= deadline {
                return Err(ProposeError::Unavailable(why));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How many entries must be applied to read here, if this member leads.
    pub(super) async fn read_here(&self) -> Result<u64, (String, Option<Destination>)> {
        match self.inner.raft.get_read_log_id().await {
            Ok((committed, _)) => {
                let term = committed.map(|id| id.leader_id.term);
                // One that goes on leading after a restart begins no term, and what it knows to be committed may be older
                // than what it answered. All that it answered is in the log it was started with.
                let resumed = self.inner.resumed.filter(|resumed| Some(resumed.0) == term);
                Ok(committed
                    .next_index()
                    .max(resumed.map_or(0, |(_, entries)| entries)))
            }
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

    /// Whether it is stopped or cannot go on: what is known of the cluster stays as it was.
    fn has_ended(&self) -> bool {
        self.inner.raft.metrics().borrow().running_state.is_err()
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

/// Says who leads when that changes, and stops the clock of a leader that has nobody to talk to.
async fn tell(raft: Raft) {
    let mut server = raft.server_metrics();
    let mut last = None;
    loop {
        let (now, alone) = {
            let server = server.borrow_and_update();
            let voters = server.membership_config.voter_ids().count();
            let others = server.membership_config.nodes().count() > 1;
            let leads = server.current_leader == Some(server.id);
            (
                server
                    .current_leader
                    .map(|leader| (server.vote.leader_id.term, leader)),
                leads && voters == 1 && !others,
            )
        };
        raft.runtime_config().tick(!alone);
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
