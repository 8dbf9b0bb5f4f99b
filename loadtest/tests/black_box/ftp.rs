//! FTP, against a node.

use crate::node::Node;
use crate::program::loadtest;

const SMALL: &str = "--size uniform:0..200KiB --files 10 --connections 4 --requests 40 --verify";

#[test]
fn every_profile_runs_is_verified_and_leaves_nothing() {
    let node = Node::start();
    for profile in ["upload", "download", "mixed", "list", "download --passive pasv"] {
        loadtest(&format!("{} --profile {profile} {SMALL}", node.ftp())).passed(40);
        node.is_empty();
    }
}

#[test]
fn tls_is_spoken_on_both_connections() {
    let node = Node::start();
    let explicit = format!(
        "{} --tls explicit --ca {}",
        node.ftp(),
        node.certificate().display()
    );
    for target in [explicit, node.ftps()] {
        for profile in ["upload", "download", "list"] {
            loadtest(&format!("{target} --profile {profile} {SMALL}")).passed(40);
        }
    }
    let large = "--profile upload --size 5MiB --files 2 --connections 2 --requests 4 --verify";
    loadtest(&format!("{} {large}", node.ftps())).passed(4);
    loadtest(&format!("{} {large}", node.ftp())).passed(4);
    node.is_empty();
}

#[test]
fn who_may_not_is_told_why() {
    let node = Node::start();
    let upload = "--profile upload --size 100 --requests 5";
    let wrong = node.ftp().replace("horse", "cow");
    loadtest(&format!("{wrong} {upload} --connections 1")).failed("FTP 530: PASS: ");
    let untrusted = format!("{} --tls explicit {upload}", node.ftp());
    loadtest(&untrusted).failed("TLS");
    loadtest(&format!("{untrusted} --insecure")).passed(5);
    node.is_empty();
}
