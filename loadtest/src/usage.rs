//! What a run cost: the generator itself, and the server where its process is known.

use std::time::{Duration, Instant};

use rustix::thread::Pid;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::clock;
use crate::process::Tree;

/// Part of its time that a thread may be busy. Beyond, it is as likely as the server what limits the rate.
const BUSY_MAX: f64 = 0.85;
/// Part of its time that a thread may wait for a core. Beyond, latencies hold much of that.
const WAITED_MAX: f64 = 0.25;

/// What a run cost, while it counted.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Usage {
    /// CPU seconds of the generator.
    pub generator_cpu_s: f64,
    /// The same for each request, failed ones included, in microseconds.
    pub generator_us_per_request: f64,
    /// Part of its time that the busiest thread of the generator worked, 0 to 1.
    pub busiest_thread: f64,
    /// Part of its time that a thread of the generator waited for a core, 0 to 1, at the most.
    pub waited_for_core: f64,
    /// Threads that made requests.
    pub threads: usize,
    /// CPU seconds of the server's processes (`--pid`) and of all that they have started.
    pub server_cpu_s: Option<f64>,
    /// The same for each request, in microseconds.
    pub server_us_per_request: Option<f64>,
    /// CPU seconds that these used after their last answer until they came to rest, if that was waited for.
    pub server_cpu_after_s: Option<f64>,
    /// The most memory that these had for themselves, files and shared memory not counted, in bytes.
    pub server_memory_peak_bytes: Option<u64>,
    /// Whether the generator was what limited the rate, as far as can be told.
    pub generator_was_the_limit: bool,
}

impl Usage {
    /// What to be told about it.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.busiest_thread > BUSY_MAX {
            warnings.push(format!(
                "the generator itself was the limit: a thread of {} was busy {:.0} % of the time. Use more --threads, or \
                 another machine",
                self.threads,
                self.busiest_thread * 100.0
            ));
        }
        if self.waited_for_core > WAITED_MAX {
            warnings.push(format!(
                "the generator had to wait for a core {:.0} % of the time: latencies hold that too. Give it cores of its own",
                self.waited_for_core * 100.0
            ));
        }
        warnings
    }
}

/// The processes of servers on this machine.
#[derive(Debug)]
pub struct Servers(Vec<Tree>);

impl Servers {
    /// Those of these numbers.
    ///
    /// # Errors
    ///
    /// If one is not there.
    pub fn find(pids: &[u32]) -> Result<Self, String> {
        let trees = pids.iter().map(|pid| Tree::new(*pid));
        trees.collect::<Result<_, _>>().map(Self)
    }

    /// Whether there are any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// CPU seconds of all so far; none if there are no servers.
    ///
    /// # Errors
    ///
    /// If one has ended.
    pub fn cpu_seconds(&mut self) -> Result<Option<f64>, String> {
        let sum = self.0.iter_mut().map(Tree::cpu_seconds).sum::<Result<f64, _>>()?;
        Ok((!self.0.is_empty()).then_some(sum))
    }

    /// The most memory that they had when this was called, now included; none if there are no servers.
    ///
    /// # Errors
    ///
    /// If one has ended.
    pub fn memory_peak_bytes(&mut self) -> Result<Option<u64>, String> {
        let sum = self
            .0
            .iter_mut()
            .map(Tree::memory_peak_bytes)
            .sum::<Result<u64, _>>()?;
        Ok((!self.0.is_empty()).then_some(sum))
    }
}

/// What all had used at some moment.
#[derive(Debug)]
pub struct Sample {
    at: Instant,
    own: Duration,
    threads: Vec<(Duration, Duration)>,
    /// CPU seconds of the servers.
    pub servers: Option<f64>,
}

impl Sample {
    /// Now, of these threads of this process, and of servers.
    ///
    /// # Errors
    ///
    /// If a server has ended.
    pub fn take(threads: &[Pid], servers: &mut Servers) -> Result<Self, String> {
        let servers = servers.cpu_seconds()?;
        let own = clock_gettime(ClockId::ProcessCPUTime);
        Ok(Self {
            at: clock::now(),
            own: Duration::try_from(own).unwrap_or_default(),
            threads: threads.iter().map(|thread| scheduled(*thread)).collect(),
            servers,
        })
    }

    /// What was used between another moment and this one, for so many requests.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "figures are shown with a few digits")]
    pub fn since(&self, before: &Self, requests: u64) -> Usage {
        let wall = self.at.duration_since(before.at).as_secs_f64().max(1e-9);
        let pairs = self.threads.iter().zip(&before.threads);
        let (busy, waited): (Vec<f64>, Vec<f64>) = pairs
            .map(|(now, then)| {
                let part = |now: Duration, then: Duration| now.saturating_sub(then).as_secs_f64() / wall;
                (part(now.0, then.0), part(now.1, then.1))
            })
            .unzip();
        let most = |all: &[f64]| all.iter().copied().fold(0.0, f64::max);
        let own = self.own.saturating_sub(before.own).as_secs_f64();
        let server = self.servers.zip(before.servers).map(|(now, then)| now - then);
        let requests = requests.max(1) as f64;
        let (busiest_thread, waited_for_core) = (most(&busy), most(&waited));
        Usage {
            generator_cpu_s: own,
            generator_us_per_request: own * 1e6 / requests,
            busiest_thread,
            waited_for_core,
            threads: self.threads.len(),
            server_cpu_s: server,
            server_us_per_request: server.map(|seconds| seconds * 1e6 / requests),
            server_cpu_after_s: None,
            server_memory_peak_bytes: None,
            generator_was_the_limit: busiest_thread > BUSY_MAX,
        }
    }
}

/// Time that a thread has run, and has waited for a core; zero where the kernel does not say.
fn scheduled(thread: Pid) -> (Duration, Duration) {
    let path = format!("/proc/self/task/{}/schedstat", thread.as_raw_nonzero());
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut fields = text.split_whitespace().map(|field| field.parse().unwrap_or(0));
    let mut next = || Duration::from_nanos(fields.next().unwrap_or(0));
    (next(), next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_seen() {
        let threads = [rustix::thread::gettid()];
        let mut servers = Servers::find(&[std::process::id()]).unwrap();
        let before = Sample::take(&threads, &mut servers).unwrap();
        let begin = clock::now();
        while begin.elapsed() < Duration::from_millis(200) {
            std::hint::spin_loop();
        }
        let usage = Sample::take(&threads, &mut servers).unwrap().since(&before, 100);
        assert!(
            usage.generator_cpu_s > 0.0 && usage.generator_us_per_request > 0.0,
            "{usage:?}"
        );
        assert!(usage.busiest_thread > 0.0, "{usage:?}");
        assert!(
            usage.server_cpu_s.is_some_and(|seconds| seconds > 0.0),
            "{usage:?}"
        );
        assert!(servers.memory_peak_bytes().unwrap() > Some(0));
        assert!(Servers::find(&[u32::MAX]).is_err());
    }

    #[test]
    fn a_busy_generator_says_so() {
        let quiet = Usage::default();
        assert!(quiet.warnings().is_empty());
        let busy = Usage {
            busiest_thread: 0.97,
            waited_for_core: 0.5,
            ..quiet
        };
        assert_eq!(busy.warnings().len(), 2);
        assert!(busy.warnings()[0].contains("97 %"));
    }
}
