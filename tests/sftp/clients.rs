//! Other clients that people use.

use std::process::Command;

use crate::client::{NAME, PASSWORD, server, server_with, until};
use crate::programs::{directory, lacks, run, well};
use crate::support::noise;

/// Whether a client of Python is there.
fn has(module: &str) -> bool {
    let mut command = Command::new("python3");
    let found = run(command.args(["-c", &format!("import {module}")]));
    let found = found.is_some_and(|output| output.status.success());
    if !found {
        lacks(module);
    }
    found
}

#[test]
fn clients_of_python() {
    for module in ["paramiko", "asyncssh"] {
        if !has(module) {
            continue;
        }
        let server = server();
        let script = format!("{}/../tests/sftp/{module}_client.py", env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new("python3");
        command
            .args([&script, &server.port_of("sftp").to_string(), NAME, PASSWORD])
            .current_dir(directory(&server, "files"));
        let output = run(&mut command).unwrap();
        assert_eq!(well(&output), "done\n");
    }
}

#[test]
fn lftp_and_rclone() {
    let server = server();
    let at = directory(&server, "files");
    let bytes = noise(600_000, 1);
    std::fs::create_dir_all(at.join("tree/below")).unwrap();
    std::fs::write(at.join("tree/up"), &bytes).unwrap();
    std::fs::write(at.join("tree/below/f"), b"below").unwrap();
    let port = server.port_of("sftp").to_string();
    let mut lftp = Command::new("lftp");
    let script = format!(
        "set sftp:auto-confirm yes; set net:max-retries 1; set sftp:connect-program 'ssh -a -x -F /dev/null -o \
         UserKnownHostsFile=/dev/null'; open -u '{NAME},{PASSWORD}' sftp://127.0.0.1:{port}; mirror -R tree; get \
         tree/up -o down; cls tree; mv tree moved; rm moved/up"
    );
    if let Some(output) = run(lftp.args(["-c", &script]).current_dir(&at)) {
        let said = well(&output);
        assert!(said.contains("tree/up"), "{said}");
        assert_eq!(std::fs::read(at.join("down")).unwrap(), bytes);
        assert_eq!(server.get("/moved/below/f").body, b"below");
        assert_eq!(server.get("/moved/up").status, 404);
    }
    let Some(obscured) = run(Command::new("rclone").args(["obscure", PASSWORD])) else {
        return;
    };
    let there = format!(
        ":sftp,host=127.0.0.1,port={port},user={NAME},pass={},shell_type=none:",
        well(&obscured).trim()
    );
    for arguments in [
        &["copy", "tree", "copied"][..],
        &["check", "--download", "tree", "copied"],
        &["moveto", "copied/up", "copied/there"],
        &["deletefile", "copied/there"],
    ] {
        let mut rclone = Command::new("rclone");
        rclone.env("RCLONE_CONFIG", "/dev/null").arg(arguments[0]);
        for argument in &arguments[1..] {
            let remote = argument.starts_with("copied");
            rclone.arg(if remote {
                format!("{there}{argument}")
            } else {
                (*argument).to_owned()
            });
        }
        well(&run(rclone.current_dir(&at)).unwrap());
    }
    assert_eq!(server.get("/copied/below/f").body, b"below");
    assert_eq!(server.get("/copied/there").status, 404);
}

/// A mounted tree, until it is dropped.
struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("fusermount3").arg("-u").arg(&self.0).status();
    }
}

