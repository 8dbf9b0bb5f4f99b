use std::path::PathBuf;
use std::sync::Arc;

use filegrid_journal::sim::{Faults, Random};

use super::disk::sim::SimDisk;
use super::disk::{Disk, RealDisk};
use super::record::{Entry, EntryId, Holds, Vote};
use super::{Log, LogError, LogOptions};

const OPTIONS: LogOptions = LogOptions {
    member: 7,
    segment_bytes: 64 << 10,
    batch_max_bytes: 16 << 10,
    cache_max_bytes: 4 << 10,
};

struct Opened {
    log: Option<Log>,
    writer: std::thread::JoinHandle<()>,
}

impl Opened {
    fn new(disk: &SimDisk) -> Result<Self, LogError> {
        Self::on(Arc::new(disk.clone()), PathBuf::from("/log"), OPTIONS)
    }

    fn on(disk: Arc<dyn Disk>, directory: PathBuf, options: LogOptions) -> Result<Self, LogError> {
        let (log, writer) = Log::open(disk, directory, options)?;
        Ok(Self {
            log: Some(log),
            writer: std::thread::spawn(move || writer.run()),
        })
    }

    fn log(&self) -> &Log {
        self.log.as_ref().unwrap()
    }

    /// Calls `begin` and waits for its outcome.
    fn wait(&self, begin: impl FnOnce(&Log, super::Done) -> Result<(), LogError>) -> Result<(), LogError> {
        let (sender, receiver) = std::sync::mpsc::channel();
        let done = Box::new(move |result| sender.send(result).unwrap());
        begin(self.log(), done)?;
        receiver.recv().unwrap()
    }

    fn append(&self, entries: Vec<Entry>) -> Result<(), LogError> {
        self.wait(|log, done| log.append(entries, done))
    }

    fn all(&self) -> Vec<Entry> {
        self.log().read(0, u64::MAX, usize::MAX).unwrap()
    }

    fn close(mut self) {
        self.log = None;
        self.writer.join().unwrap();
    }
}

fn id(term: u64, index: u64) -> EntryId {
    EntryId {
        term,
        leader: 1,
        index,
    }
}

fn entry(term: u64, index: u64, bytes: usize) -> Entry {
    let salt = usize::try_from(term * 31 + index).unwrap();
    let payload: Vec<u8> = (0..bytes).map(|at| (at * 7 + salt) as u8).collect();
    Entry {
        id: id(term, index),
        holds: Holds::Commands,
        payload: payload.into(),
    }
}

fn vote(term: u64) -> Vote {
    Vote {
        term,
        member: 3,
        granted: true,
    }
}

#[test]
fn what_was_written_is_there_after_a_start() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Opened::on(Arc::new(RealDisk), directory.path().join("log"), OPTIONS).unwrap();
    let entries: Vec<_> = (0..200).map(|index| entry(1, index, 1000)).collect();
    let opened = open();
    opened.append(entries[..150].to_vec()).unwrap();
    opened.wait(|log, done| log.vote(vote(4), done)).unwrap();
    opened.close();
    let opened = open();
    opened.append(entries[150..].to_vec()).unwrap();
    assert_eq!(opened.all(), entries);
    assert!(
        opened.log().read_cached(0, 200, usize::MAX).is_none(),
        "200,000 bytes are not kept in 4,096"
    );
    opened.close();
    let opened = open();
    assert_eq!(opened.all(), entries);
    assert_eq!(opened.log().state().vote, Some(vote(4)));
    assert_eq!(opened.log().last(), Some(id(1, 199)));
    assert_eq!(opened.log().read(10, 20, 2500).unwrap(), entries[10..12]);
    opened.close();
}

#[test]
fn a_log_is_cut_and_goes_on() {
    let disk = SimDisk::new(1, Faults::default());
    let opened = Opened::new(&disk).unwrap();
    opened
        .append((0..10).map(|index| entry(1, index, 10)).collect())
        .unwrap();
    opened.log().cut(4).unwrap();
    assert_eq!(opened.log().last(), Some(id(1, 3)));
    let gap = opened.append(vec![entry(2, 5, 10)]);
    assert_eq!(
        gap,
        Err(LogError::Gap {
            expected: 4,
            found: 5
        })
    );
    opened.append(vec![entry(2, 4, 20)]).unwrap();
    let opened = Opened::new(&disk.power_cycle(Faults::default())).unwrap();
    let mut expected: Vec<_> = (0..4).map(|index| entry(1, index, 10)).collect();
    expected.push(entry(2, 4, 20));
    assert_eq!(opened.all(), expected);
    opened.close();
}

