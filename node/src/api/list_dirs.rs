//! `POST /api/list/dirs`: all directories below one.

use std::ops::ControlFlow;

use filegrid_tree::{Row, TreeError, TreePath, lookup, walk};
use serde::Serialize;

use super::{Api, path_of, prefix, request, shown};
use crate::auth::Scope;
use crate::error::Error;
use crate::http::exchange::{BodyLength, Exchange};
use crate::limits::{LISTING_PIECE_BYTES, LISTING_STEP_ENTRIES};
use crate::ring;

#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    path: &'a str,
    r#type: &'static str,
}

impl Api {
    pub(super) async fn list_dirs(&self, exchange: &mut Exchange) -> Result<(), Error> {
        let principal = self.principal_at_home(exchange, Scope::FileList)?;
        let request: request::Params = request::read(exchange).await?;
        let path = path_of(&principal, request.path.as_deref().unwrap_or("/"))?;
        let view = self.store.view();
        match lookup(view.as_ref(), principal.association, &path)? {
            Some(Row::File(_)) => return Err(TreeError::NotDirectory(path.to_string()).into()),
            None if path != principal.root => return Err(TreeError::NotFound(path.to_string()).into()),
            _ => {}
        }
        let head = self.head(exchange, 200).field("Content-Type", "application/json");
        exchange.start(head, BodyLength::Chunked).await?;
        let root = prefix(&principal);
        let top = path.to_string();
        let mut piece = vec![b'['];
        let mut after: Option<TreePath> = None;
        let mut first = true;
        loop {
            let mut more = None;
            let mut seen = 0;
            walk(
                view.as_ref(),
                principal.association,
                &path,
                after.as_ref(),
                &mut |path, row| {
                    seen += 1;
                    if row.is_dir() && path != top {
                        if !std::mem::take(&mut first) {
                            piece.push(b',');
                        }
                        let name = path.rsplit('/').next().unwrap_or_default();
                        let entry = Entry {
                            name,
                            path: shown(&root, path),
                            r#type: "directory",
                        };
                        // Writing to a vector does not fail.
                        let _ = serde_json::to_writer(&mut piece, &entry);
                    }
                    if piece.len() < LISTING_PIECE_BYTES && seen < LISTING_STEP_ENTRIES {
                        return ControlFlow::Continue(());
                    }
                    more = Some(TreePath::found(path));
                    ControlFlow::Break(())
                },
            )?;
            if more.is_none() {
                break;
            }
            after = more;
            exchange.write(&piece).await?;
            piece.clear();
            // What is looked at and not shown takes its time, too.
            ring::yield_now().await;
        }
        piece.push(b']');
        exchange.write(&piece).await?;
        exchange.finish().await
    }
}
