//! `POST /api/list/files`: the files of one directory.

use std::ops::ControlFlow;

use filegrid_tree::{Row, TreeError, list_dir, lookup};
use serde::Serialize;

use super::{Api, path_of, request};
use crate::auth::Scope;
use crate::error::Error;
use crate::http::exchange::{BodyLength, Exchange};
use crate::limits::{LISTING_PIECE_BYTES, LISTING_STEP_ENTRIES};
use crate::ring;

#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    size: u64,
    r#type: &'static str,
    #[serde(rename = "lastModified")]
    last_modified: i64,
}

impl Api {
    pub(super) async fn list_files(&self, exchange: &mut Exchange) -> Result<(), Error> {
        let principal = self.principal_at_home(exchange, Scope::FileList)?;
        let request: request::Params = request::read(exchange).await?;
        let path = path_of(&principal, request.path.as_deref().unwrap_or("/"))?;
        let view = self.store.view();
        let directory = match lookup(view.as_ref(), principal.association, &path)? {
            Some(Row::Dir(row)) => Some(row.id),
            Some(Row::File(_)) => return Err(TreeError::NotDirectory(path.to_string()).into()),
            // The root is there from the beginning, also before the first upload.
            None if path == principal.root => None,
            None => return Err(TreeError::NotFound(path.to_string()).into()),
        };
        let head = self.head(exchange, 200).field("Content-Type", "application/json");
        exchange.start(head, BodyLength::Chunked).await?;
        let mut piece = vec![b'['];
        let mut after: Option<String> = None;
        let mut first = true;
        while let Some(directory) = directory {
            let mut more = None;
            let mut seen = 0;
            list_dir(view.as_ref(), directory, after.as_deref(), &mut |name, row| {
                seen += 1;
                if !row.is_dir() {
                    if !std::mem::take(&mut first) {
                        piece.push(b',');
                    }
                    let entry = Entry {
                        name,
                        size: row.size(),
                        r#type: "file",
                        last_modified: row.mtime(),
                    };
                    // Writing to a vector does not fail.
                    let _ = serde_json::to_writer(&mut piece, &entry);
                }
                if piece.len() < LISTING_PIECE_BYTES && seen < LISTING_STEP_ENTRIES {
                    return ControlFlow::Continue(());
                }
                more = Some(name.to_owned());
                ControlFlow::Break(())
            })?;
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
