//! Keeps the log short: has the machine persisted when enough has been applied since, and gives up what is behind that
//! and needed by nobody.

use std::time::Duration;

use openraft::LogIdOptionExt;

use super::options::Retention;
use super::types::Raft;
use crate::log::Log;

/// How often is looked, at most.
const EVERY: Duration = Duration::from_millis(500);

/// Runs until the member stops.
pub(super) async fn keep(raft: Raft, log: Log, retention: Retention) {
    let metrics = raft.metrics();
    let mut ended = raft.metrics();
    let mut data = raft.data_metrics();
    loop {
        // Nothing is to be done while nothing happens.
        if data.changed().await.is_err() {
            return;
        }
        // The log is not closed before its last handle is dropped.
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = ended.wait_for(|now| now.running_state.is_err()) => return,
        }
        let (applied, persisted, purged) = {
            let now = metrics.borrow();
            if now.running_state.is_err() {
                return;
            }
            (
                now.last_applied.next_index(),
                now.snapshot.next_index(),
                now.purged.next_index(),
            )
        };
        let since = applied.saturating_sub(persisted);
        let due = since >= retention.persist_after_entries
            || (since > 0
                && (log.bytes_from(persisted) >= retention.persist_after_bytes
                    || log.disk_bytes() > retention.disk_target_bytes));
        // An error is the end of the member, which others tell.
        if due && raft.trigger().snapshot().await.is_err() {
            return;
        }
        // A follower that is behind what is kept gets a snapshot.
        let kept = log.keep_from(retention.keep_entries, retention.keep_bytes);
        let upto = kept.unwrap_or(u64::MAX).min(persisted);
        if upto > purged && raft.trigger().purge_log(upto - 1).await.is_err() {
            return;
        }
    }
}
