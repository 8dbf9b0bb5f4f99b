//! Members over real sockets and disks, in one process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::machine::MemoryMachine;
use crate::log::disk::RealDisk;
use crate::log::{Log, LogOptions};
use crate::raft::{Member, MemberOptions, MemberService, MembersError, Retention, Timing};
use crate::wire::{Dialer, Identity, Listener, Method, Push, Refusal, Security, Service};

/// An application that knows nothing.
pub(crate) struct Nothing;

impl Service for Nothing {
    fn call(&self, _: &Identity, _: Method, _: Bytes) -> BoxFuture<'static, Result<Bytes, Refusal>> {
        Box::pin(async { Err(Refusal::BadRequest("nothing".to_owned())) })
    }

    fn watch(&self, _: &Identity, _: Method, _: Bytes, _: Push) -> BoxFuture<'static, Result<(), Refusal>> {
        Box::pin(async { Err(Refusal::BadRequest("nothing".to_owned())) })
    }
}

struct Running {
    member: Member,
    serving: JoinHandle<()>,
    writer: std::thread::JoinHandle<()>,
}

struct Host {
    directory: TempDir,
    address: SocketAddr,
    machine: MemoryMachine,
    running: Option<Running>,
}

struct Cluster {
    hosts: BTreeMap<u64, Host>,
    first: BTreeMap<u64, String>,
    retention: Retention,
}

