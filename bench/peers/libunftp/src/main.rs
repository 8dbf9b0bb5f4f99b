//! An FTP server on libunftp, so that the comparison can measure what that library makes of this machine.
//!
//! Files pass through 1 MiB buffers (see `storage`); everything else is as the library has it. One account.

mod account;
mod storage;

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use libunftp::ServerBuilder;

use crate::account::Account;
use crate::storage::Storage;

/// Serves a directory by FTP, and by explicit FTPS if it is given a certificate.
#[derive(Debug, Parser)]
struct Options {
    /// Address of the control connections; port 0 for any free one.
    #[arg(long)]
    listen: SocketAddr,
    /// The directory.
    #[arg(long)]
    root: PathBuf,
    /// Name of the account.
    #[arg(long)]
    user: String,
    /// Its password.
    #[arg(long)]
    password: String,
    /// Certificate and those that it needs, PEM.
    #[arg(long, requires = "key")]
    cert: Option<PathBuf>,
    /// Its key, PEM.
    #[arg(long, requires = "cert")]
    key: Option<PathBuf>,
    /// First port of data connections.
    #[arg(long, default_value_t = 20_000)]
    first_passive: u16,
    /// Last port of data connections.
    #[arg(long, default_value_t = 31_999)]
    last_passive: u16,
}

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let options = Options::parse();
    let root = options.root.canonicalize()?;
    Storage::new(&root)?;
    let account = Arc::new(Account {
        user: options.user,
        password: options.password,
    });
    // The generator cannot fail; what it needs was tried above.
    let generator = move || match Storage::new(&root) {
        Ok(storage) => storage,
        Err(error) => panic!("cannot open {}: {error}", root.display()),
    };
    let mut server = ServerBuilder::new(Box::new(generator))
        .authenticator(account)
        .passive_ports(options.first_passive..=options.last_passive);
    if let (Some(cert), Some(key)) = (options.cert, options.key) {
        server = server.ftps(cert, key);
    }
    let server = server.build()?;
    // The library does not tell where it listens: a free port is looked for here.
    let address = TcpListener::bind(options.listen)?.local_addr()?;
    let listening = tokio::spawn(server.listen(address.to_string()));
    while !listening.is_finished() && tokio::net::TcpStream::connect(address).await.is_err() {
        tokio::task::yield_now().await;
    }
    let mut out = std::io::stdout();
    writeln!(out, "listening {address}")?;
    out.flush()?;
    Ok(listening.await??)
}
