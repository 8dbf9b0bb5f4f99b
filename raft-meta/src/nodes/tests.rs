//! A member asked over the wire, as nodes ask it.

use std::time::Duration;

use bytes::Bytes;
use filegrid_tree::{Change, DirRow, FileRow, Id, Op, Protocol, ROOTS, Row, root_name};
use uuid::Uuid;

use super::*;
use crate::config::{Config, Listen};
use crate::raft::Client;
use crate::registry;
use crate::serve::Serving;
use crate::store::{Batch, Command, Reply, Shipped, Start};
use crate::wire::{CallError, Destination, Dialer, Identity, Refusal, Security, Watch};

const NODE: u64 = 7;
const TENANT: Uuid = Uuid::from_u128(1);

struct World {
    directory: tempfile::TempDir,
    serving: Serving,
    client: Client,
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
        let dialer = Dialer::new(&config.cluster, Identity::node("7"), Security::Plain);
        let client = Client::new(dialer, vec![Destination { member: 1, address }]);
        Self {
            directory,
            serving,
            client,
        }
    }

    async fn ask(&self, command: Command) -> Reply {
        let answered = self.client.propose(&command.encode().unwrap()).await.unwrap();
        Reply::decode(&answered.answer).unwrap()
    }

    /// The tenant, at home on [`NODE`], which is let in.
    async fn found(&self) {
        let (key, name) = (TENANT, String::new());
        for command in [
            registry::Command::CreateAssociation {
                key,
                name,
                node: None,
            },
            registry::Command::Place {
                key,
                node: NODE,
                from: 0,
            },
        ] {
            let done = self.ask(Command::Registry(command)).await;
            assert!(matches!(done, Reply::Registry(Ok(_))), "{done:?}");
        }
        let entered = self
            .ask(Command::Enter {
                node: NODE,
                logs: 1,
                start: Start::default(),
            })
            .await;
        assert_eq!(
            entered,
            Reply::Entered {
                epoch: 1,
                applied: vec![0],
                compared: vec![0],
                number: 0,
            }
        );
    }

    async fn ship(&self, first: u64, as_of_ms: i64, ops: Vec<Op>) -> Reply {
        let change = Change {
            association: *TENANT.as_bytes(),
            time: 0,
            protocol: Protocol::Api,
            ops,
        };
        let changes = vec![Shipped {
            generation: 1,
            change: change.encode(),
        }];
        self.ask(Command::Ship(Batch {
            node: NODE,
            log: 0,
            epoch: 1,
            first,
            as_of_ms,
            changes,
        }))
        .await
    }

    async fn list(&self, request: &ListRequest) -> Result<Page, CallError> {
        let answer = self.client.call(LIST, request.write()).await?;
        Ok(Page::read(answer).unwrap())
    }
}

fn request(path: &str) -> ListRequest {
    ListRequest {
        association: TENANT,
        path: path.to_owned(),
        after: None,
        shows: Vec::new(),
        patience_ms: 5000,
        entries: u64::MAX,
    }
}

fn root() -> Op {
    let row = DirRow {
        id: Id(*TENANT.as_bytes()),
        created_at: 1,
        updated_at: None,
        mtime: 1,
        protocol: Protocol::Api,
    };
    Op::put(ROOTS, &root_name(TENANT.as_bytes()), Row::Dir(row))
}

fn file(name: &str, sha256: Option<[u8; 32]>, updated_at: Option<i64>) -> Op {
    let row = FileRow {
        size: 3,
        extents: Vec::new(),
        version: 1,
        crc32: 0,
        sha256,
        created_at: -5,
        updated_at,
        mtime: 7,
        protocol: Protocol::Sftp,
    };
    Op::put(Id(*TENANT.as_bytes()), name, Row::File(row))
}

fn paths(page: &Page) -> Vec<String> {
    page.entries().map(|entry| entry.path.to_owned()).collect()
}

