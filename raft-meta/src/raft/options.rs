//! What a member is started with.

use std::collections::BTreeMap;
use std::sync::Arc;

use openraft::{Config, SnapshotPolicy};

use crate::log::LogError;
use crate::machine::MachineError;

/// When things happen, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Between two signs of life of a leader; also the limit for an answer to one.
    pub heartbeat_ms: u64,
    /// A follower that hears nothing stands for election after `election_max_ms` and a time between these two.
    pub election_min_ms: u64,
    /// See `election_min_ms`.
    pub election_max_ms: u64,
}

/// When the log is shortened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// The machine is persisted when so many entries have been applied since.
    pub persist_after_entries: u64,
    /// Or so many bytes of them.
    pub persist_after_bytes: u64,
    /// Or when the log takes more bytes of the disk.
    pub disk_target_bytes: u64,
    /// Entries behind that are kept for followers that lag.
    pub keep_entries: u64,
    /// But no more bytes of them.
    pub keep_bytes: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat_ms: 100,
            election_min_ms: 500,
            election_max_ms: 1000,
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            persist_after_entries: 50_000,
            persist_after_bytes: 64 << 20,
            disk_target_bytes: 256 << 20,
            keep_entries: 20_000,
            keep_bytes: 64 << 20,
        }
    }
}

/// What a member is started with.
#[derive(Debug, Clone, Default)]
pub struct MemberOptions {
    /// Its number, the same for ever.
    pub id: u64,
    /// Host and port that others use for it; empty for a member that nobody has to reach. If the cluster knows another
    /// one, it is told.
    pub address: String,
    /// The members of a new cluster, with their addresses; an address may be empty if there is no other member. Used if
    /// the log is empty. Without it a member with an empty log waits until a leader adds it.
    pub first_members: Option<BTreeMap<u64, String>>,
    /// When things happen.
    pub timing: Timing,
    /// When the log is shortened.
    pub retention: Retention,
}

/// Why a member does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The state machine.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// Raft; says why.
    #[error("{0}")]
    Raft(String),
}

/// openraft's options.
pub(super) fn config(options: &MemberOptions) -> Result<Arc<Config>, StartError> {
    let timing = options.timing;
    let config = Config {
        cluster_name: "filegrid".to_owned(),
        heartbeat_interval: timing.heartbeat_ms,
        election_timeout_min: timing.election_min_ms,
        election_timeout_max: timing.election_max_ms,
        // The keeper decides when to persist and what to purge: by bytes too.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        ..Config::default()
    };
    let sound = config.validate();
    Ok(Arc::new(
        sound.map_err(|error| StartError::Raft(error.to_string()))?,
    ))
}
