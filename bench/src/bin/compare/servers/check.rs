//! Whether servers do what they are asked for, before they are measured.

use std::sync::atomic::{AtomicBool, Ordering};

use loadtest::profile::Operation;

use super::{Door, Kind, Place, Running};
use crate::contest::say;
use crate::rows::Transfer;
use crate::transfer::{self, Round};

/// Starts each server, and stores, fetches and compares a few files through each of its doors.
///
/// # Errors
///
/// How many failed, or that somebody wanted an end.
pub(crate) fn check(kinds: &[Kind], place: &Place, interrupted: &AtomicBool) -> Result<(), String> {
    let mut failed = 0;
    for kind in kinds {
        if interrupted.load(Ordering::Relaxed) {
            return Err("interrupted".to_owned());
        }
        if let Some(why) = kind.missing() {
            say(&format!("{:<22} left out: {why}", kind.name));
            continue;
        }
        let place = Place {
            directory: place.directory.join(kind.file_name()),
            ..place.clone()
        };
        let started = std::fs::create_dir_all(&place.directory).map_err(|error| error.to_string());
        match started.and_then(|()| (kind.start)(&place)) {
            Ok(server) => {
                let after = server.started_after.as_secs_f64();
                say(&format!("{:<22} started after {after:.3} s", kind.name));
                let doors = server.doors.iter();
                let doors = doors.take_while(|_| !interrupted.load(Ordering::Relaxed));
                failed += doors.map(|door| check_door(kind, &server, door)).sum::<usize>();
            }
            Err(why) => {
                failed += 1;
                say(&format!("{:<22} did not start: {why}", kind.name));
            }
        }
    }
    if failed == 0 {
        Ok(())
    } else {
        Err(format!("{failed} failed"))
    }
}

/// How many things did not work through a door.
fn check_door(kind: &Kind, server: &Running, door: &Door) -> usize {
    let mut failed = 0;
    for operation in door
        .operations
        .iter()
        .filter(|operation| **operation != Operation::List)
    {
        for (bytes, files, connections) in [(1 << 20, 1, 1), (4096, 10, 2)] {
            let of = Transfer {
                service: door.service,
                operation: *operation,
                bytes,
                files,
                requests: files,
                connections,
                cipher: None,
            };
            let root = format!("/check-{:?}-{}-{bytes}", door.service, operation.name()).to_lowercase();
            let round = Round {
                root: &root,
                is_prepared: false,
                verify: true,
            };
            let what = format!(
                "{:<22} {:?} {} of {bytes}",
                kind.name,
                door.service,
                operation.name()
            );
            match transfer::measure(server, door, of, round) {
                Ok(_) => say(&format!("{what}: right")),
                Err(why) => {
                    failed += 1;
                    say(&format!("{what}: {why}"));
                }
            }
        }
    }
    failed
}
