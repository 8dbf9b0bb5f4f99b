//! Recovery: brings the tree up to the end of the log.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use filegrid_tree::{BlobId, Change, IdMaker, Op, Overlay, Row, View};

use super::Owner;
use super::apply::{Applier, Live, Noted, live_key, position_key};
use super::follow::Follow;
use crate::disk::Disk;
use crate::store::StoreError;
use crate::store::log::{LogError, LogOptions, Place, Position, RecordKind, Recovered, Replayed};
use crate::store::partial::PartialChange;
use crate::store::partials::Partials;
use crate::store::pins::{AllPins, Pins};
use crate::store::record;
use crate::store::rows::Rows;

/// What an owner is made from.
pub struct Opening {
    /// Number of the log.
    pub number: u8,
    /// Number of logs of the node.
    pub logs: u8,
    /// Identity of the node.
    pub node: u64,
    /// How often the node has been started.
    pub starts: u32,
    /// Makes the ids of its directories.
    pub ids: IdMaker,
    /// `DATA/shard-NN`.
    pub directory: PathBuf,
    /// Options of the log.
    pub options: LogOptions,
    /// Where the log was closed cleanly, if it was.
    pub closed: Option<Position>,
    /// The disk.
    pub disk: Rc<dyn Disk>,
    /// The tree.
    pub rows: Arc<dyn Rows>,
    /// Pins of the owner's shard.
    pub pins: Pins,
    /// Pins of all shards.
    pub all_pins: AllPins,
}

/// Changes applied in one step while replaying.
const REPLAY_STEP: usize = 1000;

impl Owner {
    /// Recovers a log and brings the tree up to it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] if acknowledged changes cannot be read, naming the place. Nothing of the log has been
    /// changed then.
    pub async fn open(opening: Opening) -> Result<Owner, StoreError> {
        let Opening {
            number,
            logs,
            node,
            starts,
            ids,
            directory,
            options,
            closed,
            disk,
            rows,
            pins,
            all_pins,
        } = opening;
        let start = Start::read(number, rows.snapshot().as_ref())?;
        let live = start.live.keys().copied().collect();
        let mine = |association: &[u8; 16]| crate::store::log_of(association, logs) == number;
        let partials = Partials::read(rows.snapshot().as_ref(), &mine)?;
        let mut replay = Replay::new(number, Arc::clone(&rows), start, partials);
        let from = replay.position;
        let recovered = Recovered::read(
            Rc::clone(&disk),
            directory.join("log"),
            options,
            closed,
            from,
            &live,
            &mut |replayed| replay.record(&replayed),
        )
        .await?;
        let end = recovered.end();
        replay.finish(&end)?;
        // Segments that the tree needs no more are used again from here on: also on a full disk a start has room.
        rows.persist().await?;
        let recovered = recovered.keep_after(replay.shipped.unwrap_or(u64::MAX));
        let empty = |segment| replay.live.get(&segment).is_none_or(|bytes| *bytes == 0);
        let log = recovered.open(starts, &empty).await.map_err(no_room)?;
        Ok(Owner {
            number,
            logs,
            node,
            log,
            rows,
            disk,
            directory,
            pins,
            all_pins,
            ids: RefCell::new(ids),
            overlay: RefCell::new(Overlay::default()),
            queue: RefCell::new(VecDeque::new()),
            live: RefCell::new(replay.live),
            partials: RefCell::new(replay.partials),
            sequence: Cell::new(end.sequence),
            version: Cell::new(replay.version),
            applied: Cell::new(end),
            noted: Cell::new(end),
            dead: RefCell::new(replay.dead),
            look_again: Cell::new(true),
            compacted: RefCell::default(),
            fenced: Cell::new(false),
            closing: Cell::new(false),
            low_on_space: Cell::new(false),
            follow: Follow::new(replay.shipped, end.sequence),
            unsummed: Cell::new(0),
            detached: Cell::new(true),
        })
    }
}

/// What the tree knows of the log.
struct Start {
    noted: Option<Noted>,
    live: Live,
}

impl Start {
    fn read(log: u8, view: &dyn View) -> Result<Self, StoreError> {
        let unreadable = |error: filegrid_tree::ViewError| StoreError::Disk(error.to_string());
        let mut noted = None;
        let found = view
            .get(&position_key(log), &mut |bytes| {
                noted = serde_json::from_slice(bytes).ok()
            })
            .map_err(unreadable)?;
        if found && noted.is_none() {
            return Err(StoreError::Damaged(format!(
                "the applied position of log {log} cannot be read"
            )));
        }
        let mut live = Live::new();
        let (from, to) = (live_key(log, 0), live_key(log, u32::MAX));
        view.scan(&from, &to, &mut |key, value| {
            if let (Some((_, segment)), Ok(bytes)) = (key.split_last_chunk::<4>(), value.try_into()) {
                live.insert(u32::from_be_bytes(*segment), u64::from_be_bytes(bytes));
            }
            std::ops::ControlFlow::Continue(())
        })
        .map_err(unreadable)?;
        Ok(Self { noted, live })
    }
}

