//! A session from its greeting to its end.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use filegrid_tree::{Protocol, TreePath};
use futures::future::{Either, select};

use super::abort::Abort;
use super::address::six_numbers;
use super::away::{Away, is_own};
use super::command::{Command, Epsv};
use super::control::Control;
use super::data::{Door, Ends, Plan};
use super::line::Event;
use super::reply::Reply;
use super::server::{Ftp, Handle};
use super::state::{Context, State, Step};
use crate::auth::AccountPrincipal;
use crate::clock;
use crate::error::Error;
use crate::limits::{FTP_LOGIN_FAILURE_DELAY_MS, FTP_LOGIN_FAILURES_MAX_COUNT};
use crate::metrics;
use crate::net::{HandshakeError, Permit, Phase, Stream, Watch, shake_hands};
use crate::ring::{self, Socket};
use crate::tls::FtpHandshakes;

/// Told to those beyond the limits of connections.
pub const TOO_MANY: &[u8] = b"421 Too many connections\r\n";
/// Told to those who speak in the clear where TLS is expected.
const TLS_EXPECTED: &[u8] = b"421 TLS is expected here\r\n";

/// A session.
pub(super) struct Session {
    pub(super) ftp: Rc<Ftp>,
    pub(super) control: Control,
    pub(super) state: State,
    pub(super) plan: Plan,
    pub(super) ends: Ends,
    pub(super) account: Option<AccountPrincipal>,
    pub(super) handle: Rc<Handle>,
    pub(super) handshakes: Option<FtpHandshakes>,
    /// Where the files are, if that is on another node.
    pub(super) away: Option<Away>,
    /// Where data connections come from, if the client is on another node.
    pub(super) door: Option<Door>,
    pub(super) failures: u32,
    pub(super) since: Instant,
}

/// What a command leads to.
pub(super) enum Done {
    /// A reply.
    Reply(Reply),
    /// The client has been answered.
    Told,
    /// The end of the connection, without a word: the outcome is unknown.
    Silence,
}

impl From<Reply> for Done {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

impl From<Error> for Done {
    fn from(error: Error) -> Self {
        if matches!(error, Error::Damaged(_) | Error::Disk(_) | Error::Internal(_)) {
            tracing::error!(%error, "a command of FTP failed");
        }
        Reply::of(&error).map_or(Self::Silence, Self::Reply)
    }
}

/// Serves a connection to its end. `implicit`: TLS comes before the greeting.
pub async fn serve(ftp: Rc<Ftp>, socket: Socket, permit: Permit, implicit: bool) {
    let _permit = permit;
    let Ok(local) = socket.local() else { return };
    socket.keep_for_long();
    let ends = Ends {
        peer: socket.peer().ip().to_canonical(),
        local: local.ip().to_canonical(),
    };
    let socket = Rc::new(socket);
    let watch = ftp.sweeper.watch(Rc::clone(&socket));
    let handle = ftp.sessions.open();
    handle.is_on(Rc::clone(&watch));
    let (control, handshakes) = if implicit {
        let Some((stream, handshakes)) = secure(&ftp, &socket, &watch, &[]).await else {
            return;
        };
        (Control::new(stream, watch), Some(handshakes))
    } else {
        (Control::new(Stream::plain(socket), watch), None)
    };
    let mut session = Session {
        state: State::new(ftp.settings.policy, implicit),
        ftp,
        control,
        plan: Plan::None,
        ends,
        account: None,
        handle,
        handshakes,
        away: None,
        door: None,
        failures: 0,
        since: clock::monotonic(),
    };
    session.run().await;
    session.control.end().await;
}

/// Makes the control connection TLS.
async fn secure(
    ftp: &Ftp,
    socket: &Rc<Socket>,
    watch: &Watch,
    early: &[u8],
) -> Option<(Rc<Stream>, FtpHandshakes)> {
    let handshakes = ftp.tls.as_ref()?.ftp().ok()?;
    match shake_hands(&ftp.handshakes, handshakes.control.clone(), socket, watch, early).await {
        Ok(shaken) => Some((Stream::new(Rc::clone(socket), Some(shaken.session)), handshakes)),
        Err(error) => {
            tracing::debug!(%error, peer = %socket.peer(), "no TLS on a control connection");
            if matches!(error, HandshakeError::Plain(_)) {
                // If it fits the socket at once.
                drop(socket.try_send(TLS_EXPECTED, false));
            }
            None
        }
    }
}

impl Session {
    async fn run(&mut self) {
        let greeting = Reply::new(220, "filegrid");
        if self.control.reply(&greeting).await.is_err() {
            return;
        }
        self.go_on().await;
    }

    /// Takes commands until the session ends.
    pub(super) async fn go_on(&mut self) {
        loop {
            match self.next().await {
                Done::Reply(reply) => {
                    if self.control.reply(&reply).await.is_err() || reply.closes() {
                        return;
                    }
                }
                Done::Told => {}
                Done::Silence => return,
            }
        }
    }

