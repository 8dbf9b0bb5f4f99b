//! What the command line says.

use std::net::SocketAddr;
use std::path::PathBuf;

/// What `--help` prints.
pub(crate) const USAGE: &str = "\
A floor to measure servers of files against: HTTP/1.1 with keep-alive, one thread a connection.

PUT writes what comes by recv and write through 1 MiB, GET answers by sendfile, MKCOL makes a directory. Paths are taken
as they are sent, without decoding. Whoever reaches it may read and write the directory: for measurements only.

Usage: floor --listen ADDRESS --directory DIRECTORY [--durable]

      --listen ADDRESS       Address and port, 0 for any free one. `listening ADDRESS` is printed when it listens
      --directory DIRECTORY  Where files are written and read; it must exist
      --durable              A PUT is answered when the file is on the disk: written under a temporary name, fdatasync,
                             rename, fsync of the directory. Without it nothing is synced
  -h, --help                 Prints this
";

/// How to serve.
#[derive(Debug)]
pub(crate) struct Options {
    /// Where to listen.
    pub(crate) listen: SocketAddr,
    /// What is served.
    pub(crate) directory: PathBuf,
    /// Whether a file is on the disk before its PUT is answered.
    pub(crate) durable: bool,
}

/// What the caller wants.
pub(crate) enum Asked {
    /// The text of `--help`.
    Help,
    /// A server.
    Serve(Options),
}

impl Options {
    /// Reads the arguments, the program's name left out.
    ///
    /// # Errors
    ///
    /// Says which argument is missing, unknown or not to be understood.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Asked, String> {
        let (mut listen, mut directory, mut durable) = (None, None, false);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "-h" | "--help" => return Ok(Asked::Help),
                "--durable" => durable = true,
                "--directory" => directory = Some(PathBuf::from(value()?)),
                "--listen" => {
                    let text = value()?;
                    let address = text.parse();
                    listen = Some(address.map_err(|_| format!("`{text}` is no address with a port"))?);
                }
                _ => return Err(format!("unknown argument `{argument}`")),
            }
        }
        Ok(Asked::Serve(Self {
            listen: listen.ok_or("--listen is missing")?,
            directory: directory.ok_or("--directory is missing")?,
            durable,
        }))
    }
}
