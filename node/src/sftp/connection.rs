//! A connection of SSH: who logs in, and what the channels are for.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use russh::keys::{Algorithm, HashAlg, PublicKey};
use russh::server::{
    Auth, ChannelOpenHandle, Handle, Handler, Msg, PublicKeyOffer, Response, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelId, ChannelOpenFailure, MethodSet, Pty};

use super::flow::{Flow, Replies};
use super::intake::Intake;
use super::live::Live;
use super::scp::command::Scp;
use super::server::Shared;
use super::shards::{Client, Speaks};
use crate::auth::AccountPrincipal;
use crate::error::Error;
use crate::limits::{
    FTP_LOGIN_FAILURES_MAX_COUNT, SFTP_CHANNELS_MAX_COUNT, SFTP_REPLIES_JOINED_BYTES, SFTP_UNDONE_MAX_BYTES,
};
use crate::metrics::{self, Via};

/// Told to those who want a shell, or a command.
const NO_SHELL: &str = "Only sftp and scp are served here.\r\n";

/// A connection.
pub(super) struct Connection {
    shared: Arc<Shared>,
    peer: IpAddr,
    flow: Arc<Flow>,
    live: Arc<Live>,
    channels: HashMap<ChannelId, Option<Serving>>,
    failures: u32,
}

/// What a channel is used for.
struct Serving {
    intake: Intake,
    /// Set when all is sent and the channel closed.
    over: Arc<AtomicBool>,
}

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error(transparent)]
    Ssh(#[from] russh::Error),
    #[error("the client sends requests without a window for them")]
    Flooded,
    #[error("too many failed logins")]
    Guessing,
}

impl Connection {
    pub(super) fn new(shared: Arc<Shared>, peer: IpAddr, flow: Arc<Flow>, live: Arc<Live>) -> Self {
        Self {
            shared,
            peer,
            flow,
            live,
            channels: HashMap::new(),
            failures: 0,
        }
    }

    fn methods(&self) -> MethodSet {
        MethodSet::from(super::server::METHODS.as_slice())
    }

    /// Refuses, and lets the client try again by whatever it likes.
    fn reject(&self) -> Auth {
        Auth::Reject {
            proceed_with_methods: Some(self.methods()),
            partial_success: false,
        }
    }

    async fn password(&mut self, user: &str, password: &str) -> Result<Auth, Ended> {
        let login = &self.shared.login;
        let answer = login.account(user, password.to_owned(), self.peer).await;
        metrics::logged_in(Via::Sftp, &answer);
        match answer {
            Ok(account) => {
                self.live.logged_in(account);
                Ok(Auth::Accept)
            }
            Err(error) => {
                tracing::info!(name = user, peer = %self.peer, %error, "a login failed");
                if matches!(error, Error::Unauthorized(_) | Error::TooManyRequests { .. }) {
                    self.failures += 1;
                }
                if self.failures >= FTP_LOGIN_FAILURES_MAX_COUNT {
                    return Err(Ended::Guessing);
                }
                Ok(self.reject())
            }
        }
    }

    fn key(&self, user: &str, key: &PublicKey, algorithm: &Algorithm) -> Option<AccountPrincipal> {
        let known = match algorithm {
            Algorithm::Ed25519 | Algorithm::Ecdsa { .. } => true,
            // ssh-rsa signs with SHA-1.
            Algorithm::Rsa { hash } => matches!(hash, Some(HashAlg::Sha256 | HashAlg::Sha512)),
            _ => false,
        };
        let blob = key.to_bytes().ok().filter(|_| known)?;
        self.shared.login.account_with_key(user, &blob).ok()
    }

    /// Begins a session on a channel; `false` if none can begin.
    fn begin(&mut self, channel: ChannelId, session: &Session, speaks: Speaks) -> bool {
        let Some(account) = self.live.account() else {
            return false;
        };
        if !account.is_current(&self.shared.login.registry().current()) {
            self.flow.cut();
            return false;
        }
        let client = Client {
            account,
            peer: self.peer,
            has_arrived: false,
        };
        let begun = Intake::begin(&self.shared, speaks, client, &self.flow);
        let Some((intake, replies)) = begun else {
            return false;
        };
        let over = Arc::new(AtomicBool::new(false));
        let serving = Serving {
            intake,
            over: Arc::clone(&over),
        };
        self.channels.insert(channel, Some(serving));
        let sent = send(session.handle(), channel, replies, Arc::clone(&self.flow));
        tokio::spawn(async move {
            sent.await;
            over.store(true, Ordering::Release);
        });
        true
    }

