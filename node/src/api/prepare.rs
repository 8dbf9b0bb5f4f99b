//! `POST /api/download/prepare`.

use std::collections::HashSet;
use std::ops::ControlFlow;

use filegrid_tree::{Row, TreeError, TreePath, walk};

use super::prepared::Gathered;
use super::{Api, path_of, request};
use crate::auth::{Principal, Scope};
use crate::error::Error;
use crate::http::exchange::Exchange;
use crate::limits::{PATH_MAX_BYTES, PREPARE_STEP_ENTRIES};
use crate::ring;

impl Api {
    pub(super) async fn prepare(&self, exchange: &mut Exchange) -> Result<(), Error> {
        let principal = self.principal_at_home(exchange, Scope::FileRead)?;
        let request: request::FileList = request::read(exchange).await?;
        if request.paths.is_empty() {
            return Err(Error::BadRequest("Filelist is empty".to_owned()));
        }
        let paths = request.paths.iter().map(|path| path_of(&principal, path));
        let paths = paths.collect::<Result<Vec<_>, _>>()?;
        let mut gathered = self.prepared.begin(&principal)?;
        let mut asked = HashSet::new();
        for path in &paths {
            // One that is named twice is meant once.
            if asked.insert(path) {
                self.gather(&principal, path, &mut gathered).await?;
            }
        }
        let id = self.prepared.add(gathered);
        self.json(exchange, format!(r#"{{"rslt":"{id}"}}"#).into_bytes())
            .await
    }

    /// Holds the files that a path stands for, named from the directory that holds the path.
    async fn gather(
        &self,
        principal: &Principal,
        path: &TreePath,
        gathered: &mut Gathered,
    ) -> Result<(), Error> {
        let view = self.store.view();
        let above = path
            .parent()
            .filter(|_| *path != principal.root)
            .unwrap_or_else(|| path.clone());
        let above_bytes = if above.is_root() {
            1
        } else {
            above.text_bytes() + 1
        };
        let mut after = None;
        loop {
            let mut step = Vec::new();
            let mut seen = 0;
            let mut more = None;
            let found = walk(
                view.as_ref(),
                principal.association,
                path,
                after.as_ref(),
                &mut |shown, row| {
                    seen += 1;
                    if !row.is_dir() {
                        step.push((shown.to_owned(), row.to_row()));
                    }
                    if seen < PREPARE_STEP_ENTRIES {
                        return ControlFlow::Continue(());
                    }
                    more = Some(TreePath::found(shown));
                    ControlFlow::Break(())
                },
            )?;
            if !found && *path != principal.root {
                return Err(TreeError::NotFound(path.to_string()).into());
            }
            for (shown, row) in step {
                if shown.len() > PATH_MAX_BYTES {
                    // Moves can take files deeper than any path that may be sent, and than an archive can name.
                    return Err(Error::TooLarge(format!(
                        "a file in the download has a path of more than {PATH_MAX_BYTES} bytes: move it further up first"
                    )));
                }
                let Row::File(row) = row? else { continue };
                match self.store.hold_row(&principal.association, row)? {
                    Some(held) => {
                        gathered.add(shown.get(above_bytes..).unwrap_or_default().to_owned(), held)?
                    }
                    // Deleted a moment ago.
                    None if shown == path.to_string() => return Err(TreeError::NotFound(shown).into()),
                    None => {}
                }
            }
            if more.is_none() {
                return Ok(());
            }
            after = more;
            ring::yield_now().await;
        }
    }
}
