//! The two directions of a channel that scp runs on.

use std::rc::Rc;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::channel::mpsc;

use super::super::flow::{Flow, Outlet};
use super::super::queue::Queued;
use super::command::Line;
use crate::error::Error;
use crate::limits::SCP_LINE_MAX_BYTES;

/// Bytes from and to the client.
pub(super) struct Pipe {
    requests: mpsc::UnboundedReceiver<Queued>,
    pub(super) outlet: Rc<Outlet>,
    flow: Arc<Flow>,
    /// What has arrived, and how much of it was read.
    arrived: Option<(Queued, usize)>,
    /// Whether anything went wrong that did not end it.
    pub(super) troubled: bool,
}

/// Why it ends early: the text is for the client, if there is one.
pub(super) enum Stop {
    Say(String),
    Silently,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        match super::super::reply::refused(&error) {
            Some(refused) => Self::Say(refused.text),
            None => Self::Silently,
        }
    }
}

impl Pipe {
    pub(super) fn new(
        requests: mpsc::UnboundedReceiver<Queued>,
        outlet: Rc<Outlet>,
        flow: Arc<Flow>,
    ) -> Self {
        Self {
            requests,
            outlet,
            flow,
            arrived: None,
            troubled: false,
        }
    }

    /// The bytes that are there, at least one; `None` at the end.
    async fn arrived(&mut self) -> Option<(Queued, usize)> {
        loop {
            let (bytes, from) = match self.arrived.take() {
                Some(arrived) => arrived,
                None => (self.requests.next().await?, 0),
            };
            if self.flow.is_cut() {
                return None;
            }
            if from < bytes.bytes().len() {
                return Some((bytes, from));
            }
        }
    }

    /// One byte; `None` at the end.
    pub(super) async fn byte(&mut self) -> Option<u8> {
        let (bytes, from) = self.arrived().await?;
        let byte = bytes.bytes().get(from).copied();
        self.arrived = Some((bytes, from + 1));
        byte
    }

    /// A line without its line feed; `None` at the end.
    pub(super) async fn line(&mut self) -> Result<Option<Vec<u8>>, Stop> {
        let mut line = Vec::new();
        loop {
            match self.byte().await {
                Some(b'\n') => return Ok(Some(line)),
                Some(byte) => line.push(byte),
                None if line.is_empty() => return Ok(None),
                None => return Err(Stop::Silently),
            }
            if line.len() > SCP_LINE_MAX_BYTES {
                return Err(Stop::Say("the line is too long".to_owned()));
            }
        }
    }

    /// Some bytes, at most `most`: a message whole where it can be.
    pub(super) async fn some(&mut self, most: u64) -> Option<(Queued, std::ops::Range<usize>)> {
        let (bytes, from) = self.arrived().await?;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let end = bytes.bytes().len().min(from.saturating_add(most));
        if end == bytes.bytes().len() {
            return Some((bytes, from..end));
        }
        let part = bytes.bytes().get(from..end).unwrap_or_default().to_vec();
        let length = part.len();
        self.arrived = Some((bytes, end));
        Some((Queued::new(part, &self.flow), 0..length))
    }

    /// Says that all is well.
    pub(super) fn well(&self) {
        self.outlet.send(vec![0]);
    }

    /// Says what went wrong, and goes on.
    pub(super) fn trouble(&mut self, text: &str) {
        self.troubled = true;
        let line = Line::Trouble {
            text: text.to_owned(),
            fatal: false,
        };
        self.outlet.send(line.bytes().unwrap_or_default());
    }

    /// Waits for the other side to say that all is well; `false`: it goes on without what was told last.
    pub(super) async fn answer(&mut self) -> Result<bool, Stop> {
        match self.byte().await {
            Some(0) => Ok(true),
            Some(1) => {
                self.line().await?;
                self.troubled = true;
                Ok(false)
            }
            _ => Err(Stop::Silently),
        }
    }
}
