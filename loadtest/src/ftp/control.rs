//! A session of FTP that is logged in: commands, and data connections.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;

use super::Server;
use super::reply::{Replies, Reply, extended_port, passive_port};
use crate::cli::{FtpTls, Passive};
use crate::failure::Failure;
use crate::tls;
use crate::wire::Wire;

/// A session.
pub(super) struct Control {
    server: Arc<Server>,
    wire: Wire,
    replies: Replies,
    /// What data connections use, with the sessions of this control connection to resume.
    tls: Option<Arc<ClientConfig>>,
    /// Whether the server knows `MLSD`, as far as was seen.
    pub has_mlsd: bool,
}

impl Control {
    /// Connects and logs in.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub(super) async fn log_in(server: &Arc<Server>) -> Result<Self, Failure> {
        let tls = server
            .tls
            .as_ref()
            .map(|config| Arc::new(tls::forgetful(config.clone())));
        let mut wire = Wire::connect(server.address).await?;
        if let Some(config) = tls.as_ref().filter(|_| server.kind == FtpTls::Implicit) {
            wire = wire.secure(config, &server.target.host).await?;
        }
        let mut control = Self {
            server: Arc::clone(server),
            wire,
            replies: Replies::default(),
            tls,
            has_mlsd: true,
        };
        control.reply(&[220]).await?;
        if server.kind == FtpTls::Explicit {
            control = control.ask_for_tls().await?;
        }
        let login = server.access.clone();
        if control
            .ask(&format!("USER {}", login.user), &[331, 230])
            .await?
            .code
            == 331
        {
            // The reply may repeat the command, but ours is never shown.
            control
                .ask(&format!("PASS {}", login.password), &[230, 202])
                .await?;
        }
        if control.tls.is_some() {
            control.ask("PBSZ 0", &[200]).await?;
            control.ask("PROT P", &[200]).await?;
        }
        control.ask("TYPE I", &[200]).await?;
        Ok(control)
    }

    async fn ask_for_tls(mut self) -> Result<Self, Failure> {
        self.ask("AUTH TLS", &[234]).await?;
        if let Some(config) = &self.tls {
            self.wire = self.wire.secure(config, &self.server.target.host).await?;
        }
        Ok(self)
    }

    /// Sends a command and waits for one of these replies.
    ///
    /// # Errors
    ///
    /// Any other reply, or that there is none.
    pub(super) async fn ask(&mut self, command: &str, expected: &[u16]) -> Result<Reply, Failure> {
        let line = format!("{command}\r\n");
        self.wire.send(&mut [IoSlice::new(line.as_bytes())]).await?;
        let verb = command.split(' ').next().unwrap_or_default();
        self.reply(expected)
            .await
            .map_err(|failure| failure.while_doing(verb))
    }

    /// Waits for one of these replies.
    ///
    /// # Errors
    ///
    /// Any other reply, or that there is none.
    pub(super) async fn reply(&mut self, expected: &[u16]) -> Result<Reply, Failure> {
        loop {
            if let Some(reply) = self.replies.next().map_err(Failure::malformed)? {
                if expected.contains(&reply.code) {
                    return Ok(reply);
                }
                let failure = Failure::refused(format!("FTP {}", reply.code), reply.text);
                // 421 announces that the server ends the connection (RFC 959, 5.4).
                return Err(if reply.code == 421 {
                    failure.breaking()
                } else {
                    failure
                });
            }
            let replies = &mut self.replies;
            let received = self.wire.receive(|bytes| {
                replies.feed(bytes);
                bytes.len()
            });
            if received.await? == 0 {
                return Err(Failure::closed());
            }
        }
    }

    /// Begins a transfer: its data connection.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub(super) async fn begin(&mut self, command: &str) -> Result<Wire, Failure> {
        let port = match self.server.access.passive {
            Passive::Epsv => extended_port(&self.ask("EPSV", &[229]).await?.text),
            Passive::Pasv => passive_port(&self.ask("PASV", &[227]).await?.text),
        };
        let port = port.ok_or_else(|| Failure::malformed("there is no port in the reply"))?;
        // Whatever the server says, it is its own address: nobody can make us connect elsewhere.
        let address = SocketAddr::new(self.server.address.ip(), port);
        let data = Wire::connect_one_way(address).await.map_err(|error| {
            // The server goes on waiting for it, so nobody knows what its next reply is to.
            Failure::from(error).while_doing("data connection")
        })?;
        self.ask(command, &[150, 125]).await?;
        match &self.tls {
            Some(config) => Ok(data.secure(config, &self.server.target.host).await?),
            None => Ok(data),
        }
    }

    /// Ends the session.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub(super) async fn quit(&mut self) -> Result<(), Failure> {
        self.ask("QUIT", &[221]).await.map(drop)
    }
}
