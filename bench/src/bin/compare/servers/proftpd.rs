//! proftpd, without its log of transfers and without looking up names. Its module for TLS is a package of its own, with more of
//! what is not to be had beside other servers: it is measured without.

use super::process::{Process, configuration, free_address};
use super::programs::Program;
use super::{Door, FILES, Install, Kind, PEER, Place, Running, Service, account};

pub(super) fn kind() -> Kind {
    Kind {
        name: "proftpd",
        speaks: &[Service::Ftp],
        needs_root: true,
        install: Install::Unpack(&["proftpd-core"]),
        version: || Program::find("proftpd")?.version(&["-v"]),
        start,
        ..PEER
    }
}

fn start(place: &Place) -> Result<Running, String> {
    let files = place.files()?;
    account::make(&files)?;
    let address = free_address()?;
    let directory = place.directory.display();
    let settings = format!(
        "ServerType standalone\nDefaultAddress 127.0.0.1\nPort {}\nUseIPv6 off\nUseReverseDNS off\nRequireValidShell off\n\
         AuthOrder mod_auth_unix.c\nAuthPAM off\nPidFile {directory}/pid\nScoreboardFile {directory}/scoreboard\n\
         DelayTable none\nTransferLog none\nWtmpLog off\nAllowOverwrite on\nDefaultRoot {}\nMaxInstances none\n",
        address.port(),
        files.display()
    );
    let settings = configuration(&place.directory, "proftpd.conf", &settings)?;
    let mut command = Program::need("proftpd")?.command();
    let mut process = Process::start(command.arg("-n").arg("-c").arg(settings), &place.directory)?;
    process.wait_for_port(address)?;
    let access = account::access(None, &place.trust);
    let door = Door::new(Service::Ftp, &format!("ftp://{address}"), access, FILES)?;
    Ok(Running::new(process, vec![door], Some(files)))
}
