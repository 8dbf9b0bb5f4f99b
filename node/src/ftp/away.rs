//! A session whose files are on another node: this one keeps the client, and its control and data connections; that one does
//! what is asked for.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;

use futures::future::{Either, select};
use uuid::Uuid;

use super::abort::Abort;
use super::command::Command;
use super::control::Control;
use super::data::{self, Data, Plan, Way};
use super::reply::Reply;
use super::session::{Done, Session};
use crate::auth::AccountPrincipal;
use crate::error::Error;
use crate::ingest::Source as _;
use crate::limits::{FTP_AWAY_BUFFER_BYTES, FTP_AWAY_REPLY_MAX_BYTES};
use crate::metrics;
use crate::net::frames::{FrameKind, next_frame, pass, payload, send_frames};
use crate::net::{Inbound, Phase, Preamble, Relayed, Who};
use crate::relay::{Link, Links};
use crate::send::Sink as _;

/// The session on the node that has the files.
pub(super) struct Away {
    link: Link,
    /// Bytes of replies that have come and are not read.
    said: Vec<u8>,
    /// A command came in between of which that node does not know: what was left for the next one is not to be used.
    stale: bool,
}

/// The other node is gone, or does not keep to what was agreed upon.
pub(super) struct Gone;

impl From<Error> for Gone {
    fn from(_: Error) -> Self {
        Self
    }
}

impl From<Gone> for Done {
    fn from(_: Gone) -> Self {
        let text = "The node that has the files is gone: whether the last command was done is unknown";
        Reply::new(421, text).and_close().into()
    }
}

/// Whether a command is for the node that the client has come to.
pub(super) fn is_own(command: &Command) -> bool {
    matches!(
        command,
        Command::User(_)
            | Command::Pass(_)
            | Command::Acct
            | Command::Rein
            | Command::Quit
            | Command::Auth(_)
            | Command::Pbsz
            | Command::Prot(_)
            | Command::Ccc
            | Command::Host
            | Command::Abor
            | Command::Stat(None)
    ) || sets_up_data(command)
}

/// Whether a command says how the next data connection comes about: what REST has said holds over it.
fn sets_up_data(command: &Command) -> bool {
    matches!(command, Command::Pasv | Command::Epsv(_) | Command::Active(_))
}

impl Away {
    /// Begins a session for somebody who has logged in here.
    pub(super) async fn begin(
        links: &Links,
        node: u64,
        account: &AccountPrincipal,
        peer: IpAddr,
        secure: bool,
    ) -> Result<Self, Error> {
        let mut link = links.connect(node).await?;
        let who = Who {
            association: Uuid::from_bytes(account.association),
            account: account.id,
        };
        let preamble = Preamble {
            peer: SocketAddr::new(peer, 0),
            what: Relayed::Ftp { who, secure },
        };
        let preamble = preamble.write().unwrap_or_default();
        let sent = link.outbound.send(&preamble, b"");
        let gone = || Error::Unavailable {
            detail: "the node that has the files does not answer: try again".to_owned(),
            retry_after: std::time::Duration::from_secs(crate::limits::RELAY_RETRY_S),
        };
        sent.await.map_err(|_| gone())?;
        let mut away = Self {
            link,
            said: Vec::new(),
            stale: false,
        };
        match away.reply().await {
            Ok(reply) if reply.code() == 230 => Ok(away),
            _ => Err(gone()),
        }
    }

    /// Notes a command that was done here.
    pub(super) fn note(&mut self, command: &Command) {
        self.stale |= !sets_up_data(command);
    }

    /// Waits for a reply that nobody has asked for: the session is at its end.
    pub(super) async fn unasked(&mut self) -> Reply {
        // How long a session may be silent is the matter of the client's connection.
        self.link.receiving.enter(Phase::Busy);
        match hear(&mut self.link.inbound, &mut self.said).await {
            Ok(reply) => reply.and_close(),
            Err(Gone) => Reply::new(421, "The node that has the files is gone: log in again").and_close(),
        }
    }

    /// Sends a command.
    async fn ask(&mut self, line: &[u8]) -> Result<(), Gone> {
        if std::mem::take(&mut self.stale) {
            // It changes nothing there, but that it came in between.
            self.send(FrameKind::Line, b"SYST\r\n").await?;
            self.reply().await?;
        }
        let line = [line, b"\r\n"].concat();
        self.send(FrameKind::Line, &line).await
    }

    async fn send(&mut self, kind: FrameKind, bytes: &[u8]) -> Result<(), Gone> {
        Ok(send_frames(&mut self.link.outbound, kind, bytes).await?)
    }

    /// The reply to what was asked last.
    async fn reply(&mut self) -> Result<Reply, Gone> {
        self.link.receiving.enter(Phase::Head);
        hear(&mut self.link.inbound, &mut self.said).await
    }

