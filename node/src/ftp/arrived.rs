//! A session whose client is on another node: that one has the client's connections, this one the files.
//!
//! The session is as any other, on connections within this process. What goes through those goes in frames between the nodes.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;

use futures::channel::mpsc;
use futures::future::{join, select};

use super::control::Control;
use super::data::{Door, Ends, Opened, Plan};
use super::reply::Reply;
use super::server::Ftp;
use super::session::Session;
use super::state::{Policy, State, TlsPolicy};
use crate::auth::AccountPrincipal;
use crate::clock;
use crate::error::Error;
use crate::net::frames::{FRAME_MAX_BYTES, FrameKind, next_frame, pass, payload, send_frames};
use crate::net::{Inbound, Outbound, Phase, Stream, Watch, Who};
use crate::ring::Socket;

/// Who has come to another node.
#[derive(Debug, Clone, Copy)]
pub struct Arrived {
    /// The account.
    pub who: Who,
    /// Address of the client.
    pub peer: IpAddr,
    /// Whether its control connection is TLS.
    pub secure: bool,
}

/// Serves a session to its end.
pub async fn serve_relayed(
    ftp: Rc<Ftp>,
    arrived: Arrived,
    (stream, watch, inbound): (Rc<Stream>, Rc<Watch>, Inbound),
) {
    // How long a session may be silent is the matter of the node that the client has come to.
    watch.enter(Phase::Busy);
    let mut outbound = Outbound::new(stream, watch);
    let (session, pump) = match begin(&ftp, arrived) {
        Ok(begun) => begun,
        Err(error) => {
            tracing::info!(%error, peer = %arrived.peer, "a session that another node passes on is refused");
            let mut refusal = Vec::new();
            Reply::new(421, error.to_string()).write(&mut refusal);
            // Who has gone does not hear it.
            let _ = send_frames(&mut outbound, FrameKind::Reply, &refusal).await;
            return;
        }
    };
    join(run(session), pump.run(inbound, outbound)).await;
}

fn begin(ftp: &Rc<Ftp>, arrived: Arrived) -> Result<(Session, Pump), Error> {
    let Arrived { who, peer, secure } = arrived;
    let account = ftp.login.account_numbered(who.association, who.account)?;
    // What was passed on is not passed on again.
    ftp.login.registry().check_home(&account.association)?;
    let failed = |error: std::io::Error| Error::Internal(error.to_string());
    let (theirs, control) = Socket::pair(SocketAddr::new(peer, 0)).map_err(failed)?;
    let (door, opened) = mpsc::unbounded();
    let session = session(Rc::clone(ftp), account, (theirs, Door(door)), peer, secure);
    let pump = Pump {
        control,
        data: RefCell::default(),
        opened: RefCell::new(opened),
    };
    Ok((session, pump))
}

fn session(
    ftp: Rc<Ftp>,
    account: AccountPrincipal,
    (control, door): (Socket, Door),
    peer: IpAddr,
    secure: bool,
) -> Session {
    let control = Rc::new(control);
    let watch = ftp.sweeper.watch(Rc::clone(&control));
    let handle = ftp.sessions.open();
    handle.is_on(Rc::clone(&watch));
    handle.belongs_to(Some(account.clone()));
    // What the client may do in the clear is the matter of the node that it has come to.
    let policy = match ftp.settings.policy.tls {
        TlsPolicy::Required => Policy {
            tls: TlsPolicy::Optional,
            ..ftp.settings.policy
        },
        _ => ftp.settings.policy,
    };
    let mut state = State::new(policy, secure);
    state.logged_in(account.may_write);
    Session {
        state,
        control: Control::of_client_elsewhere(Stream::plain(control), watch, secure),
        plan: Plan::None,
        ends: Ends { peer, local: peer },
        account: Some(account),
        handle,
        handshakes: None,
        away: None,
        door: Some(door),
        failures: 0,
        since: clock::monotonic(),
        ftp,
    }
}

async fn run(mut session: Session) {
    let hello = Reply::new(230, "Logged in");
    if session.control.reply(&hello).await.is_ok() {
        session.go_on().await;
    }
    session.control.end().await;
}

