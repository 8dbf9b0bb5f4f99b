//! libunftp, with a backend whose buffers have 1 MiB: a program of this repository, in a workspace of its own.

use loadtest::cli::{FtpTls, Passive};

use super::login::{self, PASSWORD, USER};
use super::process::Process;
use super::programs::Program;
use super::{Door, FILES, Install, Kind, PEER, Place, Running, Service};

pub(super) fn kind() -> Kind {
    Kind {
        name: "libunftp",
        speaks: &[Service::Ftp, Service::Ftps],
        install: Install::Workspace("bench/peers/libunftp"),
        version: || {
            Program::find("bench-libunftp")?;
            locked("libunftp")
        },
        start,
        ..PEER
    }
}

/// The version of a library that the program is built with.
fn locked(library: &str) -> Option<String> {
    let lock = include_str!("../../../../peers/libunftp/Cargo.lock");
    let (_, entry) = lock.split_once(&format!("name = \"{library}\"\nversion = \""))?;
    Some(entry.split_once('"')?.0.to_owned())
}

fn start(place: &Place) -> Result<Running, String> {
    let files = place.files()?;
    let mut command = Program::need("bench-libunftp")?.command();
    command
        .args([
            "--listen",
            "127.0.0.1:0",
            "--user",
            USER,
            "--password",
            PASSWORD,
            "--root",
        ])
        .arg(&files)
        .arg("--cert")
        .arg(&place.certificate)
        .arg("--key")
        .arg(&place.key);
    let mut process = Process::start(&mut command, &place.directory)?;
    let address = process.wait_for_address()?;
    let access = |tls| login::ftp(USER, tls, Passive::Pasv, &place.trust);
    let url = format!("ftp://{address}");
    let doors = vec![
        Door::new(Service::Ftp, &url, access(None), FILES)?,
        Door::new(Service::Ftps, &url, access(Some(FtpTls::Explicit)), FILES)?,
    ];
    Ok(Running::new(process, doors, Some(files)))
}
