//! One member with the tree of a node: changes as the node's feeder ships them, then the whole tree, page after page.

use std::path::Path;
use std::time::Instant;

use filegrid_meta::config::{Config, Listen};
use filegrid_meta::nodes::{LIST, ListRequest, Page};
use filegrid_meta::raft::Client;
use filegrid_meta::registry;
use filegrid_meta::serve::Serving;
use filegrid_meta::store::{Batch, Command, Reply, Shipped, Start};
use filegrid_meta::wire::{Destination, Dialer, Identity, Security};
use filegrid_tree::{
    Change, DirRow, Extent, FileRow, Id, Op, Protocol, ROOTS, Row, TreePath, root_name, walk,
};
use uuid::Uuid;

const TENANT: Uuid = Uuid::from_u128(1);
const NODE: u64 = 7;
/// Files of a directory.
const FILES: u64 = 1000;
/// Bounds of a batch, as the feeder has them.
const BATCH_CHANGES: usize = 4096;
const BATCH_BYTES: usize = 256 << 10;

/// Ships so many files, and lists them `rounds` times in each way.
pub(crate) async fn measure(data: &Path, files: u64, rounds: usize) -> Result<(), String> {
    let _ = std::fs::remove_dir_all(data);
    let mut config = Config::embedded(data.to_owned());
    config.listen = Some(Listen {
        address: ([127, 0, 0, 1], 0).into(),
        advertise: String::new(),
        security: Security::Plain,
    });
    let serving = Serving::start(&config).await?;
    let address = format!(
        "127.0.0.1:{}",
        serving.port().ok_or("the member does not listen")?
    );
    let dialer = Dialer::new(&config.cluster, Identity::node("bench"), Security::Plain);
    let client = Client::new(dialer, vec![Destination { member: 1, address }]);
    found(&client).await?;
    ship_all(&client, files).await?;
    println(&format!("resident after that: {} MiB", resident_mib()?));
    for _ in 0..rounds {
        list_by_pages(&client).await?;
    }
    let store = std::sync::Arc::clone(serving.nodes().store());
    for _ in 0..rounds {
        let (begun, mut entries) = (clock(), 0_u64);
        let view = store.view();
        walk(&view, *TENANT.as_bytes(), &TreePath::root(), None, &mut |_, _| {
            entries += 1;
            std::ops::ControlFlow::Continue(())
        })
        .map_err(|error| error.to_string())?;
        show("walked in the member", entries, begun, 0);
    }
    serving.stop().await;
    Ok(())
}

/// A tenant that is at home on the node, which is let in.
async fn found(client: &Client) -> Result<(), String> {
    let (key, node, name) = (TENANT, NODE, String::new());
    for command in [
        Command::Registry(registry::Command::CreateAssociation {
            key,
            name,
            node: None,
        }),
        Command::Registry(registry::Command::Place { key, node, from: 0 }),
        Command::Enter {
            node,
            logs: 1,
            start: Start::default(),
        },
    ] {
        ask(client, &command).await?;
    }
    Ok(())
}

async fn ship_all(client: &Client, files: u64) -> Result<(), String> {
    let mut batch = Vec::new();
    let (mut first, mut bytes) = (1_u64, 0);
    let begun = clock();
    let mut shipped_bytes = 0;
    for change in changes(files) {
        bytes += change.len();
        batch.push(change);
        if batch.len() == BATCH_CHANGES || bytes >= BATCH_BYTES {
            shipped_bytes += bytes;
            first = ship(client, first, std::mem::take(&mut batch)).await?;
            bytes = 0;
        }
    }
    shipped_bytes += bytes;
    first = ship(client, first, batch).await?;
    show("changes shipped", first - 1, begun, shipped_bytes);
    Ok(())
}

