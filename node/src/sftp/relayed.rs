//! Sessions whose files are on another node: their bytes go there, and what comes back goes to the client.
//!
//! # Layout
//!
//! To the node that has the files the bytes go as they come from the client. Back they come in pieces: length (4, little
//! endian), so many bytes. A length of 0 is the end of the session, and is followed by its exit status (1): without that
//! nobody could tell the end from a loss.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::channel::mpsc;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio::sync::{mpsc as channel, oneshot};
use uuid::Uuid;

use super::asked::{Asked, Packets};
use super::flow::{Flow, Outlet};
use super::queue::Queued;
use super::scp::command::{Line, Scp};
use super::server::Shared;
use super::shards::{Client, Speaks, Start};
use super::stream;
use crate::cluster::Peers;
use crate::error::Error;
use crate::limits::RELAY_PIECE_MAX_BYTES;
use crate::metrics::{self, Via};
use crate::net::{Preamble, Relayed, Who};

/// A session that another node passes on.
pub struct Arrived {
    /// Whose it is.
    pub who: Who,
    /// Address of the client.
    pub peer: IpAddr,
    /// What SCP was asked for; `None` for SFTP.
    pub scp: Option<String>,
    /// The client's bytes and ours.
    pub stream: DuplexStream,
    /// Told the exit status.
    pub ended: oneshot::Sender<u8>,
}

/// What comes back next.
enum Piece {
    Bytes(Vec<u8>),
    End(u8),
}

/// Passes a session on, to its end. The other node may take `answer` to answer.
pub(super) async fn pass_on(peers: Arc<Peers>, node: u64, answer: Duration, start: Start) {
    let Start {
        speaks,
        client: Client { account, peer, .. },
        requests,
        outlet,
        flow,
    } = start;
    let who = Who {
        association: Uuid::from_bytes(account.association),
        account: account.id,
    };
    let (what, via) = match &speaks {
        Speaks::Sftp => (Relayed::Sftp(who), Via::Sftp),
        Speaks::Scp(scp) => (Relayed::Scp(who, scp.write()), Via::Scp),
    };
    metrics::mine().via(via).relayed.add(1);
    let peer = SocketAddr::new(peer, 0);
    let passed = match (Preamble { peer, what }).write() {
        Some(preamble) => match peers.dial(node, &preamble).await {
            Ok(link) => {
                // What SCP sends of a file is answered at its end.
                let answer = matches!(speaks, Speaks::Sftp).then_some(answer);
                both_ways(link, answer, requests, &outlet, &flow).await
            }
            Err(why) => Err(why),
        },
        None => Err("what is asked for is too long".to_owned()),
    };
    if let Err(why) = passed {
        let node = format!("{node:016x}");
        tracing::info!(node, why, "a session is not passed on");
        if let Speaks::Scp(_) = speaks {
            let text = format!("node {node}, which has the files, does not answer: try again");
            let line = Line::Trouble { text, fatal: true };
            outlet.send(line.bytes().unwrap_or_default());
        }
        outlet.fails();
    }
}

