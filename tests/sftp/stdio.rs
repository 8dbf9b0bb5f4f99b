//! `filegrid sftp-stdio`: SFTP on standard input and output.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::client::{NAME, server};
use crate::programs::{directory, run, well};
use crate::support::{Server, noise, poll};

const PROGRAM: &str = env!("CARGO_BIN_EXE_filegrid");

/// The program, for an account, as a command without arguments of its own: OpenSSH's sftp has some for it.
fn wrapper(server: &Server, name: &str) -> PathBuf {
    let path = directory(server, "stdio").join("serve");
    let data = server.data().display();
    let script = format!("#!/bin/sh\nexec '{PROGRAM}' sftp-stdio --data '{data}' --user '{name}'\n");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    path
}

fn begin(data: &Path, name: &str) -> Child {
    let mut command = Command::new(PROGRAM);
    command.args(["sftp-stdio", "--user", name, "--data"]).arg(data);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// What somebody is told who gets no session.
fn refused(data: &Path, name: &str) -> String {
    let mut child = begin(data, name);
    drop(child.stdin.take());
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn openssh_runs_it_as_a_server() {
    let server = server();
    let at = directory(&server, "files");
    let bytes = noise(3_000_000, 1);
    std::fs::write(at.join("up"), &bytes).unwrap();
    std::fs::write(
        at.join("batch"),
        "mkdir d\nput up d/x\nls -la d\nget d/x down\nrename d/x d/y\n",
    )
    .unwrap();
    let mut sftp = Command::new("sftp");
    sftp.arg("-b")
        .arg(at.join("batch"))
        .arg("-D")
        .arg(wrapper(&server, NAME));
    let Some(output) = run(sftp.current_dir(&at)) else {
        return;
    };
    assert!(well(&output).contains("3000000"));
    assert_eq!(std::fs::read(at.join("down")).unwrap(), bytes);
    assert_eq!(server.get("/d/y").body, bytes);
}

/// A reply that is in the pipe is read, although the program has nothing to do by then.
#[test]
#[allow(clippy::disallowed_methods, reason = "a test's thread may sleep")]
fn a_reply_can_be_read_however_late() {
    let server = server();
    let mut child = begin(server.data(), NAME);
    for request in 0..3_u32 {
        let ask = if request == 0 {
            vec![0, 0, 0, 5, 1, 0, 0, 0, 3]
        } else {
            // STAT of the root.
            let mut stat = vec![0, 0, 0, 10, 17];
            stat.extend_from_slice(&request.to_be_bytes());
            stat.extend_from_slice(b"\0\0\0\x01/");
            stat
        };
        child.stdin.as_mut().unwrap().write_all(&ask).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(200));
        let out = child.stdout.as_mut().unwrap();
        let mut length = [0; 4];
        out.read_exact(&mut length).unwrap();
        let mut reply = vec![0; u32::from_be_bytes(length) as usize];
        out.read_exact(&mut reply).unwrap();
        assert_eq!(reply[0], if request == 0 { 2 } else { 105 });
    }
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn who_may_not_is_told_why() {
    let mut server = server();
    let socket = server.data().join("sftp.sock");
    let found = std::fs::metadata(&socket).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    assert!(refused(server.data(), "nobody").contains("no account nobody"));
    let nowhere = directory(&server, "nowhere");
    assert!(refused(&nowhere, NAME).contains("no node can be reached"));
    // A socket that was left behind is no hindrance.
    server.kill_and_restart();
    let mut child = begin(server.data(), NAME);
    greet(&mut child);
    drop(child.stdin.take());
    assert!(
        child.wait().unwrap().success(),
        "a client that says no more ends it"
    );
}

#[test]
fn a_changed_account_ends_it_and_so_does_the_node() {
    let mut server = server();
    let id = server.add_account("bert", "secret-4711", "/bert", "RW");
    let mut bert = begin(server.data(), "bert");
    greet(&mut bert);
    server.delete_account(id);
    bert.wait().unwrap();
    let mut anna = begin(server.data(), NAME);
    greet(&mut anna);
    server.stop_and_restart();
    anna.wait().unwrap();
}

#[test]
fn what_is_no_sftp_ends_it() {
    use std::os::unix::net::UnixStream;
    let server = server();
    let mut child = begin(server.data(), NAME);
    child.stdin.as_mut().unwrap().write_all(&[0xff; 64]).unwrap();
    child.wait().unwrap();
    for said in [
        vec![b'x'; 4096],
        b"{}\n".to_vec(),
        b"{\"account\":\"anna\",\"more\":1}\n".to_vec(),
    ] {
        let mut stream = UnixStream::connect(server.data().join("sftp.sock")).unwrap();
        // It may have hung up before it has got all of it.
        let _ = stream.write_all(&said);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert_eq!(answer, b"");
    }
    poll(|| server.probe("/livez").status == 200);
}

/// Begins SFTP, and sees that it is spoken.
fn greet(child: &mut Child) {
    child
        .stdin
        .as_mut()
        .unwrap()
        .write_all(&[0, 0, 0, 5, 1, 0, 0, 0, 3])
        .unwrap();
    let mut answer = [0; 9];
    child.stdout.as_mut().unwrap().read_exact(&mut answer).unwrap();
    assert_eq!(answer[4..], [2, 0, 0, 0, 3]);
}
