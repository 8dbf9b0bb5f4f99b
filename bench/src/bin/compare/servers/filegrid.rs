//! filegrid: one node with all its doors.

use std::process::Command;

use loadtest::cli::Passive;
use loadtest::plan::{Access, Credentials, RestAccess};
use loadtest::profile::Operation;
use loadtest::rest::{Keys, Listing};
use loadtest::tls::Trust;
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
        let port = ports.get(name).and_then(Value::as_u64);
        let port = port.and_then(|port| u16::try_from(port).ok());
        port.ok_or(format!("no port of {name}"))
    };
    process.wait_for_port(([127, 0, 0, 1], port("http")?).into())?;
    let doors = doors(keys(&mut process, "")?, &place.trust, &port)?;
    add_account(doors.first())?;
    Ok(Running::new(process, doors, None))
}

/// The keys that it prints at its first start, each in a line that begins with `margin` and the name.
pub(super) fn keys(process: &mut Process, margin: &str) -> Result<Keys, String> {
    let mut key = |name: &str| process.wait_for_line(&format!("{margin}{name}: "));
    Ok(Keys {
        association: key("AssociationKey")?,
        access: key("AccessKey")?,
        secret: key("SecretKey")?,
    })
}

/// The ways into a node, HTTP first, whose listeners have these ports.
pub(super) fn doors(
    keys: Keys,
    trust: &Trust,
    port: &dyn Fn(&str) -> Result<u16, String>,
) -> Result<Vec<Door>, String> {
    let rest = Access::Rest(RestAccess {
        credentials: Credentials::Keys(keys),
        listing: Listing::Files,
        trust: trust.clone(),
    });
    let ftp = login::ftp(USER, None, Passive::Epsv, trust);
    let sftp = login::sftp();
    let door = |service, name: &str, access: &Access, operations| {
        let url = format!("{name}://127.0.0.1:{}", port(name)?);
        Door::new(service, &url, access.clone(), operations)
    };
    Ok(vec![
        door(Service::Http, "http", &rest, &Operation::ALL)?,
        door(Service::Https, "https", &rest, FILES)?,
        door(Service::Ftp, "ftp", &ftp, FILES)?,
        door(Service::Ftps, "ftps", &ftp, FILES)?,
        door(Service::Sftp, "sftp", &sftp, FILES)?,
    ])
}

/// Makes the account that clients of FTP and SFTP log in to, by way of HTTP.
pub(super) fn add_account(http: Option<&Door>) -> Result<(), String> {
    let http = http.ok_or("no door of HTTP")?;
    let account = json!({"Username": USER, "AccessRights": "RW", "Chroot": "/", "Password": PASSWORD});
    ask_json(http, "/ftpaccounts/create", &authorization(http)?, &account).map(drop)
}
