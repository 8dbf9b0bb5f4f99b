//! Where programs are: got by `--install`, or the system's.

use std::ffi::OsString;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Where `--install` puts what it gets.
pub(super) const PEERS: &str = "target/peers";
/// Time within which a program says its version.
const SAID_WITHIN: Duration = Duration::from_secs(5);

/// A program that is there.
#[derive(Clone, Debug)]
pub(super) struct Program {
    path: PathBuf,
    /// Root of the unpacked packages, with the libraries that came with them.
    unpacked: Option<PathBuf>,
}

impl Program {
    /// Looks for a program.
    pub(super) fn find(name: &str) -> Option<Self> {
        let peers = std::env::current_dir().ok()?.join(PEERS);
        let unpacked = peers.join("packages");
        let ours = [peers.join("bin"), peers.join("python/bin")].map(|directory| (directory, None));
        let packages =
            ["usr/sbin", "usr/bin"].map(|directory| (unpacked.join(directory), Some(unpacked.clone())));
        let path = std::env::var_os("PATH").unwrap_or_default();
        // Daemons are not in everybody's path.
        let system = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
        let system = system.map(|directory| (directory, None));
        ours.into_iter()
            .chain(packages)
            .chain(system)
            .find_map(|(directory, unpacked)| {
                let path = directory.join(name);
                path.is_file().then_some(Self { path, unpacked })
            })
    }

    /// The same, or an error that says that it is not there.
    pub(super) fn need(name: &str) -> Result<Self, String> {
        Self::find(name).ok_or_else(|| format!("{name} is not installed: compare --install"))
    }

    /// A command that runs it.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        if let Some(libraries) = self.unpacked.as_deref().map(libraries) {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }

    /// Where it is installed, `/usr` for most: below it are its libraries.
    pub(super) fn prefix(&self) -> Option<PathBuf> {
        let path = self.path.canonicalize().ok()?;
        Some(path.parent()?.parent()?.to_owned())
    }

    /// The first word with a digit of what it prints: its version.
    pub(super) fn version(&self, arguments: &[&str]) -> Option<String> {
        let output = self.command().args(arguments).output().ok()?;
        version_in(&[output.stdout, output.stderr].concat())
    }

    /// The same of a program that prints it to its standard input.
    pub(super) fn version_said_to_input(&self, argument: &str) -> Option<String> {
        let (mut ours, theirs) = UnixStream::pair().ok()?;
        ours.set_read_timeout(Some(SAID_WITHIN)).ok()?;
        let input = OwnedFd::from(theirs);
        let mut child = self.command().arg(argument).stdin(input).spawn().ok()?;
        let mut text = [0; 100];
        let said = ours.read(&mut text);
        child.kill().ok()?;
        child.wait().ok()?;
        version_in(text.get(..said.ok()?)?)
    }
}

/// The first word with a digit in a text.
fn version_in(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let is_version = |word: &&str| {
        word.trim_start_matches('v')
            .starts_with(|letter: char| letter.is_ascii_digit())
            && word.contains('.')
    };
    let words = text.split(|letter: char| letter.is_whitespace() || "/_,()".contains(letter));
    let version = words.map(|word| word.trim_end_matches(':')).find(is_version)?;
    Some(version.trim_start_matches('v').to_owned())
}

/// Directories of libraries in an unpacked package.
fn libraries(root: &Path) -> OsString {
    let lists = ["lib", "usr/lib"].map(|directory| std::fs::read_dir(root.join(directory)));
    let directories = lists
        .into_iter()
        .flatten()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    std::env::join_paths(directories.filter(|path| path.is_dir())).unwrap_or_default()
}

/// A program of this workspace, beside this one.
pub(super) fn ours(name: &str) -> Option<PathBuf> {
    let path = std::env::current_exe().ok()?.with_file_name(name);
    path.is_file().then_some(path)
}
