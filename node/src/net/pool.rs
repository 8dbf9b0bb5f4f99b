//! Buffers that connections of this thread lend and give back, so that a request allocates none.

use std::cell::RefCell;

use crate::limits::CONNECTION_BUFFER_BYTES;

/// Spare buffers kept: what a burst of requests uses at once, a MiB in all.
const SPARE_MAX_COUNT: usize = 64;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer of `CONNECTION_BUFFER_BYTES`, with anything in it.
pub(super) fn take() -> Vec<u8> {
    SPARE
        .with(|spare| spare.borrow_mut().pop())
        .unwrap_or_else(|| vec![0; CONNECTION_BUFFER_BYTES])
}

/// Keeps a buffer for the next who needs one; grown ones are freed.
pub(super) fn give(buffer: Vec<u8>) {
    if buffer.len() != CONNECTION_BUFFER_BYTES {
        return;
    }
    SPARE.with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.len() < SPARE_MAX_COUNT {
            spare.push(buffer);
        }
    });
}
