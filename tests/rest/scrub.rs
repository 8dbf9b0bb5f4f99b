//! What the disk has changed behind the node's back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::{Server, noise};

/// The files of large blobs.
fn blobs(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(blobs(&path));
        } else if path.components().any(|part| part.as_os_str() == "blobs") {
            found.push(path);
        }
    }
    found
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a test's thread may sleep")]
fn a_damaged_file_is_found_and_never_served_again() {
    let mut server = Server::start_with(&[("FILEGRID_SCRUB_MIB_S", "1000")]);
    let bytes = noise(1 << 20, 7);
    server.put("/bad", &bytes);
    let [blob] = &blobs(server.data())[..] else {
        panic!("one large file is one blob")
    };
    server.put("/good", &bytes);
    // As a disk would do it: behind the page cache and without the node.
    server.terminate();
    assert!(server.wait_for_end().success());
    let mut stored = std::fs::read(blob).unwrap();
    stored[700_000] ^= 1;
    std::fs::write(blob, stored).unwrap();
    server.announce("does not match its checksum");
    server.restart();
    while !server.log().contains("a blob does not match its checksum") {
        std::thread::sleep(Duration::from_millis(20));
    }
    while blob.exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    server.announce("found damaged, or lost");
    server.get("/bad").is_problem(500);
    assert_eq!(server.get("/good").body, bytes);
    server.stop_and_restart();
    server.get("/bad").is_problem(500);
    assert_eq!(server.get("/good").body, bytes);
}
