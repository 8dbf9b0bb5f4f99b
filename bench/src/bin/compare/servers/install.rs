//! How peers are got: as far as possible below `target/`. Debian's packages are unpacked there. Installed, they would start a
//! service of the machine, and there could be one FTP server at a time.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Kind;
use super::programs::PEERS;

/// How a server is got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Install {
    /// It is built with this program.
    Ours,
    /// By apt, as root: a server that needs what only an installation sets up.
    Apt(&'static str),
    /// By apt, unpacked with all that it depends on and the machine has not.
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
            let packages = ["filegrid", "filegrid-meta", "filegridctl", "filegrid-bench"];
            let packages = packages.iter().flat_map(|package| ["-p", *package]);
            run(Command::new("cargo").args(["build", "--release"]).args(packages))
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
        .args(needed(packages)?)
        .current_dir(&downloads))?;
    let entries = std::fs::read_dir(&downloads).map_err(|error| error.to_string())?;
    let files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    for file in files {
        run(Command::new("dpkg").arg("-x").arg(file).arg(&root))?;
    }
    let _ = std::fs::remove_dir_all(&downloads);
    Ok(())
}

/// What an installation of packages would bring, as apt says that without doing it.
fn needed(packages: &[&str]) -> Result<Vec<String>, String> {
    let output = Command::new("apt-get")
        .args(["--simulate", "-q", "--no-install-recommends", "install"])
        .args(packages)
        .output()
        .map_err(|error| format!("apt-get: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let named = text.lines().filter_map(|line| line.strip_prefix("Inst "));
    let names: Vec<_> = named
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect();
    if names.is_empty() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "apt-get knows no way to {}: {}",
            packages.join(", "),
            why.trim()
        ));
    }
    Ok(names)
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    match command.stdin(std::process::Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{name} ended with {status}")),
        Err(error) => Err(format!("{name}: {error}")),
    }
}
