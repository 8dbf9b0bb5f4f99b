//! A run from beginning to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::clock;
use crate::connect::Servers;
use crate::content::Content;
use crate::figures::{Figures, Point};
use crate::limits::{CONNECTING_MAX_COUNT, LOOK_REST_TIMES, POINTS_MAX_COUNT};
use crate::plan::Plan;
use crate::process::{LOOK, Rest};
use crate::progress::Progress;
use crate::schedule::{Schedule, Until};
use crate::stage::{Halt, Shared, Stage};
use crate::tally::Tally;
use crate::threads::Threads;
use crate::units::{show_bytes, show_count, show_microseconds, show_rate};
use crate::usage::{self, Sample, Usage};
use crate::worker::Finished;

/// How often progress is shown.
const TICK: Duration = Duration::from_millis(200);
/// Time between the order to begin and the first request, in which all connections hear it.
const LEAD: Duration = Duration::from_millis(20);
/// How long before counting begins it is noted what was used until then: the runtime's timer may be late by a millisecond,
/// in which much can be done.
const EARLY: Duration = Duration::from_millis(2);
/// How often it is looked how much memory the server has.
const MEMORY_TICK: Duration = Duration::from_millis(100);
/// Status of a process that a second Ctrl-C ends, as shells have it.
const INTERRUPTED: i32 = 130;

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// The figures.
    pub figures: Figures,
    /// What else is to be known.
    pub notes: Vec<String>,
    /// Whether it went to its end, and all that was made is deleted, or kept where that was asked for.
    pub is_complete: bool,
    /// Directory of all that was made: what is left is there.
    pub root: String,
}

/// Does what a plan says.
///
/// # Errors
///
/// A text that says why nothing was measured. What was made is deleted then too, as far as that is possible.
pub fn run(plan: Plan) -> Result<Outcome, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    let servers = Servers::find(&plan)?;
    runtime.block_on(async {
        let first = plan
            .targets
            .first()
            .map(|target| target.name.clone())
            .unwrap_or_default();
        let token = servers
            .log_in()
            .await
            .map_err(|failure| format!("{first}: {failure}"))?;
        let mut run = Run::start(plan, &servers)?;
        let outcome = tokio::select! {
            biased;
            outcome = run.go() => outcome,
            () = servers.keep_logged_in(token) => Err("the token was lost".to_owned()),
        };
        run.end();
        outcome
    })
}

struct Run {
    shared: Arc<Shared>,
    threads: Threads,
    /// Processes of the servers.
    processes: usage::Servers,
    stages: watch::Sender<Stage>,
    finished: mpsc::UnboundedReceiver<Finished>,
    progress: Progress,
    interrupt: Signal,
    terminate: Signal,
    /// Whether somebody has asked for an early end.
    interrupted: bool,
    notes: Vec<String>,
}

/// What the measured stage has brought.
struct Measured {
    tally: Tally,
    points: Vec<Point>,
    usage: Usage,
    elapsed: Duration,
}