    /// Does what the next line asks for.
    async fn next(&mut self) -> Done {
        if let Some(last) = self.last_word() {
            return last.into();
        }
        let phase = if self.state.is_logged_in() {
            Phase::Command
        } else {
            Phase::Login
        };
        let next = match &mut self.away {
            None => self.control.next(phase).await,
            Some(away) => {
                let (next, unasked) = (pin!(self.control.next(phase)), pin!(away.unasked()));
                match select(next, unasked).await {
                    Either::Left((next, _)) => next,
                    Either::Right((last, _)) => return last.into(),
                }
            }
        };
        let event = match next {
            Ok(Some(event)) => event,
            Err(Error::Timeout(_)) => {
                return Reply::new(421, "You were idle for too long").and_close().into();
            }
            // Who was woken for it is told why; who has gone does not hear it.
            Ok(None) | Err(_) => return self.last_word().map_or(Done::Silence, Done::from),
        };
        let line = match event {
            Event::Line(line) => line,
            Event::TooLong => return Reply::new(500, "The line is too long").into(),
            Event::Endless => return Reply::new(421, "The line has no end").and_close().into(),
        };
        let step = match Command::parse(&line) {
            Ok(command) if self.away.is_some() && !is_own(&command) => {
                return self.ask_away(&command, &line).await;
            }
            Ok(command) => {
                if let Some(away) = &mut self.away {
                    away.note(&command);
                }
                self.state.take(command)
            }
            Err(reply) => Step::Answer(reply),
        };
        match step {
            Step::Answer(reply) => {
                if !self.state.is_logged_in() && self.account.take().is_some() {
                    self.handle.belongs_to(None);
                    self.away = None;
                }
                reply.into()
            }
            Step::Work(command, context) => self.work(command, context).await,
        }
    }

    /// Why the session ends now, if it does.
    fn last_word(&self) -> Option<Reply> {
        let waited = clock::monotonic().duration_since(self.since);
        let text = if self.handle.is_ended() {
            "The account has changed: log in again"
        } else if self.ftp.drain.is_draining() {
            "The server is stopping"
        } else if !self.state.is_logged_in() && waited > self.ftp.settings.login_timeout {
            "The login took too long"
        } else {
            return None;
        };
        Some(Reply::new(421, text).and_close())
    }

    async fn work(&mut self, command: Command, context: Context) -> Done {
        match command {
            Command::Quit => Reply::new(221, "Goodbye").and_close().into(),
            Command::Pass(password) => self.pass(password).await,
            Command::Auth(_) => self.auth().await,
            Command::Pasv => self.passive(None).await,
            Command::Epsv(which) => self.passive(Some(which)).await,
            Command::Active(address) => self.active(address),
            Command::Stat(None) => self.status().into(),
            Command::Retr(path) => self.retrieve(&path, context.offset).await,
            Command::Stor(path) => self.store(&path, context.offset).await,
            Command::Appe(path) => self.append(&path).await,
            Command::Stou => self.store_unique().await,
            Command::List(argument) => self.list(argument.as_deref(), super::list::Form::Long).await,
            Command::Nlst(argument) => self.list(argument.as_deref(), super::list::Form::Names).await,
            Command::Mlsd(path) => self.list_facts(path.as_deref()).await,
            Command::Stat(Some(path)) => self.stat(&path).await,
            other => self.files(other, context).await.unwrap_or_else(Done::from),
        }
    }

    async fn pass(&mut self, password: String) -> Done {
        let name = self.state.named().unwrap_or_default().to_owned();
        let peer: IpAddr = self.ends.peer;
        let answer = self.ftp.login.account(&name, password, peer).await;
        metrics::logged_in(self.protocol().into(), &answer);
        match answer {
            Ok(account) => {
                if let Err(error) = self.go_away(&account).await {
                    self.state.login_failed();
                    return error.into();
                }
                self.state.logged_in(account.may_write);
                self.handle.belongs_to(Some(account.clone()));
                self.account = Some(account);
                Reply::new(230, "Logged in").into()
            }
            Err(error @ Error::Unavailable { .. }) => {
                self.state.login_failed();
                Done::from(error)
            }
            Err(error) => {
                self.state.login_failed();
                self.failures += 1;
                tracing::info!(name, %peer, %error, "a login failed");
                ring::sleep(Duration::from_millis(FTP_LOGIN_FAILURE_DELAY_MS)).await;
                let reply = match error {
                    Error::Unauthorized(text) => Reply::new(530, text),
                    Error::TooManyRequests { detail, .. } => Reply::new(421, detail).and_close(),
                    other => return Done::from(other),
                };
                if self.failures >= FTP_LOGIN_FAILURES_MAX_COUNT {
                    return Reply::new(421, "Too many failed logins").and_close().into();
                }
                reply.into()
            }
        }
    }

    async fn auth(&mut self) -> Done {
        if self.control.reply(&Reply::new(234, "Shake hands")).await.is_err() {
            return Done::Silence;
        }
        let (stream, watch, unread) = self.control.parts();
        let socket = Rc::clone(stream.socket());
        match secure(&self.ftp, &socket, &watch, &unread).await {
            Some((stream, handshakes)) => {
                self.control = Control::new(stream, watch);
                self.handshakes = Some(handshakes);
                self.state.secured();
                self.account = None;
                self.away = None;
                self.handle.belongs_to(None);
                // What AUTH leads to is a handshake and no reply.
                Done::Told
            }
            None => Done::Silence,
        }
    }