#[test]
fn segments_of_purged_entries_are_used_again() {
    let disk = SimDisk::new(2, Faults::default());
    let mut disk = disk;
    let mut next = 0;
    for round in 0..6 {
        let opened = Opened::new(&disk).unwrap();
        for _ in 0..40 {
            opened
                .append((next..next + 10).map(|index| entry(round, index, 500)).collect())
                .unwrap();
            next += 10;
            if next > 100 {
                let upto = opened.log().id(next - 100).unwrap();
                opened.wait(|log, done| log.purge(upto, done)).unwrap();
            }
        }
        assert_eq!(opened.log().id(next - 100), None);
        let segments = disk.world().files(&|_| true).len();
        assert!(segments <= 8, "{segments} segments for 50,000 bytes");
        opened.close();
        disk = disk.power_cycle(Faults::default());
    }
    let opened = Opened::new(&disk).unwrap();
    assert_eq!(opened.log().last().unwrap().index, next - 1);
    assert_eq!(opened.all().len(), 99);
    // A snapshot from elsewhere: everything is given up, and more.
    opened
        .wait(|log, done| log.purge(id(9, next + 50), done))
        .unwrap();
    assert_eq!(opened.all(), []);
    opened.append(vec![entry(9, next + 51, 1)]).unwrap();
    opened.close();
    let opened = Opened::new(&disk.power_cycle(Faults::default())).unwrap();
    assert_eq!(opened.all(), [entry(9, next + 51, 1)]);
    assert_eq!(opened.log().state().purged, Some(id(9, next + 50)));
    opened.close();
}

#[test]
fn an_entry_longer_than_a_segment_is_refused() {
    let disk = SimDisk::new(3, Faults::default());
    let opened = Opened::new(&disk).unwrap();
    opened.append(vec![entry(1, 0, 60 << 10)]).unwrap();
    let refused = opened.append(vec![entry(1, 1, 64 << 10)]);
    assert!(matches!(refused, Err(LogError::TooLong(_))), "{refused:?}");
    opened.close();
}

#[test]
fn the_log_of_another_member_is_refused() {
    let disk = SimDisk::new(4, Faults::default());
    let opened = Opened::new(&disk).unwrap();
    opened.append(vec![entry(1, 0, 1)]).unwrap();
    opened.close();
    let options = LogOptions { member: 8, ..OPTIONS };
    let refused = Log::open(Arc::new(disk), PathBuf::from("/log"), options);
    assert!(matches!(refused, Err(LogError::Refused(_))));
}

#[test]
fn a_failed_write_fences_the_log() {
    let disk = SimDisk::new(5, Faults::default());
    let opened = Opened::new(&disk).unwrap();
    opened.append(vec![entry(1, 0, 1)]).unwrap();
    let faults = Faults {
        fail_at: Some(1),
        ..Faults::default()
    };
    disk.world().set_faults(faults);
    for index in 1..4 {
        let refused = opened.append(vec![entry(1, index, 1)]);
        assert!(matches!(refused, Err(LogError::Disk(_))), "{refused:?}");
    }
    opened.close();
    let opened = Opened::new(&disk.power_cycle(Faults::default())).unwrap();
    assert_eq!(opened.all()[0], entry(1, 0, 1));
    opened.close();
}

/// Writes a few segments and returns the disk with what was written.
fn filled(seed: u64) -> (SimDisk, Vec<Entry>) {
    let disk = SimDisk::new(seed, Faults::default());
    let opened = Opened::new(&disk).unwrap();
    let entries: Vec<_> = (0..120).map(|index| entry(1, index, 1500)).collect();
    for some in entries.chunks(5) {
        opened.append(some.to_vec()).unwrap();
    }
    opened.close();
    (disk, entries)
}

#[test]
fn damage_is_told_from_a_torn_tail() {
    let (disk, entries) = filled(6);
    let files = disk
        .world()
        .files(&|path| path.extension().is_some_and(|end| end == "seg"));
    let mut refused = 0;
    for (path, bytes) in files {
        for place in 0..40 {
            let bit = bytes * 8 * place / 40 + 100;
            disk.world().flip_bit(&path, bit);
            match Opened::new(&disk) {
                Err(LogError::Damaged(why)) => {
                    assert!(why.contains("segment") || why.contains("missing"), "{why}");
                    refused += 1;
                }
                Err(error) => panic!("{error}"),
                // In the last batch, or behind the end of a segment.
                Ok(opened) => {
                    let found = opened.all();
                    assert!(found.len() >= entries.len() - 5, "{} are left", found.len());
                    assert_eq!(found[..], entries[..found.len()]);
                    opened.close();
                }
            }
            disk.world().flip_bit(&path, bit);
        }
    }
    assert!(refused > 60, "{refused} of 120");
}

