//! `POST /api/list/tree`: everything below a path, streamed.

use std::ops::ControlFlow;

use filegrid_tree::{RowRef, TreeError, TreePath, lookup, walk};
use serde::{Deserialize, Serialize};

use super::{Api, path_of, prefix, request, shown};
use crate::auth::Scope;
use crate::error::Error;
use crate::http::exchange::{BodyLength, Exchange};
use crate::limits::LISTING_PIECE_BYTES;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    #[serde(rename = "Params", default)]
    path: Option<String>,
    #[serde(rename = "Limit", default)]
    limit: Option<serde_json::Value>,
    #[serde(rename = "Cursor", default)]
    cursor: Option<String>,
    /// An event that the listing must show. Every change is in the local tree before it is answered.
    #[serde(rename = "After", default)]
    _after: Option<String>,
}

#[derive(Serialize)]
struct Entry<'a> {
    path: &'a str,
    is_dir: bool,
    size: u64,
    checksum: &'a str,
    protocol: &'static str,
    mtime: i64,
    created_at: i64,
    updated_at: Option<i64>,
}

impl Api {
    pub(super) async fn list_tree(&self, exchange: &mut Exchange) -> Result<(), Error> {
        let principal = self.principal(exchange, Scope::FileList)?;
        let request: Request = request::read(exchange).await?;
        let path = path_of(&principal, request.path.as_deref().unwrap_or("/"))?;
        let mut left = limit(request.limit)?;
        let mut after = request
            .cursor
            .map(|cursor| path_of(&principal, &cursor))
            .transpose()?;
        let view = self.store.view();
        if lookup(view.as_ref(), principal.association, &path)?.is_none() && path != principal.root {
            return Err(TreeError::NotFound(path.to_string()).into());
        }
        let lines = exchange
            .head()
            .header("accept")
            .is_some_and(|accept| accept.windows(20).any(|kind| kind == b"application/x-ndjson"));
        let kind = if lines {
            "application/x-ndjson"
        } else {
            "application/json"
        };
        let head = self
            .head(exchange, 200)
            .field("Content-Type", kind)
            .field("Filegrid-Lag-Ms", "0");
        exchange.start(head, BodyLength::Chunked).await?;
        let root = prefix(&principal);
        let mut piece = if lines { Vec::new() } else { vec![b'['] };
        let mut first = true;
        while left > 0 {
            let mut more = None;
            walk(
                view.as_ref(),
                principal.association,
                &path,
                after.as_ref(),
                &mut |path, row| {
                    if !std::mem::take(&mut first) && !lines {
                        piece.push(b',');
                    }
                    write_entry(&mut piece, shown(&root, path), &row);
                    if lines {
                        piece.push(b'\n');
                    }
                    left -= 1;
                    if piece.len() < LISTING_PIECE_BYTES && left > 0 {
                        return ControlFlow::Continue(());
                    }
                    more = TreePath::parse_walked(path).ok();
                    ControlFlow::Break(())
                },
            )?;
            if more.is_none() {
                break;
            }
            after = more;
            exchange.write(&piece).await?;
            piece.clear();
        }
        if !lines {
            piece.push(b']');
        }
        exchange.write(&piece).await?;
        exchange.finish().await
    }
}

/// Most entries of the answer. Forms send numbers as text.
fn limit(limit: Option<serde_json::Value>) -> Result<u64, Error> {
    let number = match limit {
        None => Some(u64::MAX),
        Some(serde_json::Value::String(text)) => text.parse().ok(),
        Some(other) => other.as_u64(),
    };
    number
        .filter(|number| *number > 0)
        .ok_or_else(|| Error::BadRequest("Limit must be a number from 1".to_owned()))
}

/// Adds the JSON of an entry. `path` is shown as it is.
pub fn write_entry(piece: &mut Vec<u8>, path: &str, row: &RowRef<'_>) {
    let mut digits = [0; 64];
    let checksum = row.sha256().map_or("", |sum| hex(sum, &mut digits));
    let entry = Entry {
        path,
        is_dir: row.is_dir(),
        size: row.size(),
        checksum,
        protocol: row.protocol().name(),
        mtime: row.mtime(),
        created_at: row.created_at(),
        updated_at: row.updated_at(),
    };
    // Writing to a vector does not fail.
    let _ = serde_json::to_writer(piece, &entry);
}

fn hex<'d>(sum: &[u8; 32], digits: &'d mut [u8; 64]) -> &'d str {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(sum) {
        let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
        *pair = [digit(byte >> 4), digit(byte & 15)];
    }
    std::str::from_utf8(digits).unwrap_or_default()
}
