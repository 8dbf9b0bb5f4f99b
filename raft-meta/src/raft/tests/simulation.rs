//! Members in one thread, on simulated disks, with a network that loses, doubles and reorders, in time that jumps: all
//! from one seed. Whatever happens, what was acknowledged is there, once, in the same order everywhere.
//!
//! `SEED=n` replays one; `FILEGRID_SEEDS=n` runs a quarter as many, since each takes as long as some of the store's.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use filegrid_journal::sim::{Faults, Random, play_all, seeds};
use futures::future::BoxFuture;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, timeout};

use super::Nothing;
use super::machine::MemoryMachine;
use crate::log::disk::sim::SimDisk;
use crate::log::{Log, LogOptions};
use crate::raft::runtime::seed_dice;
use crate::raft::{Member, MemberOptions, MemberService, ProposeError, Retention, Timing};
use crate::wire::{CallError, Carrier, Destination, Identity, Method, Service};

const MEMBERS: u64 = 3;

/// Who is there, and who cannot hear whom.
struct Net {
    services: BTreeMap<u64, Arc<dyn Service>>,
    cut: BTreeSet<u64>,
    random: Random,
    /// One message in so many is lost; 0 for none.
    lost_one_in: u64,
}

type SharedNet = Arc<Mutex<Net>>;

fn net(net: &SharedNet) -> MutexGuard<'_, Net> {
    net.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The way from one member to all others.
struct Way {
    member: u64,
    net: SharedNet,
}

impl Net {
    fn delay(&mut self) -> Duration {
        // Now and then longer than a heartbeat.
        let most = if self.random.one_in(50) { 400_000 } else { 4000 };
        Duration::from_micros(self.random.below(most))
    }

    fn loses(&mut self) -> bool {
        self.lost_one_in > 0 && self.random.one_in(self.lost_one_in)
    }

    fn apart(&self, one: u64, other: u64) -> bool {
        self.cut.contains(&one) || self.cut.contains(&other)
    }
}

impl Carrier for Way {
    fn call(
        &self,
        to: &Destination,
        method: Method,
        body: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, CallError>> {
        let (from, to, shared) = (self.member, to.member, Arc::clone(&self.net));
        Box::pin(async move {
            let (there, doubled) = {
                let mut net = net(&shared);
                // What a connection would notice after a while.
                let lost = net.loses() || net.apart(from, to);
                // Connections do not double what they carry; only Raft's own messages have to stand it.
                let doubled = method < Method::PROPOSE && net.random.one_in(10);
                ((!lost).then(|| net.delay()), doubled)
            };
            let gone = || CallError::Lost("the message was lost".to_owned());
            let Some(there) = there else {
                sleep(Duration::from_millis(500)).await;
                return Err(gone());
            };
            if doubled {
                let again = net(&shared).delay();
                let (shared, body) = (Arc::clone(&shared), body.clone());
                tokio::spawn(async move {
                    sleep(again).await;
                    // Nobody hears the answer.
                    let _ = deliver(&shared, from, to, method, body).await;
                });
            }
            sleep(there).await;
            let answer = deliver(&shared, from, to, method, body).await;
            let back = {
                let mut net = net(&shared);
                let lost = net.loses() || net.apart(from, to);
                (!lost).then(|| net.delay())
            };
            let Some(back) = back else {
                sleep(Duration::from_millis(500)).await;
                return Err(gone());
            };
            sleep(back).await;
            answer
        })
    }
}

async fn deliver(
    shared: &SharedNet,
    from: u64,
    to: u64,
    method: Method,
    body: Bytes,
) -> Result<Bytes, CallError> {
    let answer = {
        let net = net(shared);
        let nobody = || CallError::Unreachable("nobody is there".to_owned());
        let service = net
            .services
            .get(&to)
            .filter(|_| !net.apart(from, to))
            .ok_or_else(nobody)?;
        service.call(&Identity::member(from), method, body)
    };
    Ok(answer.await?)
}

struct Host {
    disk: SimDisk,
    machine: MemoryMachine,
    member: Option<Member>,
}

struct World {
    net: SharedNet,
    hosts: RefCell<BTreeMap<u64, Host>>,
    random: RefCell<Random>,
    /// What was answered: the command, its place, its entry.
    acknowledged: RefCell<Vec<(Vec<u8>, u64, u64)>>,
    seed: u64,
}

impl World {
    fn dice(&self, below: u64) -> u64 {
        self.random.borrow_mut().below(below)
    }

    async fn start(self: &Rc<Self>, id: u64) {
        let (disk, machine) = {
            let hosts = self.hosts.borrow();
            (hosts[&id].disk.clone(), hosts[&id].machine.clone())
        };
        let options = LogOptions {
            member: id,
            segment_bytes: 64 << 10,
            batch_max_bytes: 16 << 10,
            cache_max_bytes: 2 << 10,
        };
        // The power may fail while it starts.
        let Ok((log, writer)) = Log::open(Arc::new(disk), PathBuf::from("/log"), options) else {
            return;
        };
        let world = Rc::clone(self);
        tokio::task::spawn_local(writer.run_in_task(move || sleep(Duration::from_micros(world.dice(3000)))));
        let members = (1..=MEMBERS).map(|member| (member, format!("member-{member}")));
        let options = MemberOptions {
            id,
            address: String::new(),
            first_members: Some(members.collect()),
            timing: Timing::default(),
            retention: Retention {
                persist_after_entries: 30,
                keep_entries: 10,
                ..Retention::default()
            },
        };
        let carrier = Arc::new(Way {
            member: id,
            net: Arc::clone(&self.net),
        });
        let Ok(member) = Member::start(options, log, Arc::new(machine), carrier).await else {
            return;
        };
        let service = MemberService::new(member.clone(), Arc::new(Nothing));
        net(&self.net).services.insert(id, Arc::new(service));
        self.hosts.borrow_mut().get_mut(&id).unwrap().member = Some(member);
    }

