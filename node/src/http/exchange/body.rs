//! Where a request body is: how much is left, what of it is at hand.

use super::wire::{ChunkStep, Chunks, Framing};
use crate::error::Error;
use crate::net::Inbound;

/// The state of one request body.
pub(super) struct Body {
    source: Source,
    touched: bool,
}

enum Source {
    Length(u64),
    /// `ready`: payload bytes at the front of the buffer.
    Chunked {
        chunks: Chunks,
        ready: usize,
        ended: bool,
    },
}

impl Body {
    pub(super) fn new(framing: Framing) -> Self {
        let source = match framing {
            Framing::None => Source::Length(0),
            Framing::Length(len) => Source::Length(len),
            Framing::Chunked => Source::Chunked {
                chunks: Chunks::default(),
                ready: 0,
                ended: false,
            },
        };
        Self {
            source,
            touched: false,
        }
    }

    pub(super) fn remaining(&self) -> Option<u64> {
        match &self.source {
            Source::Length(len) => Some(*len),
            Source::Chunked { ended, .. } => ended.then_some(0),
        }
    }

    pub(super) fn is_touched(&self) -> bool {
        self.touched
    }

    pub(super) fn touch(&mut self) {
        self.touched = true;
    }

    /// Makes body bytes be at the front of the buffer; how many there are, 0 at the end of the body.
    pub(super) async fn fill(&mut self, inbound: &mut Inbound) -> Result<usize, Error> {
        match &mut self.source {
            Source::Length(0) => Ok(0),
            Source::Length(len) => {
                if inbound.bytes().is_empty() && inbound.more(*len).await? == 0 {
                    return Err(Error::Disconnected);
                }
                Ok(usize::try_from(*len)
                    .unwrap_or(usize::MAX)
                    .min(inbound.bytes().len()))
            }
            Source::Chunked { ready, .. } if *ready > 0 => Ok(*ready),
            Source::Chunked { ended: true, .. } => Ok(0),
            Source::Chunked { chunks, ready, ended } => {
                *ready = next_chunk_bytes(chunks, inbound).await?;
                *ended = *ready == 0;
                Ok(*ready)
            }
        }
    }

    /// Drops `n` of the bytes [`Body::fill`] reported.
    pub(super) fn consume(&mut self, inbound: &mut Inbound, n: usize) {
        let n = match &mut self.source {
            Source::Length(len) => {
                let n = n
                    .min(usize::try_from(*len).unwrap_or(usize::MAX))
                    .min(inbound.bytes().len());
                *len -= n as u64;
                n
            }
            Source::Chunked { ready, .. } => {
                let n = n.min(*ready);
                *ready -= n;
                n
            }
        };
        inbound.consume(n);
    }

    /// Moves body bytes into `dst`: what is buffered, else straight from the socket.
    pub(super) async fn read_into(&mut self, inbound: &mut Inbound, dst: &mut [u8]) -> Result<usize, Error> {
        if let Source::Length(len) = &mut self.source
            && inbound.bytes().is_empty()
            && *len > 0
            && !dst.is_empty()
        {
            let n = inbound.direct(dst, *len).await?;
            *len -= n as u64;
            return if n == 0 { Err(Error::Disconnected) } else { Ok(n) };
        }
        let n = self.fill(inbound).await?.min(dst.len());
        if let (Some(dst), Some(bytes)) = (dst.get_mut(..n), inbound.bytes().get(..n)) {
            dst.copy_from_slice(bytes);
        }
        self.consume(inbound, n);
        Ok(n)
    }
}

async fn next_chunk_bytes(chunks: &mut Chunks, inbound: &mut Inbound) -> Result<usize, Error> {
    loop {
        match chunks.step(inbound.bytes())? {
            ChunkStep::Skip(n) => inbound.consume(n),
            ChunkStep::Data(n) => return Ok(n),
            ChunkStep::End(n) => {
                inbound.consume(n);
                return Ok(0);
            }
            ChunkStep::Need => {
                if inbound.more(u64::MAX).await? == 0 {
                    return Err(Error::Disconnected);
                }
            }
        }
    }
}
