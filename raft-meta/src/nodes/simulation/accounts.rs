//! Clients that change API users and read them back, by way of any member, and the history of what they were told.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use filegrid_journal::sim::Random;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::history::{Operation, Told, Want, has_order};
use super::store::SimStore;
use crate::raft::Client;
use crate::raft::tests::hosts::{Hosts, MEMBERS};
use crate::raft::tests::net::Way;
use crate::registry::{self, NewUser, Refusal, Scopes, UserChange};
use crate::store::{Command, Reply};

/// Users that are changed at a time.
const USERS: u64 = 4;
/// Operations on a user, before another takes its place: what the search for an order can do.
const OPERATIONS_MAX_COUNT: u64 = 50;

/// How a client reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// As members do that tell nodes of the registry: behind all that any member had applied before.
    Behind,
    /// What is there: what another member has done may be missing.
    Here,
}

/// The clients and what they were told.
pub(super) struct Accounts {
    hosts: Rc<Hosts<SimStore>>,
    association: Uuid,
    reading: Reading,
    random: RefCell<Random>,
    clock: Cell<u64>,
    histories: RefCell<BTreeMap<String, Vec<Operation>>>,
    asked: Cell<u64>,
}

impl Accounts {
    pub(super) fn new(hosts: &Rc<Hosts<SimStore>>, association: Uuid, reading: Reading) -> Rc<Self> {
        Rc::new(Self {
            hosts: Rc::clone(hosts),
            association,
            reading,
            random: RefCell::new(Random::new(hosts.seed ^ 0xacc0)),
            clock: Cell::new(0),
            histories: RefCell::default(),
            asked: Cell::new(0),
        })
    }

    fn dice(&self, below: u64) -> u64 {
        self.random.borrow_mut().below(below)
    }

    fn now(&self) -> u64 {
        self.clock.set(self.clock.get() + 1);
        self.clock.get()
    }

    /// One client.
    pub(super) async fn work(self: Rc<Self>, client: Client<Way>, until: Instant) {
        while Instant::now() < until {
            sleep(Duration::from_millis(self.dice(40))).await;
            let asked = self.asked.get();
            self.asked.set(asked + 1);
            let key = format!("AK_{}_{}", asked % USERS, asked / USERS / OPERATIONS_MAX_COUNT);
            let want = match self.dice(8) {
                0 | 1 => Want::Create(asked),
                2 | 3 => Want::Update(asked),
                4 => Want::Delete,
                _ => Want::Read,
            };
            let asked = self.now();
            let told = match want {
                Want::Read => self.read(&key).await,
                _ => self.change(&client, &key, want).await,
            };
            let operation = Operation {
                want,
                told,
                asked,
                answered: self.now(),
            };
            self.histories
                .borrow_mut()
                .entry(key)
                .or_default()
                .push(operation);
        }
    }

    async fn change(&self, client: &Client<Way>, key: &str, want: Want) -> Told {
        let (association, access_key) = (self.association, key.to_owned());
        let command = match want {
            Want::Create(value) => registry::Command::CreateUser {
                association,
                user: NewUser {
                    access_key,
                    secret_hash: "$argon2id$".to_owned(),
                    scopes: Scopes::all(),
                    root: "/".to_owned(),
                    description: value.to_string(),
                },
            },
            Want::Update(value) => registry::Command::UpdateUser {
                association,
                access_key,
                change: UserChange {
                    description: Some(value.to_string()),
                    ..UserChange::default()
                },
            },
            Want::Delete | Want::Read => registry::Command::DeleteUser {
                association,
                access_key,
            },
        };
        let command = Command::Registry(command).encode().unwrap();
        let Ok(Ok(answered)) = timeout(Duration::from_secs(8), client.propose(&command)).await else {
            return Told::Nothing;
        };
        match Reply::decode(&answered.answer).unwrap() {
            Reply::Registry(Ok(_)) => Told::Done,
            Reply::Registry(Err(Refusal::NotFound(_) | Refusal::Conflict(_))) => Told::Refused,
            other => panic!("{other:?}"),
        }
    }

    async fn read(&self, key: &str) -> Told {
        let id = 1 + self.dice(MEMBERS);
        let (member, machine) = (self.hosts.member(id), self.hosts.machine(id));
        let Some(member) = member else {
            return Told::Nothing;
        };
        if self.reading == Reading::Behind {
            let read = timeout(Duration::from_secs(3), member.read_barrier()).await;
            if !matches!(read, Ok(Ok(_))) {
                return Told::Nothing;
            }
        }
        let registry = machine.store().registry();
        let user = registry.user(self.association, key);
        Told::Seen(user.map(|user| user.description.parse().unwrap()))
    }

    /// Whether what was told of each user could have been so.
    pub(super) fn have_order(&self) -> bool {
        self.histories.borrow().iter().all(|(key, history)| {
            let has_order = has_order(history);
            if !has_order {
                eprintln!("seed {}: no order for {key}: {history:#?}", self.hosts.seed);
            }
            has_order
        })
    }

    /// How many answers there were.
    pub(super) fn answers(&self) -> usize {
        let histories = self.histories.borrow();
        let all = histories.values().flatten();
        all.filter(|operation| operation.told != Told::Nothing).count()
    }
}
