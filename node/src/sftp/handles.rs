//! The files and directories that a session has open.

use super::listing::Directory;
use super::packet::HandleId;
use super::reading::Reading;
use super::upload::Upload;
use crate::limits::SFTP_HANDLES_MAX_COUNT;

/// What is open.
pub(super) enum Open {
    /// A file for reading.
    Reading(Box<Reading>),
    /// A file for writing.
    Writing(Box<Upload>),
    /// A directory.
    Directory(Box<Directory>),
}

/// All that is open, by handles that are not used again.
#[derive(Default)]
pub(super) struct Handles {
    slots: Vec<Slot>,
}

#[derive(Default)]
struct Slot {
    used: u32,
    open: Option<Open>,
}

impl Handles {
    /// Opens one more; `None` if there are too many.
    pub(super) fn insert(&mut self, open: Open) -> Option<HandleId> {
        let free = self.slots.iter().position(|slot| slot.open.is_none());
        let place = match free {
            Some(place) => place,
            None if self.slots.len() < SFTP_HANDLES_MAX_COUNT => {
                self.slots.push(Slot::default());
                self.slots.len() - 1
            }
            None => return None,
        };
        let slot = self.slots.get_mut(place)?;
        slot.used = slot.used.wrapping_add(1);
        slot.open = Some(open);
        Some(HandleId((u64::from(slot.used) << 32) | place as u64))
    }

    /// What a handle stands for.
    pub(super) fn get(&mut self, handle: HandleId) -> Option<&mut Open> {
        self.slot(handle)?.open.as_mut()
    }

    /// Closes one.
    pub(super) fn remove(&mut self, handle: HandleId) -> Option<Open> {
        self.slot(handle)?.open.take()
    }

    fn slot(&mut self, HandleId(number): HandleId) -> Option<&mut Slot> {
        let place = usize::try_from(number & u64::from(u32::MAX)).ok()?;
        let slot = self.slots.get_mut(place)?;
        (u64::from(slot.used) == number >> 32).then_some(slot)
    }

    /// All that is open.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Open> {
        self.slots.iter().filter_map(|slot| slot.open.as_ref())
    }

    /// Closes all.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Open> {
        self.slots.iter_mut().filter_map(|slot| slot.open.take())
    }
}