/// Long enough for a machine under load; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl Cluster {
    async fn new(count: u64, retention: Retention) -> Self {
        let mut cluster = Self {
            hosts: BTreeMap::new(),
            first: BTreeMap::new(),
            retention,
        };
        let mut listeners = Vec::new();
        for id in 1..=count {
            listeners.push((id, cluster.add_host(id).await));
        }
        cluster.first = cluster
            .hosts
            .iter()
            .map(|(id, host)| (*id, host.address.to_string()))
            .collect();
        for (id, listener) in listeners {
            cluster.start_on(id, listener).await;
        }
        cluster
    }

    async fn add_host(&mut self, id: u64) -> Listener {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), Security::Plain)
            .await
            .unwrap();
        let host = Host {
            directory: tempfile::tempdir().unwrap(),
            address: listener.address(),
            machine: MemoryMachine::default(),
            running: None,
        };
        self.hosts.insert(id, host);
        listener
    }

    async fn start(&mut self, id: u64) {
        let address = self.hosts[&id].address;
        let listener = Listener::bind(address, Security::Plain).await.unwrap();
        self.start_on(id, listener).await;
    }

    async fn start_on(&mut self, id: u64, listener: Listener) {
        let host = self.hosts.get_mut(&id).unwrap();
        let options = LogOptions {
            member: id,
            segment_bytes: 1 << 20,
            batch_max_bytes: 256 << 10,
            cache_max_bytes: 64 << 10,
        };
        let directory = host.directory.path().join("log");
        let (log, writer) = Log::open(Arc::new(RealDisk), directory, options).unwrap();
        let writer = std::thread::spawn(move || writer.run());
        let options = MemberOptions {
            id,
            address: host.address.to_string(),
            first_members: self.first.contains_key(&id).then(|| self.first.clone()),
            timing: Timing::default(),
            retention: self.retention,
        };
        let dialer = Dialer::new("test", Identity::member(id), Security::Plain);
        let machine = Arc::new(host.machine.clone());
        let member = Member::start(options, log, machine, Arc::new(dialer))
            .await
            .unwrap();
        let service = MemberService::new(member.clone(), Arc::new(Nothing));
        let serving = tokio::spawn(listener.serve(id, "test", Arc::new(service)));
        host.running = Some(Running {
            member,
            serving,
            writer,
        });
    }

    fn member(&self, id: u64) -> &Member {
        &self.hosts[&id].running.as_ref().unwrap().member
    }

    /// Ends a member at once: no goodbye to the others.
    async fn kill(&mut self, id: u64) {
        let running = self.hosts.get_mut(&id).unwrap().running.take().unwrap();
        running.serving.abort();
        let _ = running.serving.await;
        running.member.stop().await;
        drop(running.member);
        // The log is free for the next start when its writer has ended.
        let writer = running.writer;
        tokio::task::spawn_blocking(move || writer.join().unwrap())
            .await
            .unwrap();
    }

    fn running(&self) -> impl Iterator<Item = (u64, &Member)> {
        self.hosts
            .iter()
            .filter_map(|(id, host)| Some((*id, &host.running.as_ref()?.member)))
    }

    async fn leader(&self) -> u64 {
        let mut leader = None;
        until("a leader that all running members know", || {
            let said: Vec<_> = self.running().map(|(_, member)| member.status().leader).collect();
            leader = said.first().copied().flatten();
            leader.is_some_and(|leader| {
                self.running().any(|(id, _)| id == leader) && said.iter().all(|of| *of == Some(leader))
            })
        })
        .await;
        leader.unwrap()
    }

    /// Proposes by way of a member and returns the place that the command has got.
    async fn propose(&self, id: u64, command: &str) -> u64 {
        let answered = self.member(id).propose(command.as_bytes()).await.unwrap();
        u64::from_be_bytes(answered.answer.try_into().unwrap())
    }

    /// Waits until all running members have applied the same, and returns it.
    async fn settled(&self, commands: usize) -> Vec<Vec<u8>> {
        until("all members apply everything", || {
            self.running()
                .all(|(id, _)| self.hosts[&id].machine.commands().len() == commands)
        })
        .await;
        let mut all = self.running().map(|(id, _)| self.hosts[&id].machine.commands());
        let first = all.next().unwrap();
        assert!(all.all(|other| other == first));
        first
    }

    async fn stop(mut self) {
        let ids: Vec<_> = self.running().map(|(id, _)| id).collect();
        for id in ids {
            self.kill(id).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_alone_leads_without_waiting_and_keeps_what_it_was_told() {
    let mut cluster = Cluster::new(1, Retention::default()).await;
    for place in 0..50 {
        assert_eq!(cluster.propose(1, &format!("command {place}")).await, place);
    }
    let term = cluster.member(1).status().term;
    cluster.kill(1).await;
    // Nothing was persisted but the log.
    let host = cluster.hosts.get_mut(&1).unwrap();
    host.machine = host.machine.after_power_cut(false);
    assert_eq!(host.machine.commands().len(), 0);
    cluster.start(1).await;
    assert_eq!(cluster.propose(1, "one more").await, 50);
    assert_eq!(cluster.settled(51).await[7], b"command 7");
    assert!(cluster.member(1).status().term >= term);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_survive_the_leader() {
    let mut cluster = Cluster::new(3, Retention::default()).await;
    let leader = cluster.leader().await;
    let other = leader % 3 + 1;
    for place in 0..20 {
        // Through the leader and through another.
        let by = if place % 2 == 0 { leader } else { other };
        assert_eq!(cluster.propose(by, &format!("command {place}")).await, place);
    }
    cluster.kill(leader).await;
    assert_eq!(cluster.propose(other, "after").await, 20);
    let next = cluster.leader().await;
    assert_ne!(next, leader);
    cluster.start(leader).await;
    assert_eq!(cluster.propose(leader, "back").await, 21);
    let commands = cluster.settled(22).await;
    assert_eq!(commands[20], b"after");
    // A read anywhere sees what was answered anywhere.
    let applied = cluster.member(other).propose(b"seen").await.unwrap().index;
    for id in 1..=3 {
        assert!(cluster.member(id).read_barrier().await.unwrap() > applied);
        assert_eq!(cluster.hosts[&id].machine.commands().len(), 23);
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_that_lags_gets_a_snapshot() {
    let retention = Retention {
        persist_after_entries: 20,
        keep_entries: 5,
        ..Retention::default()
    };
    let mut cluster = Cluster::new(3, retention).await;
    let leader = cluster.leader().await;
    let lagging = leader % 3 + 1;
    cluster.propose(leader, "before").await;
    cluster.kill(lagging).await;
    // Larger than a chunk altogether.
    for _ in 0..60 {
        cluster.propose(leader, &"x".repeat(30_000)).await;
    }
    // Two members have it all; what the third lacks is given up by both.
    until("both give up what the third needs", || {
        cluster.running().all(|(_, member)| member.purged() > 20)
    })
    .await;
    cluster.start(lagging).await;
    cluster.settled(61).await;
    assert!(cluster.hosts[&lagging].machine.snapshots_taken() > 0);
    assert_eq!(cluster.propose(lagging, "after").await, 61);
    // And once more from its own disk.
    cluster.kill(lagging).await;
    let host = cluster.hosts.get_mut(&lagging).unwrap();
    host.machine = host.machine.after_power_cut(false);
    cluster.start(lagging).await;
    cluster.settled(62).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_come_and_go() {
    let mut cluster = Cluster::new(3, Retention::default()).await;
    let leader = cluster.leader().await;
    for place in 0..10 {
        cluster.propose(leader, &format!("command {place}")).await;
    }
    let listener = cluster.add_host(4).await;
    cluster.start_on(4, listener).await;
    let other = leader % 3 + 1;
    let address = cluster.hosts[&4].address.to_string();
    // Asked of one that does not lead.
    cluster.member(other).add_learner(4, &address).await.unwrap();
    cluster.member(other).promote(4).await.unwrap();
    cluster.settled(10).await;
    cluster.member(leader).transfer(4).await.unwrap();
    assert_eq!(cluster.leader().await, 4);
    assert_eq!(cluster.propose(leader, "by the new leader").await, 10);
    cluster.member(4).remove(leader).await.unwrap();
    let status = cluster.member(4).status();
    assert_eq!(status.members.len(), 3);
    assert!(
        status
            .members
            .iter()
            .all(|member| member.voter && member.id != leader)
    );
    cluster.kill(leader).await;
    assert_eq!(cluster.propose(other, "without it").await, 11);
    let refused = cluster.member(4).remove(77).await;
    assert!(matches!(refused, Err(MembersError::Refused(_))), "{refused:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_not_there_does_not_vote() {
    let mut cluster = Cluster::new(1, Retention::default()).await;
    let leader = cluster.leader().await;
    let listener = cluster.add_host(2).await;
    let address = cluster.hosts[&2].address.to_string();
    cluster.member(leader).add_learner(2, &address).await.unwrap();
    {
        let mut promoting = std::pin::pin!(cluster.member(leader).promote(2));
        tokio::select! {
            biased;
            done = &mut promoting => panic!("{done:?}"),
            // Alone it goes on: these would wait for the other's vote.
            () = async {
                for place in 0..20 {
                    cluster.propose(leader, &format!("command {place}")).await;
                }
            } => {}
        }
    }
    cluster.start_on(2, listener).await;
    cluster.member(leader).promote(2).await.unwrap();
    cluster.settled(20).await;
    assert!(
        cluster
            .member(leader)
            .status()
            .members
            .iter()
            .all(|member| member.voter)
    );
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_moves_is_found_again() {
    let mut cluster = Cluster::new(3, Retention::default()).await;
    let leader = cluster.leader().await;
    let moving = leader % 3 + 1;
    cluster.propose(leader, "before").await;
    cluster.kill(moving).await;
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), Security::Plain)
        .await
        .unwrap();
    let address = listener.address();
    cluster.hosts.get_mut(&moving).unwrap().address = address;
    // Nobody knows where it is; it finds the others and tells them.
    cluster.start_on(moving, listener).await;
    until("the others know the address", || {
        let knows = |member: &Member| {
            let members = member.status().members;
            members
                .iter()
                .any(|of| of.id == moving && of.address == address.to_string())
        };
        cluster.running().all(|(_, member)| knows(member))
    })
    .await;
    cluster.propose(moving, "after").await;
    cluster.settled(2).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_nothing_is_accepted() {
    let mut cluster = Cluster::new(3, Retention::default()).await;
    let leader = cluster.leader().await;
    cluster.propose(leader, "with").await;
    let (second, third) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    cluster.kill(second).await;
    cluster.kill(third).await;
    let member = cluster.member(leader).clone();
    let waiting = tokio::spawn(async move { member.propose(b"without").await });
    let refused = cluster.member(leader).read_barrier().await;
    assert!(refused.is_err(), "{refused:?}");
    assert!(!waiting.is_finished());
    cluster.start(second).await;
    waiting.await.unwrap().unwrap();
    cluster.settled(2).await;
    cluster.stop().await;
}
