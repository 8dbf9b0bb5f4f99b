//! SFTP and SCP on a node that does not have the files, by OpenSSH's own clients.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::json;

use crate::programs::{directory, run, well};
use crate::relay::{Pair, Stopped, answer_at_relay, preamble};
use crate::support::{Server, noise, poll};

pub(crate) const NAME: &str = "anna";
pub(crate) const PASSWORD: &str = "correct horse";

/// A pair with an account on the node that has the files, which the other knows.
fn pair(rights: &str) -> (Pair, u64) {
    pair_with(rights, &[])
}

fn pair_with(rights: &str, settings: &[(&str, &str)]) -> (Pair, u64) {
    let pair = Pair::start_with(settings);
    let id = pair.home.add_account(NAME, PASSWORD, "/", rights);
    let known = |server: &Server| {
        let accounts = server.request(&server.token, "GET", "/ftpaccounts", &[], b"");
        accounts.json().as_array().is_some_and(|all| !all.is_empty())
    };
    poll(|| known(&pair.other));
    (pair, id)
}

/// A client of OpenSSH that trusts every server and is told the password when it asks.
fn client(server: &Server, program: &str) -> Command {
    let tell = directory(server, "ask").join("tell");
    std::fs::write(&tell, format!("#!/bin/sh\necho '{PASSWORD}'\n")).unwrap();
    std::fs::set_permissions(&tell, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let mut command = Command::new(program);
    command
        .env("SSH_ASKPASS", &tell)
        .env("SSH_ASKPASS_REQUIRE", "force")
        .args(["-q", "-F", "/dev/null", "-o", "UserKnownHostsFile=/dev/null"])
        .args(["-o", "StrictHostKeyChecking=no", "-o", "PubkeyAuthentication=no"])
        .args(["-P", &server.port_of("sftp").to_string()]);
    command
}

/// Runs a batch of sftp's commands in a directory.
pub(crate) fn sftp(server: &Server, at: &Path, commands: &str) -> Option<Output> {
    let file = directory(server, "ask").join("batch");
    std::fs::write(&file, commands).unwrap();
    let mut command = client(server, "sftp");
    command.args(["-o", "BatchMode=no", "-b"]).arg(file);
    command.arg(format!("{NAME}@127.0.0.1")).current_dir(at);
    run(&mut command)
}

fn scp(server: &Server, at: &Path, options: &[&str], paths: &[&str]) -> Option<Output> {
    let mut command = client(server, "scp");
    command.args(options).current_dir(at);
    for path in paths {
        match path.strip_prefix(':') {
            Some(there) => command.arg(format!("{NAME}@127.0.0.1:{there}")),
            None => command.arg(path),
        };
    }
    run(&mut command)
}

fn files(server: &Server) -> PathBuf {
    directory(server, "files")
}

#[test]
fn sftp_works_as_it_does_where_the_files_are() {
    let (pair, id) = pair("RW");
    let at = files(&pair.other);
    let bytes = noise(20_000_000, 1);
    std::fs::write(at.join("up"), &bytes).unwrap();
    std::fs::create_dir_all(at.join("tree/below")).unwrap();
    for n in 0..30 {
        std::fs::write(at.join(format!("tree/below/f{n}")), noise(n * 500, n as u64)).unwrap();
    }
    let commands = "put up /up\nput -r tree /\nmkdir /made\nrename /up /made/up\nget /made/up down\n\
                    get -r /tree back\nrm /tree/below/f0\nls -l /made\n";
    let Some(output) = sftp(&pair.other, &at, commands) else {
        return;
    };
    assert!(well(&output).contains("20000000"), "{output:?}");
    assert!(std::fs::read(at.join("down")).unwrap() == bytes);
    assert!(pair.home.get("/made/up").body == bytes);
    assert_eq!(
        std::fs::read(at.join("back/below/f29")).unwrap(),
        noise(29 * 500, 29)
    );
    assert_eq!(pair.home.get("/tree/below/f0").status, 404);
    let row = pair.home.call("/api/list/tree", json!({"Params": "/made/up"}));
    assert_eq!(row[0]["protocol"], "SFTP");
    let refused = sftp(&pair.other, &at, "get /none\n").unwrap();
    assert!(!refused.status.success());
    // What the account may do is what the node that has the files knows.
    let change = json!({"Id": id, "AccessRights": "RO", "Chroot": "/made"}).to_string();
    let fields = [("Content-Type", "application/json")];
    let home = &pair.home;
    let changed = home.request(&home.token, "PATCH", "/ftpaccounts", &fields, change.as_bytes());
    assert_eq!(changed.status, 200, "{}", changed.text());
    poll(|| {
        let output = sftp(&pair.other, &at, "ls -1\n").unwrap();
        output.status.success() && String::from_utf8_lossy(&output.stdout).contains("up")
    });
    assert!(!sftp(&pair.other, &at, "put up other\n").unwrap().status.success());
    let metrics = pair.other.probe("/metrics").text();
    assert!(!metrics.contains("filegrid_relayed_requests_total{protocol=\"sftp\"} 0"));
}

#[test]
fn scp_works_as_it_does_where_the_files_are() {
    let (pair, _) = pair("RW");
    let at = files(&pair.other);
    let bytes = noise(5_000_000, 2);
    std::fs::write(at.join("up"), &bytes).unwrap();
    std::fs::create_dir_all(at.join("tree/a b")).unwrap();
    for n in 0..20 {
        std::fs::write(at.join(format!("tree/a b/f{n}")), noise(n * 999, n as u64)).unwrap();
    }
    for old in [&["-O"][..], &[]] {
        let with = |more: &[&str], paths: &[&str]| {
            let options: Vec<&str> = old.iter().chain(more).copied().collect();
            scp(&pair.other, &at, &options, paths)
        };
        let Some(output) = with(&[], &["up", ":/x"]) else {
            return;
        };
        well(&output);
        assert!(pair.home.get("/x").body == bytes);
        well(&with(&[], &[":/x", "down"]).unwrap());
        assert!(std::fs::read(at.join("down")).unwrap() == bytes);
        well(&with(&["-r"], &["tree", ":/"]).unwrap());
        well(&with(&["-r"], &[":/tree", "back"]).unwrap());
        let back = if old.is_empty() {
            "back/tree/a b/f7"
        } else {
            "back/a b/f7"
        };
        assert_eq!(std::fs::read(at.join(back)).unwrap(), noise(7 * 999, 7));
        assert!(!with(&[], &[":/none", "none"]).unwrap().status.success());
        assert!(!with(&[], &["up", ":/none/x"]).unwrap().status.success());
    }
    let row = pair.home.call("/api/list/tree", json!({"Params": "/x"}));
    assert_eq!(row[0]["protocol"], "SFTP", "the last to write it");
}

#[test]
fn a_session_ends_when_its_account_does_and_when_a_node_goes() {
    let (mut pair, id) = pair("RW");
    let at = files(&pair.other);
    if sftp(&pair.other, &at, "ls\n").is_none() {
        return;
    }
    // One that is at work when the account goes.
    let mut command = client(&pair.other, "sftp");
    command.args(["-o", "BatchMode=no", "-b", "-"]);
    command.arg(format!("{NAME}@127.0.0.1")).current_dir(&at);
    command.stdin(std::process::Stdio::piped());
    command.stdout(std::process::Stdio::piped());
    let mut live = command.spawn().unwrap();
    let mut input = live.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, b"mkdir /made\n").unwrap();
    poll(|| {
        pair.home
            .json(&pair.home.token, "/api/list/files", &json!({"Params": "/made"}))
            .status
            == 200
    });
    pair.home.delete_account(id);
    // It sees that when it wants something.
    poll(|| std::io::Write::write_all(&mut input, b"ls\n").is_err() || live.try_wait().unwrap().is_some());
    drop(input);
    assert!(!live.wait().unwrap().success());
    // The node that has the files is away.
    pair.home.add_account(NAME, PASSWORD, "/", "RW");
    poll(|| sftp(&pair.other, &at, "ls\n").unwrap().status.success());
    pair.home.terminate();
    assert!(pair.home.wait_for_end().success());
    assert!(!sftp(&pair.other, &at, "ls\n").unwrap().status.success());
    std::fs::write(at.join("up"), b"1").unwrap();
    let told = scp(&pair.other, &at, &["-O"], &["up", ":/x"]).unwrap();
    assert!(!told.status.success());
    pair.home.start_again();
    poll(|| sftp(&pair.other, &at, "ls\n").unwrap().status.success());
}

#[test]
fn a_session_that_was_passed_on_is_not_passed_on_again() {
    let (pair, id) = pair("RW");
    let who = json!({"association": pair.home.association(), "account": id});
    for what in [json!({"Sftp": who}), json!({"Scp": [who, "scp -t /"]})] {
        // No bytes more, and an exit status.
        assert_eq!(answer_at_relay(&pair.other, &preamble(&what)), [0, 0, 0, 0, 1]);
    }
}

#[test]
fn a_node_that_says_nothing_ends_the_session() {
    let (pair, _) = pair_with("RW", &[("relay_answer_s", "1")]);
    let at = files(&pair.other);
    std::fs::write(at.join("up"), b"1").unwrap();
    let stopped = Stopped::begin(&pair.home);
    let Some(output) = sftp(&pair.other, &at, "put up /up\n") else {
        return;
    };
    assert!(!output.status.success(), "{output:?}");
    drop(stopped);
    well(&sftp(&pair.other, &at, "put up /up\n").unwrap());
    assert_eq!(pair.home.get("/up").text(), "1");
}
