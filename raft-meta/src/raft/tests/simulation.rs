//! Members in one thread, on simulated disks, with a network that loses, doubles and reorders, in time that jumps: all
//! from one seed. Whatever happens, what was acknowledged is there, once, in the same order everywhere.
//!
//! `SEED=n` replays one; `FILEGRID_SEEDS=n` runs a quarter as many, since each takes as long as some of the store's.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use filegrid_journal::sim::{play_all, seeds};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, timeout};

use super::hosts::{Hosts, MEMBERS};
use super::machine::MemoryMachine;
use crate::raft::ProposeError;
use crate::raft::runtime::seed_dice;

struct World {
    hosts: Rc<Hosts<MemoryMachine>>,
    /// What was answered: the command, its place, its entry.
    acknowledged: RefCell<Vec<(Vec<u8>, u64, u64)>>,
}

impl World {
    /// Proposes one command after the other by way of any member.
    async fn client(self: Rc<Self>, name: u64, until: Instant) {
        let mut number = 0;
        while Instant::now() < until {
            number += 1;
            let command = format!(
                "{name}-{number}-{}",
                "x".repeat(usize::try_from(self.hosts.dice(300)).unwrap())
            );
            let id = 1 + self.hosts.dice(MEMBERS);
            let member = self.hosts.member(id);
            let Some(member) = member else {
                sleep(Duration::from_millis(50)).await;
                continue;
            };
            let limit = Duration::from_secs(3);
            if let Ok(Ok(answered)) = timeout(limit, member.propose(command.as_bytes())).await {
                let place = u64::from_be_bytes(answered.answer.try_into().unwrap());
                self.acknowledged
                    .borrow_mut()
                    .push((command.into_bytes(), place, answered.index));
            }
            sleep(Duration::from_millis(self.hosts.dice(20))).await;
        }
    }

    /// Reads by way of any member see what was answered before they began.
    async fn reader(self: Rc<Self>, until: Instant) {
        while Instant::now() < until {
            let id = 1 + self.hosts.dice(MEMBERS);
            let member = self.hosts.member(id);
            let answered = self
                .acknowledged
                .borrow()
                .iter()
                .map(|(.., index)| index + 1)
                .max();
            if let (Some(member), Some(answered)) = (member, answered) {
                let read: Result<Result<u64, ProposeError>, _> =
                    timeout(Duration::from_secs(3), member.read_barrier()).await;
                if let Ok(Ok(applied)) = read {
                    assert!(
                        applied >= answered,
                        "seed {}: {applied} applied, {answered} answered",
                        self.hosts.seed
                    );
                }
            }
            sleep(Duration::from_millis(self.hosts.dice(200))).await;
        }
    }

    async fn faults(self: Rc<Self>, until: Instant) {
        while Instant::now() < until {
            sleep(Duration::from_millis(200 + self.hosts.dice(2000))).await;
            self.hosts.fault().await;
        }
    }

    async fn check(&self) -> usize {
        let seed = self.hosts.seed;
        self.hosts.settle(b"the end").await;
        let histories: Vec<_> = (1..=MEMBERS)
            .map(|id| self.hosts.machine(id).commands())
            .collect();
        let first = &histories[0];
        // Behind the end there may be one that its client has given up, and which is not everywhere yet.
        let length = histories.iter().map(Vec::len).min().unwrap();
        assert!(
            first[..length].iter().any(|command| command == b"the end"),
            "seed {seed}: not settled"
        );
        assert!(
            histories.iter().all(|other| other[..length] == first[..length]),
            "seed {seed}: histories differ"
        );
        let acknowledged = self.acknowledged.borrow();
        for (command, place, _) in &*acknowledged {
            let there = first.get(usize::try_from(*place).unwrap());
            assert_eq!(
                there,
                Some(command),
                "seed {seed}: {}",
                String::from_utf8_lossy(command)
            );
        }
        let once: BTreeSet<_> = first.iter().filter(|command| *command != b"the end").collect();
        let ends = first.iter().filter(|command| *command == b"the end").count();
        assert_eq!(
            once.len() + ends,
            first.len(),
            "seed {seed}: a command was applied twice"
        );
        acknowledged.len()
    }
}

/// Lives through a time of faults and returns how many commands were acknowledged.
fn simulate(seed: u64) -> usize {
    seed_dice(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let world = Rc::new(World {
        hosts: Hosts::new(seed, MemoryMachine::default),
        acknowledged: RefCell::default(),
    });
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, async {
        world.hosts.start_all().await;
        let until = Instant::now() + Duration::from_secs(20);
        let mut running = tokio::task::JoinSet::new();
        for name in 0..4 {
            running.spawn_local(Rc::clone(&world).client(name, until));
        }
        running.spawn_local(Rc::clone(&world).reader(until));
        running.spawn_local(Rc::clone(&world).faults(until));
        while let Some(ended) = running.join_next().await {
            ended.unwrap();
        }
        world.hosts.heal().await;
        let acknowledged = world.check().await;
        world.hosts.stop().await;
        acknowledged
    })
}

#[test]
fn nothing_acknowledged_is_lost() {
    let seeds = seeds(96);
    let count = (seeds.end - seeds.start).div_ceil(4);
    let acknowledged = AtomicU64::new(0);
    play_all(seeds.start..seeds.start + count, |seed| {
        acknowledged.fetch_add(simulate(seed) as u64, Ordering::Relaxed);
    });
    let acknowledged = acknowledged.into_inner();
    assert!(
        acknowledged > 100 * count,
        "{acknowledged} commands in {count} runs: it hardly worked"
    );
}
