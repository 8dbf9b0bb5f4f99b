//! Threads for what takes long: checking secrets costs some 20 ms of a core and 19 MiB, too much for a shard.

use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::channel::oneshot;

use crate::error::Error;

type Job = Box<dyn FnOnce() + Send>;

/// A few threads with a bounded queue.
pub(super) struct Pool(mpsc::SyncSender<Job>);

impl Pool {
    pub(super) fn start(name: &str, threads: usize, queue: usize) -> std::io::Result<Self> {
        let (sender, jobs) = mpsc::sync_channel::<Job>(queue);
        let jobs = Arc::new(Mutex::new(jobs));
        for number in 0..threads.max(1) {
            let jobs = Arc::clone(&jobs);
            let work = move || {
                loop {
                    let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(job) = job else { return };
                    job();
                }
            };
            std::thread::Builder::new()
                .name(format!("{name}-{number}"))
                .spawn(work)?;
        }
        Ok(Self(sender))
    }

    /// Runs a job on one of the threads.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (done, result) = oneshot::channel();
        let job = Box::new(move || drop(done.send(job())));
        self.0.try_send(job).map_err(|_| Error::Unavailable {
            detail: "too many logins or changes of accounts at once".to_owned(),
            retry_after: Duration::from_secs(1),
        })?;
        result
            .await
            .map_err(|_| Error::Internal("a thread that checks secrets has died".to_owned()))
    }
}