/// Moves bytes between the session's connections and the other node.
struct Pump {
    /// The other end of the session's control connection.
    control: Socket,
    /// That of its data connection, while there is one.
    data: RefCell<Option<Rc<Opened>>>,
    opened: RefCell<mpsc::UnboundedReceiver<Opened>>,
}

impl Pump {
    async fn run(self, inbound: Inbound, outbound: Outbound) {
        let (up, down) = (pin!(self.up(inbound)), pin!(self.down(outbound)));
        // Whichever ends first: what the session still says nobody hears, and what it is told is nothing more.
        select(up, down).await;
        if let Some(opened) = self.data.borrow().as_ref() {
            opened.abort.raise();
        }
        self.control.shutdown(std::net::Shutdown::Both);
    }

    /// What the other node sends, until it is done.
    async fn up(&self, mut inbound: Inbound) {
        while let Ok(Some((kind, length))) = next_frame(&mut inbound).await {
            let data = self.data.borrow().clone();
            let bytes = payload(&inbound, length);
            match (kind, data) {
                (FrameKind::Line, _) => match self.control.send_all(bytes).await {
                    Ok(()) => {}
                    Err(_) => return,
                },
                // A transfer that has ended takes no more, and its reply says so.
                (FrameKind::Data, Some(data)) => drop(data.socket.send_all(bytes).await),
                (FrameKind::End, Some(data)) => data.socket.shutdown(std::net::Shutdown::Write),
                (FrameKind::Abort, Some(data)) => data.abort.raise(),
                _ => {}
            }
            pass(&mut inbound, length);
        }
    }

    /// What the session says and sends, until it ends. The first reply to a transfer goes before its bytes, and the last
    /// behind their end.
    async fn down(&self, mut outbound: Outbound) -> Result<(), Error> {
        let mut buffer = vec![0; FRAME_MAX_BYTES];
        let mut is_announced = false;
        // What the session has said since it announced a transfer: that comes behind the transfer's end.
        let mut held = Vec::new();
        let gone = |_| Error::Disconnected;
        loop {
            if let Ok(opened) = self.opened.borrow_mut().try_recv() {
                self.data.replace(Some(Rc::new(opened)));
                is_announced = false;
            }
            let data = self.data.borrow().clone();
            if let Some(data) = data.as_ref().filter(|_| is_announced) {
                match data.socket.try_recv(&mut buffer) {
                    Ok(Some(n @ 1..)) => {
                        let bytes = buffer.get(..n).unwrap_or_default();
                        send_frames(&mut outbound, FrameKind::Data, bytes).await?;
                        continue;
                    }
                    Ok(None) => {}
                    Ok(Some(_)) | Err(_) => {
                        self.data.replace(None);
                        send_frames(&mut outbound, FrameKind::End, b"").await?;
                        continue;
                    }
                }
            }
            if data.is_none() && !held.is_empty() {
                let said = std::mem::take(&mut held);
                send_frames(&mut outbound, FrameKind::Reply, &said).await?;
                continue;
            }
            match self.control.try_recv(&mut buffer).map_err(gone)? {
                Some(0) => {
                    outbound.end().await;
                    return Ok(());
                }
                Some(n) => {
                    let said = buffer.get(..n).unwrap_or_default();
                    let announces = data.is_some() && !is_announced;
                    // It may have said all there is to say about a small one already.
                    let first = Reply::read(said).filter(|_| announces);
                    let (now, later) = said.split_at(first.map_or(n, |(_, length)| length));
                    is_announced |= announces;
                    held.extend_from_slice(later);
                    send_frames(&mut outbound, FrameKind::Reply, now).await?;
                }
                None => self.wait(data.filter(|_| is_announced).as_deref()).await,
            }
        }
    }

    /// Waits until there is something to be sent.
    async fn wait(&self, data: Option<&Opened>) {
        let more = async {
            match data {
                Some(data) => drop(data.socket.readable().await),
                None => std::future::pending().await,
            }
        };
        // The session says something after it has opened a data connection.
        select(pin!(self.control.readable()), pin!(more)).await;
    }
}
