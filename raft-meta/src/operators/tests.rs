//! A member asked over the wire, as operators ask it.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::*;
use crate::config::{Config, Listen};
use crate::limits::OPERATOR_PAGE_MAX_COUNT;
use crate::raft::Client;
use crate::registry::{Command, Outcome, Refusal as Refused, Registry, Scopes, UserChange};
use crate::secret;
use crate::serve::Serving;
use crate::store::{self, RejectedPage, Reply};
use crate::wire::{CallError, Destination, Dialer, Identity, Refusal, Security};

const TENANT: Uuid = Uuid::from_u128(1);
const NODE: u64 = 7;

struct World {
    serving: Serving,
    address: String,
    operator: Client,
    _directory: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::embedded(directory.path().join("meta"));
        config.listen = Some(Listen {
            address: "127.0.0.1:0".parse().unwrap(),
            advertise: String::new(),
            security: Security::Plain,
        });
        let serving = Serving::start(&config).await.unwrap();
        let address = format!("127.0.0.1:{}", serving.port().unwrap());
        let operator = client(&address, Identity::operator("operator"));
        Self {
            serving,
            address,
            operator,
            _directory: directory,
        }
    }

    async fn register(&self, command: &Command) -> Result<Outcome, Refused> {
        let body = serde_json::to_vec(command).unwrap();
        let answer = self.operator.call(REGISTER, body.into()).await.unwrap();
        match Reply::decode(&answer).unwrap() {
            Reply::Registry(done) => done.map(|done| done.outcome),
            other => panic!("{other:?}"),
        }
    }

    async fn found(&self) {
        let create = Command::CreateAssociation {
            key: TENANT,
            name: "one".to_owned(),
            node: Some(NODE),
        };
        self.register(&create).await.unwrap();
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, request: &impl serde::Serialize) -> T {
        let body = serde_json::to_vec(request).unwrap();
        let answer = self.operator.call(method, body.into()).await.unwrap();
        serde_json::from_slice(&answer).unwrap()
    }

    async fn tenants(&self, association: Option<Uuid>, after: TenantsAfter) -> TenantsPage {
        let request = TenantsRequest { association, after };
        self.ask(TENANTS, &request).await
    }

    async fn propose(&self, command: store::Command) -> Reply {
        let command = command.encode().unwrap();
        let answered = self.serving.member().propose(&command).await.unwrap();
        Reply::decode(&answered.answer).unwrap()
    }
}

fn client(address: &str, us: Identity) -> Client {
    let dialer = Dialer::new("filegrid", us, Security::Plain);
    let address = address.to_owned();
    Client::new(dialer, vec![Destination { member: 1, address }])
}

#[tokio::test]
async fn what_an_operator_changes_is_shown_without_secrets() {
    let world = World::start().await;
    world.found().await;
    let (create, keys) = secret::new_user(TENANT, Scopes::all(), "/in", "the shop").unwrap();
    world.register(&create).await.unwrap();
    let again = world.register(&create).await;
    assert!(matches!(again, Err(Refused::Conflict(_))), "{again:?}");
    let page = world.tenants(None, TenantsAfter::Association(None)).await;
    assert!(page.found && !page.more);
    assert_eq!(
        (page.associations[0].key, page.associations[0].users),
        (TENANT, 1)
    );
    let request = TenantsRequest {
        association: Some(TENANT),
        after: TenantsAfter::User(None),
    };
    let body = serde_json::to_vec(&request).unwrap();
    let answer = world.operator.call(TENANTS, body.into()).await.unwrap();
    let text = String::from_utf8(answer.to_vec()).unwrap();
    assert!(
        text.contains(&keys.access_key) && !text.contains("$argon2"),
        "{text}"
    );
    let page: TenantsPage = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (page.users[0].root.as_str(), page.users[0].description.as_str()),
        ("/in", "the shop")
    );
    let wrong = Command::UpdateUser {
        association: TENANT,
        access_key: keys.access_key,
        change: UserChange {
            root: Some("/..".to_owned()),
            ..UserChange::default()
        },
    };
    let refused = world.register(&wrong).await;
    assert!(matches!(refused, Err(Refused::Invalid { .. })), "{refused:?}");
    let nobody = world
        .tenants(Some(Uuid::from_u128(9)), TenantsAfter::Account(0))
        .await;
    assert_eq!(nobody, TenantsPage::default());
    world.serving.stop().await;
}

#[tokio::test]
async fn an_association_is_disabled_before_it_ends_and_ends_for_good() {
    let world = World::start().await;
    world.found().await;
    let retire = Command::RetireAssociation { key: TENANT };
    let refused = world.register(&retire).await;
    assert!(matches!(refused, Err(Refused::Conflict(_))), "{refused:?}");
    let enable = |enabled| Command::UpdateAssociation {
        key: TENANT,
        name: None,
        enabled: Some(enabled),
    };
    world.register(&enable(false)).await.unwrap();
    for _ in 0..2 {
        world.register(&retire).await.unwrap();
    }
    let refused = world.register(&enable(true)).await;
    assert!(matches!(refused, Err(Refused::Conflict(_))), "{refused:?}");
    let shown = world.tenants(Some(TENANT), TenantsAfter::Association(None)).await;
    assert!(shown.associations[0].retired);
    world.serving.stop().await;
}

