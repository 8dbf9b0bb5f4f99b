//! Rows of the whole cluster on their way to an operator: asked for piece by piece, so that the slower end sets the pace.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::backup::Header;
use crate::clock;
use crate::limits::{BACKUP_SILENT_MAX_S, BACKUPS_MAX_COUNT, SNAPSHOT_CHUNK_MAX_BYTES};
use crate::machine::{Chunk, Machine as _, MachineError, MachineSnapshot, chunk};
use crate::nodes::Nodes;
use crate::raft::applied_of;
use crate::wire::Refusal;

/// The answer to a [`BACKUP_BEGIN`](super::BACKUP_BEGIN).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupBegun {
    /// What the pieces are asked for by.
    pub number: u64,
    /// What it is of.
    pub header: Header,
}

/// Asks for the next piece of a backup.
///
/// # Layout
///
/// Number of the backup (8), number of the piece, from 0 (4), little endian. Answered by rows as in
/// [`machine::chunk`](crate::machine::chunk): none at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupPiece {
    /// Which backup.
    pub number: u64,
    /// Which piece.
    pub piece: u32,
}

/// Backups that are being made.
#[derive(Clone, Default)]
pub(super) struct Backups(Arc<Mutex<Running>>);

#[derive(Default)]
struct Running {
    last: u64,
    all: Vec<Backup>,
}

struct Backup {
    number: u64,
    next: u32,
    /// Not there while a piece is read.
    view: Option<Box<dyn MachineSnapshot>>,
    asked: Instant,
}

impl BackupPiece {
    /// The request's bytes.
    #[must_use]
    pub fn write(self) -> Bytes {
        let mut to = BytesMut::with_capacity(12);
        to.put_u64_le(self.number);
        to.put_u32_le(self.piece);
        to.freeze()
    }

    fn read(mut from: &[u8]) -> Option<Self> {
        let piece = Self {
            number: from.try_get_u64_le().ok()?,
            piece: from.try_get_u32_le().ok()?,
        };
        from.is_empty().then_some(piece)
    }
}

impl Backups {
    /// Takes a view of the rows as they are now.
    pub(super) async fn begin(&self, nodes: &Nodes, cluster: &str) -> Result<BackupBegun, Refusal> {
        nodes.catch_up().await?;
        let store = Arc::clone(nodes.store());
        let view = blocking(move || store.snapshot()).await?;
        let unreadable = || Refusal::Failed("the mark of the rows is not readable".to_owned());
        let applied = view.mark().map_or(Some(0), applied_of).ok_or_else(unreadable)?;
        let header = Header {
            cluster: cluster.to_owned(),
            applied,
            taken_ms: clock::now_ms(),
        };
        let mut running = self.running();
        if running.all.len() >= BACKUPS_MAX_COUNT {
            let why = format!("{BACKUPS_MAX_COUNT} backups are being made by this member");
            return Err(Refusal::NotNow(why));
        }
        running.last += 1;
        let number = running.last;
        running.all.push(Backup {
            number,
            next: 0,
            view: Some(view),
            asked: Instant::now(),
        });
        drop(running);
        tokio::spawn(give_up_if_silent(Arc::downgrade(&self.0), number));
        Ok(BackupBegun { number, header })
    }

    /// The next rows of a backup; with the last it is over.
    pub(super) async fn piece(&self, body: &[u8]) -> Result<Bytes, Refusal> {
        let unreadable = || Refusal::BadRequest("this names no piece of a backup".to_owned());
        let BackupPiece { number, piece } = BackupPiece::read(body).ok_or_else(unreadable)?;
        let mut view = {
            let mut running = self.running();
            let backup = running.all.iter_mut().find(|of| of.number == number);
            let backup = backup.filter(|of| of.next == piece);
            let view = backup.and_then(|of| of.view.take());
            view.ok_or_else(|| Refusal::BadRequest("this backup is not being made".to_owned()))?
        };
        let read = blocking(move || {
            let rows = view.next(SNAPSHOT_CHUNK_MAX_BYTES)?;
            Ok((view, rows))
        });
        let read = read.await;
        let mut running = self.running();
        let rows = match read {
            Ok((view, Some(rows))) => {
                if let Some(backup) = running.all.iter_mut().find(|of| of.number == number) {
                    backup.view = Some(view);
                    backup.next += 1;
                    backup.asked = Instant::now();
                }
                rows
            }
            over => {
                running.all.retain(|of| of.number != number);
                over.map(|_| Chunk::new())?
            }
        };
        drop(running);
        let mut answer = BytesMut::with_capacity(chunk::length_of(&rows));
        chunk::put(&mut answer, &rows);
        Ok(answer.freeze())
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets a backup that nobody asks for any more: old rows are kept on the disk as long as it is there.
async fn give_up_if_silent(running: Weak<Mutex<Running>>, number: u64) {
    let silent = Duration::from_secs(BACKUP_SILENT_MAX_S);
    let mut until = Instant::now() + silent;
    loop {
        tokio::time::sleep_until(until).await;
        let Some(running) = running.upgrade() else {
            return;
        };
        let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(backup) = running.all.iter().find(|of| of.number == number) else {
            return;
        };
        until = backup.asked + silent;
        if until <= Instant::now() {
            running.all.retain(|of| of.number != number);
            return;
        }
    }
}

async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, MachineError> + Send + 'static,
) -> Result<T, Refusal> {
    let read = tokio::task::spawn_blocking(read).await;
    let read = read.map_err(|error| Refusal::Failed(error.to_string()))?;
    read.map_err(|error| Refusal::Failed(error.to_string()))
}
