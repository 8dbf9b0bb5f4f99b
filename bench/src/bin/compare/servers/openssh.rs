//! OpenSSH's server with its own SFTP, for whoever runs this, by a key that is made for it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use loadtest::plan::{Access, SftpAccess};

use super::process::{Process, configuration, free_address};
use super::programs::Program;
use super::{Door, FILES, Install, Kind, PEER, Place, Running, Service};

pub(super) fn kind() -> Kind {
    Kind {
        name: "OpenSSH",
        speaks: &[Service::Sftp],
        install: Install::Apt("openssh-server"),
        version: || Program::find("sshd")?.version(&["-V"]),
        start,
        ..PEER
    }
}

fn start(place: &Place) -> Result<Running, String> {
    let files = place.files()?;
    let address = free_address()?;
    let user = key(place, "user")?;
    let host = key(place, "host")?;
    if rustix::process::geteuid().is_root() {
        // It wants this directory, for a chroot of its own.
        std::fs::create_dir_all("/run/sshd").map_err(|error| format!("/run/sshd: {error}"))?;
    }
    let login = Command::new("id")
        .arg("-un")
        .output()
        .map_err(|error| format!("id: {error}"))?;
    let settings = format!(
        "ListenAddress {address}\nHostKey {}\nAuthorizedKeysFile {}.pub\nStrictModes no\nPidFile none\nUsePAM no\n\
         PermitRootLogin yes\nUseDNS no\nLogLevel ERROR\nSubsystem sftp internal-sftp\nMaxStartups 4000\nMaxSessions 100\n",
        host.display(),
        user.display()
    );
    let settings = configuration(&place.directory, "sshd.conf", &settings)?;
    let mut command = Program::need("sshd")?.command();
    let mut process = Process::start(command.args(["-D", "-e", "-f"]).arg(settings), &place.directory)?;
    process.wait_for_port(address)?;
    let access = Access::Sftp(SftpAccess {
        user: String::from_utf8_lossy(&login.stdout).trim().to_owned(),
        password: None,
        key: Some(user),
        host_keys: None,
        cipher: None,
    });
    let door = Door {
        // Only a chroot could make another directory the root of paths, and that takes directories that are root's all the way.
        base: files.display().to_string(),
        ..Door::new(Service::Sftp, &format!("sftp://{address}"), access, FILES)?
    };
    Ok(Running::new(process, vec![door], Some(files)))
}

fn key(place: &Place, name: &str) -> Result<PathBuf, String> {
    let path = place.directory.join(name);
    let status = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&path)
        .stdin(Stdio::null())
        .status();
    match status {
        Ok(status) if status.success() => Ok(path),
        Ok(status) => Err(format!("ssh-keygen ended with {status}")),
        Err(error) => Err(format!("ssh-keygen: {error}")),
    }
}
