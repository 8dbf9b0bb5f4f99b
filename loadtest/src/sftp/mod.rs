//! SFTP version 3, as a client that moves one file after the other, with many requests under way for each.

mod connection;
mod packet;
mod transfer;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use russh::keys::{PrivateKey, load_secret_key};
use russh::{Preferred, cipher, client};

use self::connection::{Connection, expect_ok, refusal};
use self::packet::{EOF, Entry, Reply, Request};
use crate::cli::Cipher;
use crate::content::Content;
use crate::failure::Failure;
use crate::files::{File, Files};
use crate::limits::{PATH_MAX_BYTES, SFTP_REQUESTS_COUNT};
use crate::plan::SftpAccess;

/// Window that the server may fill: what it sends at most without being asked to go on.
const WINDOW_BYTES: u32 = 8 << 20;
/// Data in one message of SSH. What a packet of 35,000 bytes holds, which every server takes.
const MESSAGE_BYTES: u32 = 32 * 1024;
/// Messages that wait to be looked at. More than a window can have of whole ones, so that the connection never waits for us.
const MESSAGES_COUNT: usize = 1024;

/// What logs in.
pub struct Login {
    user: String,
    password: Option<String>,
    key: Option<Arc<PrivateKey>>,
    host_keys: Option<Vec<String>>,
    config: Arc<client::Config>,
}

impl Login {
    /// Reads the key.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn read(access: &SftpAccess) -> Result<Self, String> {
        let key = access.key.as_ref().map(|path| {
            let key = load_secret_key(path, access.password.as_deref());
            key.map(Arc::new)
                .map_err(|error| format!("{}: {error}", path.display()))
        });
        let mut preferred = Preferred::default();
        if let Some(one) = access.cipher {
            preferred.cipher = vec![name(one)].into();
        }
        let config = client::Config {
            preferred,
            window_size: WINDOW_BYTES,
            maximum_packet_size: MESSAGE_BYTES,
            channel_buffer_size: MESSAGES_COUNT,
            ..client::Config::default()
        };
        Ok(Self {
            user: access.user.clone(),
            password: access.password.clone(),
            key: key.transpose()?,
            host_keys: access.host_keys.clone(),
            config: Arc::new(config),
        })
    }
}

fn name(cipher: Cipher) -> cipher::Name {
    match cipher {
        Cipher::Aes128Gcm => cipher::AES_128_GCM,
        Cipher::Aes256Gcm => cipher::AES_256_GCM,
        Cipher::Chacha20Poly1305 => cipher::CHACHA20_POLY1305,
    }
}

/// A server of SFTP.
pub struct Server {
    /// As it was given.
    pub name: String,
    /// Its address.
    pub address: SocketAddr,
    /// What logs in.
    pub login: Arc<Login>,
}

/// A client with what it needs to know.
pub struct Session {
    server: Arc<Server>,
    content: Arc<Content>,
    files: Arc<Files>,
    verify: bool,
    connection: Option<Connection>,
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
            connection: None,
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

    /// Does something over the connection, which is taken out meanwhile: one that is given up is not used again.
    async fn with<T>(
        &mut self,
        act: impl AsyncFnOnce(&mut Connection) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::log_in(&self.server).await?,
        };
        let done = act(&mut connection).await;
        // With replies still to come nobody would know which of them belong to the next file.
        let is_quiet = connection.waiting() == 0;
        if is_quiet && done.as_ref().map_or_else(|failure| !failure.broken, |_| true) {
            self.connection = Some(connection);
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
        self.with(async |connection| transfer::put(connection, &content, file).await)
            .await
    }

