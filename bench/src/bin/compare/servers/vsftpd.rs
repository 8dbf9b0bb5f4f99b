//! vsftpd, without its log of transfers.

use super::account::Account;
use super::process::{Process, configuration, free_address};
use super::programs::Program;
use super::{Install, Kind, PEER, Place, Running, Service};

pub(super) fn kind() -> Kind {
    Kind {
        name: "vsftpd",
        speaks: &[Service::Ftp, Service::Ftps],
        needs_root: true,
        install: Install::Unpack(&["vsftpd"]),
        version: || Program::find("vsftpd")?.version_said_to_input("-v"),
        start,
        ..PEER
    }
}

fn start(place: &Place) -> Result<Running, String> {
    let files = place.files()?;
    let account = Account::new(&files)?;
    let address = free_address()?;
    let settings = format!(
        "listen=YES\nlisten_address=127.0.0.1\nlisten_port={}\nbackground=NO\nanonymous_enable=NO\nlocal_enable=YES\n\
         write_enable=YES\nlocal_root={}\nchroot_local_user=YES\nallow_writeable_chroot=YES\nxferlog_enable=NO\n\
         seccomp_sandbox=NO\nmax_clients=0\nmax_per_ip=0\nlocal_umask=022\nssl_enable=YES\nrsa_cert_file={}\n\
         rsa_private_key_file={}\nforce_local_logins_ssl=NO\nforce_local_data_ssl=NO\nrequire_ssl_reuse=NO\nssl_ciphers=HIGH\n",
        address.port(),
        files.display(),
        place.certificate.display(),
        place.key.display()
    );
    let settings = configuration(&place.directory, "vsftpd.conf", &settings)?;
    let mut command = Program::need("vsftpd")?.command();
    let mut process = Process::start(command.arg(settings), &place.directory)?;
    process.wait_for_port(address)?;
    let doors = account.doors(address, &place.trust)?;
    Ok(Running::new(process, doors, Some(files)))
}