    /// Takes the power from members, all at the same time, and gives it back.
    async fn power_cut(self: &Rc<Self>, ids: &[u64]) {
        let mut ended = Vec::new();
        for id in ids {
            net(&self.net).services.remove(id);
            let more = self.dice(2) == 0;
            let mut hosts = self.hosts.borrow_mut();
            let host = hosts.get_mut(id).unwrap();
            host.disk = host.disk.power_cycle(Faults::default());
            host.machine = host.machine.after_power_cut(more);
            ended.extend(host.member.take());
        }
        for member in ended {
            member.stop().await;
        }
        sleep(Duration::from_millis(self.dice(1500))).await;
        for id in ids {
            self.start(*id).await;
        }
    }

    /// Proposes one command after the other by way of any member.
    async fn client(self: Rc<Self>, name: u64, until: Instant) {
        let mut number = 0;
        while Instant::now() < until {
            number += 1;
            let command = format!(
                "{name}-{number}-{}",
                "x".repeat(usize::try_from(self.dice(300)).unwrap())
            );
            let id = 1 + self.dice(MEMBERS);
            let member = self.hosts.borrow()[&id].member.clone();
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
            sleep(Duration::from_millis(self.dice(20))).await;
        }
    }

    /// Reads by way of any member see what was answered before they began.
    async fn reader(self: Rc<Self>, until: Instant) {
        while Instant::now() < until {
            let id = 1 + self.dice(MEMBERS);
            let member = self.hosts.borrow()[&id].member.clone();
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
                        self.seed
                    );
                }
            }
            sleep(Duration::from_millis(self.dice(200))).await;
        }
    }

    async fn faults(self: Rc<Self>, until: Instant) {
        while Instant::now() < until {
            sleep(Duration::from_millis(200 + self.dice(2000))).await;
            let id = 1 + self.dice(MEMBERS);
            match self.dice(6) {
                0 | 1 => self.power_cut(&[id]).await,
                2 => self.power_cut(&[1, 2, 3]).await,
                3 => {
                    net(&self.net).cut.insert(id);
                    sleep(Duration::from_millis(self.dice(4000))).await;
                    net(&self.net).cut.remove(&id);
                }
                4 => {
                    net(&self.net).lost_one_in = 3;
                    sleep(Duration::from_millis(self.dice(2000))).await;
                    net(&self.net).lost_one_in = 30;
                }
                _ => {
                    // The disk of a member fails and takes its power along.
                    let faults = Faults {
                        fail_at: Some(1 + self.dice(5)),
                        ..Faults::default()
                    };
                    self.hosts.borrow()[&id].disk.world().set_faults(faults);
                    sleep(Duration::from_millis(self.dice(500))).await;
                    self.power_cut(&[id]).await;
                }
            }
        }
    }

    async fn heal(self: &Rc<Self>) {
        {
            let mut net = net(&self.net);
            net.cut.clear();
            net.lost_one_in = 0;
        }
        self.power_cut(&[1, 2, 3]).await;
    }

    /// Stops everybody. Members know the network, which knows them.
    async fn end(&self) {
        net(&self.net).services.clear();
        let members: Vec<_> = self
            .hosts
            .borrow_mut()
            .values_mut()
            .filter_map(|host| host.member.take())
            .collect();
        for member in members {
            member.stop().await;
        }
    }

    fn histories(&self) -> Vec<Vec<Vec<u8>>> {
        self.hosts
            .borrow()
            .values()
            .map(|host| host.machine.commands())
            .collect()
    }

    async fn check(self: &Rc<Self>) -> usize {
        let seed = self.seed;
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let member = self.hosts.borrow()[&1].member.clone().unwrap();
            let settled = timeout(Duration::from_secs(10), member.propose(b"the end")).await;
            if let Ok(Ok(answered)) = settled {
                for id in 1..=MEMBERS {
                    let member = self.hosts.borrow()[&id].member.clone().unwrap();
                    let applied =
                        timeout(Duration::from_secs(60), member.wait_applied(answered.index + 1)).await;
                    applied
                        .unwrap_or_else(|_| panic!("seed {seed}: member {id} does not catch up"))
                        .unwrap();
                }
                break;
            }
            assert!(Instant::now() < deadline, "seed {seed}: no leader after healing");
        }
        let histories = self.histories();
        let first = &histories[0];
        assert!(
            histories.iter().all(|other| other == first),
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
    let host = |id| Host {
        disk: SimDisk::new(seed * 10 + id, Faults::default()),
        machine: MemoryMachine::default(),
        member: None,
    };
    let world = Rc::new(World {
        net: Arc::new(Mutex::new(Net {
            services: BTreeMap::new(),
            cut: BTreeSet::new(),
            random: Random::new(seed),
            lost_one_in: 30,
        })),
        hosts: RefCell::new((1..=MEMBERS).map(|id| (id, host(id))).collect()),
        random: RefCell::new(Random::new(seed ^ 0xface)),
        acknowledged: RefCell::default(),
        seed,
    });
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, async {
        for id in 1..=MEMBERS {
            world.start(id).await;
        }
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
        world.heal().await;
        let acknowledged = world.check().await;
        world.end().await;
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
