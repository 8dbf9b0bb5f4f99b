//! What a client sends in a session, cut into packets on its way there.

use std::sync::Arc;

use futures::channel::mpsc;

use super::flow::{Flow, Replies, outlet};
use super::frames::Frames;
use super::queue::Queued;
use super::server::Shared;
use super::shards::{Client, Speaks, Start};

/// The way into a session.
pub(super) struct Intake {
    /// `None` where the bytes go on as they come.
    frames: Option<Frames>,
    /// `None` when no more are taken.
    requests: Option<mpsc::UnboundedSender<Queued>>,
    flow: Arc<Flow>,
}

impl Intake {
    /// Begins a session on a shard; what goes in, and the replies that come out. `None` if none can begin.
    pub(super) fn begin(
        shared: &Shared,
        speaks: Speaks,
        client: Client,
        flow: &Arc<Flow>,
    ) -> Option<(Self, Replies)> {
        let (requests, received) = mpsc::unbounded();
        let (outlet, replies) = outlet(Arc::clone(flow));
        let frames = matches!(speaks, Speaks::Sftp).then(Frames::default);
        let start = Start {
            speaks,
            client,
            requests: received,
            outlet,
            flow: Arc::clone(flow),
        };
        let intake = Self {
            frames,
            requests: Some(requests),
            flow: Arc::clone(flow),
        };
        shared.start(start).then_some((intake, replies))
    }

    /// Takes the next bytes, unless it has ended. What cannot be a packet ends it, and with it the session.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        let Some(requests) = &self.requests else {
            return;
        };
        self.flow.touch();
        let push = |packet| {
            // A session that has ended takes no more.
            let _ = requests.unbounded_send(Queued::new(packet, &self.flow));
        };
        let pushed = match &mut self.frames {
            Some(frames) => frames.push(bytes, push),
            None => {
                push(bytes.to_vec());
                Ok(())
            }
        };
        if let Err(error) = pushed {
            tracing::debug!(%error, "a session of SFTP ends");
            self.end();
        }
    }

    /// Takes no more: the session does what was asked for and ends.
    pub(super) fn end(&mut self) {
        self.requests = None;
    }

    /// Whether it takes more.
    pub(super) fn is_open(&self) -> bool {
        self.requests.is_some()
    }
}