#[tokio::test]
async fn pages_over_the_wire_add_up() {
    let world = World::start().await;
    world.found().await;
    let files = ["a", "b", "c"].map(|name| file(name, (name == "b").then_some([9; 32]), Some(8)));
    assert_eq!(world.ship(1, 40, vec![root()]).await, Reply::Applied(1));
    assert_eq!(world.ship(2, 50, files.into()).await, Reply::Applied(2));
    let all = world.list(&request("/")).await.unwrap();
    assert_eq!(paths(&all), ["/", "/a", "/b", "/c"]);
    assert_eq!((all.found, all.more, all.as_of_ms), (true, false, Some(50)));
    let entry = all.entries().nth(2).unwrap();
    let shown = (entry.is_dir, entry.size, entry.sha256, entry.protocol);
    assert_eq!(shown, (false, 3, Some(&[9; 32]), Protocol::Sftp));
    assert_eq!(
        (entry.mtime, entry.created_at, entry.updated_at),
        (7, -5, Some(8))
    );
    let first = ListRequest {
        entries: 2,
        ..request("/")
    };
    let page = world.list(&first).await.unwrap();
    assert_eq!((paths(&page), page.more), (vec!["/".into(), "/a".into()], true));
    let rest = ListRequest {
        after: Some("/a".to_owned()),
        ..request("/")
    };
    assert_eq!(paths(&world.list(&rest).await.unwrap()), ["/b", "/c"]);
    let nowhere = world.list(&request("/nope")).await.unwrap();
    assert_eq!((nowhere.found, nowhere.entries().count()), (false, 0));
    world.serving.stop().await;
    drop(world.directory);
}

#[tokio::test]
async fn a_page_waits_for_what_it_has_to_show() {
    let world = World::start().await;
    world.found().await;
    let event = Event {
        node: NODE,
        log: 0,
        sequence: 2,
    };
    let waiting = ListRequest {
        shows: vec![event],
        ..request("/")
    };
    let (page, shipped) = tokio::join!(world.list(&waiting), async {
        world.ship(1, 1, vec![root()]).await;
        world.ship(2, 1, vec![file("a", None, None)]).await
    });
    assert_eq!(shipped, Reply::Applied(2));
    assert_eq!(paths(&page.unwrap()), ["/", "/a"]);
    let never = Event { sequence: 3, ..event };
    let impatient = ListRequest {
        shows: vec![never],
        patience_ms: 20,
        ..request("/")
    };
    let late = world.list(&impatient).await;
    assert!(
        matches!(late, Err(CallError::Refused(Refusal::NotNow(_)))),
        "{late:?}"
    );
    let nodes = world.serving.nodes();
    let stranger = Event { node: 8, ..event };
    let late = nodes.wait_for(&[stranger], Duration::from_millis(20)).await;
    assert!(matches!(late, Err(Refusal::NotNow(_))));
    world.serving.stop().await;
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let world = World::start().await;
    let up = ListRequest {
        path: "/..".to_owned(),
        ..request("/")
    };
    let unknown = crate::wire::Method(LIST.0 + 999);
    for (method, body) in [
        (LIST, Bytes::from_static(b"{}")),
        (LIST, Bytes::from_static(b"\xff")),
        (LIST, up.write()),
        (unknown, Bytes::new()),
    ] {
        let refused = world.client.call(method, body).await;
        assert!(
            matches!(refused, Err(CallError::Refused(Refusal::BadRequest(_)))),
            "{refused:?}"
        );
    }
    let page = world.list(&request("/")).await.unwrap();
    assert!(!page.found && page.as_of_ms.is_none());
    let bytes = page.write();
    for end in 0..bytes.len() {
        assert!(Page::read(bytes.slice(..end)).is_none());
    }
    world.serving.stop().await;
}

