//! `POST /api/download/prepare`.

use std::ops::ControlFlow;

use filegrid_tree::{TreeError, TreePath, walk};

use super::{Api, path_of, request};
use crate::auth::{Principal, Scope};
use crate::error::Error;
use crate::http::exchange::Exchange;
use crate::limits::{PATH_MAX_BYTES, PREPARED_FILES_MAX_COUNT};

impl Api {
    pub(super) async fn prepare(&self, exchange: &mut Exchange) -> Result<(), Error> {
        let principal = self.principal(exchange, Scope::FileRead)?;
        let request: request::FileList = request::read(exchange).await?;
        if request.paths.is_empty() {
            return Err(Error::BadRequest("Filelist is empty".to_owned()));
        }
        let mut files = Vec::new();
        for path in &request.paths {
            let path = path_of(&principal, path)?;
            for (file, name) in self.files_below(&principal, &path, &files)? {
                files.push((file, name));
            }
        }
        let held = files.into_iter().map(|(path, name)| {
            let held = self.store.hold(&principal.association, &path)?;
            Ok::<_, Error>((name, held))
        });
        let held = held.collect::<Result<Vec<_>, _>>()?;
        let id = self.prepared.add(&principal, held)?;
        self.json(exchange, format!(r#"{{"rslt":"{id}"}}"#).into_bytes())
            .await
    }

    /// The files that a path stands for, with their names in the archive: below the directory that holds the path.
    fn files_below(
        &self,
        principal: &Principal,
        path: &TreePath,
        before: &[(TreePath, String)],
    ) -> Result<Vec<(TreePath, String)>, Error> {
        let view = self.store.view();
        let above = path
            .parent()
            .filter(|_| *path != principal.root)
            .unwrap_or_else(|| path.clone());
        let mut files = Vec::new();
        let (mut too_many, mut too_deep) = (false, false);
        let found = walk(
            view.as_ref(),
            principal.association,
            path,
            None,
            &mut |found, row| {
                if row.is_dir() {
                    return ControlFlow::Continue(());
                }
                // Moves can take files deeper than any path that may be sent, and than an archive can name.
                let Ok(found) = TreePath::parse(found) else {
                    too_deep = true;
                    return ControlFlow::Break(());
                };
                let name = found
                    .strip_prefix(&above)
                    .unwrap_or_else(|| found.clone())
                    .to_string();
                files.push((found, name.trim_start_matches('/').to_owned()));
                too_many = before.len() + files.len() > PREPARED_FILES_MAX_COUNT;
                if too_many {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            },
        )?;
        if too_deep {
            return Err(Error::TooLarge(format!(
                "a file in the download has a path of more than {PATH_MAX_BYTES} bytes: move it further up first"
            )));
        }
        if too_many {
            return Err(Error::TooLarge(format!(
                "more than {PREPARED_FILES_MAX_COUNT} files in one download"
            )));
        }
        if !found {
            return Err(TreeError::NotFound(path.to_string()).into());
        }
        Ok(files)
    }
}
