//! filegrid: one node with all its doors.

use std::process::Command;

use loadtest::cli::Passive;
use loadtest::plan::{Access, Credentials, RestAccess};
use loadtest::profile::Operation;
use loadtest::rest::{Keys, Listing};
use serde_json::{Value, json};

use super::login::{self, PASSWORD, USER};
use super::process::Process;
use super::{Door, FILES, Install, Kind, PEER, Place, Role, Running, Service, programs};
use crate::http::{ask_json, authorization};

pub(super) fn kind() -> Kind {
    use Service::{Ftp, Ftps, Http, Https, Sftp};
    Kind {
        name: "filegrid",
        role: Role::Ours,
        speaks: &[Http, Https, Ftp, Ftps, Sftp],
        durable: true,
        install: Install::Ours,
        version: || programs::ours("filegrid").map(|_| env!("CARGO_PKG_VERSION").to_owned()),
        start,
        ..PEER
    }
}

fn start(place: &Place) -> Result<Running, String> {
    let program = programs::ours("filegrid").ok_or("cargo build --release -p filegrid")?;
    let data = place.directory.join("data");
    let mut command = Command::new(program);
    for door in ["--listen", "--listen-tls", "--ftp", "--ftps", "--sftp"] {
        command.args([door, "127.0.0.1:0"]);
    }
    command
        .args(["--admin", "off", "--metrics", "off", "--data"])
        .arg(&data);
    let mut process = Process::start(&mut command, &place.directory)?;
    let ports = data.join("ports.json");
    let ports: Value = process.wait_for("ports", || {
        serde_json::from_slice(&std::fs::read(&ports).ok()?).ok()
    })?;
    let port = |name: &str| {
        ports
            .get(name)
            .and_then(Value::as_u64)
            .ok_or(format!("no port of {name}"))
    };
    process.wait_for_port(([127, 0, 0, 1], u16::try_from(port("http")?).unwrap_or(0)).into())?;
    let mut key = |name: &str| process.wait_for_line(&format!("{name}: "));
    let keys = Keys {
        association: key("AssociationKey")?,
        access: key("AccessKey")?,
        secret: key("SecretKey")?,
    };
    let rest = Access::Rest(RestAccess {
        credentials: Credentials::Keys(keys),
        listing: Listing::Files,
        trust: place.trust.clone(),
    });
    let http = Door::new(
        Service::Http,
        &format!("http://127.0.0.1:{}", port("http")?),
        rest.clone(),
        &Operation::ALL,
    )?;
    let account = json!({"Username": USER, "AccessRights": "RW", "Chroot": "/", "Password": PASSWORD});
    ask_json(&http, "/ftpaccounts/create", &authorization(&http)?, &account)?;
    let ftp = login::ftp(USER, None, Passive::Epsv, &place.trust);
    let sftp = login::sftp();
    let door = |service, scheme: &str, name: &str, access: &Access| {
        Door::new(
            service,
            &format!("{scheme}://127.0.0.1:{}", port(name)?),
            access.clone(),
            FILES,
        )
    };
    let doors = vec![
        http,
        door(Service::Https, "https", "https", &rest)?,
        door(Service::Ftp, "ftp", "ftp", &ftp)?,
        door(Service::Ftps, "ftps", "ftps", &ftp)?,
        door(Service::Sftp, "sftp", "sftp", &sftp)?,
    ];
    Ok(Running::new(process, doors, None))
}
