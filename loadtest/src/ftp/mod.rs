//! FTP, as a client that makes one transfer after the other: passive data connections, images (`TYPE I`), TLS on both kinds of
//! connections.

mod control;
mod delete;
mod reply;

use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;

use self::control::Control;
use self::reply::entries;
use crate::cli::FtpTls;
use crate::content::{Check, Content};
use crate::failure::Failure;
use crate::files::{File, Files};
use crate::limits::{BODY_KEPT_MAX_BYTES, PIECE_BYTES};
use crate::plan::FtpAccess;
use crate::target::Target;
use crate::tls;
use crate::wire::Wire;

/// A server of FTP.
#[derive(Debug)]
pub struct Server {
    target: Target,
    address: SocketAddr,
    access: FtpAccess,
    kind: FtpTls,
    tls: Option<ClientConfig>,
}

impl Server {
    /// Reads certificates.
    ///
    /// # Errors
    ///
    /// A text that says which file cannot be read.
    pub fn new(target: Target, address: SocketAddr, access: FtpAccess) -> Result<Self, String> {
        let usual = if target.tls { FtpTls::Implicit } else { FtpTls::Off };
        let kind = access.tls.unwrap_or(usual);
        if target.tls && kind != FtpTls::Implicit {
            return Err(format!("{}: ftps:// means --tls implicit", target.name));
        }
        Ok(Self {
            tls: (kind != FtpTls::Off)
                .then(|| tls::client(&access.trust))
                .transpose()?,
            target,
            address,
            access,
            kind,
        })
    }
}

/// A client with what it needs to know.
pub struct Session {
    server: Arc<Server>,
    content: Arc<Content>,
    files: Arc<Files>,
    verify: bool,
    control: Option<Control>,
}

impl Session {
    /// To a server.
    #[must_use]
    pub fn new(server: Arc<Server>, content: Arc<Content>, files: Arc<Files>, verify: bool) -> Self {
        Self {
            server,
            content,
            files,
            verify,
            control: None,
        }
    }

