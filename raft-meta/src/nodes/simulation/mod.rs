//! Members, a network, and nodes that ship their changes, in one thread and all from one seed. The members are real: Raft,
//! its log on a simulated disk, the store, and what answers nodes. The nodes are models that send what real ones do.
//!
//! Whatever happens, the tree of the cluster is the union of the trees of the nodes in the end; what a node has lost is
//! marked and never dropped; no change that was acknowledged is missing, and none is applied twice.
//!
//! `SEED=n` replays one; `FILEGRID_SEEDS=n` runs a quarter as many.

mod accounts;
mod check;
mod compare;
mod disk;
mod feeder;
mod history;
mod node;
mod store;

use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use filegrid_journal::sim::{play_all, seeds};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use self::accounts::{Accounts, Reading};
use self::check::Counted;
use self::node::{LOGS, Node};
use self::store::SimStore;
use crate::raft::Client;
use crate::raft::runtime::seed_dice;
use crate::raft::tests::hosts::{Hosts, MEMBERS};
use crate::raft::tests::net::Way;
use crate::registry;
use crate::store::{Command, Reply, Start};
use crate::wire::Identity;

/// Numbers of the nodes.
const NODES: [u64; 2] = [101, 102];

/// Whose disks are wiped, or restored from copies. Where nobody's are, rows never differ, not even for a while. Where the
/// nodes' and the cluster's both are, what each relies on the other for is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loses {
    Nobody,
    Nodes,
    Cluster,
}

struct World {
    hosts: Rc<Hosts<SimStore>>,
    nodes: Vec<Rc<Node>>,
    loses: Loses,
}

fn association(node: u64, log: u8) -> Uuid {
    Uuid::from_u128((u128::from(node) << 8) + u128::from(log) + 1)
}

/// A client of a node's; what it has given up may be done later.
fn client(hosts: &Hosts<SimStore>, node: u64) -> Client<Way> {
    let way = Way {
        at: node,
        us: Identity::node(&format!("{node:016x}")),
        net: hosts.net.clone(),
    };
    Client::new(way, Hosts::<SimStore>::destinations())
}

