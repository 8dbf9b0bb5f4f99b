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
        loop {
            if let Some(n) = self.fill_soon(inbound).await? {
                return Ok(n);
            }
        }
    }

    /// As [`Body::fill`]; `None`: the peer has sent nothing for a moment.
    async fn fill_soon(&mut self, inbound: &mut Inbound) -> Result<Option<usize>, Error> {
        match &mut self.source {
            Source::Length(0) => Ok(Some(0)),
            Source::Length(len) => {
                if inbound.bytes().is_empty() {
                    match inbound.more_soon(*len).await? {
                        None => return Ok(None),
                        Some(0) => return Err(Error::Disconnected),
                        Some(_) => {}
                    }
                }
                let len = usize::try_from(*len).unwrap_or(usize::MAX);
                Ok(Some(len.min(inbound.bytes().len())))
            }
            Source::Chunked { ready, .. } if *ready > 0 => Ok(Some(*ready)),
            Source::Chunked { ended: true, .. } => Ok(Some(0)),
            Source::Chunked { chunks, ready, ended } => {
                let Some(n) = next_chunk_bytes(chunks, inbound).await? else {
                    return Ok(None);
                };
                *ready = n;
                *ended = n == 0;
                Ok(Some(n))
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

    /// Moves body bytes into `dst`: what is buffered, else straight from the socket. 0 at the end of the body; `None`:
    /// the peer has sent nothing for a moment.
    pub(super) async fn read_into(
        &mut self,
        inbound: &mut Inbound,
        dst: &mut [u8],
    ) -> Result<Option<usize>, Error> {
        if let Source::Length(len) = &mut self.source
            && inbound.bytes().is_empty()
            && *len > 0
            && !dst.is_empty()
        {
            return match inbound.direct(dst, *len).await? {
                None => Ok(None),
                Some(0) => Err(Error::Disconnected),
                Some(n) => {
                    *len -= n as u64;
                    Ok(Some(n))
                }
            };
        }
        let Some(n) = self.fill_soon(inbound).await? else {
            return Ok(None);
        };
        let n = n.min(dst.len());
        if let (Some(dst), Some(bytes)) = (dst.get_mut(..n), inbound.bytes().get(..n)) {
            dst.copy_from_slice(bytes);
        }
        self.consume(inbound, n);
        Ok(Some(n))
    }
}

/// Payload bytes at the front, 0 at the end of the body, `None` if the peer has sent nothing for a moment.
async fn next_chunk_bytes(chunks: &mut Chunks, inbound: &mut Inbound) -> Result<Option<usize>, Error> {
    loop {
        match chunks.step(inbound.bytes())? {
            ChunkStep::Skip(n) => inbound.consume(n),
            ChunkStep::Data(n) => return Ok(Some(n)),
            ChunkStep::End(n) => {
                inbound.consume(n);
                return Ok(Some(0));
            }
            ChunkStep::Need => match inbound.more_soon(u64::MAX).await? {
                None => return Ok(None),
                Some(0) => return Err(Error::Disconnected),
                Some(_) => {}
            },
        }
    }
}