/// A step of the replay that waits to be applied.
enum Step {
    Change(Change),
    Moved(BlobId, Place),
    Partial(PartialChange),
}

struct Replay {
    log: u8,
    rows: Arc<dyn Rows>,
    position: Option<Position>,
    live: Live,
    partials: Partials,
    version: u64,
    shipped: Option<u64>,
    dead: Vec<BlobId>,
    /// Where the blobs are that `steps` bring along.
    places: HashMap<BlobId, Place>,
    steps: Vec<Step>,
    /// Position behind the last record that `steps` holds.
    reached: Option<Position>,
}

impl Replay {
    fn new(log: u8, rows: Arc<dyn Rows>, start: Start, partials: Partials) -> Self {
        Self {
            log,
            rows,
            position: start.noted.map(|noted| noted.position),
            live: start.live,
            partials,
            version: start.noted.map_or(0, |noted| noted.version),
            shipped: start.noted.and_then(|noted| noted.shipped),
            dead: Vec::new(),
            places: HashMap::new(),
            steps: Vec::new(),
            reached: None,
        }
    }

    fn record(&mut self, replayed: &Replayed<'_>) -> Result<(), LogError> {
        self.step(replayed)
            .map_err(|error| LogError::Refused(error.to_string()))
    }

    fn step(&mut self, replayed: &Replayed<'_>) -> Result<(), StoreError> {
        // A position stands behind a whole batch, so rows are only written when a batch is complete.
        if self.steps.len() >= REPLAY_STEP
            && let Some(reached) = self.reached
            && replayed.first_of_batch
        {
            self.flush(&reached)?;
        }
        match replayed.kind {
            RecordKind::Blob | RecordKind::MovedBlob => {
                let blob = replayed
                    .payload
                    .first_chunk::<16>()
                    .ok_or_else(|| StoreError::Damaged("a blob record without an id".to_owned()))?;
                let blob = filegrid_tree::Id(*blob);
                if replayed.kind == RecordKind::Blob {
                    self.places.insert(blob, replayed.place);
                } else {
                    self.steps.push(Step::Moved(blob, replayed.place));
                }
            }
            RecordKind::Partial => {
                let change = PartialChange::decode(replayed.payload).ok_or_else(|| {
                    StoreError::Damaged("a record of a kept upload cannot be read".to_owned())
                })?;
                self.steps.push(Step::Partial(change));
            }
            RecordKind::Change => {
                let record = record::decode(replayed.payload).ok_or_else(|| {
                    StoreError::Damaged(format!("change {} cannot be read", replayed.sequence))
                })?;
                self.places.extend(record.staged);
                self.version = self.version.max(latest_version(&record.change));
                self.steps.push(Step::Change(record.change));
            }
        }
        self.reached = Some(replayed.after);
        Ok(())
    }

    fn flush(&mut self, position: &Position) -> Result<(), StoreError> {
        let view = self.rows.snapshot();
        let known = &self.places;
        let places = |blob| known.get(&blob).copied();
        let mut applier = Applier::new(
            self.log,
            view.as_ref(),
            &mut self.live,
            &mut self.partials,
            &places,
        );
        for step in self.steps.drain(..) {
            match step {
                Step::Change(change) => applier.change(&change)?,
                Step::Moved(blob, to) => applier.moved(blob, to)?,
                Step::Partial(change) => applier.partial(&change)?,
            }
        }
        let applied = applier.finish(&Noted {
            position: *position,
            version: self.version,
            shipped: self.shipped,
        })?;
        self.rows.write(applied.rows)?;
        self.dead.extend(applied.dead);
        // The tree knows these now, and compaction may move them. A blob whose change is still to come is named by it.
        self.places.clear();
        Ok(())
    }

    fn finish(&mut self, end: &Position) -> Result<(), StoreError> {
        self.flush(end)
    }
}

fn no_room(error: LogError) -> StoreError {
    match error {
        LogError::Full => StoreError::Refused(
            "there is no room for a segment of the log, and none of those that exist is free: free some space".to_owned(),
        ),
        other => other.into(),
    }
}

/// The highest version in a change.
pub(super) fn latest_version(change: &Change) -> u64 {
    let version = |row: &Row| {
        if let Row::File(file) = row {
            file.version
        } else {
            0
        }
    };
    change
        .ops
        .iter()
        .map(|op| match op {
            Op::Put { row, .. } | Op::Rename { row, .. } => version(row),
            _ => 0,
        })
        .max()
        .unwrap_or(0)
}
