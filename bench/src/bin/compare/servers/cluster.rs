//! A cluster of ours: three members and two nodes with TLS between them, as `tools/example/run` starts them. All files are on
//! the first node.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;

use super::filegrid::{add_account, doors, keys};
use super::login::USER;
use super::process::Process;
use super::{Install, Kind, PEER, Place, Role, Running, Service, programs};
use crate::http::{Request, ask, authorization};

/// From `PORT` of the example on.
const PORTS: u16 = 29;
const SCRIPT: &str = "tools/example/run";

/// The cluster by way of the node that has the files, and by way of the other.
pub(super) fn kinds() -> [Kind; 2] {
    use Service::{Ftp, Ftps, Http, Https, Sftp};
    let kind = |name, role, start| Kind {
        name,
        role,
        speaks: &[Http, Https, Ftp, Ftps, Sftp],
        durable: true,
        install: Install::Ours,
        version: || {
            let all = ["filegrid", "filegrid-meta", "filegridctl"].map(programs::ours);
            let are_there = all.iter().all(Option::is_some);
            are_there.then(|| env!("CARGO_PKG_VERSION").to_owned())
        },
        start,
        ..PEER
    };
    [
        kind("the node that has the files", Role::Peer, |place| start(place, 1)),
        kind("another node", Role::Ours, |place| start(place, 2)),
    ]
}

/// Starts all of it; clients come to the node of this number.
fn start(place: &Place, number: u16) -> Result<Running, String> {
    let program = programs::ours("filegrid").ok_or("cargo build --release --workspace")?;
    let first = free_ports()?;
    let mut command = Command::new(SCRIPT);
    command
        .arg(place.directory.join("cluster"))
        .env("PORT", first.to_string())
        .env("FILEGRID_BIN", program.parent().unwrap_or(&program));
    let mut process = Process::start(&mut command, &place.directory)?;
    // Those of the association on the first node are shown first.
    let keys = keys(&mut process, "  ")?;
    let of_node = |number: u16| {
        let port = move |name: &str| {
            let listeners = ["http", "https", "admin", "metrics", "ftp", "ftps", "sftp"];
            let at = listeners.iter().position(|listener| *listener == name);
            let at = at.and_then(|at| u16::try_from(at).ok());
            at.map(|at| first + 10 * number + 1 + at)
                .ok_or(format!("no port of {name}"))
        };
        doors(keys.clone(), &place.trust, &port)
    };
    add_account(of_node(1)?.first())?;
    let doors = of_node(number)?;
    let http = doors.first().ok_or("no door of HTTP")?;
    process.wait_for("account", || {
        let mut listed = Vec::new();
        let request = Request {
            method: "GET",
            route: "/ftpaccounts",
            fields: &authorization(http).ok()?,
            body: b"",
        };
        ask(http, &request, &mut |piece| listed.extend_from_slice(piece)).ok()?;
        String::from_utf8_lossy(&listed).contains(USER).then_some(())
    })?;
    process.wait_for_port(([127, 0, 0, 1], first + 10 * number + 1).into())?;
    Ok(Running::new(process, doors, None))
}

/// The port before so many that are free now.
fn free_ports() -> Result<u16, String> {
    let failed = |error: std::io::Error| format!("no free port: {error}");
    loop {
        let any = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        let first = any.local_addr().map_err(failed)?.port();
        let Some(last) = first.checked_add(PORTS) else {
            continue;
        };
        let mut all = (first + 1..last).map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
        if all.all(|listener| listener.is_ok()) {
            return Ok(first);
        }
    }
}
