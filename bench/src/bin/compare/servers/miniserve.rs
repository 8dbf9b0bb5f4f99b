//! miniserve, with uploads, and archives as TAR: its ZIPs are compressed. It has one door, with or without TLS.

use loadtest::plan::{Directories, Store};

use super::process::{Process, free_address};
use super::programs::Program;
use super::{Door, FILES_AND_ARCHIVES, Install, Kind, PEER, Place, Running, Service};

pub(super) fn kind() -> Kind {
    Kind {
        name: "miniserve",
        speaks: &[Service::Http],
        install: Install::Cargo("miniserve@0.35.0"),
        version: || Program::find("miniserve")?.version(&["--version"]),
        start: |place| start(place, Service::Http),
        ..PEER
    }
}

pub(super) fn tls() -> Kind {
    Kind {
        name: "miniserve, TLS",
        speaks: &[Service::Https],
        start: |place| start(place, Service::Https),
        ..kind()
    }
}

fn start(place: &Place, service: Service) -> Result<Running, String> {
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
    if service == Service::Https {
        command.arg("--tls-cert").arg(&place.certificate);
        command.arg("--tls-key").arg(&place.key);
    }
    let mut process = Process::start(&mut command, &place.directory)?;
    process.wait_for_port(address)?;
    let form = |field: &str| ("/upload?path={}".to_owned(), field.to_owned());
    let ((put, file), (make, directory)) = (form("path"), form("mkdir"));
    let access = place.http(
        Store::Form {
            action: put,
            field: file,
            fields: Vec::new(),
        },
        Directories::Form {
            action: make,
            field: directory,
            fields: Vec::new(),
        },
        Some("?download=tar"),
    );
    let door = Door::new(
        service,
        &format!("{}://{address}", service.scheme()),
        access,
        FILES_AND_ARCHIVES,
    )?;
    Ok(Running::new(process, vec![door], Some(files)))
}
