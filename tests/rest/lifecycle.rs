//! Starting, and what is said when that is not possible; stopping, and what that does to connections.

#![allow(
    unsafe_code,
    reason = "a signal's default is restored, and a system call denied, between fork and exec"
)]

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::support::{Server, blobs, form, noise, request};

const MULTIPART: (&str, &str) = ("Content-Type", "multipart/form-data; boundary=b0");

fn program(data: &Path, listen: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_filegrid"));
    command
        .arg("--data")
        .arg(data)
        .args(["--listen", listen, "--shards", "2"]);
    command
        .env("FILEGRID_LOG_SEGMENT_MIB", "8")
        .env("FILEGRID_LOW_WATER_MIB", "1");
    for other in ["LISTEN_TLS", "ADMIN", "METRICS", "FTP", "FTPS", "SFTP"] {
        command.env(format!("FILEGRID_{other}"), "127.0.0.1:0");
    }
    command
}

/// Starts a node that does not come up: what it prints, and what it says of the reason.
fn refused(command: &mut Command) -> (String, String) {
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    (String::from_utf8(output.stdout).unwrap(), said)
}

/// Waits until a node serves, and ends it.
#[allow(clippy::disallowed_methods, reason = "a test's thread may sleep")]
fn starts(mut command: Command, data: &Path) {
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !data.join("ports.json").exists() {
        assert!(child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(10));
    }
    signal(child.id(), "TERM");
    assert!(child.wait().unwrap().success());
}

fn signal(pid: u32, name: &str) {
    let status = Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn a_port_belongs_to_one_node() {
    let mut server = Server::start();
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    for host in ["127.0.0.1", "0.0.0.0"] {
        let (_, said) = refused(&mut program(&data, &format!("{host}:{}", server.port)));
        assert!(said.contains("another program does"), "{said}");
        assert!(!data.exists(), "nothing is made for a node that cannot serve");
    }
    // The server closes this connection, so that something of it stays behind at the port.
    let close = [("Connection", "close")];
    let reply = server.request("", "GET", "/.well-known/jwks.json", &close, b"");
    assert_eq!(reply.status, 200);
    server.terminate();
    assert!(server.wait_for_end().success());
    starts(program(&data, &format!("127.0.0.1:{}", server.port)), &data);
}

#[test]
fn keys_are_shown_even_if_the_start_fails_later() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("tree"), "in the way").unwrap();
    let (shown, said) = refused(&mut program(&data, "127.0.0.1:0"));
    assert!(said.contains("tree"), "{said}");
    let names: Vec<_> = shown
        .lines()
        .map(|line| line.split(':').next().unwrap())
        .collect();
    assert_eq!(
        names,
        ["AssociationKey", "AccessKey", "SecretKey", "OperatorToken"]
    );
}

#[test]
fn a_start_that_is_not_possible_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    for data in [file.clone(), file.join("data"), PathBuf::from("/proc/filegrid")] {
        let (_, said) = refused(&mut program(&data, "127.0.0.1:0"));
        assert!(
            said.contains("cannot use") && said.contains(data.to_str().unwrap()),
            "{said}"
        );
    }
    let (_, said) = refused(&mut program(&directory.path().join("data"), "127.0.0.2.3:1"));
    assert!(said.contains("listen"), "{said}");
    // An address that this machine does not have.
    let (_, said) = refused(&mut program(&directory.path().join("data"), "192.0.2.1:0"));
    assert!(said.contains("cannot listen on 192.0.2.1:0"), "{said}");
    let server = Server::start();
    let (_, said) = refused(&mut program(server.data(), "127.0.0.1:0"));
    assert!(said.contains("in use by another filegrid"), "{said}");
}

