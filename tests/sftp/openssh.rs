//! OpenSSH's own clients.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::client::{NAME, OK, PASSWORD, PUT, Sftp, server, until};
use crate::programs::{directory, run, well};
use crate::support::{Server, noise};

/// A command that is told anna's password when it asks.
pub(crate) fn asked(server: &Server, program: &str) -> Command {
    let tell = directory(server, "ask").join("tell");
    if !tell.exists() {
        std::fs::write(&tell, format!("#!/bin/sh\necho '{PASSWORD}'\n")).unwrap();
        std::fs::set_permissions(&tell, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    }
    let mut command = Command::new(program);
    command
        .env("SSH_ASKPASS", &tell)
        .env("SSH_ASKPASS_REQUIRE", "force");
    command
}

/// One of OpenSSH's own, which trusts every server.
pub(crate) fn command(server: &Server, program: &str) -> Command {
    let mut command = asked(server, program);
    command
        .args(["-q", "-F", "/dev/null", "-o", "UserKnownHostsFile=/dev/null"])
        .args(["-o", "StrictHostKeyChecking=no", "-o", "PubkeyAuthentication=no"]);
    command
}

/// Runs a batch of sftp's commands in a directory.
fn batch(server: &Server, at: &Path, options: &[&str], batch: &str) -> Option<Output> {
    let file = directory(server, "ask").join("batch");
    std::fs::write(&file, batch).unwrap();
    let mut command = command(server, "sftp");
    command
        // -b alone would not ask for a password.
        .args(["-o", "BatchMode=no", "-b"])
        .arg(file)
        .args(options)
        .args([
            "-P",
            &server.port_of("sftp").to_string(),
            &format!("{NAME}@127.0.0.1"),
        ]);
    run(command.current_dir(at))
}

#[test]
fn sftp_in_a_batch() {
    let server = server();
    let at = directory(&server, "files");
    let bytes = noise(1_000_000, 1);
    std::fs::write(at.join("up"), &bytes).unwrap();
    std::fs::create_dir_all(at.join("tree/below/deep")).unwrap();
    for n in 0..30 {
        std::fs::write(at.join(format!("tree/below/f{n}")), noise(n * 500, n as u64)).unwrap();
    }
    let commands = "put up\nls -l\nget up down\nmkdir d\nput -p up d/x\nrename d/x d/y\nls -la d\nrm up\ndf\n\
                    put -R tree\nget -R tree back\ncopy d/y d/z\nchmod 600 d/z\n";
    let Some(output) = batch(&server, &at, &[], commands) else {
        return;
    };
    let said = well(&output);
    assert!(said.contains("1000000"), "{said}");
    assert_eq!(std::fs::read(at.join("down")).unwrap(), bytes);
    assert_eq!(server.get("/d/y").body, bytes);
    assert_eq!(server.get("/d/z").body, bytes);
    assert_eq!(server.get("/up").status, 404);
    for n in 0..30 {
        let name = format!("below/f{n}");
        let sent = std::fs::read(at.join("tree").join(&name)).unwrap();
        assert_eq!(std::fs::read(at.join("back").join(&name)).unwrap(), sent);
    }
    for refused in [
        "ln up x",
        "symlink up x",
        "get none",
        "rmdir tree",
        "put up none/x",
    ] {
        let output = batch(&server, &at, &[], refused).unwrap();
        assert!(!output.status.success(), "{refused}");
    }
}

#[test]
fn sftp_with_many_and_with_few_requests_at_a_time() {
    let server = server();
    let at = directory(&server, "files");
    let bytes = noise(3_000_001, 2);
    std::fs::write(at.join("up"), &bytes).unwrap();
    for (requests, size) in [
        ("1", "32768"),
        ("64", "1024"),
        ("512", "32768"),
        ("1024", "1024"),
        ("1024", "261120"),
    ] {
        let options = ["-R", requests, "-B", size];
        let Some(output) = batch(&server, &at, &options, "put up\nget up down\nrm up\n") else {
            return;
        };
        well(&output);
        assert!(std::fs::read(at.join("down")).unwrap() == bytes, "{options:?}");
    }
}

#[test]
fn sftp_goes_on_where_it_was_cut_off() {
    let server = server();
    let at = directory(&server, "files");
    let bytes = noise(500_000, 3);
    std::fs::write(at.join("f"), &bytes).unwrap();
    let mut sftp = Sftp::start(&server);
    let open = sftp.open("/f", PUT);
    assert_eq!(sftp.write(&open, 0, &bytes[..123_456]), OK);
    sftp.drop_connection();
    let mut sftp = Sftp::start(&server);
    until(|| sftp.stat("/f").ok());
    let Some(output) = batch(&server, &at, &[], "reput f\n") else {
        return;
    };
    well(&output);
    assert_eq!(server.get("/f").body, bytes);
    std::fs::write(at.join("back"), &bytes[..200_000]).unwrap();
    well(&batch(&server, &at, &[], "reget f back\n").unwrap());
    assert_eq!(std::fs::read(at.join("back")).unwrap(), bytes);
}

/// Runs scp with paths, of which those that begin with `:` are the server's.
pub(crate) fn scp(server: &Server, options: &[&str], paths: &[&str]) -> Option<Output> {
    let mut command = command(server, "scp");
    let port = server.port_of("sftp").to_string();
    command.args(["-P", &port]).args(options);
    for path in paths {
        let there = path
            .strip_prefix(':')
            .map(|path| format!("{NAME}@127.0.0.1:{path}"));
        command.arg(there.map_or_else(|| PathBuf::from(path), PathBuf::from));
    }
    run(command.current_dir(directory(server, "files")))
}

#[test]
fn scp_both_ways() {
    let server = server();
    let at = directory(&server, "files");
    let bytes = noise(400_000, 4);
    std::fs::write(at.join("up"), &bytes).unwrap();
    std::fs::create_dir_all(at.join("tree/below")).unwrap();
    std::fs::write(at.join("tree/below/f"), b"below").unwrap();
    let Some(output) = scp(&server, &["-p"], &["up", ":/x"]) else {
        return;
    };
    well(&output);
    assert_eq!(server.get("/x").body, bytes);
    well(&scp(&server, &[], &[":/x", "down"]).unwrap());
    assert_eq!(std::fs::read(at.join("down")).unwrap(), bytes);
    well(&scp(&server, &["-r"], &["tree", ":/"]).unwrap());
    assert_eq!(server.get("/tree/below/f").body, b"below");
    well(&scp(&server, &["-r"], &[":/tree", "back"]).unwrap());
    assert_eq!(std::fs::read(at.join("back/below/f")).unwrap(), b"below");
    assert!(!scp(&server, &[], &[":/none", "none"]).unwrap().status.success());
}

#[test]
fn ssh_is_told_what_is_served() {
    let server = server();
    for arguments in [&[][..], &["ls"]] {
        let mut ssh = command(&server, "ssh");
        let port = server.port_of("sftp").to_string();
        ssh.args(["-p", &port, &format!("{NAME}@127.0.0.1")])
            .args(arguments);
        let Some(output) = run(ssh.stdin(std::process::Stdio::null())) else {
            return;
        };
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("Only sftp and scp"), "{said}");
    }
}