    /// Passes the reply to STAT on as it comes: a directory may have any number of entries.
    async fn pass_listing(&mut self, control: &mut Control) -> Result<u16, Gone> {
        self.link.receiving.enter(Phase::Body);
        loop {
            if let Some(code) = self.pass_lines(control).await? {
                return Ok(code);
            }
            let Some((kind, length)) = next_frame(&mut self.link.inbound).await? else {
                return Err(Gone);
            };
            if kind == FrameKind::Reply {
                self.said.extend_from_slice(payload(&self.link.inbound, length));
            }
            pass(&mut self.link.inbound, length);
        }
    }

    /// Passes whole lines on; the code if the last of the reply is among them.
    async fn pass_lines(&mut self, control: &mut Control) -> Result<Option<u16>, Gone> {
        let mut at = 0;
        let mut code = None;
        while code.is_none()
            && let Some(rest) = self.said.get(at..)
            && let Some(length) = memchr::memchr(b'\n', rest)
        {
            let line = rest.get(..length).unwrap_or_default();
            let number = line.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
            let number = number.and_then(|digits| digits.parse().ok());
            code = number.filter(|_| line.get(3) == Some(&b' '));
            at += length + 1;
        }
        if self.said.len() - at > FTP_AWAY_REPLY_MAX_BYTES {
            return Err(Gone);
        }
        control.write(self.said.get(..at).unwrap_or_default()).await?;
        self.said.drain(..at);
        Ok(code)
    }

    /// Passes on what the client sends; the last reply, or `None` if the client broke off.
    async fn upload(&mut self, data: &mut Data, abort: &Abort) -> Result<Option<Reply>, Gone> {
        let Self { link, said, .. } = self;
        let Link {
            inbound,
            outbound,
            receiving,
            ..
        } = link;
        // As long as the client sends, that node need not answer.
        receiving.enter(Phase::Busy);
        let mut hearing = pin!(hear(inbound, said));
        let mut buffer = vec![0; FTP_AWAY_BUFFER_BYTES];
        loop {
            let read = {
                let reading = pin!(data.read_into(&mut buffer));
                match select(reading, hearing.as_mut()).await {
                    Either::Left((read, _)) => read,
                    // It takes no more.
                    Either::Right((reply, _)) => return reply.map(Some),
                }
            };
            match read {
                Ok(0) if !abort.is_raised() => {
                    send_frames(outbound, FrameKind::End, b"").await?;
                    receiving.enter(Phase::Head);
                    return hearing.await.map(Some);
                }
                Ok(n) if n > 0 => {
                    let bytes = buffer.get(..n).unwrap_or_default();
                    send_frames(outbound, FrameKind::Data, bytes).await?;
                }
                Ok(_) | Err(_) => {
                    send_frames(outbound, FrameKind::Abort, b"").await?;
                    receiving.enter(Phase::Head);
                    hearing.await?;
                    return Ok(None);
                }
            }
        }
    }

    /// Passes on what the client is sent; the last reply, or `None` if the client broke off.
    async fn download(&mut self, data: &mut Data, abort: &Abort) -> Result<Option<Reply>, Gone> {
        let (mut is_broken, mut is_whole) = (false, false);
        self.link.receiving.enter(Phase::Body);
        loop {
            if let Some((reply, length)) = Reply::read(&self.said) {
                self.said.drain(..length);
                // What was not all sent was not sent, whatever that node says.
                let lacks = !is_whole && reply.code() < 400;
                return Ok((!is_broken && !lacks).then_some(reply));
            }
            let frame = {
                let next = pin!(next_frame(&mut self.link.inbound));
                let raised = pin!(async {
                    if is_broken {
                        std::future::pending::<()>().await;
                    }
                    abort.raised().await;
                });
                match select(next, raised).await {
                    Either::Left((frame, _)) => Some(frame?.ok_or(Gone)?),
                    Either::Right(_) => None,
                }
            };
            let Some((kind, length)) = frame else {
                is_broken = true;
                self.send(FrameKind::Abort, b"").await?;
                continue;
            };
            match kind {
                FrameKind::Data if !is_broken => {
                    is_broken = data.write(payload(&self.link.inbound, length)).await.is_err();
                    if is_broken {
                        send_frames(&mut self.link.outbound, FrameKind::Abort, b"").await?;
                    }
                }
                FrameKind::End => is_whole = true,
                FrameKind::Reply => {
                    self.said.extend_from_slice(payload(&self.link.inbound, length));
                    bounded(&self.said)?;
                }
                _ => {}
            }
            pass(&mut self.link.inbound, length);
        }
    }