#[test]
fn data_of_a_newer_program_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    starts(program(&data, "127.0.0.1:0"), &data);
    let state = std::fs::read_to_string(data.join("state")).unwrap();
    let line = state.lines().next().unwrap();
    let (before, after) = line.split_once("\"format\":").unwrap();
    let digits = after.find(|symbol: char| !symbol.is_ascii_digit()).unwrap();
    let newer = format!("{before}\"format\":999{}", &after[digits..]);
    let newer = format!("{newer}\n{:08x}\n", crc32fast::hash(newer.as_bytes()));
    std::fs::write(data.join("state"), &newer).unwrap();
    let (_, said) = refused(&mut program(&data, "127.0.0.1:0"));
    assert!(said.contains("is of format 999"), "{said}");
    assert_eq!(std::fs::read_to_string(data.join("state")).unwrap(), newer);
}

#[test]
fn a_kernel_that_refuses_io_uring_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = program(&directory.path().join("data"), "127.0.0.1:0");
    // SAFETY: only plain system calls are made between fork and exec.
    unsafe { command.pre_exec(deny_io_uring) };
    let (_, said) = refused(&mut command);
    assert!(said.contains("the kernel refuses io_uring"), "{said}");
}

/// Makes `io_uring_setup` fail with `EPERM`, as containers do.
fn deny_io_uring() -> std::io::Result<()> {
    /// The same on every architecture.
    const IO_URING_SETUP: u32 = 425;
    let step = |code: u32, jt, jf, k| libc::sock_filter {
        code: u16::try_from(code).unwrap_or_default(),
        jt,
        jf,
        k,
    };
    let mut filter = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, IO_URING_SETUP),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | 1),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: 4,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the program and its filter outlive the calls.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const program,
            ) == 0
    };
    if done {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}

/// A connection whose upload of a large file is half sent, and the rest of it.
fn half_upload(server: &Server) -> (crate::support::Connection, Vec<u8>) {
    let body = form(&[("f", "half", &noise(600_000, 9))], None);
    let mut bytes = request(&server.token, "POST", "/api/upload", &[MULTIPART], &body);
    let rest = bytes.split_off(400_000);
    let mut connection = server.connect();
    connection.send(&bytes);
    // It has a file of its own by the time there is one.
    while blobs(server.data()).is_empty() {
        std::thread::yield_now();
    }
    (connection, rest)
}

#[test]
fn a_stop_closes_idle_connections_and_lets_transfers_finish() {
    let mut server = Server::start();
    let mut never_used = server.connect();
    let mut used = server.connect();
    used.send(&request("", "GET", "/.well-known/jwks.json", &[], b""));
    assert_eq!(used.reply("GET").status, 200);
    let (mut upload, rest) = half_upload(&server);
    server.terminate();
    assert!(never_used.is_closed() && used.is_closed());
    upload.send(&rest);
    assert_eq!(upload.reply("POST").status, 200);
    assert!(upload.is_closed());
    assert!(server.wait_for_end().success());
}

#[test]
fn what_does_not_finish_by_the_deadline_is_cut_off_and_leaves_nothing() {
    let mut server = Server::start_with(&[("drain_s", "1")]);
    server.announce("did not finish in time");
    let (mut upload, _) = half_upload(&server);
    server.terminate();
    assert!(server.wait_for_end().success());
    assert!(upload.is_closed());
    assert_eq!(blobs(server.data()), Vec::<PathBuf>::new());
    server.start_again();
    assert_eq!(server.tree(), ["/"]);
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a test's thread may sleep")]
fn a_second_signal_ends_at_once() {
    for (name, number) in [("TERM", 15), ("INT", 2)] {
        let mut server = Server::start();
        server.call("/api/mkdir", json!({"Params": "/kept"}));
        let (_upload, _) = half_upload(&server);
        signal(server.pid(), name);
        while !server.log().contains("stopping") {
            std::thread::sleep(Duration::from_millis(10));
        }
        signal(server.pid(), name);
        assert_eq!(server.wait_for_end().code(), Some(128 + number));
        server.start_again();
        assert_eq!(server.tree(), ["/", "/kept"]);
    }
}