/// Makes an association that is at home on a node.
async fn found(client: &Client<Way>, key: Uuid, node: u64) {
    let create = Command::Registry(registry::Command::CreateAssociation {
        key,
        name: String::new(),
        node: Some(node),
    });
    let create = create.encode().unwrap();
    let reply = loop {
        match client.propose(&create).await {
            Ok(answered) => break Reply::decode(&answered.answer).unwrap(),
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    };
    // It may have been done by an attempt that was not answered.
    assert!(matches!(reply, Reply::Registry(_)), "{reply:?}");
}

impl World {
    fn new(seed: u64) -> Self {
        let hosts = Hosts::new(seed, SimStore::new);
        let node = |id| {
            let associations: Vec<_> = (0..LOGS).map(|log| *association(id, log).as_bytes()).collect();
            Node::new(id, seed, &associations, client(&hosts, id))
        };
        Self {
            nodes: NODES.into_iter().map(node).collect(),
            loses: match seed % 4 {
                1 => Loses::Nodes,
                3 => Loses::Cluster,
                _ => Loses::Nobody,
            },
            hosts,
        }
    }

    /// Makes the associations, each at home on its node.
    async fn found(&self) {
        for node in &self.nodes {
            for log in 0..LOGS {
                found(&node.client, association(node.id, log), node.id).await;
            }
        }
    }

    /// What happens to members.
    async fn member_faults(self: Rc<Self>, until: Instant) {
        let mut saved = None;
        while Instant::now() < until {
            sleep(Duration::from_millis(200 + self.hosts.dice(1500))).await;
            match self.hosts.dice(10) {
                0 if self.loses == Loses::Cluster => saved = Some(self.hosts.save().await),
                1 if let Some(saved) = &saved => {
                    // What is acknowledged while it goes back may be before or behind that.
                    self.nodes.iter().for_each(|node| node.cluster_has_lost());
                    self.hosts.restore(saved).await;
                    self.nodes.iter().for_each(|node| node.cluster_has_lost());
                }
                _ => self.hosts.fault().await,
            }
        }
    }

    /// What happens to nodes.
    async fn node_faults(self: Rc<Self>, until: Instant) {
        while Instant::now() < until {
            sleep(Duration::from_millis(200 + self.hosts.dice(1500))).await;
            let node = &self.nodes[usize::try_from(self.hosts.dice(2)).unwrap()];
            match self.hosts.dice(8) {
                0 | 1 => {
                    self.hosts.net.get().cut.insert(node.id);
                    sleep(Duration::from_millis(self.hosts.dice(3000))).await;
                    self.hosts.net.get().cut.remove(&node.id);
                }
                // A copy of the node is started, and goes away again.
                2 => drop(tokio::time::timeout(Duration::from_secs(5), node.let_copy_in()).await),
                3 if self.loses == Loses::Nodes => node.save(),
                4 if self.loses == Loses::Nodes => node.lose(false).await,
                5 if self.loses == Loses::Nodes && self.hosts.dice(2) == 0 => node.lose(true).await,
                _ => {
                    node.stop().await;
                    sleep(Duration::from_millis(self.hosts.dice(500))).await;
                    node.start();
                }
            }
        }
    }

    /// Ships and compares until there is nothing left to do.
    async fn settle(&self) {
        for node in &self.nodes {
            node.stop().await;
            // A copy of the node that was about to come when it went away again may still be let in.
            while node.settle().await.is_err() {}
        }
        let enter = Command::Enter {
            node: 1,
            logs: 0,
            start: Start::default(),
        };
        self.hosts.settle(&enter.encode().unwrap()).await;
    }

    fn check(&self) -> Counted {
        let stores: Vec<_> = (1..=MEMBERS).map(|id| self.hosts.machine(id)).collect();
        let all: Vec<_> = stores
            .iter()
            .map(|machine| {
                let mut rows = check::rows(&machine.store().view());
                rows.0.remove(&b"m"[..]);
                rows
            })
            .collect();
        assert!(all.iter().all(|other| *other == all[0]), "members differ");
        let nodes = self.nodes.iter();
        nodes
            .map(|node| check::check(node, stores[0].store()))
            .fold(Counted::default(), |all, of| Counted {
                kept: all.kept + of.kept,
                lost: all.lost + of.lost,
            })
    }
}

/// Runs what a seed stands for, in time that jumps.
fn play<T>(seed: u64, what: impl Future<Output = T>) -> T {
    seed_dice(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, what)
}

/// How long things go wrong.
const TIME: Duration = Duration::from_secs(20);

/// Lives through a time of faults and counts the files that were acknowledged.
fn simulate(seed: u64) -> Counted {
    play(seed, async {
        let world = Rc::new(World::new(seed));
        world.hosts.start_all().await;
        world.found().await;
        world.nodes.iter().for_each(Node::start);
        let until = Instant::now() + TIME;
        let mut running = JoinSet::new();
        running.spawn_local(Rc::clone(&world).member_faults(until));
        running.spawn_local(Rc::clone(&world).node_faults(until));
        while let Some(ended) = running.join_next().await {
            ended.unwrap();
        }
        world.hosts.heal().await;
        world.settle().await;
        let kept = world.check();
        world.hosts.stop().await;
        kept
    })
}

/// Changes and reads API users through a time of faults: how many answers there were, and whether they have an order.
fn change_accounts(seed: u64, reading: Reading) -> (usize, bool) {
    play(seed, async {
        let hosts = Hosts::new(seed, SimStore::new);
        hosts.start_all().await;
        let tenant = Uuid::from_u128(1);
        found(&client(&hosts, NODES[0]), tenant, NODES[0]).await;
        let accounts = Accounts::new(&hosts, tenant, reading);
        let until = Instant::now() + TIME;
        let mut running = JoinSet::new();
        for node in 0..4 {
            running.spawn_local(Rc::clone(&accounts).work(client(&hosts, node + 100), until));
        }
        while Instant::now() < until {
            sleep(Duration::from_millis(200 + hosts.dice(2000))).await;
            hosts.fault().await;
        }
        while let Some(ended) = running.join_next().await {
            ended.unwrap();
        }
        hosts.stop().await;
        (accounts.answers(), accounts.have_order())
    })
}

/// Of half the seeds that were asked for those that are odd, or even: in odd ones somebody loses a disk.
fn seeds_that_lose(usual: u64, lose: bool) -> impl Iterator<Item = u64> + Send + Clone {
    let seeds = seeds(usual);
    let some = seeds.start..seeds.start + (seeds.end - seeds.start).div_ceil(2);
    some.filter(move |seed| (seed % 2 == 1) == lose)
}

/// The first seeds, a quarter of those that were asked for.
fn some_seeds(usual: u64) -> std::ops::Range<u64> {
    let seeds = seeds(usual);
    seeds.start..seeds.start + (seeds.end - seeds.start).div_ceil(4)
}

/// Plays seeds, and demands that much was done; how many files were lost and marked.
fn play_seeds(seeds: impl Iterator<Item = u64> + Send + Clone) -> u64 {
    let count = seeds.clone().count() as u64;
    let (kept, lost) = (AtomicU64::new(0), AtomicU64::new(0));
    play_all(seeds, |seed| {
        let counted = simulate(seed);
        kept.fetch_add(counted.kept as u64, Ordering::Relaxed);
        lost.fetch_add(counted.lost as u64, Ordering::Relaxed);
    });
    let kept = kept.into_inner();
    assert!(
        kept >= 200 * count,
        "{kept} files in {count} runs: it hardly worked"
    );
    lost.into_inner()
}

#[test]
fn the_tree_of_the_cluster_is_that_of_the_nodes() {
    assert_eq!(play_seeds(seeds_that_lose(48, false)), 0);
}

#[test]
fn what_nodes_or_the_cluster_have_lost_is_marked_or_sent_again() {
    let seeds = seeds_that_lose(48, true);
    let count = seeds.clone().count() as u64;
    let lost = play_seeds(seeds);
    // In one run it may be that nothing is.
    assert!(
        count < 5 || lost > 5 * count,
        "{lost} files in {count} runs: hardly any were lost"
    );
}

#[test]
fn changes_of_the_registry_have_an_order() {
    let seeds = some_seeds(32);
    let (count, answers) = (seeds.end - seeds.start, AtomicU64::new(0));
    play_all(seeds, |seed| {
        let (answered, have_order) = change_accounts(seed, Reading::Behind);
        assert!(have_order, "seed {seed}");
        answers.fetch_add(answered as u64, Ordering::Relaxed);
    });
    let answers = answers.into_inner();
    assert!(
        answers > 200 * count,
        "{answers} answers in {count} runs: it hardly worked"
    );
}

#[test]
fn reading_what_a_member_happens_to_have_is_found_out() {
    let is_found_out = (0..4).any(|seed| !change_accounts(seed, Reading::Here).1);
    assert!(
        is_found_out,
        "the histories would not show it if members told what is old"
    );
}