#[test]
fn sshfs() {
    // Not every machine lets a test mount anything.
    if std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/fuse")
        .is_err()
    {
        return println!("skipped: no FUSE");
    }
    let server = server();
    let at = directory(&server, "mounted");
    let mut mount = crate::openssh::asked(&server, "sshfs");
    mount
        .arg(format!("{NAME}@127.0.0.1:/"))
        .arg(&at)
        .args(["-F", "/dev/null", "-p", &server.port_of("sftp").to_string()])
        .args([
            "-o",
            "UserKnownHostsFile=/dev/null,StrictHostKeyChecking=no,PubkeyAuthentication=no",
        ]);
    let Some(output) = run(&mut mount) else { return };
    well(&output);
    let mounted = Mounted(at.clone());
    let bytes = noise(2_000_000, 3);
    std::fs::write(at.join("whole"), &bytes).unwrap();
    // sshfs closes files behind the back of who has written them.
    until(|| (server.get("/whole").body == bytes).then_some(()));
    assert!(std::fs::read(at.join("whole")).unwrap() == bytes);
    let mut file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(at.join("whole"))
        .unwrap();
    let mut expected = bytes;
    for n in 0..10_usize {
        std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(n as u64 * 99_999)).unwrap();
        std::io::Write::write_all(&mut file, &[7; 5_000]).unwrap();
        expected[n * 99_999..][..5_000].fill(7);
    }
    file.sync_all().unwrap();
    drop(file);
    until(|| (server.get("/whole").body == expected).then_some(()));
    assert!(std::fs::read(at.join("whole")).unwrap() == expected);
    std::fs::create_dir(at.join("d")).unwrap();
    std::fs::rename(at.join("whole"), at.join("d/moved")).unwrap();
    let names: Vec<_> = std::fs::read_dir(at.join("d"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["moved"]);
    assert!(std::fs::remove_dir(at.join("d")).is_err());
    std::fs::remove_file(at.join("d/moved")).unwrap();
    std::fs::remove_dir(at.join("d")).unwrap();
    drop(mounted);
    assert_eq!(server.tree(), ["/"]);
}

#[test]
fn old_clients_need_a_switch() {
    let bytes = noise(300_000, 2);
    for (switch, works) in [("true", true), ("false", false)] {
        let server = server_with(&[("sftp_old_clients", switch)]);
        let at = directory(&server, "files");
        std::fs::write(at.join("up"), &bytes).unwrap();
        let old = [
            "-o",
            "Ciphers=aes128-ctr",
            "-o",
            "KexAlgorithms=diffie-hellman-group14-sha256",
        ];
        let old = [
            &old[..],
            &[
                "-o",
                "HostKeyAlgorithms=ecdsa-sha2-nistp256",
                "-o",
                "MACs=hmac-sha2-256",
            ],
        ]
        .concat();
        let mut scp = crate::openssh::command(&server, "scp");
        scp.args(old)
            .args(["-P", &server.port_of("sftp").to_string(), "up"]);
        scp.arg(format!("{NAME}@127.0.0.1:/old")).current_dir(&at);
        let Some(output) = run(&mut scp) else { return };
        assert_eq!(output.status.success(), works);
        if !works {
            continue;
        }
        assert_eq!(server.get("/old").body, bytes);
        let url = format!("sftp://127.0.0.1:{}/by-curl", server.port_of("sftp"));
        let mut curl = Command::new("curl");
        curl.args(["-sSk", "-u", &format!("{NAME}:{PASSWORD}"), "-T", "up", &url]);
        let Some(output) = run(curl.current_dir(&at)) else {
            return;
        };
        // There are builds of curl without SSH.
        if output.status.code() == Some(1) {
            return println!("skipped: no sftp in curl");
        }
        well(&output);
        assert_eq!(server.get("/by-curl").body, bytes);
    }
}

#[test]
fn whoever_audits_finds_no_failure() {
    let server = server();
    let mut audit = Command::new("ssh-audit");
    audit.args([
        "-n",
        "-l",
        "fail",
        "-p",
        &server.port_of("sftp").to_string(),
        "127.0.0.1",
    ]);
    let Some(output) = run(&mut audit) else { return };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!said.contains("[fail]"), "{said}");
    // 3 is what it calls a failure; warnings are about what a client without new key exchange would use.
    assert!(
        matches!(output.status.code(), Some(0 | 2)),
        "{:?}: {said}",
        output.status
    );
}
