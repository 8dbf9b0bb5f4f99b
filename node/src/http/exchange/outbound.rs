//! The sending half of a connection.

use std::io::IoSlice;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use crate::error::Error;
use crate::net::Watch;
use crate::ring::Socket;

/// Sends bytes and slices of files; what is held back goes with the next of them, in one write.
pub(super) struct Outbound {
    socket: Rc<Socket>,
    watch: Rc<Watch>,
    held: Vec<u8>,
}

impl Outbound {
    pub(super) fn new(socket: Rc<Socket>, watch: Rc<Watch>) -> Self {
        Self {
            socket,
            watch,
            held: Vec::new(),
        }
    }

    /// Where to put bytes that are to go with the next write.
    pub(super) fn held(&mut self) -> &mut Vec<u8> {
        &mut self.held
    }

    /// Sends what was held back and `parts`, in one write if it fits.
    pub(super) async fn send(&mut self, first: &[u8], second: &[u8]) -> Result<(), Error> {
        let held = std::mem::take(&mut self.held);
        let mut parts = [IoSlice::new(&held), IoSlice::new(first), IoSlice::new(second)];
        let result = self.send_parts(&mut parts).await;
        // Its memory serves the next head.
        self.held = held;
        self.held.clear();
        result
    }

    /// Sends what was held back and then `len` bytes of `file`, all of them.
    pub(super) async fn send_file(
        &mut self,
        file: BorrowedFd<'_>,
        offset: u64,
        len: u64,
    ) -> Result<(), Error> {
        self.send_held_for_more().await?;
        let mut sent = 0;
        while sent < len {
            match self.socket.try_send_file(file, offset + sent, len - sent) {
                Ok(Some(0)) => return Err(Error::Damaged("a file ends before its length".into())),
                Ok(Some(n)) => {
                    sent += n as u64;
                    self.watch.moved(n);
                }
                Ok(None) => self.wait().await?,
                Err(_) => return Err(Error::Disconnected),
            }
        }
        Ok(())
    }

    async fn send_held_for_more(&mut self) -> Result<(), Error> {
        let mut sent = 0;
        while let Some(rest) = self.held.get(sent..).filter(|rest| !rest.is_empty()) {
            match self
                .socket
                .try_send(rest, true)
                .map_err(|_| Error::Disconnected)?
            {
                Some(n) => sent += n,
                None => self.wait().await?,
            }
        }
        self.held.clear();
        Ok(())
    }

    async fn send_parts(&self, mut parts: &mut [IoSlice<'_>]) -> Result<(), Error> {
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            match self
                .socket
                .try_send_vectored(parts, false)
                .map_err(|_| Error::Disconnected)?
            {
                Some(n) => {
                    self.watch.moved(n);
                    IoSlice::advance_slices(&mut parts, n);
                }
                None => self.wait().await?,
            }
        }
        Ok(())
    }

    async fn wait(&self) -> Result<(), Error> {
        self.watch.writable().await.map_err(|_| Error::Disconnected)?;
        if self.watch.expired().is_some() {
            Err(Error::Disconnected)
        } else {
            Ok(())
        }
    }
}
