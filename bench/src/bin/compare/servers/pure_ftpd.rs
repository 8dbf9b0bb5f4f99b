//! pure-ftpd, without its log of transfers and without looking up names.

use super::account::Account;
use super::process::{Process, free_address};
use super::programs::Program;
use super::{Install, Kind, PEER, Place, Running, Service};

pub(super) fn kind() -> Kind {
    Kind {
        name: "pure-ftpd",
        speaks: &[Service::Ftp, Service::Ftps],
        needs_root: true,
        install: Install::Unpack(&["pure-ftpd", "pure-ftpd-common"]),
        version: || Program::find("pure-ftpd")?.version(&["--help"]),
        start,
        ..PEER
    }
}

fn start(place: &Place) -> Result<Running, String> {
    let files = place.files()?;
    let account = Account::new(&files)?;
    let address = free_address()?;
    let both = place.both()?;
    let mut command = Program::need("pure-ftpd")?.command();
    command
        .arg("-S")
        .arg(format!("127.0.0.1,{}", address.port()))
        // So many clients, in all and from here; everybody stays at home; no anonymous ones; no names; no log; the system's
        // accounts; TLS for whoever wants it.
        .args([
            "-c", "2000", "-C", "2000", "-A", "-E", "-H", "-f", "none", "-l", "unix", "-Y", "1", "-2",
        ])
        .arg(&both);
    let mut process = Process::start(&mut command, &place.directory)?;
    process.wait_for_port(address)?;
    let doors = account.doors(address, &place.trust)?;
    Ok(Running::new(process, doors, Some(files)))
}