impl Run {
    fn start(plan: Plan, servers: &Servers) -> Result<Self, String> {
        let no_signals = |error| format!("cannot wait for signals: {error}");
        let (stages, _) = watch::channel(Stage::Begin);
        let (tell, finished) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            content: Content::new(plan.seed),
            files: Arc::new(plan.files.clone()),
            progress: AtomicU64::new(0),
            halt: watch::channel(Halt::No).0,
            connecting: Semaphore::new(CONNECTING_MAX_COUNT),
            plan,
        });
        Ok(Self {
            // One that is not there is found before anything is made.
            processes: usage::Servers::find(&shared.plan.pids)?,
            threads: Threads::start(&shared, servers, &stages, &tell)?,
            progress: Progress::new(shared.plan.quiet),
            interrupt: signal(SignalKind::interrupt()).map_err(no_signals)?,
            terminate: signal(SignalKind::terminate()).map_err(no_signals)?,
            interrupted: false,
            notes: Vec::new(),
            shared,
            stages,
            finished,
        })
    }

    async fn go(&mut self) -> Result<Outcome, String> {
        let mut prepared = self.stage(Stage::Connect, "connecting", None).await;
        if prepared.is_ok() {
            prepared = self.prepare().await;
        } else {
            self.stage(Stage::End, "ending", None).await.ok();
            return Err(prepared.err().unwrap_or_default());
        }
        let measured = match prepared {
            Ok(()) if !self.interrupted => Some(self.measure().await),
            _ => None,
        };
        let is_clean = self.clean_up().await;
        prepared?;
        let mut measured = measured.ok_or("interrupted before anything was measured")??;
        measured.tally.merge(&self.threads.drain());
        let names: Vec<_> = self
            .shared
            .plan
            .targets
            .iter()
            .map(|target| target.name.clone())
            .collect();
        let elapsed = measured.elapsed.as_secs_f64();
        self.notes.extend(measured.usage.warnings());
        Ok(Outcome {
            figures: Figures::new(&measured.tally, &names, elapsed, measured.points, measured.usage),
            notes: std::mem::take(&mut self.notes),
            is_complete: is_clean && !self.interrupted,
            root: self.shared.files.root.clone(),
        })
    }

    async fn prepare(&mut self) -> Result<(), String> {
        if self.shared.plan.is_prepared {
            return Ok(());
        }
        self.stage(Stage::MakeRoot, "preparing", None).await?;
        let files = self.shared.files.prepared;
        self.stage(Stage::Prepare, "preparing", Some(files)).await
    }

    /// Lets all connections do something, and waits for them; the first error.
    async fn stage(&mut self, stage: Stage, title: &str, files: Option<u64>) -> Result<(), String> {
        let mut result = Ok(());
        let mut left = self.begin(stage);
        let mut ticks = tokio::time::interval(TICK);
        while left > 0 {
            tokio::select! {
                Some(finished) = self.finished.recv() => {
                    left -= 1;
                    if finished.is_err() {
                        // The others need not go on with what comes to nothing.
                        self.shared.halt.send_replace(Halt::Finish);
                    }
                    result = result.and(finished);
                }
                () = signalled(&mut self.interrupt, &mut self.terminate) => self.interrupted(),
                _ = ticks.tick() => self.show_files(title, files),
            }
        }
        self.progress.clear();
        result
    }

    /// Lets all connections do something; how many there are.
    fn begin(&mut self, stage: Stage) -> usize {
        self.shared.progress.store(0, Ordering::Relaxed);
        self.stages.send_replace(stage);
        self.shared.plan.connections
    }

    #[allow(clippy::cast_precision_loss, reason = "part of a bar")]
    fn show_files(&mut self, title: &str, files: Option<u64>) {
        let done = self.shared.progress.load(Ordering::Relaxed);
        match files.filter(|files| *files > 0) {
            Some(files) => {
                let text = format!("{} of {} files", show_count(done), show_count(files));
                self.progress.show(title, Some(done as f64 / files as f64), &text);
            }
            None if done > 0 => self
                .progress
                .show(title, None, &format!("{} files", show_count(done))),
            None => self.progress.show(title, None, ""),
        }
    }

    /// Somebody wants an early end: the first time in good order, the second at once.
    fn interrupted(&mut self) {
        if self.interrupted {
            let root = &self.shared.files.root;
            self.progress
                .say(&format!("interrupted again: {root} may be left on the server"));
            std::process::exit(INTERRUPTED);
        }
        self.interrupted = true;
        self.notes
            .push("interrupted: this is what was done until then".to_owned());
        self.progress.say(match self.shared.plan.keep {
            true => "interrupted: ending. Again to end at once",
            false => "interrupted: ending, and deleting what was made. Again to leave it there",
        });
        self.shared.halt.send_replace(Halt::Finish);
    }

    async fn measure(&mut self) -> Result<Measured, String> {
        let measured = self.work().await;
        if self.shared.plan.verify && self.shared.plan.profile.uploads() && !self.interrupted {
            self.stage(Stage::ReadBack, "reading back", None).await?;
        }
        measured
    }

    /// What is measured.
    async fn work(&mut self) -> Result<Measured, String> {
        let plan = &self.shared.plan;
        let schedule = Schedule::new(plan.pace, plan.until, clock::now() + LEAD, plan.warm_up);
        let schedule = Arc::new(schedule);
        let (from, grace) = (schedule.measured_from(), plan.grace);
        let mut points = Points::new(from, plan.until);
        let mut left = self.begin(Stage::Work(Arc::clone(&schedule)));
        let mut result = Ok(());
        let mut before = None;
        let mut give_up = schedule.end().map(|end| end + grace);
        let mut ticks = tokio::time::interval_at((from + points.length).into(), points.length);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut shows = tokio::time::interval(TICK);
        let mut look = clock::now();
        let has_processes = !self.processes.is_empty();
        while left > 0 {
            tokio::select! {
                Some(finished) = self.finished.recv() => {
                    left -= 1;
                    result = result.and(finished);
                }
                () = signalled(&mut self.interrupt, &mut self.terminate) => {
                    schedule.stop();
                    self.interrupted();
                    give_up = Some(clock::now() + grace);
                }
                () = tokio::time::sleep_until((from - EARLY).into()), if before.is_none() => {
                    before = Some(Sample::take(&self.threads.ids, &mut self.processes));
                }
                () = until(give_up) => {
                    self.shared.halt.send_replace(Halt::Abort);
                    give_up = None;
                }
                () = tokio::time::sleep_until(look.into()), if has_processes => look = self.look(),
                _ = ticks.tick() => points.add(&self.threads.drain()),
                _ = shows.tick() => self.show_work(&schedule, &points),
            }
        }
        self.progress.clear();
        result?;
        let before = before.transpose()?;
        self.measured(&schedule, points, before.as_ref()).await
    }

    /// Looks how much memory the servers have; when to look again.
    fn look(&mut self) -> Instant {
        let begun = clock::now();
        // If one has ended, the sample at the end says so.
        let _ = self.processes.memory_peak_bytes();
        let now = clock::now();
        now + MEMORY_TICK.max((now - begun) * LOOK_REST_TIMES)
    }

    /// What was counted and used until now.
    async fn measured(
        &mut self,
        schedule: &Schedule,
        mut points: Points,
        before: Option<&Sample>,
    ) -> Result<Measured, String> {
        let after = Sample::take(&self.threads.ids, &mut self.processes)?;
        points.add(&self.threads.drain());
        self.add_missed(schedule, &mut points.tally);
        let tally = points.tally;
        let requests = tally.total(|_, _| true).count() + tally.errors_count();
        let mut usage = before
            .map(|before| after.since(before, requests))
            .unwrap_or_default();
        usage.server_memory_peak_bytes = self.processes.memory_peak_bytes()?;
        if let Some(used) = after.servers.filter(|_| self.shared.plan.settle) {
            usage.server_cpu_after_s = Some(self.settle(used).await?);
        }
        Ok(Measured {
            usage,
            elapsed: elapsed(schedule, &tally, self.interrupted),
            tally,
            points: points.list,
        })
    }

    /// Waits until the servers do nothing any more; CPU seconds that they have used since they had used so much.
    async fn settle(&mut self, used: f64) -> Result<f64, String> {
        let mut rest = Rest::new(used);
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = signalled(&mut self.interrupt, &mut self.terminate) => self.interrupted(),
            }
            let now = self.processes.cpu_seconds()?.unwrap_or(used);
            if rest.is_over(now) || self.interrupted {
                return Ok(now - used);
            }
        }
    }

    /// Requests that came due and were never begun have failed: they must not be hidden.
    fn add_missed(&self, schedule: &Schedule, tally: &mut Tally) {
        if self.interrupted {
            return;
        }
        let waited = schedule.missed(clock::now());
        if let Some(longest) = waited.iter().max() {
            let text = format!(
                "due {:.1} s ago, and no connection was free for it",
                longest.as_secs_f64()
            );
            tally.add_errors("not begun", waited.len() as u64, &text);
        }
    }

    fn show_work(&mut self, schedule: &Schedule, points: &Points) {
        let since = clock::now().saturating_duration_since(schedule.measured_from());
        if since.is_zero() {
            self.progress.show("warming up", None, "");
            return;
        }
        let all = points.tally.total(|_, _| true);
        let errors = points.tally.errors_count();
        #[allow(clippy::cast_precision_loss, reason = "part of a bar")]
        let part = match self.shared.plan.until {
            Until::Time(time) => since.as_secs_f64() / time.as_secs_f64(),
            Until::Requests(requests) => (all.count() + errors) as f64 / requests as f64,
        };
        let now = points.list.last().map_or_else(String::new, |point| {
            let (rate, bytes) = (
                show_rate(point.per_second),
                show_bytes(point.mib_per_second * 1_048_576.0),
            );
            format!(", {rate}, {bytes}/s, p99 {}", show_microseconds(point.p99_us))
        });
        let text = format!(
            "{:.0} s, {} requests{now}, {} errors",
            since.as_secs_f64(),
            show_count(all.count()),
            show_count(errors)
        );
        self.progress.show("running", Some(part), &text);
    }

    /// Deletes all that was made unless it is to be kept; whether that went well.
    async fn clean_up(&mut self) -> bool {
        // What is deleted is deleted to the end, also after an interruption.
        self.shared.halt.send_replace(Halt::No);
        let result = match self.shared.plan.keep {
            true => {
                let root = &self.shared.files.root;
                self.notes.push(format!("{root} was kept"));
                Ok(())
            }
            false => {
                let deleted = self.stage(Stage::Delete, "deleting", None).await;
                self.stage(Stage::DeleteRoot, "deleting", None).await.and(deleted)
            }
        };
        self.stage(Stage::End, "ending", None).await.ok();
        if let Err(why) = &result {
            let root = &self.shared.files.root;
            self.notes
                .push(format!("{root} could not be deleted and is still there: {why}"));
        }
        result.is_ok()
    }

    fn end(self) {
        drop(self.stages);
        self.threads.join();
    }
}

