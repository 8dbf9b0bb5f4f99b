//! One connection: what it does in each stage.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use crate::clock;
use crate::failure::Failure;
use crate::files::File;
use crate::limit::Limit;
use crate::noise;
use crate::profile::Operation;
use crate::schedule::{Schedule, Turn};
use crate::session::Session;
use crate::stage::{Halt, Shared, Stage};
use crate::tally::Tally;
use crate::timer::Timer;

/// Pause after a connection was lost in a closed loop, so that a server which is away is not called in a tight loop.
const PAUSE: Duration = Duration::from_millis(100);
/// Besides `--timeout`, a transfer has a second for each so many bytes.
const SLOWEST_BYTES_PER_S: u64 = 1 << 20;

/// A connection.
pub struct Worker {
    /// Its number.
    pub number: u64,
    /// Number of its target.
    pub target: usize,
    /// What it talks through.
    pub session: Session,
    /// What it shares with all others.
    pub shared: Arc<Shared>,
    /// What it shares with the others of its thread.
    pub tally: Arc<Mutex<Tally>>,
    /// Turn of the upload that each name holds; none if it is unknown.
    pub kept: Vec<Option<u64>>,
    /// Turns of uploads so far.
    pub uploads: u64,
    /// Turns so far.
    pub turns: u64,
    /// How long requests may take.
    pub limit: Limit,
    /// The request under way.
    pub under_way: Option<Turn>,
}

/// What a connection says at the end of a stage.
pub type Finished = Result<(), String>;

impl Worker {
    /// Does each stage as it comes, and says so.
    pub async fn run(
        mut self,
        mut stages: watch::Receiver<Stage>,
        finished: mpsc::UnboundedSender<Finished>,
    ) {
        while stages.changed().await.is_ok() {
            let stage = stages.borrow_and_update().clone();
            let is_end = matches!(stage, Stage::End);
            let result = self.stage(stage).await;
            let place = format!("connection {} to {}", self.number, self.target_name());
            let _ = finished.send(result.map_err(|failure| format!("{place}: {failure}")));
            if is_end {
                return;
            }
        }
    }

    fn target_name(&self) -> &str {
        self.shared
            .plan
            .targets
            .get(self.target)
            .map_or("", |target| &target.name)
    }

    async fn stage(&mut self, stage: Stage) -> Result<(), Failure> {
        let is_first = self.number == 0;
        match stage {
            Stage::Connect => {
                let shared = Arc::clone(&self.shared);
                // It is never closed.
                let _turn = shared.connecting.acquire().await.ok();
                self.limited(clock::now(), 0, Session::connect).await
            }
            Stage::MakeRoot if is_first => self.make_root().await,
            Stage::Prepare => self.prepare().await,
            Stage::Work(schedule) => {
                self.work(&schedule).await?;
                Ok(())
            }
            Stage::ReadBack => {
                self.read_back().await;
                Ok(())
            }
            Stage::Delete if !self.session.deletes_at_once() => self.delete().await,
            Stage::DeleteRoot if is_first => {
                let files = Arc::clone(&self.shared.files);
                self.session.delete(&files.root).await
            }
            Stage::End => {
                let _ = tokio::time::timeout(self.shared.plan.timeout, self.session.end()).await;
                Ok(())
            }
            Stage::Begin | Stage::MakeRoot | Stage::Delete | Stage::DeleteRoot => Ok(()),
        }
    }

    /// Does something that has begun, and must not take longer than is usual for so many bytes.
    async fn limited<T>(
        &mut self,
        begun: Instant,
        bytes: u64,
        act: impl AsyncFnOnce(&mut Session) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let limit = self.shared.plan.timeout + Duration::from_secs(bytes / SLOWEST_BYTES_PER_S);
        let done = self.limit.before(begun + limit, act(&mut self.session)).await;
        done.unwrap_or_else(|| {
            let text = format!("no end after {} s", limit.as_secs_f64());
            Err(Failure::timed_out(text))
        })
    }

    async fn make_root(&mut self) -> Result<(), Failure> {
        let files = Arc::clone(&self.shared.files);
        self.session.make_directory(&files.root).await?;
        if files.prepared > 0 {
            self.session.make_directory(&files.prepared_directory()).await?;
        }
        Ok(())
    }

    /// Its share of the prepared files.
    fn share(&self) -> impl Iterator<Item = File> + use<> {
        let files = Arc::clone(&self.shared.files);
        let step = usize::try_from(files.connections).unwrap_or(usize::MAX);
        (self.number..files.prepared)
            .step_by(step)
            .map(move |index| files.prepared(index))
    }

    async fn prepare(&mut self) -> Result<(), Failure> {
        if self.shared.plan.profile.uploads() {
            let directory = self.shared.files.upload_directory(self.number);
            self.session.make_directory(&directory).await?;
        }
        for file in self.share() {
            if self.shared.is_halted() {
                break;
            }
            self.upload(clock::now(), &file).await?;
            self.shared.advance();
        }
        Ok(())
    }

    async fn upload(&mut self, begun: Instant, file: &File) -> Result<u64, Failure> {
        self.limited(begun, file.size, async |session| session.upload(file).await)
            .await
    }

    async fn download(&mut self, begun: Instant, file: &File, verify: bool) -> Result<u64, Failure> {
        self.limited(begun, file.size, async |session| {
            session.download(file, verify).await
        })
        .await
    }

