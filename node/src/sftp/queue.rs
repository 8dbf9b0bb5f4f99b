//! Requests on their way from a connection to the shard that does them.

use std::sync::Arc;

use super::flow::Flow;

/// Bytes that a client has sent. They count against its connection until this is dropped.
pub(super) struct Queued {
    bytes: Vec<u8>,
    flow: Arc<Flow>,
}

impl Queued {
    pub(super) fn new(bytes: Vec<u8>, flow: &Arc<Flow>) -> Self {
        flow.queue(bytes.len());
        Self {
            bytes,
            flow: Arc::clone(flow),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.flow.release(self.bytes.len());
    }
}
