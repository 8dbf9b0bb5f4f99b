//! The least that can be done: what is received is written, what is asked for is sent by `sendfile`.

use std::process::Command;

use loadtest::plan::{Directories, Store};

use super::process::Process;
use super::{Door, FILES, Install, Kind, PEER, Place, Role, Running, Service, programs};

pub(super) fn plain() -> Kind {
    Kind {
        name: "floor",
        role: Role::Floor,
        speaks: &[Service::Http],
        install: Install::Ours,
        version: || programs::ours("floor").map(|_| env!("CARGO_PKG_VERSION").to_owned()),
        start: |place| start(place, &[]),
        ..PEER
    }
}

/// With `fdatasync`, `rename` and a sync of the directory for each file.
pub(super) fn durable() -> Kind {
    Kind {
        name: "floor, durable",
        durable: true,
        start: |place| start(place, &["--durable"]),
        ..plain()
    }
}

fn start(place: &Place, options: &[&str]) -> Result<Running, String> {
    let files = place.files()?;
    let program = programs::ours("floor").ok_or("cargo build --release -p filegrid-bench")?;
    let mut command = Command::new(program);
    command
        .args(["--listen", "127.0.0.1:0", "--directory"])
        .arg(&files)
        .args(options);
    let mut process = Process::start(&mut command, &place.directory)?;
    let address = process.wait_for_address()?;
    let access = place.http(Store::Put, Directories::Mkcol, None);
    let door = Door::new(Service::Http, &format!("http://{address}"), access, FILES)?;
    Ok(Running::new(process, vec![door], Some(files)))
}
