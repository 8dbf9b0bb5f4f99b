//! How far the logs of the nodes have come.

use serde::{Deserialize, Serialize};

use crate::store::ProducerShown;

/// How far all logs have come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Producers {
    /// The time by the clock of the member that tells this, in Unix milliseconds.
    pub now_ms: i64,
    /// The logs, by node and number.
    pub producers: Vec<ProducerShown>,
}