/// The root, and each directory before its files: a change for each, as uploads make them.
fn changes(files: u64) -> impl Iterator<Item = Vec<u8>> {
    let root = put(
        ROOTS,
        &root_name(TENANT.as_bytes()),
        directory(Id(*TENANT.as_bytes())),
    );
    let files = (0..files).flat_map(|file| {
        let id = id(file / FILES);
        let made = (file % FILES == 0).then(|| {
            let name = format!("directory-{:06}", file / FILES);
            put(Id(*TENANT.as_bytes()), &name, directory(id))
        });
        made.into_iter()
            .chain([put(id, &format!("file-{:06}.dat", file % FILES), content(file))])
    });
    [root].into_iter().chain(files)
}

fn put(at: Id, name: &str, row: Row) -> Vec<u8> {
    let change = Change {
        association: *TENANT.as_bytes(),
        time: 1,
        protocol: Protocol::Api,
        ops: vec![Op::put(at, name, row)],
    };
    change.encode()
}

fn id(number: u64) -> Id {
    Id((u128::from(NODE) << 64 | u128::from(number + 1)).to_be_bytes())
}

fn directory(id: Id) -> Row {
    Row::Dir(DirRow {
        id,
        created_at: 1,
        updated_at: None,
        mtime: 1,
        protocol: Protocol::Api,
    })
}

fn content(file: u64) -> Row {
    Row::File(FileRow {
        version: file + 1,
        size: 4096,
        crc32: 7,
        sha256: Some([7; 32]),
        created_at: 1,
        updated_at: None,
        mtime: 1,
        protocol: Protocol::Api,
        extents: vec![Extent {
            blob: id(file),
            offset: 0,
            length: 4096,
            crc32: 7,
        }],
    })
}

async fn ship(client: &Client, first: u64, changes: Vec<Vec<u8>>) -> Result<u64, String> {
    let next = first + changes.len() as u64;
    let changes = changes.into_iter().map(|change| Shipped {
        generation: 1,
        change,
    });
    let batch = Batch {
        node: NODE,
        log: 0,
        epoch: 1,
        first,
        as_of_ms: 1,
        changes: changes.collect(),
    };
    match ask(client, &Command::Ship(batch)).await? {
        Reply::Applied(applied) if applied + 1 == next => Ok(next),
        other => Err(format!("the member says {other:?}")),
    }
}

async fn ask(client: &Client, command: &Command) -> Result<Reply, String> {
    let command = command.encode().map_err(|error| error.to_string())?;
    let answered = client
        .propose(&command)
        .await
        .map_err(|error| error.to_string())?;
    Reply::decode(&answered.answer).map_err(|error| error.to_string())
}

async fn list_by_pages(client: &Client) -> Result<(), String> {
    let (begun, mut entries, mut bytes) = (clock(), 0, 0);
    let mut after = None;
    loop {
        let request = ListRequest {
            association: TENANT,
            path: "/".to_owned(),
            after: after.take(),
            shows: Vec::new(),
            patience_ms: 0,
            entries: u64::MAX,
        };
        let answer = client
            .call(LIST, request.write())
            .await
            .map_err(|error| error.to_string())?;
        bytes += answer.len();
        let page = Page::read(answer).ok_or("no page")?;
        for entry in page.entries() {
            entries += 1;
            after = Some(entry.path.to_owned());
        }
        if !page.more {
            break;
        }
    }
    show("listed by pages over the wire", entries, begun, bytes);
    Ok(())
}

fn show(what: &str, count: u64, begun: Instant, bytes: usize) {
    let seconds = begun.elapsed().as_secs_f64();
    let mib = bytes as f64 / f64::from(1 << 20) / seconds;
    println(&format!(
        "{what}: {count} in {seconds:.2} s, {:.0} a second, {mib:.0} MiB/s",
        count as f64 / seconds
    ));
}

/// Memory of this process, which is the member's and the client's.
fn resident_mib() -> Result<u64, String> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|error| error.to_string())?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok());
    kib.map(|kib| kib >> 10).ok_or_else(|| "no VmRSS".to_owned())
}

#[allow(clippy::print_stdout, reason = "the figures are what was asked for")]
fn println(text: &str) {
    println!("{text}");
}

#[allow(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn clock() -> Instant {
    Instant::now()
}
