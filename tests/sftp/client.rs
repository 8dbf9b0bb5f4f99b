//! A client that sends exactly what it is told.

use std::sync::Arc;
use std::time::Duration;

use filegrid::sftp::fields::{Fields, put_string, put_u32, put_u64};
use russh::client::{self, Handle};
use russh::keys::PublicKeyOrCertificate;
use russh::{Channel, ChannelMsg};
use tokio::runtime::Runtime;

use crate::support::{Server, poll};

pub(crate) const NAME: &str = "anna";
pub(crate) const PASSWORD: &str = "correct horse";

pub(crate) const READ: u32 = 1;
pub(crate) const WRITE: u32 = 2;
pub(crate) const APPEND: u32 = 4;
pub(crate) const CREATE: u32 = 8;
pub(crate) const TRUNCATE: u32 = 0x10;
pub(crate) const EXCLUSIVE: u32 = 0x20;
/// As `put` opens a file.
pub(crate) const PUT: u32 = WRITE | CREATE | TRUNCATE;

pub(crate) const OK: u32 = 0;
pub(crate) const EOF: u32 = 1;
pub(crate) const NO_SUCH_FILE: u32 = 2;
pub(crate) const DENIED: u32 = 3;
pub(crate) const FAILURE: u32 = 4;
pub(crate) const BAD_MESSAGE: u32 = 5;
pub(crate) const UNSUPPORTED: u32 = 8;

/// A server with the account `anna` on its root, who may write.
pub(crate) fn server() -> Server {
    server_with(&[])
}

pub(crate) fn server_with(settings: &[(&str, &str)]) -> Server {
    let server = Server::start_with(settings);
    account(&server, NAME, "/", "RW");
    server
}

/// Adds an account; its id.
pub(crate) fn account(server: &Server, name: &str, root: &str, rights: &str) -> u64 {
    let id = server.add_account(name, PASSWORD, root, rights);
    // A node knows it within a second.
    let runtime = runtime();
    until(|| runtime.block_on(login(server, name, PASSWORD)).ok().map(drop));
    id
}

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Asks again until there is an answer.
#[track_caller]
pub(crate) fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let mut answer = None;
    poll(|| {
        answer = ask();
        answer.is_some()
    });
    answer.unwrap()
}

/// Whoever the server is, it is the one that was started.
pub(crate) struct Trusting;

impl client::Handler for Trusting {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

/// Connects and logs in with a password.
pub(crate) async fn login(server: &Server, name: &str, password: &str) -> Result<Handle<Trusting>, String> {
    let config = Arc::new(client::Config::default());
    let address = ("127.0.0.1", server.port_of("sftp"));
    let connected = client::connect(config, address, Trusting).await;
    let mut session = connected.map_err(|error| error.to_string())?;
    let answer = session.authenticate_password(name, password).await;
    match answer {
        Ok(answer) if answer.success() => Ok(session),
        other => Err(format!("{other:?}")),
    }
}

/// A session of SFTP.
pub(crate) struct Sftp {
    runtime: Runtime,
    session: Handle<Trusting>,
    channel: Channel<client::Msg>,
    arrived: Vec<u8>,
    id: u32,
}

/// A handle as the server gave it.
pub(crate) type Open = Vec<u8>;

impl Sftp {
    /// Logs in as anna and says hello.
    pub(crate) fn start(server: &Server) -> Self {
        Self::start_as(server, NAME)
    }

    #[track_caller]
    pub(crate) fn start_as(server: &Server, name: &str) -> Self {
        let mut sftp = Self::connect(server, name);
        sftp.send(&[1, 0, 0, 0, 3]);
        let hello = sftp.packet().unwrap();
        assert_eq!(hello[..5], [2, 0, 0, 0, 3]);
        sftp
    }

    /// Logs in and asks for the subsystem.
    #[track_caller]
    pub(crate) fn connect(server: &Server, name: &str) -> Self {
        let runtime = runtime();
        let (session, channel) = runtime.block_on(async {
            let session = login(server, name, PASSWORD).await.unwrap();
            let channel = session.channel_open_session().await.unwrap();
            channel.request_subsystem(true, "sftp").await.unwrap();
            (session, channel)
        });
        Self {
            runtime,
            session,
            channel,
            arrived: Vec::new(),
            id: 0,
        }
    }

