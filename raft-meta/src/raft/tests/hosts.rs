//! Members on simulated disks, in one thread, whose power fails.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use filegrid_journal::sim::{Faults, Random};
use tokio::time::{Instant, sleep, timeout};

use super::Nothing;
use super::machine::MemoryMachine;
use super::net::{SharedNet, Way};
use crate::log::disk::sim::SimDisk;
use crate::log::{Log, LogOptions};
use crate::machine::Machine;
use crate::raft::{Member, MemberOptions, MemberService, Retention, Timing};
use crate::wire::{Destination, Identity, Service};

/// How many there are, numbered from 1.
pub(crate) const MEMBERS: u64 = 3;

/// What a member replicates, on a disk that loses what was not made durable.
pub(crate) trait SimMachine: Clone + 'static {
    /// As the member has it.
    fn machine(&self) -> Arc<dyn Machine>;

    /// What answers the methods that are not Raft's.
    fn application(&self, member: &Member) -> Arc<dyn Service>;

    /// What is left of it after a power cut: what was made durable, or more.
    fn after_power_cut(&self, more: bool) -> Self;
}

impl SimMachine for MemoryMachine {
    fn machine(&self) -> Arc<dyn Machine> {
        Arc::new(self.clone())
    }

    fn application(&self, _: &Member) -> Arc<dyn Service> {
        Arc::new(Nothing)
    }

    fn after_power_cut(&self, more: bool) -> Self {
        Self::after_power_cut(self, more)
    }
}

struct Host<M> {
    disk: SimDisk,
    machine: M,
    member: Option<Member>,
}

/// The disks of all members as they were at one moment.
pub(crate) struct Saved<M>(BTreeMap<u64, (SimDisk, M)>);

/// The members.
pub(crate) struct Hosts<M> {
    pub(crate) net: SharedNet,
    pub(crate) seed: u64,
    hosts: RefCell<BTreeMap<u64, Host<M>>>,
    random: RefCell<Random>,
}

impl<M: SimMachine> Hosts<M> {
    pub(crate) fn new(seed: u64, machine: impl Fn() -> M) -> Rc<Self> {
        let host = |id| Host {
            disk: SimDisk::new(seed * 10 + id, Faults::default()),
            machine: machine(),
            member: None,
        };
        Rc::new(Self {
            net: SharedNet::new(seed),
            seed,
            hosts: RefCell::new((1..=MEMBERS).map(|id| (id, host(id))).collect()),
            random: RefCell::new(Random::new(seed ^ 0xface)),
        })
    }

    pub(crate) fn dice(&self, below: u64) -> u64 {
        self.random.borrow_mut().below(below)
    }

    pub(crate) fn member(&self, id: u64) -> Option<Member> {
        self.hosts.borrow()[&id].member.clone()
    }

    pub(crate) fn machine(&self, id: u64) -> M {
        self.hosts.borrow()[&id].machine.clone()
    }

    /// Where members are, as a node knows it.
    pub(crate) fn destinations() -> Vec<Destination> {
        let to = |member| Destination {
            member,
            address: format!("member-{member}"),
        };
        (1..=MEMBERS).map(to).collect()
    }

    pub(crate) async fn start_all(self: &Rc<Self>) {
        for id in 1..=MEMBERS {
            self.start(id).await;
        }
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
        let hosts = Rc::clone(self);
        tokio::task::spawn_local(writer.run_in_task(move || sleep(Duration::from_micros(hosts.dice(3000)))));
        let members = Self::destinations().into_iter();
        let options = MemberOptions {
            id,
            address: String::new(),
            first_members: Some(members.map(|to| (to.member, to.address)).collect()),
            timing: Timing::default(),
            retention: Retention {
                persist_after_entries: 30,
                keep_entries: 10,
                ..Retention::default()
            },
        };
        let carrier = Arc::new(Way {
            at: id,
            us: Identity::member(id),
            net: self.net.clone(),
        });
        let Ok(member) = Member::start(options, log, machine.machine(), carrier).await else {
            return;
        };
        let service = MemberService::new(member.clone(), machine.application(&member));
        self.net.get().services.insert(id, Arc::new(service));
        self.hosts.borrow_mut().get_mut(&id).unwrap().member = Some(member);
    }

    /// Takes the power from members, all at the same time, and gives it back.
    pub(crate) async fn power_cut(self: &Rc<Self>, ids: &[u64]) {
        self.end(ids).await;
        sleep(Duration::from_millis(self.dice(1500))).await;
        for id in ids {
            self.start(*id).await;
        }
    }

    /// Takes the power from members.
    async fn end(&self, ids: &[u64]) {
        let mut ended = Vec::new();
        for id in ids {
            self.net.get().services.remove(id);
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
    }

    /// A power cut of all, in which their disks are copied.
    pub(crate) async fn save(self: &Rc<Self>) -> Saved<M> {
        let all: Vec<_> = (1..=MEMBERS).collect();
        self.end(&all).await;
        let copy = |host: &Host<M>| (host.disk.copy(), host.machine.after_power_cut(false));
        let saved = {
            let hosts = self.hosts.borrow();
            hosts.iter().map(|(id, host)| (*id, copy(host))).collect()
        };
        self.start_all().await;
        Saved(saved)
    }

    /// Has all members go on with their disks as they were saved.
    pub(crate) async fn restore(self: &Rc<Self>, saved: &Saved<M>) {
        let all: Vec<_> = (1..=MEMBERS).collect();
        self.end(&all).await;
        for (id, host) in &mut *self.hosts.borrow_mut() {
            let (disk, machine) = &saved.0[id];
            host.disk = disk.copy();
            host.machine = machine.after_power_cut(false);
        }
        self.net.get().world += 1;
        self.start_all().await;
    }

    /// Does something bad to members, and ends it.
    pub(crate) async fn fault(self: &Rc<Self>) {
        let id = 1 + self.dice(MEMBERS);
        match self.dice(6) {
            0 | 1 => self.power_cut(&[id]).await,
            2 => self.power_cut(&[1, 2, 3]).await,
            3 => {
                self.net.get().cut.insert(id);
                sleep(Duration::from_millis(self.dice(4000))).await;
                self.net.get().cut.remove(&id);
            }
            4 => {
                self.net.get().lost_one_in = 3;
                sleep(Duration::from_millis(self.dice(2000))).await;
                self.net.get().lost_one_in = 30;
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

    pub(crate) async fn heal(self: &Rc<Self>) {
        {
            let mut net = self.net.get();
            net.cut.clear();
            net.lost_one_in = 0;
        }
        self.power_cut(&[1, 2, 3]).await;
    }

    /// Proposes a command and waits until every member has applied it, and all before.
    pub(crate) async fn settle(&self, command: &[u8]) {
        let seed = self.seed;
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let member = self.member(1).unwrap();
            let settled = timeout(Duration::from_secs(10), member.propose(command)).await;
            if let Ok(Ok(answered)) = settled {
                for id in 1..=MEMBERS {
                    let member = self.member(id).unwrap();
                    let applied =
                        timeout(Duration::from_secs(60), member.wait_applied(answered.index + 1)).await;
                    applied
                        .unwrap_or_else(|_| panic!("seed {seed}: member {id} does not catch up"))
                        .unwrap();
                }
                return;
            }
            assert!(Instant::now() < deadline, "seed {seed}: no leader after healing");
        }
    }

    /// Stops everybody. Members know the network, which knows them.
    pub(crate) async fn stop(&self) {
        self.net.get().services.clear();
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
}
