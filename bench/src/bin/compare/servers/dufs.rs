//! dufs, with all that it allows, and archives that are stored. It has one door, with or without TLS.

use loadtest::plan::{Directories, Store};

use super::process::{Process, free_address};
use super::programs::Program;
use super::{Door, FILES_AND_ARCHIVES, Install, Kind, PEER, Place, Running, Service};

pub(super) fn kind() -> Kind {
    Kind {
        name: "dufs",
        speaks: &[Service::Http],
        install: Install::Cargo("dufs@0.47.0"),
        version: || Program::find("dufs")?.version(&["--version"]),
        start: |place| start(place, Service::Http),
        ..PEER
    }
}

pub(super) fn tls() -> Kind {
    Kind {
        name: "dufs, TLS",
        speaks: &[Service::Https],
        start: |place| start(place, Service::Https),
        ..kind()
    }
}

fn start(place: &Place, service: Service) -> Result<Running, String> {
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
    if service == Service::Https {
        command.arg("--tls-cert").arg(&place.certificate);
        command.arg("--tls-key").arg(&place.key);
    }
    let mut process = Process::start(&mut command, &place.directory)?;
    process.wait_for_port(address)?;
    let access = place.http(Store::Put, Directories::Mkcol, Some("?zip"));
    let door = Door::new(
        service,
        &format!("{}://{address}", service.scheme()),
        access,
        FILES_AND_ARCHIVES,
    )?;
    Ok(Running::new(process, vec![door], Some(files)))
}
