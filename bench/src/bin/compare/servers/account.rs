//! An account of the system, for servers that know no others.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use loadtest::cli::{FtpTls, Passive};
use loadtest::plan::{Access, FtpAccess};
use loadtest::tls::Trust;

/// Name and password.
const USER: &str = "fgbench";
const PASSWORD: &str = "bench-4711";

/// Makes sure that it is there, and that a directory is its home.
pub(super) fn make(home: &Path) -> Result<(), String> {
    let known = Command::new("id")
        .arg(USER)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !known.is_ok_and(|status| status.success()) {
        run(Command::new("useradd").args(["--no-create-home", "--shell", "/bin/bash", USER]))?;
        let mut child = Command::new("chpasswd")
            .stdin(Stdio::piped())
            .spawn()
            .map_err(|error| format!("chpasswd: {error}"))?;
        if let Some(mut input) = child.stdin.take() {
            writeln!(input, "{USER}:{PASSWORD}").map_err(|error| error.to_string())?;
        }
        child.wait().map_err(|error| error.to_string())?;
    }
    run(Command::new("usermod").arg("--home").arg(home).arg(USER))?;
    run(Command::new("chown").arg(USER).arg(home))
}

/// How it is used.
pub(super) fn access(tls: Option<FtpTls>, trust: &Trust) -> Access {
    Access::Ftp(FtpAccess {
        user: USER.to_owned(),
        password: PASSWORD.to_owned(),
        tls,
        passive: Passive::Epsv,
        trust: trust.clone(),
    })
}

/// Removes it, if it is there. No server may run any more.
pub(crate) fn remove() {
    let _ = Command::new("userdel")
        .arg(USER)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|error| format!("{name}: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{name} ended with {status}"))
    }
}