    /// Connects and logs in, unless it has.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub async fn connect(&mut self) -> Result<(), Failure> {
        self.with(async |_| Ok(())).await
    }

    /// Does something in the session, which is taken out meanwhile: one that is given up is not used again.
    async fn with<T>(
        &mut self,
        act: impl AsyncFnOnce(&mut Control) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut control = match self.control.take() {
            Some(control) => control,
            None => Control::log_in(&self.server).await?,
        };
        let done = act(&mut control).await;
        if done.as_ref().map_or_else(|failure| !failure.broken, |_| true) {
            self.control = Some(control);
        }
        done
    }

    /// Stores a file; its bytes.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub async fn upload(&mut self, file: &File) -> Result<u64, Failure> {
        let content = Arc::clone(&self.content);
        self.with(async |control| {
            let mut data = control.begin(&format!("STOR {}", file.path())).await?;
            let sent = send(&mut data, &content, file).await;
            drop(data);
            match (sent, control.reply(&[226, 250]).await) {
                (_, Err(refusal)) => Err(refusal),
                (Err(sent), Ok(_)) => Err(sent),
                (Ok(()), Ok(_)) => Ok(file.size),
            }
        })
        .await
    }

    /// Fetches a file, and compares it if asked to; its bytes.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub async fn download(&mut self, file: &File, verify: bool) -> Result<u64, Failure> {
        let content = Arc::clone(&self.content);
        self.with(async |control| {
            let mut data = control.begin(&format!("RETR {}", file.path())).await?;
            let mut received = 0;
            let mut check = verify.then(|| Check::new(&content, file.number, file.size));
            loop {
                let here = match &mut check {
                    None => data.skip(usize::MAX).await?,
                    Some(check) => data.receive(|bytes| (check.feed(bytes), bytes.len()).1).await?,
                };
                if here == 0 {
                    break;
                }
                received += here as u64;
            }
            data.close().await;
            control.reply(&[226, 250]).await?;
            if let Some(check) = &check {
                check.finish().map_err(Failure::wrong)?;
            }
            if received != file.size {
                return Err(Failure::wrong(format!(
                    "{received} bytes came instead of {}",
                    file.size
                )));
            }
            Ok(received)
        })
        .await
    }

    /// Lists the directory of the prepared files; the bytes of the list.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub async fn list(&mut self) -> Result<u64, Failure> {
        let (files, verify) = (Arc::clone(&self.files), self.verify);
        self.with(async |control| {
            let directory = files.prepared_directory();
            let machine = listing(control, &directory).await?;
            let is_machine = machine.is_some();
            let listing = match machine {
                Some(listing) => listing,
                None => received(control, &format!("LIST {directory}")).await?,
            };
            if verify {
                let found = match is_machine {
                    true => named(&listing),
                    false => reply::files(&listing),
                };
                let found = found.map_err(Failure::malformed)?;
                files.compare(found).map_err(Failure::wrong)?;
            }
            Ok(listing.len() as u64)
        })
        .await
    }

    /// Makes a directory in one that is there.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub async fn make_directory(&mut self, path: &str) -> Result<(), Failure> {
        self.with(async |control| control.ask(&format!("MKD {path}"), &[257, 250]).await.map(drop))
            .await
    }

    /// Deletes a file.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub async fn delete_file(&mut self, path: &str) -> Result<(), Failure> {
        self.with(async |control| control.ask(&format!("DELE {path}"), &[250]).await.map(drop))
            .await
    }

    /// Deletes a directory with all that is below it.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub async fn delete(&mut self, path: &str) -> Result<(), Failure> {
        self.with(async |control| delete::delete(control, path).await)
            .await
    }

    /// Ends the session in good order.
    pub async fn end(&mut self) {
        if let Some(mut control) = self.control.take() {
            // It ends anyway.
            let _ = control.quit().await;
        }
    }
}

async fn send(data: &mut Wire, content: &Content, file: &File) -> Result<(), Failure> {
    let mut at = 0;
    while at < file.size {
        let piece = content.piece(file.number, at, (file.size - at).min(PIECE_BYTES as u64));
        at += piece.len() as u64;
        data.send(&mut [IoSlice::new(piece)]).await?;
    }
    data.end().await?;
    // Tickets for the next session come while the server closes; without TLS there is nothing to wait for.
    if matches!(data, Wire::Tls(_)) {
        while data.receive(<[u8]>::len).await.is_ok_and(|bytes| bytes > 0) {}
    }
    Ok(())
}

/// What is in a directory, by `MLSD` (RFC 3659). None if the server does not know that.
async fn listing(control: &mut Control, path: &str) -> Result<Option<Vec<u8>>, Failure> {
    if !control.has_mlsd {
        return Ok(None);
    }
    match received(control, &format!("MLSD {path}")).await {
        Ok(listing) => Ok(Some(listing)),
        Err(failure) if matches!(failure.kind.as_str(), "FTP 500" | "FTP 502") => {
            control.has_mlsd = false;
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

/// Names and sizes of what is in a listing by `MLSD`.
fn named(listing: &[u8]) -> Result<Vec<(String, u64)>, String> {
    let entries = entries(listing)?;
    Ok(entries
        .into_iter()
        .map(|entry| (entry.name, entry.size))
        .collect())
}

/// What a command brings over a data connection.
async fn received(control: &mut Control, command: &str) -> Result<Vec<u8>, Failure> {
    let mut data = control.begin(command).await?;
    let mut listing = Vec::new();
    while data
        .receive(|bytes| (listing.extend_from_slice(bytes), bytes.len()).1)
        .await?
        > 0
    {
        if listing.len() > BODY_KEPT_MAX_BYTES {
            return Err(Failure::malformed("the listing does not end"));
        }
    }
    data.close().await;
    control.reply(&[226, 250]).await?;
    Ok(listing)
}
