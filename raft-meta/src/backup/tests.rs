//! What is written is read, and nothing else is.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::config::{Config, Listen};
use crate::machine::Chunk;
use crate::registry;
use crate::serve::Serving;
use crate::store::{Command, Reply, Start};
use crate::wire::Security;

fn header() -> Header {
    Header {
        cluster: "filegrid".to_owned(),
        applied: 7,
        taken_ms: 1,
    }
}

fn written(chunks: &[Chunk]) -> Vec<u8> {
    let mut writer = BackupWriter::begin(Vec::new(), &header()).unwrap();
    for rows in chunks {
        writer.put(rows).unwrap();
    }
    writer.end().unwrap().1
}

fn read(bytes: &[u8]) -> Result<Chunk, BackupError> {
    let mut reader = BackupReader::open(bytes)?;
    assert_eq!(*reader.header(), header());
    let mut all = Chunk::new();
    while let Some(rows) = reader.next_rows()? {
        all.extend(rows);
    }
    Ok(all)
}

fn chunks() -> impl Strategy<Value = Vec<Chunk>> {
    let rows = prop::collection::btree_map(
        prop::collection::vec(any::<u8>(), 1..6),
        prop::collection::vec(any::<u8>(), 0..9),
        0..20,
    );
    (rows, 1..8_usize).prop_map(|(rows, each)| {
        let rows: Vec<_> = rows.into_iter().collect();
        rows.chunks(each).map(<[_]>::to_vec).collect()
    })
}

proptest! {
    #[test]
    fn a_backup_is_read_as_written_and_no_other_bytes_are(
        chunks in chunks(), at in any::<prop::sample::Index>(), bit in 0..8_u8, more in any::<u8>(),
    ) {
        let bytes = written(&chunks);
        prop_assert_eq!(read(&bytes).unwrap(), chunks.concat());
        let at = at.index(bytes.len());
        prop_assert!(read(&bytes[..at]).is_err());
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << bit;
        // The header may be read as another one; the end tells.
        prop_assert!(std::panic::catch_unwind(|| BackupReader::open(&flipped[..]).and_then(BackupReader::verify))
            .unwrap()
            .is_err());
        let mut longer = bytes;
        longer.push(more);
        prop_assert!(read(&longer).is_err());
    }
}

#[test]
fn rows_out_of_order_are_refused() {
    let row = |key: &[u8]| (key.to_vec(), Vec::new());
    for rows in [vec![row(b"b"), row(b"a")], vec![row(b"a"), row(b"a")]] {
        assert!(matches!(read(&written(&[rows])), Err(BackupError::Damaged(_))));
    }
}

async fn member(data: &std::path::Path, id: u64, address: std::net::SocketAddr) -> Serving {
    let mut config = Config::embedded(data.to_owned());
    config.id = id;
    config.listen = Some(Listen {
        address,
        advertise: address.to_string(),
        security: Security::Plain,
    });
    Serving::start(&config).await.unwrap()
}

async fn propose(serving: &Serving, command: Command) -> Reply {
    let command = command.encode().unwrap();
    let answered = serving.member().propose(&command).await.unwrap();
    Reply::decode(&answered.answer).unwrap()
}

fn address() -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Writes what a member has to a file, as an operator does by the wire.
fn backup(serving: &Serving, file: &std::path::Path) {
    use crate::machine::Machine as _;
    let mut view = serving.nodes().store().snapshot().unwrap();
    let applied = crate::raft::applied_of(view.mark().unwrap()).unwrap();
    let header = Header { applied, ..header() };
    let to = std::fs::File::create(file).unwrap();
    let mut writer = BackupWriter::begin(to, &header).unwrap();
    while let Some(rows) = view.next(100).unwrap() {
        writer.put(&rows).unwrap();
    }
    writer.end().unwrap();
}

fn tenant(number: u128) -> Command {
    Command::Registry(registry::Command::CreateAssociation {
        key: uuid::Uuid::from_u128(number),
        name: "one".to_owned(),
        node: Some(7),
    })
}

#[tokio::test]
async fn members_restored_alike_go_on_together_and_take_one_more() {
    let directory = tempfile::tempdir().unwrap();
    let of = |name: &str| directory.path().join(name);
    let first = member(&of("old"), 1, address()).await;
    propose(&first, tenant(1)).await;
    let entered = propose(
        &first,
        Command::Enter {
            node: 7,
            logs: 1,
            start: Start::default(),
        },
    )
    .await;
    assert!(matches!(entered, Reply::Entered { epoch: 1, .. }), "{entered:?}");
    backup(&first, &of("file"));
    let applied = first.member().status().applied;
    propose(&first, tenant(2)).await;
    first.stop().await;

    let addresses = [address(), address()];
    let members: BTreeMap<u64, String> = (1..).zip(addresses.map(|at| at.to_string())).collect();
    let mut running = Vec::new();
    for (id, at) in (1..).zip(addresses) {
        let data = of(&format!("new-{id}"));
        assert_eq!(restore(&of("file"), &data, &members).unwrap().applied, applied);
        let again = restore(&of("file"), &data, &members);
        assert!(matches!(again, Err(BackupError::Refused(_))), "{again:?}");
        running.push(member(&data, id, at).await);
    }
    running[0].member().wait_leader().await.unwrap();
    propose(&running[0], tenant(3)).await;
    for serving in &running {
        serving.member().read_barrier().await.unwrap();
        let registry = serving.nodes().store().registry();
        let keys: Vec<_> = registry
            .tenants()
            .map(|of| of.association().key.as_u128())
            .collect();
        assert_eq!(keys, [1, 3]);
    }
    assert!(running[0].member().status().applied > applied);

    // The start that was let in before goes on, once; a copy of it does not.
    let back = Command::Return {
        node: 7,
        logs: 1,
        start: Start::default(),
        epoch: 2,
    };
    let returned = propose(&running[1], back.clone()).await;
    let Reply::Entered { epoch, .. } = returned else {
        panic!("{returned:?}")
    };
    assert!(epoch > 1 << 32);
    assert_eq!(propose(&running[1], back).await, Reply::Fenced);

    // One that has nothing is sent all.
    let at = address();
    let mut config = Config::embedded(of("new-3"));
    config.id = 3;
    config.members = Vec::new();
    config.listen = Some(Listen {
        address: at,
        advertise: at.to_string(),
        security: Security::Plain,
    });
    let third = Serving::start(&config).await.unwrap();
    running[0].member().add_learner(3, &at.to_string()).await.unwrap();
    running[0].member().promote(3).await.unwrap();
    third.member().read_barrier().await.unwrap();
    assert_eq!(third.nodes().store().registry().tenants().len(), 2);
    third.stop().await;
    for serving in running {
        serving.stop().await;
    }
}

#[test]
fn what_is_no_backup_makes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let of = |name: &str| directory.path().join(name);
    let members = BTreeMap::from([(1, "127.0.0.1:1".to_owned())]);
    let mut bytes = written(&[vec![(b"t1".to_vec(), b"x".to_vec())]]);
    bytes.pop();
    std::fs::write(of("file"), bytes).unwrap();
    assert!(restore(&of("file"), &of("data"), &members).is_err());
    assert!(restore(&of("nothing"), &of("data"), &members).is_err());
    assert!(!of("data").exists());
}
