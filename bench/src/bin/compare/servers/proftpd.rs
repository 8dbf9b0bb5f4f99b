//! proftpd with TLS, without its logs, its scoreboard and looking up names.

use std::path::PathBuf;

use super::account::Account;
use super::process::{Process, configuration, free_address};
use super::programs::Program;
use super::{Install, Kind, PEER, Place, Running, Service};

pub(super) fn kind() -> Kind {
    Kind {
        name: "proftpd",
        speaks: &[Service::Ftp, Service::Ftps],
        needs_root: true,
        install: Install::Unpack(&["proftpd-core", "proftpd-mod-crypto"]),
        version: || {
            let program = Program::find("proftpd")?;
            modules(&program)?;
            program.version(&["-v"])
        },
        start,
        ..PEER
    }
}

/// Where its modules are, if that for TLS is there: a package of its own has it.
fn modules(program: &Program) -> Option<PathBuf> {
    let directory = program.prefix()?.join("lib/proftpd");
    directory.join("mod_tls.so").is_file().then_some(directory)
}

fn start(place: &Place) -> Result<Running, String> {
    let program = Program::need("proftpd")?;
    let modules = modules(&program).ok_or("no mod_tls.so beside it")?;
    let files = place.files()?;
    let account = Account::new(&files)?;
    let address = free_address()?;
    let settings = format!(
        "ModulePath {}\nLoadModule mod_tls.c\n\
         ServerType standalone\nDefaultAddress 127.0.0.1\nPort {}\nUseIPv6 off\nUseReverseDNS off\nRequireValidShell off\n\
         AuthOrder mod_auth_unix.c\nAuthPAM off\nPidFile {}/pid\nScoreboardFile none\n\
         DelayTable none\nTransferLog none\nSystemLog none\nWtmpLog off\nAllowOverwrite on\nDefaultRoot {}\nMaxInstances none\n\
         TLSEngine on\nTLSRequired off\nTLSOptions NoSessionReuseRequired\nTLSECCertificateFile {}\nTLSECCertificateKeyFile {}\n",
        modules.display(),
        address.port(),
        place.directory.display(),
        files.display(),
        place.certificate.display(),
        place.key.display()
    );
    let settings = configuration(&place.directory, "proftpd.conf", &settings)?;
    let mut command = program.command();
    let mut process = Process::start(command.arg("-n").arg("-c").arg(settings), &place.directory)?;
    process.wait_for_port(address)?;
    let doors = account.doors(address, &place.trust)?;
    Ok(Running::new(process, doors, Some(files)))
}
