//! What the log of the cluster holds, and what is answered.
//!
//! # Layout
//!
//! A command: one byte of kind, then, little endian,
//!
//! - 1, a command of the registry, JSON;
//! - 2, changes: node (8), log (1), epoch (8), sequence of the first (8), as of (8), then each change: generation of the
//!   association's home (8), length (4), bytes as [`filegrid_tree::Change::encode`] writes them;
//! - 3, a start of a node: node (8), number of logs (1), number of the start (4), nonce (8);
//! - 4, a jump: node (8), log (1), epoch (8), sequence that is applied (8), sequence to go on behind (8);
//! - 5, a copy: as 2, the sequence being that behind what is applied; the time means nothing;
//! - 6, lost entries: node (8), log (1), epoch (8), sequence that is applied (8), then JSON;
//! - 7, a return: node (8), number of logs (1), number of the start (4), nonce (8), epoch (8);
//! - 8, compared rows: node (8), log (1), epoch (8), number of the request (8), rows (8), sent (8), lost (8).
//!
//! A reply: JSON.

use serde::{Deserialize, Serialize};

use super::{Compared, Lost, Start};
use crate::machine::MachineError;
use crate::registry::{self, Outcome, Refusal};

/// Something that all members apply.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// A change of the registry.
    Registry(registry::Command),
    /// Changes of a node's log.
    Ship(Batch),
    /// Lets a start of a node in, which ends the starts before it. One that is in already is told the same again.
    Enter {
        /// The node.
        node: u64,
        /// How many logs it has.
        logs: u8,
        /// The start.
        start: Start,
    },
    /// Lets a start of a node in that the cluster had let in before it was restored, unless another has come since.
    Return {
        /// The node.
        node: u64,
        /// How many logs it has.
        logs: u8,
        /// The start.
        start: Start,
        /// What the cluster had numbered it.
        epoch: u64,
    },
    /// Changes that put rows of a node's tree as they are, outside the sequence: for what its log has no changes of any more.
    /// They are refused with [`Reply::Gap`] unless exactly the changes before `first` are applied: one that comes late, behind
    /// newer changes, must not put older rows.
    Copy(Batch),
    /// Goes on behind a sequence, whatever was applied: the node or the cluster was restored. What is missing is found
    /// by comparing. Refused with [`Reply::Gap`] unless the cluster is where the sender takes it to be, or there already.
    Jump {
        /// The node.
        node: u64,
        /// The log.
        log: u8,
        /// Epoch of the sender.
        epoch: u64,
        /// Sequence that was applied.
        from: u64,
        /// Sequence that counts as applied.
        to: u64,
    },
    /// Marks entries that the cluster has and the node has not, as comparing has shown. Refused with [`Reply::Gap`] unless
    /// exactly the changes are applied behind which that was so.
    Lost {
        /// The node.
        node: u64,
        /// The log.
        log: u8,
        /// Epoch of the sender.
        epoch: u64,
        /// Sequence of the last change.
        at: u64,
        /// The entries.
        entries: Vec<Lost>,
    },
    /// Tells what came of comparing rows, when that was asked for.
    Compared {
        /// The node.
        node: u64,
        /// The log.
        log: u8,
        /// Epoch of the sender.
        epoch: u64,
        /// What came of it.
        compared: Compared,
    },
}

/// Changes of a node's log, in the order of their sequences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The node.
    pub node: u64,
    /// The log.
    pub log: u8,
    /// Number of the node's start, as [`Reply::Entered`] gave it.
    pub epoch: u64,
    /// Sequence of the first change.
    pub first: u64,
    /// With these changes all is told that the log had at this time, in Unix milliseconds.
    pub as_of_ms: i64,
    /// The changes; none only tells the time.
    pub changes: Vec<Shipped>,
}

/// A change on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shipped {
    /// Generation of the association's home that the node knew.
    pub generation: u64,
    /// The change as [`filegrid_tree::Change::encode`] writes it.
    pub change: Vec<u8>,
}