    /// Makes requests until there are no more turns, or until what is under way is given up.
    async fn work(&mut self, schedule: &Schedule) -> Result<(), Failure> {
        let mut halt = self.shared.halt.subscribe();
        let timer = Timer::new()?;
        // It may have been ended while others prepared files. If it cannot be had again, requests fail and are counted.
        let _ = self.limited(clock::now(), 0, Session::connect).await;
        let ended = tokio::select! {
            biased;
            ended = self.requests(schedule, &timer, halt.clone()) => ended,
            _ = halt.wait_for(|halt| *halt == Halt::Abort) => Ok(()),
        };
        if let Some(turn) = self.under_way.take() {
            let now = clock::now();
            let waited = now.saturating_duration_since(turn.due);
            let text = format!(
                "given up at the end, {:.1} s after it was due",
                waited.as_secs_f64()
            );
            self.record(
                turn,
                (turn.due, now),
                Err(Failure::refused("not finished", text)),
                None,
            );
        }
        ended
    }

    async fn requests(
        &mut self,
        schedule: &Schedule,
        timer: &Timer,
        mut halt: watch::Receiver<Halt>,
    ) -> Result<(), Failure> {
        timer.wait_until(schedule.begin()).await?;
        // Each time is read once: the end of a request is when the next begins.
        let mut now = clock::now();
        while let Some(turn) = schedule.take(now) {
            if turn.due > now {
                tokio::select! {
                    waited = timer.wait_until(turn.due) => waited?,
                    _ = halt.wait_for(|halt| *halt > Halt::No) => return Ok(()),
                }
                now = clock::now();
            }
            self.under_way = Some(turn);
            let plan = &self.shared.plan;
            let bits = noise::hash(plan.seed ^ self.number.rotate_left(32), self.turns);
            let operation = plan.mix.of(plan.profile, bits);
            self.turns += 1;
            let begun = now;
            let outcome = self.operate(operation, begun, noise::hash(bits, 1)).await;
            self.under_way = None;
            now = clock::now();
            let is_broken = outcome.as_ref().is_err_and(|failure| failure.broken);
            self.record(turn, (begun, now), outcome, Some(operation));
            if is_broken && schedule.is_closed() {
                tokio::time::sleep(PAUSE).await;
                now = clock::now();
            }
        }
        Ok(())
    }

    /// One request; the bytes that it moved.
    async fn operate(&mut self, operation: Operation, begun: Instant, bits: u64) -> Result<u64, Failure> {
        let files = Arc::clone(&self.shared.files);
        let verify = self.shared.plan.verify;
        match operation {
            Operation::Upload => {
                let file = files.upload(self.number, self.uploads);
                let turn = self.uploads;
                self.uploads += 1;
                if verify {
                    // Unknown until it is acknowledged.
                    self.keep(turn, None);
                }
                let bytes = self.upload(begun, &file).await?;
                if verify {
                    self.keep(turn, Some(turn));
                }
                Ok(bytes)
            }
            Operation::Download => {
                let file = files.prepared(noise::below(bits, files.prepared));
                self.download(begun, &file, verify).await
            }
            Operation::List => self.limited(begun, 0, Session::list).await,
            Operation::Archive => {
                let bytes = files.sizes.average(files.seed).saturating_mul(files.prepared);
                self.limited(begun, bytes, Session::archive).await
            }
        }
    }

    /// Notes which upload the name of a turn holds.
    fn keep(&mut self, turn: u64, held: Option<u64>) {
        let slot = usize::try_from(turn % self.shared.files.slots.max(1)).unwrap_or(usize::MAX);
        match self.kept.get_mut(slot) {
            Some(kept) => *kept = held,
            None => self.kept.push(held),
        }
    }

    fn record(
        &self,
        turn: Turn,
        (begun, now): (Instant, Instant),
        outcome: Result<u64, Failure>,
        operation: Option<Operation>,
    ) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        match (outcome, operation) {
            (Ok(bytes), Some(operation)) if turn.counts => {
                let (latency, service) = (now.duration_since(turn.due), now.duration_since(begun));
                tally.succeed(self.target, operation, latency, service, bytes);
            }
            (Ok(_), _) => return,
            (Err(failure), _) if turn.counts => tally.fail(self.target, &failure),
            (Err(mut failure), _) => {
                failure.kind.push_str(" in the warm-up");
                tally.fail(self.target, &failure);
                return;
            }
        }
        tally.last = tally.last.max(Some(now));
    }

    /// Compares all that it has uploaded.
    async fn read_back(&mut self) {
        for turn in std::mem::take(&mut self.kept).into_iter().flatten() {
            if self.shared.is_halted() {
                return;
            }
            let file = self.shared.files.upload(self.number, turn);
            if let Err(mut failure) = self.download(clock::now(), &file, true).await {
                failure.kind.push_str(", read back");
                failure = failure.while_doing(file.path());
                self.tally
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .fail(self.target, &failure);
            }
            self.shared.advance();
        }
    }

    async fn delete(&mut self) -> Result<(), Failure> {
        for file in self.share() {
            self.limited(clock::now(), 0, async |session| session.delete_file(&file).await)
                .await?;
            self.shared.advance();
        }
        if self.shared.plan.profile.uploads() {
            let directory = self.shared.files.upload_directory(self.number);
            self.session.delete(&directory).await?;
        }
        Ok(())
    }
}
