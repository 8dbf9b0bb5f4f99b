//! Small bodies: one log, whose writers share its writes.

use std::cell::{Cell, RefCell};
use std::io::{Error, ErrorKind, Result};
use std::rc::Rc;
use std::task::{Poll, Waker};

use futures::channel::oneshot;

use crate::limits::{BATCH_BYTES, BLOCK_BYTES, RECORD_HEAD_BYTES};
use crate::runtime::{Buffer, Runtime};

/// The log of the one thread. A record is length, sum, number, run, each of 8 bytes but the first two, which have 4;
/// then the body, padded to 8. A batch starts with a block, and the rest of its last one is zero.
pub(crate) struct Log<R: Runtime> {
    /// Opened with `O_DSYNC`: a write that has returned is on the disk.
    pub(crate) file: R::File,
    /// Number of the run, which tells its records and files from earlier ones.
    pub(crate) run: u64,
    batch: RefCell<Batch<R>>,
    committer: Cell<Option<Waker>>,
}

/// What waits for the next write.
struct Batch<R: Runtime> {
    buffer: Option<R::Buffer>,
    used: usize,
    writers: Vec<oneshot::Sender<()>>,
}

impl<R: Runtime> Log<R> {
    /// Starts the task that writes.
    pub(crate) fn start(file: R::File, run: u64) -> Rc<Self> {
        let batch = Batch {
            buffer: Some(R::buffer(&file, BATCH_BYTES)),
            used: 0,
            writers: Vec::new(),
        };
        let log = Rc::new(Self {
            file,
            run,
            batch: RefCell::new(batch),
            committer: Cell::new(None),
        });
        let own = log.clone();
        R::spawn(async move {
            // Writers that have waited see that their sender is gone.
            if let Err(error) = own.commit().await {
                eprintln!("runtimes: the log: {error}");
            }
        });
        log
    }

    /// Returns when the body is on the disk.
    pub(crate) async fn append(&self, number: u64, sum: u32, body: &[u8]) -> Result<()> {
        let written = self.put(number, sum, body)?;
        if let Some(waker) = self.committer.take() {
            waker.wake();
        }
        written
            .await
            .map_err(|_| Error::other("the log cannot be written"))
    }

    fn put(&self, number: u64, sum: u32, body: &[u8]) -> Result<oneshot::Receiver<()>> {
        let mut batch = self.batch.borrow_mut();
        let Batch {
            buffer,
            used,
            writers,
        } = &mut *batch;
        let end = (*used + RECORD_HEAD_BYTES + body.len()).next_multiple_of(8);
        let room = buffer
            .as_mut()
            .and_then(|buffer| buffer.bytes().get_mut(*used..end));
        let record = room.ok_or(Error::new(
            ErrorKind::OutOfMemory,
            "more connections than a batch has room for",
        ))?;
        record[..4].copy_from_slice(&u32::try_from(body.len()).map_err(Error::other)?.to_le_bytes());
        record[4..8].copy_from_slice(&sum.to_le_bytes());
        record[8..16].copy_from_slice(&number.to_le_bytes());
        record[16..24].copy_from_slice(&self.run.to_le_bytes());
        record[24..24 + body.len()].copy_from_slice(body);
        *used = end;
        let (sender, receiver) = oneshot::channel();
        writers.push(sender);
        Ok(receiver)
    }

    /// Writes batch after batch; what comes meanwhile is the next one.
    async fn commit(&self) -> Result<()> {
        let mut spare = R::buffer(&self.file, BATCH_BYTES);
        let mut position = 0;
        loop {
            std::future::poll_fn(|context| {
                if self.batch.borrow().used > 0 {
                    return Poll::Ready(());
                }
                self.committer.set(Some(context.waker().clone()));
                Poll::Pending
            })
            .await;
            let (mut buffer, used, writers) = {
                let mut batch = self.batch.borrow_mut();
                let Some(buffer) = batch.buffer.replace(spare) else {
                    return Ok(());
                };
                (
                    buffer,
                    std::mem::take(&mut batch.used),
                    std::mem::take(&mut batch.writers),
                )
            };
            let bytes = used.next_multiple_of(BLOCK_BYTES);
            buffer.bytes()[used..bytes].fill(0);
            spare = R::write(&self.file, buffer, bytes, position).await?;
            position += bytes as u64;
            for writer in writers {
                // A connection that has gone does not hear of it.
                let _ = writer.send(());
            }
        }
    }
}
