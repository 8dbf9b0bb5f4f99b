//! Removing files: freeing the extents of a large one takes the filesystem a while, so a thread does it.

use std::io;
use std::path::PathBuf;
use std::sync::{OnceLock, mpsc};

use futures::channel::oneshot;

struct Job {
    path: PathBuf,
    done: oneshot::Sender<io::Result<()>>,
}

static QUEUE: OnceLock<mpsc::Sender<Job>> = OnceLock::new();

/// Removes a file without holding up the shard.
///
/// # Errors
/// Those of `unlink(2)`. Once called it happens, even if the result is not waited for.
pub async fn unlink(path: PathBuf) -> io::Result<()> {
    let (done, result) = oneshot::channel();
    QUEUE
        .get_or_init(start)
        .send(Job { path, done })
        .map_err(|_| gone())?;
    result.await.unwrap_or_else(|_| Err(gone()))
}

fn start() -> mpsc::Sender<Job> {
    let (sender, jobs) = mpsc::channel::<Job>();
    let work = move || {
        for Job { path, done } in jobs {
            // Nobody waits any more: removed all the same.
            let _ = done.send(std::fs::remove_file(path));
        }
    };
    if let Err(error) = std::thread::Builder::new().name("unlink".into()).spawn(work) {
        tracing::error!(%error, "cannot start the thread that removes files");
    }
    sender
}

fn gone() -> io::Error {
    io::Error::other("the thread that removes files is gone")
}
