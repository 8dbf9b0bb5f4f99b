//! rclone, which serves a directory over several protocols, a process for each. Debian's has no FTP.

use std::net::SocketAddr;
use std::path::PathBuf;

use loadtest::plan::{Directories, Store};

use super::login::{self, PASSWORD, USER};
use super::process::{Process, free_address};
use super::programs::Program;
use super::{Door, FILES, Install, Kind, PEER, Place, Running, Service};

fn kind(
    name: &'static str,
    speaks: &'static [Service],
    start: fn(&Place) -> Result<Running, String>,
) -> Kind {
    Kind {
        name,
        speaks,
        install: Install::Unpack(&["rclone"]),
        version: || Program::find("rclone")?.version(&["version"]),
        start,
        ..PEER
    }
}

pub(super) fn webdav() -> Kind {
    kind("rclone webdav", &[Service::Http], |place| {
        let (process, address, files) = start(place, &["webdav"])?;
        let access = place.http(Store::Put, Directories::Mkcol, None);
        let door = Door::new(Service::Http, &format!("http://{address}"), access, FILES)?;
        Ok(Running::new(process, vec![door], Some(files)))
    })
}

pub(super) fn sftp() -> Kind {
    kind("rclone sftp", &[Service::Sftp], |place| {
        let (process, address, files) = start(place, &["sftp", "--user", USER, "--pass", PASSWORD])?;
        let access = login::sftp();
        let door = Door::new(Service::Sftp, &format!("sftp://{address}"), access, FILES)?;
        Ok(Running::new(process, vec![door], Some(files)))
    })
}

fn start(place: &Place, what: &[&str]) -> Result<(Process, SocketAddr, PathBuf), String> {
    let files = place.files()?;
    let address = free_address()?;
    let mut command = Program::need("rclone")?.command();
    command
        .arg("serve")
        .args(what)
        .args(["--addr", &address.to_string()])
        .arg(&files)
        // Where it keeps its host key.
        .env("XDG_CACHE_HOME", &place.directory)
        .env("HOME", &place.directory);
    let mut process = Process::start(&mut command, &place.directory)?;
    process.wait_for_port(address)?;
    Ok((process, address, files))
}
