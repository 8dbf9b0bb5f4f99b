//! Runs the committed seeds of every fuzz target.

#![allow(clippy::unwrap_used, reason = "a seed that cannot be read fails the test")]

use std::path::Path;

#[path = "src/lib.rs"]
pub mod checks;

/// Calls a target with each file of its folder, and with nothing.
fn run(target: &str, check: fn(&[u8])) {
    check(b"");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        // Shown when the check panics.
        println!("{}", path.display());
        check(&std::fs::read(&path).unwrap());
        count += 1;
    }
    assert!(count > 0, "{} is empty", folder.display());
}

macro_rules! targets {
    ($($target:ident)*) => {
        $(
            #[test]
            fn $target() {
                run(stringify!($target), checks::$target);
            }
        )*
    };
}

targets!(archive chunked ftp head log multipart range sftp);
