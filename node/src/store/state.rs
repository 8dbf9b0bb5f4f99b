//! `DATA/state`: who this node is, how often it has started, and how each log was closed.
//!
//! Written before a start's first write, so that no id made from the number of starts is ever made twice.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use filegrid_meta::secret::random_node;
use filegrid_tree::STARTS_MAX;
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::log::Position;
use crate::disk::{Access, Disk, OpenHow};
use crate::limits;
use crate::ring::AlignedBuf;

/// Version of everything under `DATA`. Another version is refused.
pub const FORMAT: u32 = 1;

/// What is kept of a node beside its logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Version of the layout of `DATA`.
    pub format: u32,
    /// Identity of the node, random, never zero: the first half of every id it makes.
    pub node: u64,
    /// Number of logs, fixed when `DATA` is made; shards map onto them.
    pub logs: u8,
    /// How many times the node has been started, this start included, and further numbers of starts that ids are made of.
    pub starts: u32,
    /// Where each log ended when it was closed cleanly; `None` after anything else.
    pub closed: Option<Vec<Position>>,
}

impl State {
    /// The state of a `DATA` that is made now.
    ///
    /// # Errors
    ///
    /// If the system gives no random bytes.
    pub fn fresh(logs: u8) -> Result<Self, StoreError> {
        Ok(Self {
            format: FORMAT,
            node: random_node().map_err(StoreError::Bug)?,
            logs,
            starts: 0,
            closed: None,
        })
    }

    /// The state with the number of one start more, and the logs open.
    ///
    /// # Errors
    ///
    /// When there are no more numbers.
    pub fn next_start(&self) -> Result<Self, StoreError> {
        Ok(Self {
            closed: None,
            ..self.raised(self.starts.saturating_add(1))?
        })
    }

    /// The state with another number of starts.
    ///
    /// # Errors
    ///
    /// When there is no such number.
    pub fn raised(&self, starts: u32) -> Result<Self, StoreError> {
        if starts > STARTS_MAX {
            return Err(StoreError::Refused(format!(
                "this node has used up its {STARTS_MAX} starts: copy the files to a node with fresh data"
            )));
        }
        Ok(Self {
            starts,
            ..self.clone()
        })
    }

    /// The state of another start, durable: what is made from its number has never been made before. A `DATA` that has
    /// none gets one with `logs` logs, of the node that is `wanted` if any is.
    ///
    /// Where the logs were closed stays noted until they have been recovered.
    ///
    /// # Errors
    ///
    /// If it is damaged, of another version, or missing where there are logs.
    pub async fn next(
        disk: &Rc<dyn Disk>,
        data: &Path,
        logs: u8,
        wanted: Option<u64>,
    ) -> Result<Self, StoreError> {
        let state = match Self::load(disk, data).await? {
            Some(state) => state,
            None if has_logs(disk, data).await? => {
                return Err(StoreError::Refused(format!(
                    "{} is missing, but there are logs beside it: restore it, or empty the directory",
                    path(data).display()
                )));
            }
            None => {
                let fresh = Self::fresh(logs)?;
                let node = wanted.filter(|node| *node > 0).unwrap_or(fresh.node);
                Self { node, ..fresh }
            }
        };
        let next = Self {
            closed: state.closed.clone(),
            ..state.next_start()?
        };
        next.save(disk, data).await?;
        Ok(next)
    }

    /// Reads the state, `None` for a `DATA` that has none yet.
    ///
    /// # Errors
    ///
    /// If it is there but damaged, or of another version.
    pub async fn load(disk: &Rc<dyn Disk>, data: &Path) -> Result<Option<Self>, StoreError> {
        let path = path(data);
        let how = OpenHow {
            access: Access::Read,
            create_new: false,
            direct: false,
            dsync: false,
        };
        let file = match disk.open(&path, how).await {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::disk("open", &path, &error)),
        };
        let mut buffer = AlignedBuf::with_capacity(limits::STATE_MAX_BYTES);
        buffer.resize_zeroed(limits::STATE_MAX_BYTES);
        let (read, buffer) = file.read_at(buffer, 0).await;
        let read = read.map_err(|error| StoreError::disk("read", &path, &error))?;
        let text = buffer.get(..read).unwrap_or_default();
        let state = decode(text)
            .ok_or_else(|| StoreError::Damaged(format!("{} does not match its checksum", path.display())))?;
        if state.format != FORMAT {
            return Err(StoreError::Refused(format!(
                "{} is of format {}, this program reads format {FORMAT}",
                path.display(),
                state.format
            )));
        }
        Ok(Some(state))
    }

    /// Replaces the state: afterwards the old or the new one is found, whatever happens.
    ///
    /// # Errors
    ///
    /// If the disk refuses.
    pub async fn save(&self, disk: &Rc<dyn Disk>, data: &Path) -> Result<(), StoreError> {
        let (path, fresh) = (path(data), data.join("state.new"));
        let failed = |what| {
            let fresh = fresh.clone();
            move |error: std::io::Error| StoreError::disk(what, &fresh, &error)
        };
        match disk.remove(&fresh).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::disk("remove", &fresh, &error));
            }
            _ => {}
        }
        let how = OpenHow {
            access: Access::ReadWrite,
            create_new: true,
            direct: false,
            dsync: false,
        };
        let file = disk.open(&fresh, how).await.map_err(failed("create"))?;
        let text = encode(self)?;
        let mut buffer = AlignedBuf::with_capacity(text.len());
        buffer.resize_zeroed(text.len());
        buffer.copy_from_slice(&text);
        file.write_at(buffer, 0).await.0.map_err(failed("write"))?;
        file.sync_data().await.map_err(failed("sync"))?;
        disk.rename(&fresh, &path).await.map_err(failed("rename"))?;
        disk.sync_dir(data).await.map_err(failed("sync the directory of"))
    }
}

async fn has_logs(disk: &Rc<dyn Disk>, data: &Path) -> Result<bool, StoreError> {
    let entries = disk.list(data).await;
    let entries = entries.map_err(|error| StoreError::disk("list", data, &error))?;
    Ok(entries.iter().any(|(name, _)| name.starts_with("shard-")))
}

fn path(data: &Path) -> PathBuf {
    data.join("state")
}

/// One line of JSON, then the CRC32 of that line in eight hexadecimal digits.
fn encode(state: &State) -> Result<Vec<u8>, StoreError> {
    let mut text = serde_json::to_vec(state).map_err(|error| StoreError::Bug(error.to_string()))?;
    let sum = crc32fast::hash(&text);
    text.extend_from_slice(format!("\n{sum:08x}\n").as_bytes());
    Ok(text)
}

fn decode(text: &[u8]) -> Option<State> {
    let end = text.iter().position(|byte| *byte == b'\n')?;
    let (line, sum) = text.split_at(end);
    let expected = format!("\n{:08x}\n", crc32fast::hash(line));
    (sum == expected.as_bytes())
        .then(|| serde_json::from_slice(line).ok())
        .flatten()
}
