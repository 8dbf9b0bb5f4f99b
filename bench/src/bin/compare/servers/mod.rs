//! The servers that are compared, a file for each.

mod account;
mod check;
mod cluster;
mod copyparty;
mod dufs;
mod filegrid;
mod floor;
mod install;
mod libunftp;
mod login;
mod miniserve;
mod nginx;
mod openssh;
mod process;
mod proftpd;
mod programs;
mod pure_ftpd;
mod rclone;
mod vsftpd;

use std::path::PathBuf;
use std::time::Duration;

use loadtest::plan::{Access, Directories, HttpAccess, Store};
use loadtest::profile::Operation;
use loadtest::target::{Protocol, Target};
use loadtest::tls::Trust;

pub(crate) use self::check::check;
pub(crate) use self::install::{Install, install};
use self::process::Process;

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// HTTP.
    Http,
    /// HTTP through TLS.
    Https,
    /// FTP.
    Ftp,
    /// FTP with TLS on both connections.
    Ftps,
    /// SFTP.
    Sftp,
}

impl Service {
    /// The scheme of its URLs. FTP may ask for TLS later.
    fn scheme(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Ftp | Self::Ftps => "ftp",
            Self::Sftp => "sftp",
        }
    }
}

/// Whose a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It is filegrid.
    Ours,
    /// It is what others run.
    Peer,
    /// It is no server, but the least that can be done.
    Floor,
}

/// A server that can be measured.
pub(crate) struct Kind {
    /// Its name.
    pub(crate) name: &'static str,
    /// Whose it is.
    pub(crate) role: Role,
    /// What it speaks.
    pub(crate) speaks: &'static [Service],
    /// Whether it can list a tree over HTTP in one answer.
    pub(crate) lists_trees: bool,
    /// Whether only root can start it.
    pub(crate) needs_root: bool,
    /// Whether an acknowledged upload survives a power cut.
    pub(crate) durable: bool,
    /// How it is got.
    pub(crate) install: Install,
    /// The version that is there, if it is.
    pub(crate) version: fn() -> Option<String>,
    /// Starts it on an empty directory, and waits until its doors are open.
    pub(crate) start: fn(&Place) -> Result<Running, String>,
}

impl Kind {
    /// Its name as a file may have it.
    pub(crate) fn file_name(&self) -> String {
        self.name
            .replace(|letter: char| !letter.is_ascii_alphanumeric(), "-")
    }

    /// Why it cannot be started here; none if it can.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        match (self.version)() {
            None if self.install == Install::Nowhere => Some("no package has it"),
            None => Some("not installed"),
            Some(_) if self.needs_root && !rustix::process::geteuid().is_root() => Some("needs root"),
            Some(_) => None,
        }
    }
}

/// A peer, as most of them are.
const PEER: Kind = Kind {
    name: "",
    role: Role::Peer,
    speaks: &[],
    lists_trees: false,
    needs_root: false,
    durable: false,
    install: Install::Nowhere,
    version: || None,
    start: |_| Err("no package has it".to_owned()),
};

/// Where a server may put things.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// A directory of its own, absolute, empty, on the disk that is measured.
    pub(crate) directory: PathBuf,
    /// Certificate for this machine, PEM.
    pub(crate) certificate: PathBuf,
    /// Its key, PEM.
    pub(crate) key: PathBuf,
    /// Whom clients trust.
    pub(crate) trust: Trust,
}

impl Place {
    /// The directory whose files are the server's, made.
    fn files(&self) -> Result<PathBuf, String> {
        let files = self.directory.join("files");
        std::fs::create_dir_all(&files).map_err(|error| format!("{}: {error}", files.display()))?;
        Ok(files)
    }

    /// Its key and its certificate in one file, as some servers want them.
    fn both(&self) -> Result<PathBuf, String> {
        let both = self.directory.join("both.pem");
        let read = |path| std::fs::read_to_string(path).map_err(|error| error.to_string());
        std::fs::write(&both, read(&self.key)? + &read(&self.certificate)?)
            .map_err(|error| error.to_string())?;
        Ok(both)
    }

    /// How a server of files is used over HTTP.
    fn http(&self, store: Store, directories: Directories, archive: Option<&str>) -> Access {
        Access::Http(HttpAccess {
            store,
            directories,
            headers: String::new(),
            archive: archive.map(str::to_owned),
            trust: self.trust.clone(),
        })
    }
}

/// A server that runs. Ends when it is dropped.
pub(crate) struct Running {
    /// Its process, from which all others of it descend.
    pub(crate) pid: u32,
    /// The ways in.
    pub(crate) doors: Vec<Door>,
    /// The directory whose files are the server's, where files are files.
    pub(crate) files: Option<PathBuf>,
    /// Time from the start of its process until its first door was open.
    pub(crate) started_after: Duration,
    _process: Process,
}

impl Running {
    /// A process whose doors are open.
    fn new(process: Process, doors: Vec<Door>, files: Option<PathBuf>) -> Self {
        Self {
            pid: process.id(),
            doors,
            files,
            started_after: process.opened_after(),
            _process: process,
        }
    }

    /// The way in by which something can be done.
    pub(crate) fn door(&self, service: Service, operation: Operation) -> Option<&Door> {
        let fits = |door: &&Door| door.service == service && door.operations.contains(&operation);
        self.doors.iter().find(fits)
    }
}

/// A way in.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    /// What is spoken.
    pub(crate) service: Service,
    /// Where.
    pub(crate) target: Target,
    /// How.
    pub(crate) access: Access,
    /// What can be done.
    pub(crate) operations: &'static [Operation],
    /// Path of the server's directory there, without a slash at its end: empty if it is the root.
    pub(crate) base: String,
}

impl Door {
    /// At a URL.
    fn new(
        service: Service,
        url: &str,
        access: Access,
        operations: &'static [Operation],
    ) -> Result<Self, String> {
        let protocol = match service {
            Service::Http | Service::Https => Protocol::Rest,
            Service::Ftp | Service::Ftps => Protocol::Ftp,
            Service::Sftp => Protocol::Sftp,
        };
        Ok(Self {
            service,
            target: Target::parse(protocol, url)?,
            access,
            operations,
            base: String::new(),
        })
    }
}

/// To store and to fetch.
const FILES: &[Operation] = &[Operation::Upload, Operation::Download];
/// The same, and to fetch archives.
const FILES_AND_ARCHIVES: &[Operation] = &[Operation::Upload, Operation::Download, Operation::Archive];

/// A cluster of ours, by way of the node that has the files and of another.
pub(crate) fn clusters() -> Vec<Kind> {
    cluster::kinds().into()
}

/// All servers, ours first.
pub(crate) fn all() -> Vec<Kind> {
    vec![
        filegrid::kind(),
        nginx::usual(),
        nginx::with_buffer(),
        copyparty::kind(),
        dufs::kind(),
        dufs::tls(),
        miniserve::kind(),
        miniserve::tls(),
        rclone::webdav(),
        Kind {
            name: "SeaweedFS",
            speaks: &[Service::Http],
            ..PEER
        },
        vsftpd::kind(),
        proftpd::kind(),
        pure_ftpd::kind(),
        libunftp::kind(),
        openssh::kind(),
        rclone::sftp(),
        floor::plain(),
        floor::durable(),
    ]
}