#[tokio::test]
async fn runs_of_rows_are_compared_as_they_are_behind_one_change() {
    let world = World::start().await;
    world.found().await;
    let directory = Id(*TENANT.as_bytes());
    let files = ["a", "b", "c"].map(|name| file(name, None, None));
    world.ship(1, 1, vec![root()]).await;
    world.ship(2, 1, files.into()).await;
    let at = |sequence| Event {
        node: NODE,
        log: 0,
        sequence,
    };
    let run = |from: &str, to: Option<&str>| Span {
        directory,
        from: from.to_owned(),
        to: to.map(str::to_owned),
    };
    let compare = |sequence, spans: Vec<Span>| CompareRequest {
        at: at(sequence),
        patience_ms: 20,
        spans,
    };
    let spans = vec![
        Span::one(ROOTS, &root_name(TENANT.as_bytes())),
        run("", None),
        run("", Some("b")),
        run("b", None),
        run(&behind("c"), None),
    ];
    let answer = world
        .client
        .call(COMPARE, compare(2, spans.clone()).write())
        .await;
    let digests = read_digests(&answer.unwrap()).unwrap();
    let view = world.serving.nodes().store().view();
    let ours: Vec<_> = spans.iter().map(|span| span.digest(&view).unwrap()).collect();
    assert_eq!(digests, ours);
    let counts: Vec<_> = digests.iter().map(|digest| digest.rows).collect();
    assert_eq!(counts, [1, 3, 1, 2, 0]);
    assert_ne!(digests[1].crc32, digests[3].crc32);
    // Rows as they are kept.
    let answer = world
        .client
        .call(ROWS, compare(2, vec![run("b", None)]).write())
        .await;
    let page = RowsPage::read(&answer.unwrap()).unwrap();
    let names: Vec<_> = page.rows.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((names, page.more), (vec!["b", "c"], false));
    assert!(page.rows.iter().all(|(_, row)| Row::decode(row).is_ok()));
    // Neither before that change nor behind it.
    for sequence in [1, 3] {
        let answer = world
            .client
            .call(COMPARE, compare(sequence, spans.clone()).write())
            .await;
        assert!(
            matches!(answer, Err(CallError::Refused(Refusal::NotNow(_)))),
            "{answer:?}"
        );
    }
    let answer = world.client.call(COMPARE, Bytes::from_static(b"x")).await;
    assert!(
        matches!(answer, Err(CallError::Refused(Refusal::BadRequest(_)))),
        "{answer:?}"
    );
    drop(view);
    world.serving.stop().await;
    drop(world.directory);
}

/// An API user, to be changed.
fn user() -> registry::Command {
    registry::Command::CreateUser {
        association: TENANT,
        user: registry::NewUser {
            access_key: "AK_1".to_owned(),
            secret_hash: "$argon2id$".to_owned(),
            scopes: registry::Scopes::all(),
            root: "/".to_owned(),
            description: String::new(),
        },
    }
}

fn describe(text: &str) -> registry::Command {
    registry::Command::UpdateUser {
        association: TENANT,
        access_key: "AK_1".to_owned(),
        change: registry::UserChange {
            description: Some(text.to_owned()),
            ..registry::UserChange::default()
        },
    }
}

/// Takes items until the registry is where the member's is and that has said so; how many held changes, and how many rows.
async fn follow(world: &World, watch: &mut Watch, following: &mut Following) -> (usize, usize) {
    let (mut changes, mut rows) = (0, 0);
    loop {
        let item = RegistryItem::read(watch.next().await.unwrap().unwrap()).unwrap();
        match &item {
            RegistryItem::Changes(..) => changes += 1,
            RegistryItem::Rows(..) => rows += 1,
            RegistryItem::Sign => {}
        }
        let is_sign = item == RegistryItem::Sign;
        let known = world.serving.nodes().store().registry();
        if following.take(item).is_some() && is_sign && *following.registry() == *known {
            return (changes, rows);
        }
    }
}

async fn watch(world: &World, following: &Following) -> Watch {
    let from = write_position(following.registry().position());
    world.client.watch(REGISTRY, from).await.unwrap().0
}

