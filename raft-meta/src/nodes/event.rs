//! What names a change in the whole cluster.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A change: the node and the log that it was made in, and its place there.
///
/// # Layout
///
/// As text the node in 16 hexadecimal digits, the log and the sequence in decimal, with hyphens between:
/// `00c0ffee00c0ffee-3-712`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The node.
    pub node: u64,
    /// Number of its log.
    pub log: u8,
    /// Sequence of the change in the log, from 1.
    pub sequence: u64,
}

/// A text that names no change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no event id: take the Filegrid-Event of an answer as it is")]
pub struct NoEvent;

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}-{}", self.node, self.log, self.sequence)
    }
}

impl FromStr for Event {
    type Err = NoEvent;

    fn from_str(text: &str) -> Result<Self, NoEvent> {
        let read = || {
            let (node, rest) = text.split_once('-')?;
            let (log, sequence) = rest.split_once('-')?;
            Some(Self {
                node: u64::from_str_radix(node, 16).ok()?,
                log: log.parse().ok()?,
                sequence: sequence.parse().ok()?,
            })
        };
        // Only what is shown is read: no signs, no leading zeros, no change 0.
        read()
            .filter(|event| event.sequence > 0 && event.to_string() == text)
            .ok_or(NoEvent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_as_it_is_shown_and_no_other_text_is() {
        let event = Event {
            node: 0xc0_ffee,
            log: 3,
            sequence: 712,
        };
        assert_eq!(event.to_string(), "0000000000c0ffee-3-712");
        assert_eq!(event.to_string().parse(), Ok(event));
        for wrong in [
            "",
            "x",
            "0000000000c0ffee-3",
            "0000000000c0ffee-3-0",
            "0000000000c0ffee-3-07",
            "0000000000c0ffee-3-+7",
            "0000000000c0ffee-256-7",
            "0000000000C0FFEE-3-7",
            "c0ffee-3-7",
            "0000000000c0ffee-3-7 ",
            "0000000000c0ffee-3-18446744073709551616",
        ] {
            assert_eq!(wrong.parse::<Event>(), Err(NoEvent), "{wrong}");
        }
    }
}