    /// Says what is served here, and closes the channel.
    fn turn_away(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Ended> {
        session.channel_success(channel)?;
        session.extended_data(channel, 1, NO_SHELL.as_bytes())?;
        session.exit_status_request(channel, 1)?;
        session.eof(channel)?;
        session.close(channel)?;
        self.channels.remove(&channel);
        Ok(())
    }

    fn is_unused(&self, channel: ChannelId) -> bool {
        matches!(self.channels.get(&channel), Some(None))
    }
}

/// Sends replies as the client takes them; small ones together.
async fn send(handle: Handle, channel: ChannelId, mut replies: Replies, flow: Arc<Flow>) {
    while let Some((reply, bytes)) = replies.next(SFTP_REPLIES_JOINED_BYTES).await {
        // It waits there while the client has no window.
        if handle.data(channel, reply).await.is_err() {
            return;
        }
        replies.taken(bytes);
        flow.touch();
    }
    if !flow.is_cut() {
        let _ = handle.exit_status_request(channel, replies.exit_status()).await;
        let _ = handle.eof(channel).await;
        let _ = handle.close(channel).await;
    }
}

impl Handler for Connection {
    type Error = Ended;

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Ended> {
        self.password(user, password).await
    }

    async fn auth_keyboard_interactive(
        &mut self,
        user: &str,
        _: &str,
        response: Option<Response<'_>>,
    ) -> Result<Auth, Ended> {
        let Some(response) = response else {
            return Ok(Auth::Partial {
                name: "".into(),
                instructions: "".into(),
                prompts: vec![("Password: ".into(), false)].into(),
            });
        };
        let answers: Vec<_> = response.take(2).collect();
        let password = match answers.as_slice() {
            [only] => std::str::from_utf8(only).ok(),
            _ => None,
        };
        match password {
            Some(password) => self.password(user, password).await,
            None => Ok(self.reject()),
        }
    }

    async fn auth_publickey_offered(&mut self, user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Ended> {
        Ok(match self.key(user, offer.public_key, offer.algorithm) {
            Some(_) => Auth::Accept,
            None => self.reject(),
        })
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Ended> {
        Ok(match self.key(user, key.public_key, key.algorithm) {
            Some(account) => {
                metrics::logged_in(Via::Sftp, &Ok(()));
                self.live.logged_in(account);
                Auth::Accept
            }
            None => self.reject(),
        })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Ended> {
        let is_over = |serving: &Serving| serving.over.load(Ordering::Acquire);
        self.channels
            .retain(|_, serving| !serving.as_ref().is_some_and(is_over));
        if self.channels.len() >= SFTP_CHANNELS_MAX_COUNT {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        self.channels.insert(channel.id(), None);
        reply.accept().await;
        Ok(())
    }

    async fn channel_close(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), Ended> {
        self.channels.remove(&channel);
        Ok(())
    }

    async fn channel_eof(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), Ended> {
        if let Some(Some(serving)) = self.channels.get_mut(&channel) {
            serving.intake.end();
        }
        Ok(())
    }

    async fn data(&mut self, channel: ChannelId, data: &[u8], _: &mut Session) -> Result<(), Ended> {
        if let Some(Some(serving)) = self.channels.get_mut(&channel) {
            serving.intake.take(data);
        }
        if self.flow.queued() > SFTP_UNDONE_MAX_BYTES {
            return Err(Ended::Flooded);
        }
        Ok(())
    }

    fn adjust_window(&mut self, _: ChannelId, _: u32) -> u32 {
        self.flow.window()
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), Ended> {
        if name == "sftp" && self.is_unused(channel) && self.begin(channel, session, Speaks::Sftp) {
            session.channel_success(channel)?;
        } else {
            session.channel_failure(channel)?;
        }
        Ok(())
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Ended> {
        if self.is_unused(channel) {
            return self.turn_away(channel, session);
        }
        Ok(session.channel_failure(channel)?)
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        line: &[u8],
        session: &mut Session,
    ) -> Result<(), Ended> {
        if self.is_unused(channel) {
            let Some(scp) = Scp::parse(line) else {
                return self.turn_away(channel, session);
            };
            if self.begin(channel, session, Speaks::Scp(scp)) {
                return Ok(session.channel_success(channel)?);
            }
        }
        Ok(session.channel_failure(channel)?)
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Ended> {
        Ok(session.channel_failure(channel)?)
    }

    async fn x11_request(
        &mut self,
        channel: ChannelId,
        _: bool,
        _: &str,
        _: &str,
        _: u32,
        session: &mut Session,
    ) -> Result<(), Ended> {
        Ok(session.channel_failure(channel)?)
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        _: &str,
        session: &mut Session,
    ) -> Result<(), Ended> {
        Ok(session.channel_failure(channel)?)
    }
}