    /// Sends a packet behind its length.
    pub(crate) fn send(&mut self, packet: &[u8]) {
        let mut bytes = Vec::new();
        put_string(&mut bytes, packet);
        self.send_raw(bytes);
    }

    pub(crate) fn send_raw(&mut self, bytes: Vec<u8>) {
        // A server that has cut the connection does not take it.
        let _ = self.runtime.block_on(self.channel.data(bytes.as_slice()));
    }

    /// Sends without waiting for the window; what is not taken in time is not sent.
    pub(crate) fn flood(&mut self, bytes: Vec<u8>, patience: Duration) -> bool {
        let sent = self.channel.data(bytes.as_slice());
        self.runtime
            .block_on(async { tokio::time::timeout(patience, sent).await })
            .is_ok_and(|sent| sent.is_ok())
    }

    /// The next packet without its length; `None` when the session has ended.
    pub(crate) fn packet(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(length) = self.arrived.first_chunk() {
                let length = u32::from_be_bytes(*length) as usize;
                if self.arrived.len() >= 4 + length {
                    let packet = self.arrived[4..4 + length].to_vec();
                    self.arrived.drain(..4 + length);
                    return Some(packet);
                }
            }
            let message = self.runtime.block_on(async {
                let waiting = self.channel.wait();
                tokio::time::timeout(Duration::from_secs(60), waiting)
                    .await
                    .unwrap()
            });
            match message {
                Some(ChannelMsg::Data { data }) => self.arrived.extend_from_slice(&data),
                Some(ChannelMsg::Eof | ChannelMsg::Close) | None => return None,
                Some(_) => {}
            }
        }
    }

    /// A request with its id: the id.
    pub(crate) fn request(&mut self, kind: u8, write: impl FnOnce(&mut Vec<u8>)) -> u32 {
        self.id += 1;
        let mut packet = vec![kind];
        put_u32(&mut packet, self.id);
        write(&mut packet);
        self.send(&packet);
        self.id
    }

    /// A request and the reply to it: its kind, and what stands behind the id.
    #[track_caller]
    pub(crate) fn ask(&mut self, kind: u8, write: impl FnOnce(&mut Vec<u8>)) -> (u8, Vec<u8>) {
        let id = self.request(kind, write);
        let packet = self.packet().unwrap();
        assert_eq!(packet[1..5], id.to_be_bytes());
        (packet[0], packet[5..].to_vec())
    }

    /// A request that is answered by a status: its code.
    #[track_caller]
    pub(crate) fn status(&mut self, kind: u8, write: impl FnOnce(&mut Vec<u8>)) -> u32 {
        let (kind, reply) = self.ask(kind, write);
        assert_eq!(kind, 101, "{reply:?}");
        Fields::new(&reply).u32().unwrap()
    }

    /// A request that concerns a path, and is answered by a status.
    #[track_caller]
    pub(crate) fn path(&mut self, kind: u8, path: &str) -> u32 {
        self.status(kind, |out| {
            put_string(out, path.as_bytes());
            if kind == 14 {
                put_u32(out, 0);
            }
        })
    }

    #[track_caller]
    pub(crate) fn try_open(&mut self, path: &str, flags: u32) -> Result<Open, u32> {
        let (kind, reply) = self.ask(3, |out| {
            put_string(out, path.as_bytes());
            put_u32(out, flags);
            put_u32(out, 0);
        });
        let mut fields = Fields::new(&reply);
        match kind {
            102 => Ok(fields.string().unwrap().to_vec()),
            _ => Err(fields.u32().unwrap()),
        }
    }

    #[track_caller]
    pub(crate) fn open(&mut self, path: &str, flags: u32) -> Open {
        self.try_open(path, flags).unwrap()
    }

    #[track_caller]
    pub(crate) fn write(&mut self, open: &Open, at: u64, bytes: &[u8]) -> u32 {
        self.status(6, |out| write_fields(out, open, at, bytes))
    }

