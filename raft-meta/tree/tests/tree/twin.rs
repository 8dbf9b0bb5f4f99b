//! The tree and its model, given the same commands.

use std::collections::VecDeque;

use filegrid_tree::{
    Base, Change, Command, Extent, FileContent, IdMaker, Overlay, Protocol, Publication, Row, Stamp, Sum,
    TreePath, apply, lookup, purge_step, resolve,
};

use crate::agree::{agree, sum_of};
use crate::model::{Model, Noted, Refused};
use crate::plan::{FilePlan, On, Place, Plan, Step};
use crate::rows::Rows;

pub(crate) const ASSOCIATIONS: [[u8; 16]; 2] = [[1; 16], [2; 16]];

/// Sums that are kept to be noted later, when their files may have changed or moved.
const NOTED_MAX_COUNT: usize = 40;

pub(crate) struct Twin {
    /// What is applied.
    pub(crate) rows: Rows,
    /// What will be, once all that is queued is applied.
    pub(crate) ahead: Rows,
    pub(crate) overlay: Overlay,
    queue: VecDeque<(u64, Change)>,
    /// Whether a step of purging is queued: the next one waits until it is applied.
    purging: Option<u64>,
    pub(crate) models: [Model; 2],
    noted: [Vec<Noted>; 2],
    ids: IdMaker,
    blobs: IdMaker,
    tick: u64,
    version: u64,
}

impl Twin {
    pub(crate) fn new() -> Self {
        Self {
            rows: Rows::default(),
            ahead: Rows::default(),
            overlay: Overlay::default(),
            queue: VecDeque::new(),
            purging: None,
            models: [Model::default(), Model::default()],
            noted: [Vec::new(), Vec::new()],
            ids: IdMaker::new(3, 1, 0),
            blobs: IdMaker::new(3, 1, 1),
            tick: 0,
            version: 0,
        }
    }

    pub(crate) fn step(&mut self, step: &Step) {
        self.tick += 1;
        match step {
            Step::Command(of, plan) => self.command(*of, plan),
            Step::Apply(count) => self.apply(*count),
            Step::Purge(max) => drop(self.purge(*max)),
        }
        agree(self);
    }

    fn command(&mut self, of: usize, plan: &Plan) {
        let (command, noted) = self.choose(of, plan);
        let stamp = Stamp {
            now_ms: i64::try_from(1000 + self.tick).unwrap(),
            version: self.version + 1,
            protocol: [Protocol::Api, Protocol::Sftp, Protocol::Ftp][self.tick as usize % 3],
        };
        let association = ASSOCIATIONS[of];
        let mut ids = self.ids.clone();
        let after = resolve(&self.ahead, association, stamp, &mut ids, &command);
        let seen = self.overlay.over(&self.rows);
        let resolved = resolve(&seen, association, stamp, &mut self.ids, &command);
        assert_eq!(resolved, after, "over what is queued, and after it: {command:?}");
        let expected = self.models[of].run(&command, &noted, stamp.now_ms, stamp.protocol);
        let refused = resolved.as_ref().map(drop).map_err(Refused::of);
        assert_eq!(refused, expected, "{command:?}");
        let Ok(resolved) = resolved else { return };
        self.push(resolved.change);
        self.version = self.models[of].learn(&self.ahead, association, self.version);
        for blob in resolved.unused {
            assert!(self.ahead.links.iter().all(|(linked, ..)| *linked != blob));
        }
        self.note(of);
    }

    /// Queues a change.
    fn push(&mut self, change: Change) {
        let bytes = change.encode();
        assert_eq!(Change::decode(&bytes).as_ref(), Ok(&change));
        assert!(change.weight() >= bytes.len(), "{} {change:?}", bytes.len());
        apply(&change, &mut self.ahead).unwrap();
        self.overlay.push(self.tick, &change);
        self.queue.push_back((self.tick, change));
    }

    pub(crate) fn apply(&mut self, count: usize) {
        let count = count.min(self.queue.len());
        let ready: Vec<_> = self.queue.drain(..count).collect();
        for (_, change) in &ready {
            apply(change, &mut self.rows).unwrap();
        }
        for (ticket, change) in &ready {
            self.overlay.remove(*ticket, change);
            self.purging.take_if(|purging| purging == ticket);
        }
        if self.queue.is_empty() {
            assert!(self.overlay.is_empty());
            assert_eq!(self.rows, self.ahead);
        }
    }

