//! A session of SFTP over SSH: requests, and the replies to them by their ids.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use russh::client::{self, Handle};
use russh::keys::{HashAlg, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Disconnect};
use tokio::io::BufReader;
use tokio::net::TcpStream;

use super::packet::{EOF, Fields, OK, Reply, Request, Writer, take};
use super::{Login, Server};
use crate::failure::Failure;
use crate::limits::{SFTP_PIECE_BYTES, SFTP_PIECE_MAX_BYTES, SSH_READ_BYTES};

/// Extension that tells how long reads and writes may be.
const LIMITS: &str = "limits@openssh.com";

/// Whether the server is the right one, and who it said it was.
struct Checking {
    login: Arc<Login>,
    seen: Arc<Mutex<Option<String>>>,
}

impl client::Handler for Checking {
    type Error = russh::Error;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        let fingerprint = match key {
            PublicKeyOrCertificate::PublicKey { key, .. } => key.fingerprint(HashAlg::Sha256),
            PublicKeyOrCertificate::Certificate(certificate) => {
                certificate.public_key().fingerprint(HashAlg::Sha256)
            }
        };
        let fingerprint = fingerprint.to_string();
        let is_right = self
            .login
            .host_keys
            .as_ref()
            .is_none_or(|keys| keys.contains(&fingerprint));
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(fingerprint);
        Ok(is_right)
    }
}

/// A session.
pub(super) struct Connection {
    handle: Handle<Checking>,
    read: ChannelReadHalf,
    write: ChannelWriteHalf<client::Msg>,
    arrived: BytesMut,
    /// Ids of requests without a reply, in their order.
    waiting: VecDeque<u32>,
    next_id: u32,
    /// Bytes of a read and of a write.
    pub piece: u32,
}

impl Connection {
    /// Connects, logs in and says hello.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub(super) async fn log_in(server: &Server) -> Result<Self, Failure> {
        let stream = TcpStream::connect(server.address).await?;
        stream.set_nodelay(true)?;
        // russh asks for the length of a packet, and then for the rest.
        let stream = BufReader::with_capacity(SSH_READ_BYTES, stream);
        let seen = Arc::new(Mutex::new(None));
        let checking = Checking {
            login: Arc::clone(&server.login),
            seen: Arc::clone(&seen),
        };
        let connected = client::connect_stream(Arc::clone(&server.login.config), stream, checking).await;
        let mut handle = match connected {
            Ok(handle) => handle,
            Err(russh::Error::UnknownKey) => {
                let seen = seen
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .take()
                    .unwrap_or_default();
                let text = format!("its key is {seen}: give it with --host-key, or --insecure");
                return Err(Failure::refused("unknown server", text).breaking());
            }
            Err(error) => return Err(ssh(&error)),
        };
        authenticate(&mut handle, &server.login).await?;
        let channel = handle.channel_open_session().await.map_err(|error| ssh(&error))?;
        channel
            .request_subsystem(true, "sftp")
            .await
            .map_err(|error| ssh(&error))?;
        let (read, write) = channel.split();
        let mut connection = Self {
            handle,
            read,
            write,
            arrived: BytesMut::new(),
            waiting: VecDeque::new(),
            next_id: 0,
            piece: SFTP_PIECE_BYTES,
        };
        connection.hello().await?;
        Ok(connection)
    }

    async fn hello(&mut self) -> Result<(), Failure> {
        // The version stands where other packets have their id.
        let hello = Writer::new(Request::Init, 3, 0).finish();
        self.write.data_bytes(hello).await.map_err(|error| ssh(&error))?;
        let (version, reply) = self.packet().await?;
        let Reply::Version(extensions) = reply else {
            return Err(Failure::malformed("no version"));
        };
        if version < 3 {
            return Err(Failure::malformed(format!("version {version} of SFTP")));
        }
        if extensions.iter().any(|extension| extension == LIMITS) {
            let asked = self
                .ask(Request::Extended, |request| request.string(LIMITS.as_bytes()))
                .await?;
            if let Reply::Extended(fields) = asked {
                self.piece = piece(fields);
            }
        }
        Ok(())
    }

    /// Sends a request; its id. The reply is still to be received.
    ///
    /// # Errors
    ///
    /// If the connection is lost.
    pub(super) async fn send(
        &mut self,
        kind: Request,
        room: usize,
        fields: impl FnOnce(Writer) -> Writer,
    ) -> Result<u32, Failure> {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        let packet = fields(Writer::new(kind, id, room)).finish();
        self.write.data_bytes(packet).await.map_err(|error| ssh(&error))?;
        self.waiting.push_back(id);
        Ok(id)
    }

    /// Requests without a reply.
    #[must_use]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The next reply, with the id of its request. Servers may answer in another order.
    ///
    /// # Errors
    ///
    /// If there is none, or one that nobody has asked for.
    pub(super) async fn receive(&mut self) -> Result<(u32, Reply), Failure> {
        let (id, reply) = self.packet().await?;
        let at = self.waiting.iter().position(|waiting| *waiting == id);
        let at = at.ok_or_else(|| Failure::malformed("a reply that nobody has asked for"))?;
        self.waiting.remove(at);
        Ok((id, reply))
    }

    /// Sends a request and waits for its reply.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub(super) async fn ask(
        &mut self,
        kind: Request,
        fields: impl FnOnce(Writer) -> Writer,
    ) -> Result<Reply, Failure> {
        let id = self.send(kind, 256, fields).await?;
        let (answered, reply) = self.receive().await?;
        if answered == id {
            Ok(reply)
        } else {
            Err(Failure::malformed("a reply to another request"))
        }
    }

    async fn packet(&mut self) -> Result<(u32, Reply), Failure> {
        loop {
            if let Some(packet) = take(&mut self.arrived).map_err(Failure::malformed)? {
                return Ok(packet);
            }
            match self.read.wait().await {
                Some(ChannelMsg::Data { data }) => self.arrived.extend_from_slice(&data),
                Some(ChannelMsg::Eof | ChannelMsg::Close) | None => return Err(Failure::closed()),
                Some(ChannelMsg::Failure) => {
                    return Err(Failure::refused("SSH", "the server has no SFTP").breaking());
                }
                Some(_) => {}
            }
        }
    }

    /// Ends the connection.
    pub(super) async fn end(self) {
        // It ends anyway.
        let _ = self.handle.disconnect(Disconnect::ByApplication, "", "").await;
    }
}

