//! Rows, measured on all servers in turn, round after round.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use loadtest::clock;
use loadtest::profile::Operation;

use crate::metric::{Rounds, Sample};
use crate::rows::{Row, Transfer, Work};
use crate::servers::{Door, Kind, Place, Role, Running, Service};
use crate::transfer::{self, Round};
use crate::{listing, memory, proposals, resume};

/// A server whose first round takes longer has one more round, not as many as the others.
const LONG_ROUND_S: f64 = 12.0;
/// Size from which uploads are deleted after each round, for their room. Smaller ones stay to the end: ext4 is slower where
/// it has just deleted many files.
const LARGE_BYTES: u64 = 1 << 20;

/// What a row has shown of a server.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its name.
    pub(crate) server: String,
    /// Whose it is.
    pub(crate) role: Role,
    /// Whether an acknowledged upload survives a power cut.
    pub(crate) durable: bool,
    /// The rounds that count.
    pub(crate) rounds: Rounds,
    /// Why there are no more of them.
    pub(crate) failed: Option<String>,
}

/// What a row has shown.
#[derive(Debug)]
pub(crate) struct Measured {
    /// The row.
    pub(crate) row: Row,
    /// The servers that took part.
    pub(crate) entries: Vec<Entry>,
}

/// The servers, and where they run.
pub(crate) struct Contest<'a> {
    kinds: Vec<&'a Kind>,
    place: Place,
    rounds: usize,
    /// What runs now.
    running: BTreeMap<&'static str, Running>,
    service: Option<Service>,
    started: usize,
    /// Set when somebody wants an end.
    interrupted: Arc<AtomicBool>,
}

/// What a server did in a round; nothing if it cannot do that.
pub(crate) type Done = Result<Option<Sample>, String>;

impl<'a> Contest<'a> {
    /// With these servers, below the directory of a place. Rounds are those that count.
    pub(crate) fn new(
        kinds: Vec<&'a Kind>,
        place: Place,
        rounds: usize,
        interrupted: &Arc<AtomicBool>,
    ) -> Self {
        Self {
            kinds,
            place,
            rounds,
            running: BTreeMap::new(),
            service: None,
            started: 0,
            interrupted: Arc::clone(interrupted),
        }
    }

    /// Measures a row. What goes wrong with a server stands in its entry.
    pub(crate) fn measure(&mut self, row: Row) -> Measured {
        let entries = match row.work {
            Work::Transfer(of) => self.transfers(row.id, of),
            Work::Resume => {
                let mut seen = resume::Seen::default();
                self.each(Some(Service::Http), &mut |contest, kind, round| {
                    let server = contest.server(kind)?;
                    resume::measure(server, kind.role, round, &mut seen)
                })
            }
            Work::Listing { files } => self.each(Some(Service::Http), &mut |contest, kind, round| {
                let server = contest.server(kind)?;
                listing::measure(server, kind, files, round)
            }),
            Work::StartUp => self.each(None, &mut |contest, kind, _| contest.start_up(kind)),
            // All have been started when the first of them is looked at again.
            Work::Idle => self.each(None, &mut |contest, kind, _| memory::idle(contest.server(kind)?)),
            Work::Connections(service, count) => self.each(Some(service), &mut |contest, kind, _| {
                contest.running.clear();
                memory::connections(contest.server(kind)?, service, count)
            }),
            Work::Proposals { clients } => {
                self.running.clear();
                proposals::measure(clients, self.rounds, &self.place.directory)
            }
        };
        Measured { row, entries }
    }

    /// Ends what runs.
    pub(crate) fn end(&mut self) {
        self.running.clear();
    }

    fn transfers(&mut self, id: &str, of: Transfer) -> Vec<Entry> {
        let is_upload = of.operation == Operation::Upload;
        let entries = self.each(Some(of.service), &mut |contest, kind, round| {
            let server = contest.server(kind)?;
            let Some(door) = server.door(of.service, of.operation) else {
                return Ok(None);
            };
            let root = root(id, of, round);
            let how = Round {
                root: &root,
                is_prepared: round > 0 && !is_upload,
                verify: round == 0,
            };
            let sample = transfer::measure(server, door, of, how);
            if is_upload && of.bytes >= LARGE_BYTES {
                clean(server, door, of, &root);
            }
            sample.map(Some)
        });
        if !is_upload {
            for server in self.running.values() {
                if let Some(door) = server.door(of.service, of.operation) {
                    clean(server, door, of, &root(id, of, 0));
                }
            }
        }
        entries
    }

