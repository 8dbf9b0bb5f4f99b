//! A machine in memory that keeps every command it was given, in order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::machine::{Chunk, Machine, MachineError, MachineInstall, MachineSnapshot};

#[derive(Debug, Clone, Default)]
struct State {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    mark: Option<Vec<u8>>,
}

#[derive(Default)]
struct Disk {
    live: State,
    durable: State,
    snapshots_taken: u64,
}

/// Clones share the rows.
#[derive(Clone, Default)]
pub(crate) struct MemoryMachine(Arc<Mutex<Disk>>);

impl MemoryMachine {
    fn with<T>(&self, act: impl FnOnce(&mut Disk) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The commands, in the order in which they were applied.
    pub(crate) fn commands(&self) -> Vec<Vec<u8>> {
        self.with(|disk| disk.live.rows.values().cloned().collect())
    }

    pub(crate) fn snapshots_taken(&self) -> u64 {
        self.with(|disk| disk.snapshots_taken)
    }

    /// What is left of it after a power cut: what was persisted, or more.
    pub(crate) fn after_power_cut(&self, more: bool) -> Self {
        let state = self.with(|disk| {
            if more {
                disk.live.clone()
            } else {
                disk.durable.clone()
            }
        });
        Self(Arc::new(Mutex::new(Disk {
            live: state.clone(),
            durable: state,
            snapshots_taken: 0,
        })))
    }
}

impl Machine for MemoryMachine {
    fn applied(&self) -> Result<Option<Vec<u8>>, MachineError> {
        Ok(self.with(|disk| disk.live.mark.clone()))
    }

    /// The answer to a command is how many there were before it.
    fn apply(&self, entries: Vec<Option<Vec<u8>>>, mark: &[u8]) -> Result<Vec<Vec<u8>>, MachineError> {
        Ok(self.with(|disk| {
            disk.live.mark = Some(mark.to_vec());
            let rows = &mut disk.live.rows;
            let apply = |entry: Option<Vec<u8>>| {
                let Some(command) = entry else {
                    return Vec::new();
                };
                let place = (rows.len() as u64).to_be_bytes().to_vec();
                rows.insert(place.clone(), command);
                place
            };
            entries.into_iter().map(apply).collect()
        }))
    }

    fn persist(&self) -> Result<(), MachineError> {
        self.with(|disk| disk.durable = disk.live.clone());
        Ok(())
    }

    fn snapshot(&self) -> Result<Box<dyn MachineSnapshot>, MachineError> {
        let state = self.with(|disk| disk.live.clone());
        Ok(Box::new(View {
            mark: state.mark,
            rows: state.rows.into_iter().collect(),
        }))
    }

    fn install(&self) -> Result<Box<dyn MachineInstall>, MachineError> {
        Ok(Box::new(Install {
            machine: self.clone(),
            rows: BTreeMap::new(),
        }))
    }
}

struct View {
    mark: Option<Vec<u8>>,
    rows: std::collections::VecDeque<(Vec<u8>, Vec<u8>)>,
}

impl MachineSnapshot for View {
    fn mark(&self) -> Option<&[u8]> {
        self.mark.as_deref()
    }

    fn next(&mut self, max_bytes: usize) -> Result<Option<Chunk>, MachineError> {
        let mut chunk = Chunk::new();
        let mut bytes = 0;
        while let Some((key, value)) = self.rows.pop_front() {
            bytes += key.len() + value.len();
            if bytes > max_bytes && !chunk.is_empty() {
                self.rows.push_front((key, value));
                break;
            }
            chunk.push((key, value));
        }
        Ok((!chunk.is_empty()).then_some(chunk))
    }
}

struct Install {
    machine: MemoryMachine,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl MachineInstall for Install {
    fn put(&mut self, chunk: Chunk) -> Result<(), MachineError> {
        self.rows.extend(chunk);
        Ok(())
    }

    fn finish(self: Box<Self>, mark: &[u8]) -> Result<(), MachineError> {
        let state = State {
            rows: self.rows,
            mark: Some(mark.to_vec()),
        };
        self.machine.with(|disk| {
            disk.durable = state.clone();
            disk.live = state;
            disk.snapshots_taken += 1;
        });
        Ok(())
    }
}