/// What a command of the registry did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// What the caller wants to know.
    pub outcome: Outcome,
    /// Revision of the registry then.
    pub revision: u64,
}

/// What the sender of a command is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Of a change of the registry.
    Registry(Result<Registered, Refusal>),
    /// All up to this sequence is applied.
    Applied(u64),
    /// The cluster is elsewhere: go on from this sequence.
    Gap(u64),
    /// A later start of the node has been let in: stop.
    Fenced,
    /// The node may send.
    Entered {
        /// Number of this start.
        epoch: u64,
        /// Sequence last applied of each log.
        applied: Vec<u64>,
        /// Number of the last request to compare rows that each log has answered.
        #[serde(default)]
        compared: Vec<u64>,
        /// Number of which the start makes its ids: its own, or a higher one because another start has had that.
        #[serde(default)]
        number: u32,
    },
}

const REGISTRY: u8 = 1;
const SHIP: u8 = 2;
const ENTER: u8 = 3;
const JUMP: u8 = 4;
const COPY: u8 = 5;
const LOST: u8 = 6;
const RETURN: u8 = 7;
const COMPARED: u8 = 8;

impl Command {
    /// The command's bytes.
    ///
    /// # Errors
    ///
    /// If it is longer than its layout has room for.
    pub fn encode(&self) -> Result<Vec<u8>, MachineError> {
        let too_long = |_| MachineError::Damaged("a command is too long".to_owned());
        let mut out = Vec::new();
        match self {
            Self::Registry(command) => {
                out.push(REGISTRY);
                serde_json::to_writer(&mut out, command)
                    .map_err(|error| MachineError::Damaged(error.to_string()))?;
            }
            Self::Ship(batch) | Self::Copy(batch) => {
                let is_copy = matches!(self, Self::Copy(_));
                out.push(if is_copy { COPY } else { SHIP });
                out.extend_from_slice(&batch.node.to_le_bytes());
                out.push(batch.log);
                for number in [batch.epoch, batch.first] {
                    out.extend_from_slice(&number.to_le_bytes());
                }
                out.extend_from_slice(&batch.as_of_ms.to_le_bytes());
                for shipped in &batch.changes {
                    out.extend_from_slice(&shipped.generation.to_le_bytes());
                    let length = u32::try_from(shipped.change.len()).map_err(too_long)?;
                    out.extend_from_slice(&length.to_le_bytes());
                    out.extend_from_slice(&shipped.change);
                }
            }
            Self::Enter { node, logs, start } => {
                out.push(ENTER);
                put_start(&mut out, *node, *logs, *start);
            }
            Self::Compared {
                node,
                log,
                epoch,
                compared,
            } => {
                out.push(COMPARED);
                out.extend_from_slice(&node.to_le_bytes());
                out.push(*log);
                let Compared {
                    number,
                    rows,
                    sent,
                    lost,
                } = *compared;
                for number in [*epoch, number, rows, sent, lost] {
                    out.extend_from_slice(&number.to_le_bytes());
                }
            }
            Self::Return {
                node,
                logs,
                start,
                epoch,
            } => {
                out.push(RETURN);
                put_start(&mut out, *node, *logs, *start);
                out.extend_from_slice(&epoch.to_le_bytes());
            }
            Self::Jump {
                node,
                log,
                epoch,
                from,
                to,
            } => {
                out.push(JUMP);
                out.extend_from_slice(&node.to_le_bytes());
                out.push(*log);
                for number in [epoch, from, to] {
                    out.extend_from_slice(&number.to_le_bytes());
                }
            }
            Self::Lost {
                node,
                log,
                epoch,
                at,
                entries,
            } => {
                out.push(LOST);
                out.extend_from_slice(&node.to_le_bytes());
                out.push(*log);
                for number in [epoch, at] {
                    out.extend_from_slice(&number.to_le_bytes());
                }
                serde_json::to_writer(&mut out, entries)
                    .map_err(|error| MachineError::Damaged(error.to_string()))?;
            }
        }
        Ok(out)
    }