#[tokio::test]
async fn nobody_else_is_answered_and_not_everything_may_be_asked_for() {
    let world = World::start().await;
    for us in [Identity::node("7"), Identity::member(2)] {
        let other = client(&world.address, us);
        for method in [REGISTER, TENANTS, PRODUCERS, REJECTED] {
            let refused = other.call(method, Bytes::from_static(b"null")).await;
            assert!(
                matches!(refused, Err(CallError::Refused(Refusal::Forbidden(_)))),
                "{refused:?}"
            );
        }
    }
    let operator = Command::SetOperator {
        sha256: "0".repeat(64),
    };
    let body = serde_json::to_vec(&operator).unwrap();
    let refused = world.operator.call(REGISTER, body.into()).await;
    assert!(
        matches!(refused, Err(CallError::Refused(Refusal::Forbidden(_)))),
        "{refused:?}"
    );
    for (method, body) in [(REGISTER, &b"{}"[..]), (TENANTS, b"\xff"), (LAST, b"")] {
        let refused = world.operator.call(method, Bytes::from_static(body)).await;
        assert!(
            matches!(refused, Err(CallError::Refused(Refusal::BadRequest(_)))),
            "{refused:?}"
        );
    }
    // What it has always been allowed is as it was.
    assert!(world.serving.member().status().leader.is_some());
    world.serving.stop().await;
}

#[tokio::test]
async fn producers_and_what_was_rejected_are_told() {
    let world = World::start().await;
    let none: Producers = world.ask(PRODUCERS, &()).await;
    assert!(none.producers.is_empty());
    world
        .propose(store::Command::Enter {
            node: NODE,
            logs: 2,
            start: store::Start::default(),
        })
        .await;
    let change = filegrid_tree::Change {
        association: *TENANT.as_bytes(),
        time: 1,
        protocol: filegrid_tree::Protocol::Api,
        ops: vec![filegrid_tree::Op::Detach {
            directory: filegrid_tree::Id([1; 16]),
            name: "x".to_owned(),
            id: filegrid_tree::Id([2; 16]),
        }],
    };
    let shipped = store::Shipped {
        generation: 1,
        change: change.encode(),
    };
    let batch = store::Batch {
        node: NODE,
        log: 1,
        epoch: 1,
        first: 1,
        as_of_ms: 5,
        changes: vec![shipped; OPERATOR_PAGE_MAX_COUNT],
    };
    world.propose(store::Command::Ship(batch)).await;
    let told: Producers = world.ask(PRODUCERS, &()).await;
    let shown: Vec<_> = told
        .producers
        .iter()
        .map(|of| (of.node, of.log, of.known.applied, of.known.rejected))
        .collect();
    let all = OPERATOR_PAGE_MAX_COUNT as u64;
    assert_eq!(shown, [(NODE, 0, 0, 0), (NODE, 1, all, all)]);
    assert!(told.producers.iter().all(|of| of.heard_ms.is_some()));
    assert_eq!(told.producers[0].behind_ms(told.now_ms), None);
    assert_eq!(
        told.producers[1].behind_ms(told.now_ms),
        u64::try_from(told.now_ms - 5).ok()
    );
    let answer = world.operator.call(REJECTED, Bytes::new()).await.unwrap();
    let page: RejectedPage = serde_json::from_slice(&answer).unwrap();
    assert_eq!((page.entries.len(), page.next), (OPERATOR_PAGE_MAX_COUNT, None));
    assert!(
        page.entries[0].reason.contains("no association"),
        "{:?}",
        page.entries[0]
    );
    assert_eq!((page.entries[2].log, page.entries[2].sequence), (1, 3));
    world.serving.stop().await;
}

#[test]
fn pages_follow_each_other() {
    let mut registry = Registry::default();
    let count = OPERATOR_PAGE_MAX_COUNT + 1;
    for number in 1..=count {
        let create = Command::CreateAssociation {
            key: Uuid::from_u128(number as u128),
            name: number.to_string(),
            node: None,
        };
        registry.apply(&create).unwrap();
    }
    let page = |after| {
        let request = TenantsRequest {
            association: None,
            after: TenantsAfter::Association(after),
        };
        TenantsPage::of(&registry, &request)
    };
    let first = page(None);
    assert!(first.more);
    let second = page(first.associations.last().map(|last| last.key));
    assert!(!second.more);
    let all = first.associations.iter().chain(&second.associations);
    assert!(
        all.map(|of| of.name.clone())
            .eq((1..=count).map(|number| number.to_string()))
    );
}