async fn authenticate(handle: &mut Handle<Checking>, login: &Login) -> Result<(), Failure> {
    let user = login.user.as_str();
    let answered = if let Some(key) = &login.key {
        let hash = handle
            .best_supported_rsa_hash()
            .await
            .map_err(|error| ssh(&error))?
            .flatten();
        handle
            .authenticate_publickey(user, PrivateKeyWithHashAlg::new(Arc::clone(key), hash))
            .await
    } else {
        handle
            .authenticate_password(user, login.password.clone().unwrap_or_default())
            .await
    };
    match answered {
        Ok(answer) if answer.success() => Ok(()),
        Ok(_) => {
            Err(Failure::refused("login refused", format!("{user} may not log in like this")).breaking())
        }
        Err(error) => Err(ssh(&error)),
    }
}

/// What both reads and writes may have, by [`LIMITS`]: packet, read, write, open handles.
fn piece(fields: Bytes) -> u32 {
    let mut fields = Fields(fields);
    let _packet = fields.u64();
    let lengths = (fields.u64().unwrap_or(0), fields.u64().unwrap_or(0));
    // 0 means that the server does not say.
    let least = lengths.0.min(lengths.1);
    let told = u32::try_from(least).unwrap_or(u32::MAX);
    if told == 0 {
        SFTP_PIECE_BYTES
    } else {
        told.min(SFTP_PIECE_MAX_BYTES)
    }
}

fn ssh(error: &russh::Error) -> Failure {
    match error {
        russh::Error::IO(error) => Failure::from(std::io::Error::new(error.kind(), error.to_string())),
        russh::Error::HUP | russh::Error::Disconnect | russh::Error::SendError => Failure::closed(),
        other => Failure::refused("SSH", other.to_string()).breaking(),
    }
}

/// That a request went well.
///
/// # Errors
///
/// That it did not.
pub(super) fn expect_ok(reply: Reply) -> Result<(), Failure> {
    match reply {
        Reply::Status { code: OK, .. } => Ok(()),
        other => Err(refusal(other)),
    }
}

/// What is not the reply that was wanted.
#[must_use]
pub(super) fn refusal(reply: Reply) -> Failure {
    match reply {
        Reply::Status { code: EOF, text } => Failure::refused("SFTP end of file", text),
        Reply::Status { code, text } => {
            let name = match code {
                2 => "no such file",
                3 => "permission denied",
                4 => "failure",
                5 => "bad message",
                8 => "unsupported",
                _ => "other status",
            };
            Failure::refused(format!("SFTP {code} {name}"), text)
        }
        _ => Failure::malformed("a reply of another kind"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_what_both_sides_take() {
        let told = |values: [u64; 4]| {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_be_bytes()).collect();
            piece(bytes.into())
        };
        assert_eq!(told([1 << 20, 100_000, 90_000, 0]), 90_000);
        assert_eq!(told([0, 0, 0, 0]), SFTP_PIECE_BYTES);
        assert_eq!(told([0, u64::MAX, 1 << 40, 0]), SFTP_PIECE_MAX_BYTES);
        assert_eq!(piece(Bytes::new()), SFTP_PIECE_BYTES);
    }
}
