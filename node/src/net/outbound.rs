//! The sending half of a connection.

use std::io::IoSlice;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use super::stream::Stream;
use super::watch::Watch;
use crate::error::Error;

/// Sends bytes and slices of files; what is held back goes with the next of them, in one write.
pub struct Outbound {
    stream: Rc<Stream>,
    watch: Rc<Watch>,
    held: Vec<u8>,
}

impl Outbound {
    /// Nothing is held back.
    #[must_use]
    pub fn new(stream: Rc<Stream>, watch: Rc<Watch>) -> Self {
        Self {
            stream,
            watch,
            held: Vec::new(),
        }
    }

    /// Whether files can be sent from where they are: not when their bytes have to be sealed.
    #[must_use]
    pub fn takes_files(&self) -> bool {
        !self.stream.is_tls()
    }

    /// Where to put bytes that are to go with the next write.
    pub fn held(&mut self) -> &mut Vec<u8> {
        &mut self.held
    }

    /// Sends what was held back and both parts, in one write if it fits.
    ///
    /// # Errors
    ///
    /// The peer is gone or too slow.
    pub async fn send(&mut self, first: &[u8], second: &[u8]) -> Result<(), Error> {
        let held = std::mem::take(&mut self.held);
        let mut parts = [IoSlice::new(&held), IoSlice::new(first), IoSlice::new(second)];
        let result = self.send_parts(&mut parts).await;
        // Its memory serves the next head.
        self.held = held;
        self.held.clear();
        result
    }

    /// Sends what was held back and then `len` bytes of `file`, all of them; only where [`Outbound::takes_files`].
    ///
    /// # Errors
    ///
    /// The peer is gone or too slow, or the file is shorter.
    pub async fn send_file(&mut self, file: BorrowedFd<'_>, offset: u64, len: u64) -> Result<(), Error> {
        self.send_held_for_more().await?;
        let mut sent = 0;
        while sent < len {
            match self.stream.try_send_file(file, offset + sent, len - sent) {
                Ok(Some(0)) => return Err(Error::Damaged("a file ends before its length".into())),
                Ok(Some(n)) => {
                    sent += n as u64;
                    self.watch.moved(n).await;
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
                .stream
                .try_send(&[IoSlice::new(rest)], true)
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
            self.flush().await?;
            match self
                .stream
                .try_send(parts, false)
                .map_err(|_| Error::Disconnected)?
            {
                Some(n) => {
                    self.watch.moved(n).await;
                    IoSlice::advance_slices(&mut parts, n);
                }
                None => self.wait().await?,
            }
        }
        self.flush().await
    }

    /// Sends what was taken. A peer that takes little of it at a time is slow, but it is there.
    async fn flush(&self) -> Result<(), Error> {
        loop {
            let unsent = self.stream.unsent();
            let done = self.stream.try_flush().map_err(|_| Error::Disconnected)?;
            self.watch.moved(unsent - self.stream.unsent()).await;
            if done {
                return Ok(());
            }
            self.wait().await?;
        }
    }

    /// Says that nothing more is sent, as soon as the peer takes it.
    pub async fn end(&self) {
        // Whether it hears of it or not, the connection ends.
        if self.stream.close().is_ok() {
            let _ = self.flush().await;
        }
        self.stream.end();
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