/// What a run of the log may be found to hold after a power cut.
#[derive(Default)]
struct Model {
    /// As it is in memory.
    entries: Vec<Entry>,
    /// Entries up to here were acknowledged.
    durable: usize,
    voted: u64,
    vote_durable: u64,
    purged: u64,
}

#[test]
fn a_power_cut_loses_nothing_acknowledged() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let mut disk = SimDisk::new(seed, Faults::default());
        let mut model = Model::default();
        for life in 0..4 {
            let faults = Faults {
                crash_at: Some(1 + random.below(60)),
                ..Faults::default()
            };
            disk.world().set_faults(faults);
            if let Ok(opened) = Opened::new(&disk) {
                live(&opened, &mut model, &mut random, life + 1);
                opened.close();
            }
            disk = disk.power_cycle(Faults::default());
            let opened = Opened::new(&disk).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            check(&opened, &mut model, seed);
            opened.close();
            disk = disk.power_cycle(Faults::default());
        }
    }
}

/// Uses the log until the power fails.
fn live(opened: &Opened, model: &mut Model, random: &mut Random, term: u64) {
    loop {
        let result = match random.below(10) {
            0 => {
                model.voted += 1;
                let voted = vote(model.voted);
                let result = opened.wait(|log, done| log.vote(voted, done));
                if result.is_ok() {
                    model.vote_durable = model.voted;
                    model.durable = model.entries.len();
                }
                result
            }
            1 => {
                let floor = usize::try_from(model.purged).unwrap();
                let from =
                    floor + usize::try_from(random.below((model.entries.len() - floor + 1) as u64)).unwrap();
                model.entries.truncate(from);
                model.durable = model.durable.min(from);
                opened.log().cut(from as u64)
            }
            2 if model.entries.len() as u64 > model.purged + 20 => {
                let upto = model.entries[model.entries.len() - 15].id;
                model.purged = upto.index + 1;
                let result = opened.wait(|log, done| log.purge(upto, done));
                if result.is_ok() {
                    model.durable = model.entries.len();
                }
                result
            }
            _ => {
                let from = model.entries.len() as u64;
                let more: Vec<_> = (from..from + 1 + random.below(4))
                    .map(|index| entry(term, index, usize::try_from(random.below(6000)).unwrap()))
                    .collect();
                model.entries.extend_from_slice(&more);
                let result = opened.append(more);
                if result.is_ok() {
                    model.durable = model.entries.len();
                }
                result
            }
        };
        if result.is_err() {
            return;
        }
    }
}

/// What was acknowledged is there; what is there was written. Afterwards the model holds what was found.
fn check(opened: &Opened, model: &mut Model, seed: u64) {
    let found = opened.all();
    let purged = opened.log().state().purged.map_or(0, |id| id.index + 1);
    assert!(purged <= model.purged, "seed {seed}: purged {purged}");
    let last = opened.log().last().map_or(0, |id| id.index + 1);
    assert!(
        last >= model.durable as u64,
        "seed {seed}: {} entries were acknowledged, {last} are there",
        model.durable
    );
    for entry in &found {
        let index = usize::try_from(entry.id.index).unwrap();
        if index < model.durable {
            assert_eq!(*entry, model.entries[index], "seed {seed}");
        }
    }
    let voted = opened.log().state().vote.map_or(0, |vote| vote.term);
    assert!(
        (model.vote_durable..=model.voted).contains(&voted),
        "seed {seed}: vote {voted}"
    );
    model.voted = voted;
    model.vote_durable = voted;
    model.purged = purged;
    let from = usize::try_from(purged).unwrap();
    model
        .entries
        .truncate(from.max(usize::try_from(found.first().map_or(last, |entry| entry.id.index)).unwrap()));
    model.entries.extend(found);
    model.durable = model.entries.len();
}

#[test]
fn entries_are_read_while_they_are_on_their_way() {
    let (log, writer) = Log::open(
        Arc::new(SimDisk::new(8, Faults::default())),
        PathBuf::from("/log"),
        OPTIONS,
    )
    .unwrap();
    log.append(vec![entry(1, 0, 9000)], Box::new(|_| {})).unwrap();
    assert_eq!(log.read_cached(0, 5, usize::MAX).unwrap(), [entry(1, 0, 9000)]);
    assert_eq!(log.keep_from(10, 10_000), Some(0));
    assert_eq!(log.bytes_from(0), 9000);
    drop(log);
    writer.run();
}
