//! dufs, with all that it allows, and archives that are stored.

use loadtest::plan::{Access, Directories, HttpAccess, Store};

use super::process::{Process, free_address};
use super::programs::Program;
use super::{Door, FILES_AND_ARCHIVES, Install, Kind, PEER, Place, Running, Service};

pub(super) fn kind() -> Kind {
    Kind {
        name: "dufs",
        speaks: &[Service::Http],
        install: Install::Cargo("dufs"),
        version: || Program::find("dufs")?.version(&["--version"]),
        start,
        ..PEER
    }
}

fn start(place: &Place) -> Result<Running, String> {
    let files = place.files()?;
    let address = free_address()?;
    let mut command = Program::need("dufs")?.command();
    command
        .arg(&files)
        .args([
            "--allow-all",
            "--compress",
            "none",
            "--log-format",
            "",
            "--bind",
            "127.0.0.1",
            "--port",
        ])
        .arg(address.port().to_string());
    let mut process = Process::start(&mut command, &place.directory)?;
    process.wait_for_port(address)?;
    let access = Access::Http(HttpAccess {
        store: Store::Put,
        directories: Directories::Mkcol,
        headers: String::new(),
        archive: Some("?zip".to_owned()),
        trust: place.trust.clone(),
    });
    let door = Door::new(
        Service::Http,
        &format!("http://{address}"),
        access,
        FILES_AND_ARCHIVES,
    )?;
    Ok(Running::new(process, vec![door], Some(files)))
}
