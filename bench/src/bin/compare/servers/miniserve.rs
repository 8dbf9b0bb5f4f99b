//! miniserve, with uploads, and archives as TAR: its ZIPs are compressed.

use loadtest::plan::{Access, Directories, HttpAccess, Store};

use super::process::{Process, free_address};
use super::programs::Program;
use super::{Door, FILES_AND_ARCHIVES, Install, Kind, PEER, Place, Running, Service};

pub(super) fn kind() -> Kind {
    Kind {
        name: "miniserve",
        speaks: &[Service::Http],
        install: Install::Cargo("miniserve"),
        version: || Program::find("miniserve")?.version(&["--version"]),
        start,
        ..PEER
    }
}

fn start(place: &Place) -> Result<Running, String> {
    let files = place.files()?;
    let address = free_address()?;
    let mut command = Program::need("miniserve")?.command();
    command
        .arg(&files)
        .args([
            "--upload-files",
            "--mkdir",
            "--enable-tar",
            "--interfaces",
            "127.0.0.1",
            "--port",
        ])
        .arg(address.port().to_string());
    let mut process = Process::start(&mut command, &place.directory)?;
    process.wait_for_port(address)?;
    let form = |field: &str| ("/upload?path={}".to_owned(), field.to_owned());
    let ((put, file), (make, directory)) = (form("path"), form("mkdir"));
    let access = Access::Http(HttpAccess {
        store: Store::Form {
            action: put,
            field: file,
            fields: Vec::new(),
        },
        directories: Directories::Form {
            action: make,
            field: directory,
            fields: Vec::new(),
        },
        headers: String::new(),
        archive: Some("?download=tar".to_owned()),
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