#[tokio::test]
async fn a_node_follows_the_registry_and_goes_on_where_it_was() {
    let world = World::start().await;
    let mut following = Following::default();
    let mut first = watch(&world, &following).await;
    assert_eq!(
        follow(&world, &mut first, &mut following).await,
        (0, 0),
        "there is none"
    );
    world.found().await;
    world.ask(Command::Registry(user())).await;
    follow(&world, &mut first, &mut following).await;
    assert!(following.registry().user(TENANT, "AK_1").is_some());
    // One that knows nothing is told what happened, as far as that is known, or all.
    drop(first);
    for text in ["a", "b", "c"] {
        world.ask(Command::Registry(describe(text))).await;
    }
    let mut again = watch(&world, &following).await;
    let (changes, rows) = follow(&world, &mut again, &mut following).await;
    assert_eq!((changes, rows), (1, 0));
    assert_eq!(
        following.registry().user(TENANT, "AK_1").unwrap().description,
        "c"
    );
    let mut again = watch(&world, &following).await;
    assert_eq!(follow(&world, &mut again, &mut following).await, (0, 0));
    // One that was with another cluster, at the same revision, is told all.
    let mut astray: registry::Registry = following.registry().rows().collect();
    astray.put(registry::RowChange::Put(registry::Row::Chain(0)));
    astray.put(registry::RowChange::Remove(registry::RowKey::User(
        TENANT,
        "AK_1".to_owned(),
    )));
    let mut astray = Following::from(astray);
    let mut other = watch(&world, &astray).await;
    assert_eq!(follow(&world, &mut other, &mut astray).await, (0, 1));
    assert!(astray.registry().user(TENANT, "AK_1").is_some());
    world.serving.stop().await;
    assert!(loop {
        match again.next().await {
            Some(Ok(_)) => {}
            end => break end.is_none_or(|item| item.is_err()),
        }
    });
}

#[tokio::test]
async fn a_registry_goes_in_parts_that_fit() {
    let world = World::start().await;
    world.found().await;
    world.ask(Command::Registry(user())).await;
    let long = "x".repeat(crate::limits::DESCRIPTION_MAX_BYTES);
    for number in 0..crate::limits::REGISTRY_PART_MAX_BYTES / long.len() {
        let name = format!("{number:08}{}", &long[8..]);
        let create = registry::Command::CreateAssociation {
            key: Uuid::new_v4(),
            name,
            node: None,
        };
        world.ask(Command::Registry(create)).await;
    }
    let mut following = Following::default();
    let mut whole = watch(&world, &Following::from(astray())).await;
    let (_, rows) = follow(&world, &mut whole, &mut following).await;
    assert_eq!(rows, 2);
    world.serving.stop().await;
}

/// A registry of nowhere.
fn astray() -> registry::Registry {
    [registry::Row::Revision(1), registry::Row::Chain(1)]
        .into_iter()
        .collect()
}

#[tokio::test]
async fn only_nodes_follow_the_registry() {
    let world = World::start().await;
    let address = format!("127.0.0.1:{}", world.serving.port().unwrap());
    let member = Destination { member: 1, address };
    let dialer = Dialer::new(
        &Config::embedded(world.directory.path().join("other")).cluster,
        Identity::operator("me"),
        Security::Plain,
    );
    let asked = dialer.watch(&member, REGISTRY, write_position(astray().position()));
    let refused = asked.await.unwrap().next().await;
    assert!(
        matches!(refused, Some(Err(CallError::Refused(Refusal::Forbidden(_))))),
        "{refused:?}"
    );
    for body in [&b""[..], b"eleven byte", b"thirteen byte"] {
        let asked = world.client.watch(REGISTRY, Bytes::from_static(body)).await;
        let refused = asked.unwrap().0.next().await;
        assert!(
            matches!(refused, Some(Err(CallError::Refused(Refusal::BadRequest(_))))),
            "{refused:?}"
        );
    }
    for bytes in [&b""[..], b"\x00x", b"\x01", b"\x03[1]", b"\x05[]"] {
        assert_eq!(RegistryItem::read(Bytes::from_static(bytes)), None);
    }
    world.serving.stop().await;
}
