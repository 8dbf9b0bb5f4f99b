//! SFTP, against a node.

use std::process::Command;

use crate::node::Node;
use crate::program::loadtest;

const SMALL: &str = "--size uniform:0..200KiB --files 10 --connections 4 --requests 40 --verify";

#[test]
fn every_profile_runs_is_verified_and_leaves_nothing() {
    let node = Node::start();
    for profile in ["upload", "download", "mixed", "list"] {
        loadtest(&format!("{} --insecure --profile {profile} {SMALL}", node.sftp())).passed(40);
        node.is_empty();
    }
}

#[test]
fn large_files_go_both_ways() {
    let node = Node::start();
    for options in ["upload --verify", "download --verify", "download"] {
        let large = "--size 9MiB --files 2 --connections 2 --requests 4";
        loadtest(&format!("{} --insecure --profile {options} {large}", node.sftp())).passed(4);
    }
    node.is_empty();
}

#[test]
fn the_cipher_is_the_one_that_was_asked_for() {
    let node = Node::start();
    let upload = "--insecure --profile download --size 300KiB --files 2 --requests 4 --verify";
    for cipher in [
        "aes128-gcm@openssh.com",
        "aes256-gcm@openssh.com",
        "chacha20-poly1305@openssh.com",
    ] {
        loadtest(&format!("{} {upload} --cipher {cipher}", node.sftp())).passed(4);
    }
    loadtest(&format!("{} {upload} --cipher rot13", node.sftp())).failed("possible values");
    node.is_empty();
}

#[test]
fn servers_are_known_by_their_keys() {
    let node = Node::start();
    let upload = "--profile upload --size 100 --requests 5 --connections 1";
    let ended = loadtest(&format!("{} {upload}", node.sftp()));
    ended.failed("unknown server: its key is SHA256:");
    let (_, rest) = ended.err.split_once("its key is ").unwrap();
    let fingerprint = rest.split(':').take(2).collect::<Vec<_>>().join(":");
    loadtest(&format!("{} {upload} --host-key {fingerprint}", node.sftp())).passed(5);
    loadtest(&format!("{} {upload} --host-key SHA256:other", node.sftp())).failed("unknown server");
    node.is_empty();
}

#[test]
fn users_are_known_by_password_or_key() {
    let node = Node::start();
    let upload = "--insecure --profile upload --size 100 --requests 5 --connections 1";
    let wrong = node.sftp().replace("horse", "cow");
    loadtest(&format!("{wrong} {upload}")).failed("login refused");
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"])
        .arg(&key)
        .status();
    if !made.is_ok_and(|status| status.success()) {
        return;
    }
    let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    node.set_key(public.trim());
    let options = node
        .sftp()
        .replace("--user anna --password horse", "--user berta");
    loadtest(&format!("{options} --key {} {upload}", key.display())).passed(5);
    node.is_empty();
}