    async fn passive(&mut self, epsv: Option<Epsv>) -> Done {
        let local = self.ends.local;
        match epsv {
            Some(Epsv::V4) if !local.is_ipv4() => return Reply::new(522, "Use (2)").into(),
            Some(Epsv::V6) if !local.is_ipv6() => return Reply::new(522, "Use (1)").into(),
            None if !local.is_ipv4() => return Reply::new(425, "Use EPSV: PASV knows IPv4 only").into(),
            _ => {}
        }
        // The port of the plan before is free again.
        self.plan = Plan::None;
        let listener = match self.ftp.listen(local).await {
            Ok(listener) => listener,
            Err(error) => {
                tracing::warn!(%error, "no port for a data connection");
                return Reply::new(425, "No port is free for a data connection").into();
            }
        };
        let port = listener.local().port();
        self.plan = Plan::Passive(listener);
        if epsv.is_some() {
            return Reply::new(229, format!("Entering Extended Passive Mode (|||{port}|)")).into();
        }
        let told = match (self.ftp.public.told(self.ends.peer), local) {
            (Some(told), _) => told,
            (None, IpAddr::V4(own)) => own,
            (None, IpAddr::V6(_)) => return Reply::new(425, "Use EPSV: PASV knows IPv4 only").into(),
        };
        Reply::new(
            227,
            format!("Entering Passive Mode ({})", six_numbers(told, port)),
        )
        .into()
    }

    fn active(&mut self, address: SocketAddr) -> Done {
        self.plan = Plan::None;
        // Anything else would have us connect to third parties on a client's behalf.
        if address.ip().to_canonical() != self.ends.peer || address.port() < 1024 {
            return Reply::new(
                501,
                "Data connections go to your own address, to a port above 1023",
            )
            .into();
        }
        self.plan = Plan::Active(SocketAddr::new(self.ends.peer, address.port()));
        Reply::new(200, "OK").into()
    }

    fn status(&self) -> Reply {
        let name = self
            .account
            .as_ref()
            .map_or("nobody", |account| account.username.as_str());
        let yes = |yes: bool| if yes { "TLS" } else { "plain" };
        Reply::lines(
            211,
            vec![
                "filegrid".to_owned(),
                format!("Connected from {}", self.ends.peer),
                format!("Logged in as {name}"),
                format!("Control connection: {}", yes(self.state.is_secure())),
                format!("Data connections: {}", yes(self.state.is_protected())),
                "End".to_owned(),
            ],
        )
    }

    /// Does `work` and minds the control connection meanwhile: ABOR, its loss, or the operator end it early.
    pub(super) async fn mind<T>(&mut self, work: impl Future<Output = T>, abort: &Abort) -> T {
        let mut work = pin!(work);
        while !abort.is_raised() {
            let lost = {
                let ahead = pin!(self.control.look_ahead());
                match select(work.as_mut(), ahead).await {
                    Either::Left((done, _)) => return done,
                    Either::Right((looked, _)) => looked.is_err(),
                }
            };
            let gone = lost || (self.control.has_ended() && !self.control.has(|event| is(event, "QUIT")));
            // The answer to ABOR comes when its turn does.
            if gone || self.control.has(|event| is(event, "ABOR")) {
                abort.raise();
            } else if self.control.take(|event| is(event, "STAT")).is_some() {
                let reply = Reply::new(213, "A transfer is under way");
                if self.control.reply(&reply).await.is_err() {
                    abort.raise();
                }
            }
        }
        work.await
    }

    /// The protocol that changes are noted under.
    pub(super) fn protocol(&self) -> Protocol {
        if self.state.is_secure() {
            Protocol::Ftps
        } else {
            Protocol::Ftp
        }
    }

    /// The account, which is there once somebody is logged in.
    pub(super) fn user(&self) -> Result<&AccountPrincipal, Error> {
        self.account
            .as_ref()
            .ok_or_else(|| Error::Unauthorized("log in with USER and PASS".to_owned()))
    }

    /// What the client means by a path, as a path of the association's tree.
    pub(super) fn path(&self, text: &str) -> Result<TreePath, Error> {
        let named = self.state.current.resolve(text);
        let named = named.map_err(|error| Error::BadRequest(error.to_string()))?;
        let user = self.user()?;
        self.ftp.login.registry().check_home(&user.association)?;
        user.path(&named)
    }

    /// A path of the tree as the client sees it.
    pub(super) fn shown(&self, path: &TreePath) -> String {
        match &self.account {
            Some(account) => account.shown(path),
            None => path.to_string(),
        }
    }
}

fn is(event: &Event, verb: &str) -> bool {
    matches!(event, Event::Line(line) if line.eq_ignore_ascii_case(verb.as_bytes()))
}