    /// Reads a command.
    ///
    /// # Errors
    ///
    /// If the bytes are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, MachineError> {
        let wrong = || MachineError::Damaged("a command cannot be read".to_owned());
        let (kind, rest) = bytes.split_first().ok_or_else(wrong)?;
        let mut rest = Reader(rest);
        let command = match *kind {
            REGISTRY => {
                let text = std::mem::take(&mut rest.0);
                let command = serde_json::from_slice(text);
                Some(Self::Registry(command.map_err(|error| {
                    MachineError::Damaged(format!("a command of the registry cannot be read: {error}"))
                })?))
            }
            SHIP => rest.batch().map(Self::Ship),
            COPY => rest.batch().map(Self::Copy),
            ENTER => rest.enter(),
            JUMP => rest.jump(),
            RETURN => rest.returning(),
            COMPARED => rest.compared(),
            LOST => rest.lost(),
            _ => None,
        };
        command.filter(|_| rest.0.is_empty()).ok_or_else(wrong)
    }
}

impl Reply {
    /// The reply's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Numbers and texts always have a JSON form; no bytes are refused when read.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a reply.
    ///
    /// # Errors
    ///
    /// If the bytes are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, MachineError> {
        serde_json::from_slice(bytes)
            .map_err(|error| MachineError::Damaged(format!("a reply cannot be read: {error}")))
    }
}

fn put_start(out: &mut Vec<u8>, node: u64, logs: u8, start: Start) {
    out.extend_from_slice(&node.to_le_bytes());
    out.push(logs);
    out.extend_from_slice(&start.number.to_le_bytes());
    out.extend_from_slice(&start.nonce.to_le_bytes());
}

/// What is left of a command.
struct Reader<'b>(&'b [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take().map(|[byte]| byte)
    }

    fn start(&mut self) -> Option<Start> {
        Some(Start {
            number: self.take().map(u32::from_le_bytes)?,
            nonce: self.number()?,
        })
    }

    fn batch(&mut self) -> Option<Batch> {
        let mut batch = Batch {
            node: self.number()?,
            log: self.byte()?,
            epoch: self.number()?,
            first: self.number()?,
            as_of_ms: self.take().map(i64::from_le_bytes)?,
            changes: Vec::new(),
        };
        while !self.0.is_empty() {
            let generation = self.number()?;
            let length = usize::try_from(self.take().map(u32::from_le_bytes)?).ok()?;
            let (change, rest) = self.0.split_at_checked(length)?;
            self.0 = rest;
            let change = change.to_vec();
            batch.changes.push(Shipped { generation, change });
        }
        Some(batch)
    }

    fn enter(&mut self) -> Option<Command> {
        Some(Command::Enter {
            node: self.number()?,
            logs: self.byte()?,
            start: self.start()?,
        })
    }

    fn compared(&mut self) -> Option<Command> {
        Some(Command::Compared {
            node: self.number()?,
            log: self.byte()?,
            epoch: self.number()?,
            compared: Compared {
                number: self.number()?,
                rows: self.number()?,
                sent: self.number()?,
                lost: self.number()?,
            },
        })
    }

    fn returning(&mut self) -> Option<Command> {
        Some(Command::Return {
            node: self.number()?,
            logs: self.byte()?,
            start: self.start()?,
            epoch: self.number()?,
        })
    }

    fn lost(&mut self) -> Option<Command> {
        Some(Command::Lost {
            node: self.number()?,
            log: self.byte()?,
            epoch: self.number()?,
            at: self.number()?,
            entries: serde_json::from_slice(std::mem::take(&mut self.0)).ok()?,
        })
    }

    fn jump(&mut self) -> Option<Command> {
        Some(Command::Jump {
            node: self.number()?,
            log: self.byte()?,
            epoch: self.number()?,
            from: self.number()?,
            to: self.number()?,
        })
    }
}
