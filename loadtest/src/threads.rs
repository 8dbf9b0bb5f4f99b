//! The threads that make requests, each with its share of the connections.

use std::sync::{Arc, Mutex, PoisonError, mpsc as blocking};
use std::thread::JoinHandle;

use rustix::thread::{Pid, gettid};
use tokio::sync::{mpsc, watch};

use crate::connect::Servers;
use crate::limit::Limit;
use crate::stage::{Shared, Stage};
use crate::tally::Tally;
use crate::worker::{Finished, Worker};

/// Threads with what they have counted.
pub struct Threads {
    joins: Vec<JoinHandle<()>>,
    /// Their ids, for what they cost.
    pub ids: Vec<Pid>,
    tallies: Vec<Arc<Mutex<Tally>>>,
}

impl Threads {
    /// Starts them. Connections do nothing before a stage comes.
    ///
    /// # Errors
    ///
    /// If the system has no more threads.
    pub fn start(
        shared: &Arc<Shared>,
        servers: &Servers,
        stages: &watch::Sender<Stage>,
        finished: &mpsc::UnboundedSender<Finished>,
    ) -> Result<Self, String> {
        let mut threads = Self {
            joins: Vec::new(),
            ids: Vec::new(),
            tallies: Vec::new(),
        };
        let (told, ids) = blocking::channel();
        for thread in 0..shared.plan.threads {
            let tally = Arc::new(Mutex::new(Tally::default()));
            let own = (thread..shared.plan.connections).step_by(shared.plan.threads);
            let workers = own
                .filter_map(|number| worker(number, shared, servers, &tally))
                .collect();
            let (stages, finished, told) = (stages.subscribe(), finished.clone(), told.clone());
            let spawned = std::thread::Builder::new()
                .name(format!("load-{thread}"))
                .spawn(move || {
                    let _ = told.send(gettid());
                    serve(workers, &stages, &finished);
                });
            threads
                .joins
                .push(spawned.map_err(|error| format!("cannot start a thread: {error}"))?);
            threads.tallies.push(tally);
        }
        drop(told);
        // One id each; the threads keep their ends of the channel.
        threads.ids = ids.iter().take(shared.plan.threads).collect();
        Ok(threads)
    }

    /// Takes what was counted since the last time.
    #[must_use]
    pub fn drain(&self) -> Tally {
        let mut all = Tally::default();
        for tally in &self.tallies {
            let taken = std::mem::take(&mut *tally.lock().unwrap_or_else(PoisonError::into_inner));
            all.merge(&taken);
        }
        all
    }

    /// Waits for their end.
    pub fn join(self) {
        for thread in self.joins {
            let _ = thread.join();
        }
    }
}

fn worker(
    number: usize,
    shared: &Arc<Shared>,
    servers: &Servers,
    tally: &Arc<Mutex<Tally>>,
) -> Option<Worker> {
    let target = number % shared.plan.targets.len();
    Some(Worker {
        number: number as u64,
        target,
        session: servers.session(target, &shared.content, &shared.files, shared.plan.verify)?,
        shared: Arc::clone(shared),
        tally: Arc::clone(tally),
        kept: Vec::new(),
        uploads: 0,
        turns: 0,
        limit: Limit::default(),
        under_way: None,
    })
}

/// A thread: all its connections, until their end.
fn serve(workers: Vec<Worker>, stages: &watch::Receiver<Stage>, finished: &mpsc::UnboundedSender<Finished>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = finished.send(Err(format!("cannot start a thread: {error}")));
            return;
        }
    };
    runtime.block_on(async {
        let tasks: Vec<_> = workers
            .into_iter()
            .map(|worker| tokio::spawn(worker.run(stages.clone(), finished.clone())))
            .collect();
        for task in tasks {
            // One that has panicked has said so; the others go on.
            let _ = task.await;
        }
    });
}