/// From when counting began to the last answer, and not less than was asked for.
fn elapsed(schedule: &Schedule, tally: &Tally, interrupted: bool) -> Duration {
    let from = schedule.measured_from();
    let last = tally.last.unwrap_or(from);
    let end = schedule.end().filter(|_| !interrupted);
    end.map_or(last, |end| end.max(last))
        .saturating_duration_since(from)
}

async fn signalled(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

/// What was counted, piece by piece of the time and in all.
struct Points {
    /// Least length of a piece.
    length: Duration,
    from: Instant,
    begun: Instant,
    list: Vec<Point>,
    /// Of the piece that has begun.
    piece: Tally,
    /// Of all.
    tally: Tally,
}

impl Points {
    fn new(from: Instant, until: Until) -> Self {
        let usual = Duration::from_millis(500);
        let length = match until {
            Until::Time(time) => (time / POINTS_MAX_COUNT)
                .max(Duration::from_millis(100))
                .min(usual),
            Until::Requests(_) => usual,
        };
        Self {
            length,
            from,
            begun: from,
            list: Vec::new(),
            piece: Tally::default(),
            tally: Tally::default(),
        }
    }

    /// Takes what was counted since the last time.
    fn add(&mut self, tally: &Tally) {
        self.tally.merge(tally);
        self.piece.merge(tally);
        let now = clock::now();
        let length = now.saturating_duration_since(self.begun);
        // A tick may come a little early, and what is left at the end may be too short a time to make a rate of.
        if length < self.length / 2 {
            return;
        }
        let at = now.saturating_duration_since(self.from).as_secs_f64();
        self.list.push(Point::new(
            at,
            length.as_secs_f64(),
            &std::mem::take(&mut self.piece),
        ));
        self.begun = now;
    }
}
