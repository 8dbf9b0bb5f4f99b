//! The process of a server.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use loadtest::clock;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};

/// Time within which a server has to be there.
const START_MAX: Duration = Duration::from_secs(60);
/// Time within which it has to be gone.
const END_MAX: Duration = Duration::from_secs(10);
/// Pause between two looks at a door: what a time until it is open is exact to.
const LOOK: Duration = Duration::from_millis(2);
/// Bytes of the end of a log that an error shows.
const TAIL_BYTES: usize = 2000;

/// A process with all that it starts. Ends when it is dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    log: PathBuf,
    begun: Instant,
    /// Age at which its first door was open.
    opened_after: Option<Duration>,
}

impl Process {
    /// Starts a program in a process group of its own; what it says goes to `log` in a directory.
    pub(super) fn start(command: &mut Command, directory: &Path) -> Result<Self, String> {
        let log = directory.join("log");
        let failed = |error: std::io::Error| format!("{}: {error}", command.get_program().to_string_lossy());
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(failed)?;
        let second = file.try_clone().map_err(failed)?;
        let begun = clock::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(second)
            .stderr(file)
            .process_group(0)
            .spawn();
        let failed = |error: std::io::Error| format!("{}: {error}", command.get_program().to_string_lossy());
        Ok(Self {
            child: child.map_err(failed)?,
            log,
            begun,
            opened_after: None,
        })
    }

    /// Its number.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Time from its start until somebody listened at the first port that was waited for.
    pub(super) fn opened_after(&self) -> Duration {
        self.opened_after.unwrap_or_default()
    }

    /// Waits until something is there, and gives it.
    pub(super) fn wait_for<T>(
        &mut self,
        what: &str,
        mut look: impl FnMut() -> Option<T>,
    ) -> Result<T, String> {
        loop {
            if let Some(found) = look() {
                return Ok(found);
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("it ended with {status}: {}", self.tail()));
            }
            if self.begun.elapsed() > START_MAX {
                return Err(format!(
                    "no {what} after {} s: {}",
                    START_MAX.as_secs(),
                    self.tail()
                ));
            }
            pause(LOOK);
        }
    }

    /// Waits until somebody listens there.
    pub(super) fn wait_for_port(&mut self, address: SocketAddr) -> Result<(), String> {
        self.wait_for("answer", || TcpStream::connect(address).ok().map(drop))?;
        self.opened_after.get_or_insert(self.begun.elapsed());
        Ok(())
    }

    /// Waits until it has said a line that begins so, and gives the rest of that.
    pub(super) fn wait_for_line(&mut self, begin: &str) -> Result<String, String> {
        let log = self.log.clone();
        self.wait_for(begin, || {
            let text = std::fs::read_to_string(&log).ok()?;
            // A line without its end may still be being written.
            let whole = text.get(..=text.rfind('\n')?)?;
            whole
                .lines()
                .find_map(|line| line.strip_prefix(begin))
                .map(str::to_owned)
        })
    }

    /// Waits until it has said where it listens, and does.
    pub(super) fn wait_for_address(&mut self) -> Result<SocketAddr, String> {
        let said = self.wait_for_line("listening ")?;
        let address = said.parse().map_err(|_| format!("{said} is no address"))?;
        self.wait_for_port(address)?;
        Ok(address)
    }

    /// The end of what it has said.
    fn tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let from = text.len().saturating_sub(TAIL_BYTES);
        String::from_utf8_lossy(text.get(from..).unwrap_or_default())
            .trim()
            .to_owned()
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may be gone already.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Sessions may have left the group (sshd's do), and nobody knows whose they are once their parent has ended.
        let all = descendants(self.child.id());
        self.signal(Signal::TERM);
        let told = clock::now();
        while let Ok(None) = self.child.try_wait() {
            if told.elapsed() > END_MAX {
                break;
            }
            pause(LOOK);
        }
        // Whoever is left of the group, the process itself included, and of the rest.
        self.signal(Signal::KILL);
        for one in all {
            let _ = pidfd_send_signal(one, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// Handles of all processes below one: a number could be another's by the time that it is used.
fn descendants(root: u32) -> Vec<OwnedFd> {
    let mut handles = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        let Ok(threads) = std::fs::read_dir(format!("/proc/{parent}/task")) else {
            continue;
        };
        for thread in threads.flatten() {
            let children = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            for child in children
                .split_whitespace()
                .filter_map(|pid| pid.parse::<u32>().ok())
            {
                let pid = i32::try_from(child).ok().and_then(Pid::from_raw);
                handles.extend(pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()));
                parents.push(child);
            }
        }
    }
    handles
}

/// An address on this machine that nobody listens at.
pub(super) fn free_address() -> Result<SocketAddr, String> {
    let socket = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    socket.map_err(|error| format!("no free port: {error}"))
}

/// Writes a file of a server's settings, and says where.
pub(super) fn configuration(directory: &Path, name: &str, text: &str) -> Result<PathBuf, String> {
    let path = directory.join(name);
    std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

#[allow(clippy::disallowed_methods, reason = "a bench may sleep")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