    /// Queues a step of purging; says whether there was one to be done.
    pub(crate) fn purge(&mut self, max: usize) -> bool {
        if self.purging.is_some() {
            return true;
        }
        let step = purge_step(&self.rows, max, &|_| true).unwrap();
        let Some((association, op)) = step else {
            return false;
        };
        self.purging = Some(self.tick);
        self.push(Change {
            association,
            time: 0,
            protocol: Protocol::Api,
            ops: vec![op],
        });
        true
    }

    /// Notes a sum of each file that has none yet, to be handed in later.
    fn note(&mut self, of: usize) {
        for (names, entry) in &self.models[of].entries {
            let Some(file) = entry.file.as_ref().filter(|file| file.sha256.is_none()) else {
                continue;
            };
            let (name, above) = names.split_last().unwrap();
            let path = TreePath::parse(&above.join("/")).unwrap();
            let Ok(Some(Row::Dir(directory))) = lookup(&self.ahead, ASSOCIATIONS[of], &path) else {
                panic!("{path} is a directory");
            };
            self.noted[of].push(Noted {
                sum: Sum {
                    directory: directory.id,
                    name: name.clone(),
                    version: file.version,
                    sha256: sum_of(&file.extents),
                },
                directory: self.models[of].entries[above].ident,
                content: entry.ident,
            });
        }
        let surplus = self.noted[of].len().saturating_sub(NOTED_MAX_COUNT);
        self.noted[of].drain(..surplus);
    }

    fn choose(&mut self, of: usize, plan: &Plan) -> (Command, Vec<Noted>) {
        let at = |place: &Place| self.models[of].place(place);
        let command = match plan {
            Plan::CreateRoot => Command::CreateRoot,
            Plan::Publish(files, make_parents) => {
                let several = files.len() > 1;
                let places: Vec<_> = files.iter().map(|file| at(&file.place)).collect();
                Command::Publish {
                    files: files
                        .iter()
                        .zip(places)
                        .map(|(file, path)| self.publication(of, file, path, several))
                        .collect(),
                    make_parents: *make_parents,
                }
            }
            Plan::MakeDir(place, parents, existing_ok) => Command::MakeDir {
                path: at(place),
                parents: *parents,
                existing_ok: *existing_ok,
            },
            Plan::Move(moves, replace) => Command::Move {
                moves: moves.iter().map(|(from, to)| (at(from), at(to))).collect(),
                replace: *replace,
            },
            Plan::Delete(paths, root) => Command::Delete {
                paths: paths.iter().map(at).collect(),
                root: at(root),
            },
            Plan::Remove(place, what) => Command::Remove {
                path: at(place),
                what: *what,
            },
            Plan::SetTime(place, mtime) => Command::SetTime {
                path: at(place),
                mtime: *mtime,
            },
            Plan::SetSha256(picks) => {
                let noted = &self.noted[of];
                let picked: Vec<_> = picks
                    .iter()
                    .filter(|_| !noted.is_empty())
                    .map(|pick| noted[pick % noted.len()].clone())
                    .collect();
                let sums = picked.iter().map(|noted| noted.sum.clone()).collect();
                return (Command::SetSha256 { sums }, picked);
            }
        };
        (command, Vec::new())
    }

    fn publication(&mut self, of: usize, plan: &FilePlan, path: TreePath, several: bool) -> Publication {
        let there = self.models[of].entries.get(path.components());
        let file = there.and_then(|entry| entry.file.as_ref());
        let mut extents: Vec<Extent> = Vec::new();
        let base = match (plan.on, file) {
            (On::Any, _) => Base::Any,
            (On::Absent, _) => Base::Absent,
            (On::Current, Some(file)) => {
                // Continued by one command at a time: whoever does so holds the file.
                extents.extend(file.extents.iter().filter(|_| !several));
                Base::Version(file.version)
            }
            (On::Current, None) => Base::Absent,
            (On::Other, _) => Base::Version(self.version + 7),
        };
        for fresh in &plan.extents {
            let last = extents.last().map(|extent| extent.blob);
            let blob = last
                .filter(|_| !fresh)
                .unwrap_or_else(|| self.blobs.next_id().unwrap());
            extents.push(Extent {
                blob,
                offset: 3,
                length: 5,
                crc32: 7,
            });
        }
        let content = FileContent {
            size: extents.iter().map(|extent| extent.length).sum(),
            crc32: u32::try_from(self.tick).unwrap(),
            sha256: plan.summed.then(|| sum_of(&extents)),
            extents,
        };
        Publication {
            path,
            content,
            base,
            mtime: plan.mtime,
        }
    }
}
