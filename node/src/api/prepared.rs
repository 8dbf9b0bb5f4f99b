//! Downloads that wait to be fetched, and the memory they may take.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use filegrid_tree::TreePath;
use uuid::Uuid;

use crate::archive::{Entry, Layout};
use crate::auth::Principal;
use crate::clock;
use crate::error::Error;
use crate::limits::{
    PREPARED_BASE_BYTES, PREPARED_FILE_BYTES, PREPARED_FILES_MAX_COUNT, PREPARED_LIFETIME_MS,
    PREPARED_MAX_BYTES, PREPARED_TENANT_MAX_BYTES,
};
use crate::store::Held;

const _: () = assert!(2 * (size_of::<Held>() + size_of::<Entry>()) <= PREPARED_FILE_BYTES);

/// Who a download was prepared for. A user whose root was changed sees no more of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owner {
    association: [u8; 16],
    access_key: String,
    root: TreePath,
}

impl Owner {
    fn of(principal: &Principal) -> Self {
        Self {
            association: principal.association,
            access_key: principal.access_key.clone(),
            root: principal.root.clone(),
        }
    }
}

/// One prepared download: the versions as they were, pinned.
pub(super) struct Download {
    owner: Owner,
    pub(super) files: Vec<Held>,
    pub(super) layout: Layout,
    until_ms: i64,
    _share: Share,
}

impl Download {
    /// Whose files they are.
    pub(super) fn association(&self) -> &[u8; 16] {
        &self.owner.association
    }
}

/// A download that is being put together.
pub(super) struct Gathered {
    owner: Owner,
    names: Vec<String>,
    files: Vec<Held>,
    share: Share,
}

impl Gathered {
    /// Adds a file under a name.
    ///
    /// # Errors
    ///
    /// There are too many, in this download or in all that wait.
    pub(super) fn add(&mut self, name: String, file: Held) -> Result<(), Error> {
        if self.files.len() >= PREPARED_FILES_MAX_COUNT {
            return Err(Error::TooLarge(format!(
                "more than {PREPARED_FILES_MAX_COUNT} files in one download"
            )));
        }
        self.share.grow(PREPARED_FILE_BYTES + 2 * name.len())?;
        self.names.push(name);
        self.files.push(file);
        Ok(())
    }
}

/// The downloads that wait to be fetched, of all shards.
#[derive(Default)]
pub struct Prepared {
    waiting: Mutex<HashMap<String, Arc<Download>>>,
    memory: Arc<Memory>,
}

impl Prepared {
    /// Begins a download.
    ///
    /// # Errors
    ///
    /// Too many wait.
    pub(super) fn begin(&self, principal: &Principal) -> Result<Gathered, Error> {
        let mut share = Share {
            memory: Arc::clone(&self.memory),
            association: principal.association,
            bytes: 0,
        };
        if share.grow(PREPARED_BASE_BYTES).is_err() {
            self.expire();
            share.grow(PREPARED_BASE_BYTES)?;
        }
        Ok(Gathered {
            owner: Owner::of(principal),
            names: Vec::new(),
            files: Vec::new(),
            share,
        })
    }

    /// Lets a download wait; its id.
    pub(super) fn add(&self, gathered: Gathered) -> String {
        let Gathered {
            owner,
            names,
            files,
            share,
        } = gathered;
        let entry = |(name, file): (String, &Held)| Entry {
            name,
            size: file.row.size,
            crc32: file.row.crc32,
            mtime_ms: file.row.mtime,
        };
        let layout = Layout::new(names.into_iter().zip(&files).map(entry).collect());
        let download = Download {
            owner,
            files,
            layout,
            until_ms: clock::now_ms() + PREPARED_LIFETIME_MS,
            _share: share,
        };
        let id = Uuid::new_v4().simple().to_string();
        self.waiting().insert(id.clone(), Arc::new(download));
        id
    }

    /// Drops what nobody may fetch any more, and its pins.
    pub fn expire(&self) {
        let now_ms = clock::now_ms();
        self.waiting().retain(|_, download| download.until_ms > now_ms);
    }

    pub(super) fn get(&self, id: &str, principal: &Principal) -> Option<Arc<Download>> {
        let waiting = self.waiting();
        let found = waiting.get(id)?;
        let mine = found.owner == Owner::of(principal);
        (mine && found.until_ms > clock::now_ms()).then(|| Arc::clone(found))
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, Arc<Download>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that downloads take, in all and by association, so that no tenant takes the place of the others.
#[derive(Default)]
struct Memory(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    all: usize,
    by_association: HashMap<[u8; 16], usize>,
}

/// What one download takes of the memory; given back with it.
struct Share {
    memory: Arc<Memory>,
    association: [u8; 16],
    bytes: usize,
}

impl Share {
    fn grow(&mut self, bytes: usize) -> Result<(), Error> {
        let mut taken = self.memory.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = taken.by_association.get(&self.association).copied().unwrap_or(0);
        if mine + bytes > PREPARED_TENANT_MAX_BYTES || taken.all + bytes > PREPARED_MAX_BYTES {
            return Err(Error::Unavailable {
                detail: "too many prepared downloads wait to be fetched: each ends 10 minutes after it was prepared"
                    .to_owned(),
                retry_after: Duration::from_secs(60),
            });
        }
        taken.all += bytes;
        taken.by_association.insert(self.association, mine + bytes);
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.memory.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(self.bytes);
        if let Some(mine) = taken.by_association.get_mut(&self.association) {
            *mine = mine.saturating_sub(self.bytes);
            if *mine == 0 {
                taken.by_association.remove(&self.association);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_shared_among_tenants_and_given_back() {
        let memory = Arc::new(Memory::default());
        let share = |tenant| Share {
            memory: Arc::clone(&memory),
            association: [tenant; 16],
            bytes: 0,
        };
        let mut first = share(1);
        first.grow(PREPARED_TENANT_MAX_BYTES).unwrap();
        assert!(first.grow(1).is_err() && share(1).grow(1).is_err());
        let mut others: Vec<_> = (2..).map(share).take(100).collect();
        let granted = others
            .iter_mut()
            .filter_map(|other| other.grow(PREPARED_TENANT_MAX_BYTES).ok())
            .count();
        assert_eq!(granted + 1, PREPARED_MAX_BYTES / PREPARED_TENANT_MAX_BYTES);
        drop((first, others));
        assert!(share(1).grow(PREPARED_TENANT_MAX_BYTES).is_ok());
        let taken = memory.0.lock().unwrap();
        assert_eq!((taken.all, taken.by_association.len()), (0, 0));
    }
}
