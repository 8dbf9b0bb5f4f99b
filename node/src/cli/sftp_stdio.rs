//! `filegrid sftp-stdio`: a session of SFTP on standard input and output, for who may read `DATA`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown};
use std::os::fd::AsFd;

use clap::Args;

use crate::config::Config;
use crate::limits::SFTP_PACKET_MAX_BYTES;
use crate::sftp::{Hello, connect};

/// Options of `sftp-stdio`.
#[derive(Debug, Args)]
pub struct SftpStdio {
    /// The FTP account, as it logs in [default: $USER].
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
}

/// Serves a session by the node that runs on a `DATA`, to its end.
///
/// # Errors
///
/// A text that says what is wrong.
pub fn sftp_stdio(config: &Config, session: &SftpStdio) -> Result<(), String> {
    let user = session.user.clone().or_else(|| std::env::var("USER").ok());
    let hello = Hello {
        account: user.ok_or("name the account with --user")?,
        peer: ssh_client(),
    };
    let stream = connect(&config.data, &hello)?;
    let failed = |error: io::Error| format!("standard input and output: {error}");
    // Not by way of the buffers that these have in this process.
    let mut input = duplicate(&io::stdin()).map_err(failed)?;
    let mut output = duplicate(&io::stdout()).map_err(failed)?;
    let mut to_node = stream.try_clone().map_err(failed)?;
    std::thread::spawn(move || {
        // Whatever ends the input, the node is told that there is no more.
        let _ = pass_on(&mut input, &mut to_node);
        let _ = to_node.shutdown(Shutdown::Write);
    });
    pass_on(&mut &stream, &mut output).map_err(failed)
}

/// Copies to the end. `io::copy` would have the kernel splice, and while that waits for a socket it keeps the pipe that it
/// writes to locked: whoever reads that waits for what is there already.
fn pass_on(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; SFTP_PACKET_MAX_BYTES];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => to.write_all(buffer.get(..read).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn duplicate(of: &impl AsFd) -> io::Result<File> {
    of.as_fd().try_clone_to_owned().map(File::from)
}

/// Where the client is, if a server of SSH has started this.
fn ssh_client() -> Option<IpAddr> {
    let connection = std::env::var("SSH_CONNECTION").ok()?;
    connection.split(' ').next()?.parse().ok()
}
