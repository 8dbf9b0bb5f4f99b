//! A session over bytes that come and go as they are: what is left of a channel without SSH.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};

use super::flow::{Flow, Replies};
use super::intake::Intake;
use super::live::Live;
use super::server::{Shared, idle};
use super::shards::{Client, Speaks};
use super::wire::Wire;
use crate::limits::{SFTP_CHANNEL_PACKET_BYTES, SFTP_REPLIES_JOINED_BYTES};

/// Serves a session to its end, and says its exit status. A client that asks for more than it takes answers to is not read
/// any further.
pub(super) async fn serve<S>(shared: &Shared, client: Client, speaks: Speaks, stream: S) -> u8
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let flow = Arc::new(Flow::default());
    let live = Live::of(Arc::clone(&flow), client.account.clone());
    shared.connections.add(&live);
    let Some((intake, replies)) = Intake::begin(shared, speaks, client, &flow) else {
        return 1;
    };
    let (from, to) = tokio::io::split(Wire::new(stream, Arc::clone(&flow)));
    let receiving = tokio::spawn(receive(from, intake));
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
async fn receive<S>(mut from: ReadHalf<Wire<S>>, mut intake: Intake)
where
    Wire<S>: AsyncRead,
{
    let mut bytes = vec![0; SFTP_CHANNEL_PACKET_BYTES as usize];
    while intake.is_open()
        && let Ok(received @ 1..) = from.read(&mut bytes).await
    {
        intake.take(bytes.get(..received).unwrap_or_default());
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
