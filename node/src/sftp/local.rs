//! The way in for `filegrid sftp-stdio`: a socket in `DATA`, which nobody else can open.
//!
//! A client says in a line of JSON who it is; the answer is a line that is empty, or says why not. Then the bytes of SFTP go
//! both ways.

use std::fs::{File, Permissions};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

use super::server::Shared;
use super::shards::{Client, Speaks};
use super::stream;
use crate::limits::{LOCAL_HELLO_MAX_BYTES, LOCAL_HELLO_TIMEOUT_S};
use crate::metrics::Via;

/// Name of the socket in `DATA`.
const NAME: &str = "sftp.sock";

/// What a client says first.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hello {
    /// `Username`, or `Username@AssociationKey`.
    pub(crate) account: String,
    /// Where the client of the client is, for logs.
    pub(crate) peer: Option<IpAddr>,
}

/// The socket's path, by way of its directory: the name of a socket has 107 bytes at most, that of `DATA` any number.
fn path(directory: &File) -> PathBuf {
    Path::new("/proc/self/fd")
        .join(directory.as_raw_fd().to_string())
        .join(NAME)
}

/// Listens in the place of a process that has ended: `DATA` is ours.
pub(super) fn listen(data: &Path) -> io::Result<UnixListener> {
    let directory = File::open(data)?;
    let path = path(&directory);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Connects to the node that runs on a `DATA`, and says who we are.
///
/// # Errors
///
/// A text that says what to do about it.
pub(crate) fn connect(data: &Path, hello: &Hello) -> Result<BlockingStream, String> {
    use std::io::{Read as _, Write as _};
    let nobody = |error: io::Error| format!("no node can be reached in {}: {error}", data.display());
    let directory = File::open(data).map_err(nobody)?;
    let mut stream = BlockingStream::connect(path(&directory)).map_err(nobody)?;
    let mut line = serde_json::to_vec(hello).map_err(|error| error.to_string())?;
    line.push(b'\n');
    stream.write_all(&line).map_err(nobody)?;
    let mut answer = Vec::new();
    let mut byte = [0];
    while answer.len() <= LOCAL_HELLO_MAX_BYTES {
        stream.read_exact(&mut byte).map_err(nobody)?;
        if byte == *b"\n" {
            break;
        }
        answer.extend_from_slice(&byte);
    }
    if answer.is_empty() {
        Ok(stream)
    } else {
        Err(String::from_utf8_lossy(&answer).into_owned())
    }
}

/// Serves those who connect, for ever.
pub(super) async fn accept(shared: Arc<Shared>, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(serve(Arc::clone(&shared), stream));
            }
            Err(error) => {
                tracing::debug!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(crate::limits::ACCEPT_RETRY_MS)).await;
            }
        }
    }
}

async fn serve(shared: Arc<Shared>, mut stream: UnixStream) {
    let patience = Duration::from_secs(LOCAL_HELLO_TIMEOUT_S);
    let Ok(Some(hello)) = tokio::time::timeout(patience, hello(&mut stream)).await else {
        return;
    };
    let peer = hello
        .peer
        .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
        .to_canonical();
    let account = shared
        .login
        .account_of(&hello.account)
        .map_err(|error| error.to_string());
    let admitted = account.and_then(|account| {
        let permit = shared.admission.admit(peer);
        let permit = permit.ok_or_else(|| "there are too many connections".to_owned())?;
        Ok((account, permit.counted(Via::Sftp)))
    });
    let answer = match &admitted {
        Ok(_) => "\n".to_owned(),
        Err(why) => format!("{why}\n"),
    };
    if stream.write_all(answer.as_bytes()).await.is_ok()
        && let Ok((account, _permit)) = admitted
    {
        let client = Client {
            account,
            peer,
            has_arrived: false,
        };
        stream::serve(&shared, client, Speaks::Sftp, stream).await;
    }
}

/// What the client says, if it is anything.
async fn hello(stream: &mut UnixStream) -> Option<Hello> {
    let mut line = Vec::new();
    loop {
        // Byte by byte: what comes behind the line is SFTP's.
        match stream.read_u8().await.ok()? {
            b'\n' => return serde_json::from_slice(&line).ok(),
            byte => line.push(byte),
        }
        if line.len() > LOCAL_HELLO_MAX_BYTES {
            return None;
        }
    }
}