    /// Reads; the code of the status where there are no bytes.
    #[track_caller]
    pub(crate) fn read(&mut self, open: &Open, at: u64, length: u32) -> Result<Vec<u8>, u32> {
        let (kind, reply) = self.ask(5, |out| read_fields(out, open, at, length));
        let mut fields = Fields::new(&reply);
        match kind {
            103 => Ok(fields.string().unwrap().to_vec()),
            _ => Err(fields.u32().unwrap()),
        }
    }

    #[track_caller]
    pub(crate) fn close(&mut self, open: &Open) -> u32 {
        self.status(4, |out| put_string(out, open))
    }

    #[track_caller]
    pub(crate) fn put(&mut self, path: &str, bytes: &[u8]) {
        let open = self.open(path, PUT);
        for (at, piece) in (0..).step_by(30_000).zip(bytes.chunks(30_000)) {
            assert_eq!(self.write(&open, at, piece), OK);
        }
        assert_eq!(self.close(&open), OK);
    }

    #[track_caller]
    pub(crate) fn get(&mut self, path: &str) -> Vec<u8> {
        let open = self.open(path, READ);
        let mut bytes = Vec::new();
        while let Ok(piece) = self.read(&open, bytes.len() as u64, 200_000) {
            bytes.extend_from_slice(&piece);
        }
        assert_eq!(self.close(&open), OK);
        bytes
    }

    /// Size and modification time of a path, by STAT (17), LSTAT (7).
    #[track_caller]
    pub(crate) fn stat(&mut self, path: &str) -> Result<(u64, u32), u32> {
        let (kind, reply) = self.ask(17, |out| put_string(out, path.as_bytes()));
        told(kind, &reply)
    }

    #[track_caller]
    pub(crate) fn fstat(&mut self, open: &Open) -> Result<(u64, u32), u32> {
        let (kind, reply) = self.ask(8, |out| put_string(out, open));
        told(kind, &reply)
    }

    /// The names in a directory, with how many replies they took.
    #[track_caller]
    pub(crate) fn list(&mut self, path: &str) -> (Vec<String>, usize) {
        let (kind, reply) = self.ask(11, |out| put_string(out, path.as_bytes()));
        assert_eq!(kind, 102, "{reply:?}");
        let open = Fields::new(&reply).string().unwrap().to_vec();
        let (mut names, mut pages) = (Vec::new(), 0);
        loop {
            let (kind, reply) = self.ask(12, |out| put_string(out, &open));
            let mut fields = Fields::new(&reply);
            let count = fields.u32().unwrap();
            if kind == 101 {
                assert_eq!(count, EOF);
                break;
            }
            pages += 1;
            for _ in 0..count {
                names.push(String::from_utf8(fields.string().unwrap().to_vec()).unwrap());
                fields.string().unwrap();
                filegrid::sftp::attributes::Wanted::read(&mut fields).unwrap();
            }
            assert!(fields.is_empty());
        }
        assert_eq!(self.close(&open), OK);
        (names, pages)
    }

    /// Ends the connection without a word.
    pub(crate) fn drop_connection(self) {
        let Self { runtime, session, .. } = self;
        drop(session);
        drop(runtime);
    }

    /// Whether the server has ended the session.
    pub(crate) fn has_ended(&mut self) -> bool {
        while self.packet().is_some() {}
        true
    }
}

pub(crate) fn write_fields(out: &mut Vec<u8>, open: &Open, at: u64, bytes: &[u8]) {
    put_string(out, open);
    put_u64(out, at);
    put_string(out, bytes);
}

pub(crate) fn read_fields(out: &mut Vec<u8>, open: &Open, at: u64, length: u32) {
    put_string(out, open);
    put_u64(out, at);
    put_u32(out, length);
}

fn told(kind: u8, reply: &[u8]) -> Result<(u64, u32), u32> {
    let mut fields = Fields::new(reply);
    if kind == 101 {
        return Err(fields.u32().unwrap());
    }
    assert_eq!(kind, 105);
    let wanted = filegrid::sftp::attributes::Wanted::read(&mut fields).unwrap();
    Ok((wanted.size.unwrap(), wanted.mtime.unwrap()))
}
