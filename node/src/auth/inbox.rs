//! Changes of the registry that the command line asks for: a directory in which they wait for the node to take them to the
//! cluster, whether it runs or not.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use filegrid_meta::registry::Command;
use filegrid_meta::secret;

use super::copy::read_data;
use crate::clock;
use crate::error::Error;
use crate::private;

/// How often it is looked whether the node has taken a change, and how many times.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
const LOOKS: usize = 20;

/// What has become of a change that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The node has taken it to the cluster.
    Taken,
    /// It waits for the node, or for the cluster.
    Waits,
}

/// Asks the node of a `DATA` for a change, and waits a moment for it to be taken.
///
/// # Errors
///
/// If the registry as the node knows it refuses the change, or there is none, or it cannot be written down.
#[allow(clippy::disallowed_methods, reason = "a plain thread, which may sleep")]
pub(crate) fn ask(data: &Path, command: &Command) -> Result<Asked, Error> {
    read_data(data).map_err(Error::Disk)?.resolve(command)?;
    let path = leave(data, command).map_err(Error::Disk)?;
    for _ in 0..LOOKS {
        if !path.exists() {
            return Ok(Asked::Taken);
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
    Ok(Asked::Waits)
}

/// Writes a change down, durably.
pub(super) fn leave(data: &Path, command: &Command) -> Result<PathBuf, String> {
    let directory = directory(data);
    // In the order in which they were asked for.
    let name = format!("{:020}-{}", clock::now_us(), secret::random_text(9)?);
    let path = directory.join(format!("{name}.json"));
    let write = || -> std::io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        private::replace(&path, &serde_json::to_vec(command)?)
    };
    write().map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    Ok(path)
}

/// A change that waits.
pub(crate) struct Waiting {
    path: PathBuf,
    /// What is asked for; or why nobody knows.
    pub command: Result<Command, String>,
}

impl Waiting {
    /// It was decided, one way or the other.
    pub(crate) fn finish(self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::error!(%error, path = %self.path.display(), "a change of the registry that was done stays there");
        }
    }
}

/// What waits in a `DATA`, in the order in which it was asked for.
pub(crate) fn waiting(data: &Path) -> Vec<Waiting> {
    let entries = std::fs::read_dir(directory(data)).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    paths.sort();
    let read = |path: PathBuf| {
        let bytes = std::fs::read(&path).map_err(|error| error.to_string());
        let command =
            bytes.and_then(|bytes| serde_json::from_slice(&bytes).map_err(|error| error.to_string()));
        Waiting { path, command }
    };
    paths.into_iter().map(read).collect()
}

fn directory(data: &Path) -> PathBuf {
    data.join("registry.inbox")
}