    /// Fetches a file, and compares it if asked to; its bytes.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub async fn download(&mut self, file: &File, verify: bool) -> Result<u64, Failure> {
        let content = Arc::clone(&self.content);
        self.with(async |connection| transfer::get(connection, &content, file, verify).await)
            .await
    }

    /// Lists the directory of the prepared files; the bytes of their names.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub async fn list(&mut self) -> Result<u64, Failure> {
        let (files, verify) = (Arc::clone(&self.files), self.verify);
        self.with(async |connection| {
            let entries = entries(connection, &files.prepared_directory()).await?;
            let bytes = entries.iter().map(|entry| entry.name.len() as u64).sum();
            if verify {
                let entries = entries
                    .into_iter()
                    .map(|entry| (entry.name, entry.size))
                    .collect();
                files.compare(entries).map_err(Failure::wrong)?;
            }
            Ok(bytes)
        })
        .await
    }

    /// Makes a directory in one that is there.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub async fn make_directory(&mut self, path: &str) -> Result<(), Failure> {
        // No attributes.
        let reply = self
            .with(async |connection| {
                connection
                    .ask(Request::MakeDirectory, |of| of.string(path.as_bytes()).u32(0))
                    .await
            })
            .await?;
        expect_ok(reply)
    }

    /// Deletes a file.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub async fn delete_file(&mut self, path: &str) -> Result<(), Failure> {
        let reply = self
            .with(async |connection| {
                connection
                    .ask(Request::Remove, |of| of.string(path.as_bytes()))
                    .await
            })
            .await?;
        expect_ok(reply)
    }

    /// Deletes a directory with all that is below it.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub async fn delete(&mut self, path: &str) -> Result<(), Failure> {
        self.with(async |connection| delete(connection, path).await).await
    }

    /// Ends the connection in good order.
    pub async fn end(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.end().await;
        }
    }
}

/// Opens something: its handle.
async fn open(
    connection: &mut Connection,
    kind: Request,
    path: &str,
    flags: Option<u32>,
) -> Result<Bytes, Failure> {
    let reply = connection.ask(kind, |request| {
        let request = request.string(path.as_bytes());
        match flags {
            Some(flags) => request.u32(flags).u32(0),
            None => request,
        }
    });
    match reply.await? {
        Reply::Handle(handle) => Ok(handle),
        other => Err(refusal(other)),
    }
}

async fn close(connection: &mut Connection, handle: &[u8]) -> Result<(), Failure> {
    expect_ok(connection.ask(Request::Close, |of| of.string(handle)).await?)
}

/// All entries of a directory but itself and its parent.
async fn entries(connection: &mut Connection, path: &str) -> Result<Vec<Entry>, Failure> {
    let handle = open(connection, Request::OpenDirectory, path, None).await?;
    let mut entries = Vec::new();
    loop {
        match connection
            .ask(Request::ReadDirectory, |of| of.string(&handle))
            .await?
        {
            Reply::Names(more) if !more.is_empty() => {
                entries.extend(
                    more.into_iter()
                        .filter(|entry| entry.name != "." && entry.name != ".."),
                );
            }
            Reply::Status { code: EOF, .. } => break,
            other => {
                close(connection, &handle).await?;
                return Err(refusal(other));
            }
        }
    }
    close(connection, &handle).await?;
    Ok(entries)
}

/// Deletes a directory with all that is below it, from the leaves up.
async fn delete(connection: &mut Connection, path: &str) -> Result<(), Failure> {
    let mut waiting = vec![(path.to_owned(), false)];
    while let Some((path, is_listed)) = waiting.pop() {
        if is_listed {
            expect_ok(
                connection
                    .ask(Request::RemoveDirectory, |of| of.string(path.as_bytes()))
                    .await?,
            )?;
            continue;
        }
        if path.len() > PATH_MAX_BYTES {
            return Err(Failure::malformed("directories do not end"));
        }
        waiting.push((path.clone(), true));
        for entry in entries(connection, &path).await? {
            if entry.name.contains('/') {
                continue;
            }
            let below = format!("{path}/{}", entry.name);
            if entry.is_directory {
                waiting.push((below, false));
                continue;
            }
            connection
                .send(Request::Remove, 256, |of| of.string(below.as_bytes()))
                .await?;
            if connection.waiting() >= SFTP_REQUESTS_COUNT {
                removed(connection).await?;
            }
        }
        while connection.waiting() > 0 {
            removed(connection).await?;
        }
    }
    Ok(())
}

async fn removed(connection: &mut Connection) -> Result<(), Failure> {
    let (_, reply) = connection.receive().await?;
    expect_ok(reply)
}
