//! copyparty, open to everybody, without a log and without adding up directories for their listings, as its manual advises for
//! speed; more processes than one it advises against. It computes a SHA-512 of each upload, which it answers with.

use loadtest::plan::{Directories, Store};

use super::process::{Process, free_address};
use super::programs::Program;
use super::{Door, FILES, FILES_AND_ARCHIVES, Install, Kind, PEER, Place, Running, Service};

pub(super) fn kind() -> Kind {
    Kind {
        name: "copyparty",
        speaks: &[Service::Http, Service::Https],
        lists_trees: true,
        install: Install::Pip("copyparty==1.20.26"),
        version: || Program::find("copyparty")?.version(&["--version"]),
        start,
        ..PEER
    }
}

fn start(place: &Place) -> Result<Running, String> {
    let files = place.files()?;
    let address = free_address()?;
    let both = place.both()?;
    let mut command = Program::need("copyparty")?.command();
    command
        .args([
            "-q",
            "--no-dirsz",
            "--dav-inf",
            "-i",
            "127.0.0.1",
            "-p",
            &address.port().to_string(),
        ])
        .arg("-v")
        .arg(format!("{}::A", files.display()))
        .arg("--cert")
        .arg(&both)
        // Where it keeps what it knows of itself.
        .env("XDG_CONFIG_HOME", &place.directory)
        .env("HOME", &place.directory);
    let mut process = Process::start(&mut command, &place.directory)?;
    process.wait_for_port(address)?;
    let act = |what: &str| vec![("act".to_owned(), what.to_owned())];
    let access = place.http(
        Store::Form {
            action: "{}/".to_owned(),
            field: "f".to_owned(),
            fields: act("bput"),
        },
        Directories::Form {
            action: "{}/".to_owned(),
            field: "name".to_owned(),
            fields: act("mkdir"),
        },
        Some("?zip"),
    );
    let doors = vec![
        Door::new(
            Service::Http,
            &format!("http://{address}"),
            access.clone(),
            FILES_AND_ARCHIVES,
        )?,
        Door::new(Service::Https, &format!("https://{address}"), access, FILES)?,
    ];
    Ok(Running::new(process, doors, Some(files)))
}