    /// Lets all servers of a service, or all there are, do something in turn, once more than there are rounds: the first
    /// time does not count.
    fn each(
        &mut self,
        service: Option<Service>,
        one: &mut dyn FnMut(&mut Self, &Kind, usize) -> Done,
    ) -> Vec<Entry> {
        // What has been used otherwise holds memory from there, and has things to do.
        if self.service != service {
            self.running.clear();
            self.service = service;
        }
        let kinds = self.kinds.clone();
        let takes_part = |kind: &&&Kind| match service {
            Some(service) => kind.speaks.contains(&service),
            None => kind.role != Role::Floor,
        };
        let mut entries: Vec<(&Kind, Entry, usize)> = kinds
            .iter()
            .filter(takes_part)
            .map(|kind| (*kind, entry(kind), self.rounds))
            .collect();
        for round in 0..=self.rounds {
            entries.retain_mut(|(kind, entry, rounds)| {
                if entry.failed.is_some() || round > *rounds || self.interrupted.load(Ordering::Relaxed) {
                    return true;
                }
                let begun = clock::now();
                let done = one(self, kind, round);
                let took = begun.elapsed().as_secs_f64();
                // What a server has left in memory is written at its own cost, not beside the next one.
                rustix::fs::sync();
                if round == 0 && took > LONG_ROUND_S {
                    *rounds = 1;
                }
                match done {
                    Ok(None) => return false,
                    Ok(Some(sample)) if round > 0 => entry.rounds.add(sample),
                    Ok(Some(_)) => {}
                    Err(why) => {
                        say(&format!("  {}: {why}", kind.name));
                        entry.failed = Some(why);
                    }
                }
                true
            });
        }
        entries.into_iter().map(|(_, entry, _)| entry).collect()
    }

    /// A server, started unless it runs.
    fn server(&mut self, kind: &Kind) -> Result<&Running, String> {
        if !self.running.contains_key(kind.name) {
            let started = self.start(kind)?;
            self.running.insert(kind.name, started);
        }
        self.running
            .get(kind.name)
            .ok_or_else(|| "it does not run".to_owned())
    }

    fn start(&mut self, kind: &Kind) -> Result<Running, String> {
        self.started += 1;
        let directory = self
            .place
            .directory
            .join(format!("{}-{}", self.started, kind.file_name()));
        std::fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        let place = Place {
            directory,
            ..self.place.clone()
        };
        (kind.start)(&place)
    }

    fn start_up(&mut self, kind: &Kind) -> Done {
        self.running.clear();
        let server = self.start(kind)?;
        let cpu = loadtest::process::cpu_seconds(server.pid)?;
        Ok(Some(Sample::from([
            (crate::metric::Metric::Seconds, server.started_after.as_secs_f64()),
            (crate::metric::Metric::CpuSeconds, cpu),
        ])))
    }
}

impl Entry {
    /// Of a server that has done nothing yet.
    pub(crate) fn new(server: &str, role: Role, durable: bool) -> Self {
        Self {
            server: server.to_owned(),
            role,
            durable,
            rounds: Rounds::default(),
            failed: None,
        }
    }
}

fn entry(kind: &Kind) -> Entry {
    Entry::new(kind.name, kind.role, kind.durable)
}

/// Directory of a round on the server. Uploads make new files each time, in one that is new.
fn root(id: &str, of: Transfer, round: usize) -> String {
    match of.operation {
        Operation::Upload => format!("/{id}-{round}"),
        _ => format!("/{id}"),
    }
}

/// Deletes what a round has left.
fn clean(server: &Running, door: &Door, of: Transfer, root: &str) {
    let deleted = match &server.files {
        Some(files) => std::fs::remove_dir_all(files.join(root.trim_start_matches('/')))
            .map_err(|error| error.to_string()),
        None => transfer::delete(server, door, of, root),
    };
    if let Err(why) = deleted {
        say(&format!("  {root} could not be deleted: {why}"));
    }
}

/// Tells whoever waits.
#[allow(clippy::print_stderr, reason = "progress of a program that is waited for")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}