    /// Gives up a transfer that has begun there.
    async fn give_up(&mut self) -> Result<(), Gone> {
        self.send(FrameKind::Abort, b"").await?;
        self.reply().await.map(drop)
    }
}

fn bounded(said: &[u8]) -> Result<(), Gone> {
    if said.len() > FTP_AWAY_REPLY_MAX_BYTES {
        return Err(Gone);
    }
    Ok(())
}

/// The next reply. Nothing is lost if this is given up.
async fn hear(inbound: &mut Inbound, said: &mut Vec<u8>) -> Result<Reply, Gone> {
    loop {
        if let Some((reply, length)) = Reply::read(said) {
            said.drain(..length);
            return Ok(reply);
        }
        bounded(said)?;
        let (kind, length) = next_frame(inbound).await?.ok_or(Gone)?;
        if kind == FrameKind::Reply {
            said.extend_from_slice(payload(inbound, length));
        }
        pass(inbound, length);
    }
}

impl Session {
    /// Goes to the node that has the files of who has just logged in, if that is another.
    pub(super) async fn go_away(&mut self, account: &AccountPrincipal) -> Result<(), Error> {
        self.away = None;
        let Some(node) = self.ftp.login.registry().elsewhere(&account.association)? else {
            return Ok(());
        };
        let secure = self.state.is_secure();
        let away = Away::begin(&self.ftp.links, node, account, self.ends.peer, secure).await?;
        metrics::mine().via(self.protocol().into()).relayed.add(1);
        self.away = Some(away);
        Ok(())
    }

    /// Has the node that has the files do what is asked for.
    pub(super) async fn ask_away(&mut self, command: &Command, line: &[u8]) -> Done {
        let Some(mut away) = self.away.take() else {
            return Done::Silence;
        };
        let done = match command {
            _ if self.state.has_data_connection(command) => {
                self.transfer_away(&mut away, command, line).await
            }
            Command::Stat(Some(_)) => match away.ask(line).await {
                Ok(()) => away.pass_listing(&mut self.control).await.map(|_| Done::Told),
                Err(gone) => Err(gone),
            },
            _ => match away.ask(line).await {
                Ok(()) => away.reply().await.map(Done::from),
                Err(gone) => Err(gone),
            },
        };
        match done {
            Ok(done) => {
                self.away = Some(away);
                done
            }
            Err(gone) => gone.into(),
        }
    }

    async fn transfer_away(&mut self, away: &mut Away, command: &Command, line: &[u8]) -> Result<Done, Gone> {
        if let Some(reply) = self.state.bars(command) {
            return Ok(self.refused(reply.into()));
        }
        if matches!(self.plan, Plan::None) {
            return Ok(data::no_plan().into());
        }
        away.ask(line).await?;
        let first = away.reply().await?;
        if first.code() >= 200 {
            return Ok(self.refused(first.into()));
        }
        let way = match command {
            Command::Stor(_) | Command::Stou | Command::Appe(_) => self.inward(),
            _ => Way::Out,
        };
        let abort = std::rc::Rc::new(Abort::default());
        self.handle.transfers(Some(std::rc::Rc::clone(&abort)));
        let done = self.move_away(away, &first, way, &abort).await;
        self.handle.transfers(None);
        done
    }

    /// Opens the data connection, says so, and passes on what moves.
    async fn move_away(
        &mut self,
        away: &mut Away,
        first: &Reply,
        way: Way,
        abort: &std::rc::Rc<Abort>,
    ) -> Result<Done, Gone> {
        let plan = std::mem::take(&mut self.plan);
        let ftp = std::rc::Rc::clone(&self.ftp);
        let opened = match self.security(way) {
            Ok(security) => {
                let opening = data::open(plan, self.ends, ftp.settings.data_timeout, abort);
                let socket = self.mind(opening, abort).await;
                socket.map(|socket| (socket, security)).map_err(Done::from)
            }
            Err(done) => Err(done),
        };
        let (socket, security) = match opened {
            Ok(opened) => opened,
            Err(done) => return away.give_up().await.map(|()| done),
        };
        if self.control.reply(first).await.is_err() {
            return Ok(Done::Silence);
        }
        let working = async {
            let started = Data::start(socket, &ftp.sweeper, &ftp.handshakes, security, way).await;
            let mut data = match started {
                Ok(data) => data,
                Err(reply) => return away.give_up().await.map(|()| reply.into()),
            };
            let last = match way {
                Way::In { .. } => away.upload(&mut data, abort).await?,
                Way::Out => away.download(&mut data, abort).await?,
            };
            data.end().await;
            Ok(match last {
                Some(reply) => reply.into(),
                None => data::broken(&data, abort).into(),
            })
        };
        self.mind(working, abort).await
    }
}
