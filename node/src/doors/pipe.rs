//! A session of SFTP or SCP, between the connection of another node and the runtime that serves it.

use std::pin::pin;
use std::rc::Rc;

use futures::future::{Either, select};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::oneshot;

use crate::error::Error;
use crate::limits::{RELAY_PIECE_MAX_BYTES, RELAY_PIPE_BYTES};
use crate::net::{Inbound, Outbound, Phase, Stream, Watch};

/// Moves bytes both ways until the session ends.
pub(super) async fn pump(
    (stream, watch, inbound): (Rc<Stream>, Rc<Watch>, Inbound),
    pipe: DuplexStream,
    ended: oneshot::Receiver<u8>,
) {
    // How long a session may be silent is the matter of those who serve it.
    watch.enter(Phase::Busy);
    let outbound = Outbound::new(stream, watch);
    let (from_session, to_session) = tokio::io::split(pipe);
    let sending = pin!(send(from_session, outbound, ended));
    let receiving = pin!(receive(inbound, to_session));
    match select(sending, receiving).await {
        Either::Left(_) => {}
        Either::Right((Ok(()), sending)) => sending.await,
        // The other node is gone, and the client with it: the session sees the end of its pipe.
        Either::Right((Err(_), _)) => {}
    }
}

/// To the session, up to the client's last.
async fn receive(mut inbound: Inbound, mut to: WriteHalf<DuplexStream>) -> Result<(), Error> {
    loop {
        if inbound.bytes().is_empty() && inbound.more(0).await? == 0 {
            let _ = to.shutdown().await;
            return Ok(());
        }
        let bytes = inbound.bytes();
        let n = bytes.len();
        if to.write_all(bytes).await.is_err() {
            // It has ended, which the other direction tells.
            return Ok(());
        }
        inbound.consume(n);
    }
}

/// From the session, in pieces, and its end.
async fn send(mut from: ReadHalf<DuplexStream>, mut outbound: Outbound, ended: oneshot::Receiver<u8>) {
    let mut piece = vec![0; RELAY_PIPE_BYTES.min(RELAY_PIECE_MAX_BYTES)];
    loop {
        let n = match from.read(&mut piece).await {
            Ok(0) | Err(_) => break,
            Ok(n) => n,
        };
        let length = u32::try_from(n).unwrap_or_default().to_le_bytes();
        outbound.held().extend_from_slice(&length);
        if outbound
            .send(piece.get(..n).unwrap_or_default(), b"")
            .await
            .is_err()
        {
            return;
        }
    }
    let status = ended.await.unwrap_or(1);
    if outbound.send(&[0, 0, 0, 0, status], b"").await.is_ok() {
        outbound.end().await;
    }
}
