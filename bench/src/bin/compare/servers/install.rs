//! How peers are got. As far as possible below `target/`; Debian's packages that cannot be installed beside each other are
//! unpacked there.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Kind;
use super::programs::PEERS;

/// Libraries of the packages that are unpacked, as far as systems do not have them.
const LIBRARIES: [&str; 6] = [
    "libhiredis0.14",
    "libmemcached11",
    "libmemcachedutil2",
    "libpcre2-posix3",
    "libsodium23",
    "libwrap0",
];

/// How a server is got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Install {
    /// It is built with this program.
    Ours,
    /// By apt, as root.
    Apt(&'static str),
    /// By apt, unpacked only: Debian has one FTP server at a time.
    Unpack(&'static [&'static str]),
    /// By pip: package and version.
    Pip(&'static str),
    /// By cargo: crate and version.
    Cargo(&'static str),
    /// By cargo, from this repository: the directory of a workspace.
    Workspace(&'static str),
    /// No package has it.
    Nowhere,
}

/// Gets a server.
///
/// # Errors
///
/// If that is not possible here.
pub(crate) fn install(kind: &Kind) -> Result<(), String> {
    let peers = std::env::current_dir()
        .map_err(|error| error.to_string())?
        .join(PEERS);
    std::fs::create_dir_all(&peers).map_err(|error| format!("{}: {error}", peers.display()))?;
    match kind.install {
        // Not more than a look, where all is built.
        Install::Ours => {
            run(Command::new("cargo").args(["build", "--release", "-p", "filegrid", "-p", "filegrid-bench"]))
        }
        Install::Apt(package) => run(Command::new("apt-get").args(["install", "-qy", package])),
        Install::Unpack(packages) => unpack(&peers, packages),
        Install::Pip(package) => {
            let python = peers.join("python");
            run(Command::new("python3").args(["-m", "venv"]).arg(&python))?;
            run(Command::new(python.join("bin/pip")).args(["install", "-q", package]))
        }
        Install::Cargo(package) => run(Command::new("cargo")
            .args(["install", "--quiet", "--locked", "--root"])
            .arg(&peers)
            .arg(package)),
        Install::Workspace(directory) => run(Command::new("cargo")
            .args(["install", "--quiet", "--locked", "--root"])
            .arg(&peers)
            .args(["--path", directory])),
        Install::Nowhere => Err("no package has it".to_owned()),
    }
}

fn unpack(peers: &Path, packages: &[&str]) -> Result<(), String> {
    let (downloads, root) = (peers.join("downloads"), peers.join("packages"));
    let _ = std::fs::remove_dir_all(&downloads);
    for directory in [&downloads, &root] {
        std::fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    }
    run(Command::new("apt-get")
        .args(["download", "-q"])
        .args(packages)
        .args(LIBRARIES)
        .current_dir(&downloads))?;
    let entries = std::fs::read_dir(&downloads).map_err(|error| error.to_string())?;
    let files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    for file in files {
        run(Command::new("dpkg").arg("-x").arg(file).arg(&root))?;
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    match command.stdin(std::process::Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{name} ended with {status}")),
        Err(error) => Err(format!("{name}: {error}")),
    }
}
