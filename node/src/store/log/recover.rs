//! Opening a log: finds its end, hands over what the tree has not applied, and goes on in a new generation.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;

use super::chain::{Found, Replay};
use super::notify::Notify;
use super::segments::{self, Segment, failed};
use super::{Log, LogError, LogOptions, Position, State};
use crate::disk::Disk;

/// A log whose end is known. Nothing of it has been changed.
pub struct Recovered {
    disk: Rc<dyn Disk>,
    directory: PathBuf,
    options: LogOptions,
    found: Found,
    end: Position,
    /// Changes behind this sequence are kept for who follows.
    keep_after: u64,
}

impl Recovered {
    /// Reads the log in a directory, making that if it is not there, and hands every record behind `from` (all of
    /// them without it) to `replay`.
    ///
    /// `closed` is where the log ended when it was closed cleanly. `live` are the segments that hold live bytes
    /// according to a tree that is at `from`: those cannot have been used again since.
    ///
    /// # Errors
    ///
    /// [`LogError::Damaged`] if records that were acknowledged cannot be read: a later batch knows them durable, or
    /// the log was closed behind them.
    ///
    /// # Crash
    ///
    /// Recovering again finds the same.
    pub async fn read(
        disk: Rc<dyn Disk>,
        directory: PathBuf,
        options: LogOptions,
        closed: Option<Position>,
        from: Option<Position>,
        live: &HashSet<u32>,
        replay: &mut Replay<'_>,
    ) -> Result<Self, LogError> {
        disk.create_dir(&directory)
            .await
            .map_err(failed("create", &directory))?;
        if let Some(parent) = directory.parent() {
            disk.sync_dir(parent).await.map_err(failed("sync", parent))?;
        }
        // A process that was killed may have left a segment whose name is not durable: it is about to be used.
        disk.sync_dir(&directory)
            .await
            .map_err(failed("sync", &directory))?;
        let mut found = Found::read(&disk, &directory, &options).await?;
        found.resume(from.as_ref());
        let end = found.follow(from, replay).await?;
        found.check(&end, closed.as_ref(), live).await?;
        found.sync().await?;
        Ok(Self {
            disk,
            directory,
            options,
            found,
            end,
            keep_after: u64::MAX,
        })
    }

    /// Keeps the segments with changes behind a sequence, for a follower that has all before.
    #[must_use]
    pub fn keep_after(self, sequence: u64) -> Self {
        Self {
            keep_after: sequence,
            ..self
        }
    }

    /// Where the log ends.
    #[must_use]
    pub fn end(&self) -> Position {
        self.end
    }

    /// Opens the log for writing, in a new generation.
    ///
    /// `starts` must be higher than in every earlier start, durably. Segments that `empty` accepts are used again at
    /// once: the tree is persisted at the end of the log, and refers to nothing in them.
    ///
    /// # Errors
    ///
    /// If there is no segment to go on in and none can be made.
    pub async fn open(self, starts: u32, empty: &dyn Fn(u32) -> bool) -> Result<Log, LogError> {
        let Self {
            disk,
            directory,
            options,
            found,
            end,
            keep_after,
        } = self;
        for path in &found.stale {
            // Left by a crash. It only takes space, so trying again at the next start is soon enough.
            if let Err(error) = disk.remove(path).await {
                tracing::debug!(path = %path.display(), %error, "cannot remove half a segment");
            }
        }
        let lasts = found.lasts(&end);
        let Found {
            used, blank, highest, ..
        } = found;
        // What only holds batches behind the end holds nothing.
        let kept = |generation| lasts.get(&generation).is_some_and(|last| *last > keep_after);
        let holds = |generation: u64, segment: &Segment| {
            generation <= end.generation && (kept(generation) || !empty(segment.number))
        };
        let (sealed, rest): (BTreeMap<_, _>, BTreeMap<_, _>) = used
            .into_iter()
            .partition(|(generation, segment)| holds(*generation, segment));
        let (mut ready, damaged): (Vec<_>, Vec<_>) = blank
            .into_iter()
            .chain(rest.into_values())
            .partition(|segment| empty(segment.number));
        for segment in damaged {
            tracing::error!(
                segment = segment.number,
                directory = %directory.display(),
                "a segment of the log is damaged at byte 0: it is left alone, since there are files in it"
            );
        }
        let mut highest = highest;
        let active = match ready.pop() {
            Some(segment) => segment,
            None => {
                highest += 1;
                segments::make(&disk, &directory, highest, &options).await?
            }
        };
        let state = State {
            active,
            generation: u64::from(starts) << 32,
            end: 0,
            building: None,
            closed: VecDeque::new(),
            sequence: end.sequence,
            crc: end.crc,
            next_batch: 1,
            front: 0,
            told: 0,
            positions: BTreeMap::from([(0, end)]),
            early: Vec::new(),
            ready,
            lasts: lasts
                .into_iter()
                .filter(|(generation, _)| sealed.contains_key(generation))
                .collect(),
            sealed,
            unsynced: BTreeMap::new(),
            highest_segment: highest,
        };
        Ok(Log {
            disk,
            directory,
            options,
            state: RefCell::new(state),
            fenced: Cell::new(false),
            work: Notify::default(),
            lacking: Notify::default(),
            making: Cell::new(false),
            made: Notify::default(),
            moved: Notify::default(),
        })
    }
}
