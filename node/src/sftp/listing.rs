//! A directory that is open: its names in pages, all from one view of the tree.

use std::ops::ControlFlow;

use filegrid_tree::{DirId, View, list_dir};

use super::attributes::Told;
use super::reply::Names;
use crate::clock;
use crate::error::Error;
use crate::ftp::listing::{Entry, long};
use crate::limits::SFTP_NAMES_PAGE_BYTES;

/// A directory as it was when it was opened.
pub(super) struct Directory {
    view: Box<dyn View + Send>,
    /// `None`: an account's root that is not there yet.
    id: Option<DirId>,
    told: Told,
    next: Next,
}

enum Next {
    /// The directory itself and the one above it.
    Dots,
    /// What comes behind a name.
    After(String),
    End,
}

impl Directory {
    pub(super) fn new(view: Box<dyn View + Send>, id: Option<DirId>, told: Told) -> Self {
        Self {
            view,
            id,
            told,
            next: Next::Dots,
        }
    }

    pub(super) fn told(&self) -> Told {
        self.told
    }

    /// The next page; `None` when there are no more names.
    pub(super) fn page(&mut self, id: u32, writable: bool) -> Result<Option<Vec<u8>>, Error> {
        let mut page = Page {
            names: Names::new(id),
            writable,
            now_ms: clock::now_ms(),
        };
        let after = match std::mem::replace(&mut self.next, Next::End) {
            Next::End => return Ok(None),
            Next::After(name) => Some(name),
            Next::Dots => {
                page.add(".", &self.told);
                page.add("..", &self.told);
                None
            }
        };
        let Some(directory) = self.id else {
            return Ok(page.names.done());
        };
        list_dir(
            self.view.as_ref(),
            directory,
            after.as_deref(),
            &mut |name, row| {
                if page.add(name, &Told::of_ref(&row)) < SFTP_NAMES_PAGE_BYTES {
                    return ControlFlow::Continue(());
                }
                self.next = Next::After(name.to_owned());
                ControlFlow::Break(())
            },
        )?;
        Ok(page.names.done())
    }
}

struct Page {
    names: Names,
    writable: bool,
    now_ms: i64,
}

impl Page {
    fn add(&mut self, name: &str, told: &Told) -> usize {
        let entry = Entry {
            name,
            directory: told.directory,
            size: told.size,
            modified: told.mtime,
            created: told.mtime,
        };
        let long = long(&entry, self.writable, self.now_ms);
        self.names.add(name, &long, told, self.writable)
    }
}
