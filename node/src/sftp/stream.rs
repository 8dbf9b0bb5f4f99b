//! A session over bytes that come and go as they are: what is left of a channel without SSH.

use std::net::IpAddr;
use std::sync::Arc;

use futures::channel::mpsc;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};

use super::flow::{Flow, Replies, outlet};
use super::frames::Frames;
use super::live::Live;
use super::queue::Queued;
use super::server::{Shared, idle};
use super::shards::{Speaks, Start};
use super::wire::Wire;
use crate::auth::AccountPrincipal;
use crate::limits::{SFTP_CHANNEL_PACKET_BYTES, SFTP_REPLIES_JOINED_BYTES};

/// Serves a session to its end, and says its exit status. A client that asks for more than it takes answers to is not read
/// any further.
pub(super) async fn serve<S>(
    shared: &Shared,
    account: AccountPrincipal,
    peer: IpAddr,
    speaks: Speaks,
    stream: S,
) -> u8
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let flow = Arc::new(Flow::default());
    let live = Live::of(Arc::clone(&flow), account.clone());
    shared.connections.add(&live);
    let (requests, received) = mpsc::unbounded();
    let (outlet, replies) = outlet(Arc::clone(&flow));
    let frames = matches!(speaks, Speaks::Sftp).then(Frames::default);
    let start = Start {
        speaks,
        account,
        peer,
        requests: received,
        outlet,
        flow: Arc::clone(&flow),
    };
    if !shared.start(start) {
        return 1;
    }
    let (from, to) = tokio::io::split(Wire::new(stream, Arc::clone(&flow)));
    let receiving = tokio::spawn(receive(from, frames, requests, Arc::clone(&flow)));
    let mut sent = std::pin::pin!(send(to, replies, &flow));
    let status = tokio::select! {
        status = &mut sent => status,
        () = idle(&flow, shared.idle_timeout) => {
            flow.cut();
            sent.await
        }
    };
    receiving.abort();
    status
}

/// Hands requests on, to the client's last.
async fn receive<S: AsyncRead>(
    mut from: ReadHalf<Wire<S>>,
    mut frames: Option<Frames>,
    requests: mpsc::UnboundedSender<Queued>,
    flow: Arc<Flow>,
) where
    Wire<S>: AsyncRead,
{
    let mut bytes = vec![0; SFTP_CHANNEL_PACKET_BYTES as usize];
    while let Ok(received @ 1..) = from.read(&mut bytes).await {
        flow.touch();
        let received = bytes.get(..received).unwrap_or_default();
        let push = |packet| {
            // A session that has ended takes no more.
            let _ = requests.unbounded_send(Queued::new(packet, &flow));
        };
        let pushed = match &mut frames {
            Some(frames) => frames.push(received, push),
            None => {
                push(received.to_vec());
                Ok(())
            }
        };
        if let Err(error) = pushed {
            return tracing::debug!(%error, "a session of SFTP ends");
        }
    }
}

/// Sends replies to the last, small ones together.
async fn send<S>(mut to: WriteHalf<Wire<S>>, mut replies: Replies, flow: &Flow) -> u8
where
    Wire<S>: AsyncWrite,
{
    while let Some((reply, bytes)) = replies.next(SFTP_REPLIES_JOINED_BYTES).await {
        if to.write_all(&reply).await.is_err() {
            return 1;
        }
        replies.taken(bytes);
        flow.touch();
    }
    // Whoever has gone needs no end.
    let _ = to.shutdown().await;
    u8::from(replies.exit_status() != 0 || flow.is_cut())
}