/// `answer`: how long an answer to a packet may take; without it there are no packets.
async fn both_ways(
    (from, to): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    answer: Option<Duration>,
    requests: mpsc::UnboundedReceiver<Queued>,
    outlet: &Outlet,
    flow: &Flow,
) -> Result<(), String> {
    let asked = Asked::new();
    let sending = async {
        if send(to, (answer.is_some(), &asked), requests, flow).await {
            // The client has asked for all it wants: it is answered still.
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        received = receive(from, outlet, &asked) => received.map_err(|error| error.to_string()),
        () = sending => Err("it takes no more, or the client is gone".to_owned()),
        () = silence(&asked, answer) => Err("it does not answer".to_owned()),
    }
}

/// Waits until what was asked for was not answered for too long.
async fn silence(asked: &Asked, answer: Option<Duration>) {
    let Some(answer) = answer else {
        return std::future::pending().await;
    };
    loop {
        let rest = asked.rest(answer);
        if rest.is_zero() {
            return;
        }
        tokio::time::sleep(rest).await;
    }
}

/// Sends what the client asks for to its end; `false`: nobody is there to be answered, or to answer.
async fn send(
    mut to: impl AsyncWrite + Unpin,
    (is_framed, asked): (bool, &Asked),
    mut requests: mpsc::UnboundedReceiver<Queued>,
    flow: &Flow,
) -> bool {
    while let Some(bytes) = requests.next().await.filter(|_| !flow.is_cut()) {
        let bytes = bytes.bytes();
        // Packets come without their lengths.
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
        let head = if is_framed { &length[..] } else { &[] };
        let sent = async {
            to.write_all(head).await?;
            to.write_all(bytes).await?;
            to.flush().await
        };
        asked.sends(bytes);
        if sent.await.is_err() {
            return false;
        }
    }
    !flow.is_cut() && to.shutdown().await.is_ok()
}

async fn receive(mut from: impl AsyncRead + Unpin, outlet: &Outlet, asked: &Asked) -> std::io::Result<()> {
    let mut packets = Packets::default();
    loop {
        asked.client_is_slow(true);
        outlet.room().await;
        asked.client_is_slow(false);
        if outlet.is_gone() {
            return Ok(());
        }
        match next_piece(&mut from).await? {
            Piece::Bytes(bytes) => {
                asked.comes(packets.end_in(&bytes));
                outlet.send(bytes);
            }
            Piece::End(0) => return Ok(()),
            Piece::End(_) => {
                outlet.fails();
                return Ok(());
            }
        }
    }
}

async fn next_piece(from: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Piece> {
    let length = usize::try_from(from.read_u32_le().await?).unwrap_or(usize::MAX);
    match length {
        0 => Ok(Piece::End(from.read_u8().await?)),
        1..=RELAY_PIECE_MAX_BYTES => {
            let mut bytes = vec![0; length];
            from.read_exact(&mut bytes).await?;
            Ok(Piece::Bytes(bytes))
        }
        _ => Err(std::io::ErrorKind::InvalidData.into()),
    }
}

/// Serves the sessions that other nodes pass on, for ever.
pub(super) async fn accept(shared: Arc<Shared>, mut arriving: channel::UnboundedReceiver<Arrived>) {
    while let Some(arrived) = arriving.recv().await {
        tokio::spawn(serve(Arc::clone(&shared), arrived));
    }
    std::future::pending().await
}

async fn serve(shared: Arc<Shared>, arrived: Arrived) {
    let Arrived {
        who,
        peer,
        scp,
        stream,
        ended,
    } = arrived;
    let status = match begin(&shared, who, peer, scp.as_deref()) {
        Ok((account, speaks)) => match shared.admission.admit(peer) {
            Some(permit) => {
                let _permit = permit.counted(Via::Sftp);
                stream::serve(&shared, account, speaks, stream).await
            }
            None => 1,
        },
        Err(error) => {
            tracing::info!(%error, %peer, "a session that another node passes on is refused");
            1
        }
    };
    // Who waits for it may be gone.
    let _ = ended.send(status);
}

/// Who asks, by this node's own registry, and for what.
fn begin(shared: &Shared, who: Who, peer: IpAddr, scp: Option<&str>) -> Result<(Client, Speaks), Error> {
    let account = shared.login.account_numbered(who.association, who.account)?;
    // What was passed on is not passed on again.
    shared.login.registry().check_home(&account.association)?;
    let speaks = match scp {
        None => Speaks::Sftp,
        Some(text) => {
            let unread = || Error::BadRequest("what scp is asked for cannot be read".to_owned());
            Speaks::Scp(Scp::read(text).ok_or_else(unread)?)
        }
    };
    let client = Client {
        account,
        peer,
        has_arrived: true,
    };
    Ok((client, speaks))
}
