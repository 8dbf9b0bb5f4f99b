//! `POST /api/list/tree`: everything below a path, streamed.

use filegrid_meta::nodes::{Event, Listed};
use filegrid_tree::{RowRef, TreeError, TreePath};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Api, path_of, prefix, request, shown};
use crate::auth::{Principal, Scope};
use crate::error::Error;
use crate::http::exchange::{BodyLength, Exchange};
use crate::ring;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    #[serde(rename = "Params", default)]
    path: Option<String>,
    #[serde(rename = "Limit", default)]
    limit: Option<serde_json::Value>,
    #[serde(rename = "Cursor", default)]
    cursor: Option<String>,
    /// An event that the listing must show.
    #[serde(rename = "After", default)]
    event: Option<String>,
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

/// A path that a listing has shown, to go on behind: moves can make it longer than paths may be that are asked for.
fn walked(principal: &Principal, text: &str) -> Result<TreePath, Error> {
    let path = TreePath::parse_walked(text).map_err(|error| Error::BadRequest(error.to_string()))?;
    Ok(principal.root.join(&path))
}

impl Api {
    pub(super) async fn list_tree(&self, exchange: &mut Exchange) -> Result<(), Error> {
        let principal = self.principal(exchange, Scope::FileList)?;
        let request: Request = request::read(exchange).await?;
        let path = path_of(&principal, request.path.as_deref().unwrap_or("/"))?;
        let mut left = limit(request.limit)?;
        let mut after = request
            .cursor
            .map(|cursor| walked(&principal, &cursor))
            .transpose()?;
        let event = request.event.as_deref().map(event).transpose()?;
        let association = Uuid::from_bytes(principal.association);
        let log = self.store.log_of(&principal.association);
        let tree = self.cluster.tree(association, log, event).await?;
        let mut page = tree.page(&path, after.as_ref(), left).await?;
        if !page.found && path != principal.root {
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
            .field("Filegrid-Lag-Ms", &tree.lag_ms(&page).to_string());
        exchange.start(head, BodyLength::Chunked).await?;
        let root = prefix(&principal);
        let mut piece = if lines { Vec::new() } else { vec![b'['] };
        let mut first = true;
        loop {
            let mut last = None;
            for entry in page.entries() {
                if !std::mem::take(&mut first) && !lines {
                    piece.push(b',');
                }
                write_listed(&mut piece, shown(&root, entry.path), &entry);
                if lines {
                    piece.push(b'\n');
                }
                left -= 1;
                last = Some(entry.path);
            }
            after = last.map(TreePath::found);
            if !page.more || left == 0 || after.is_none() {
                break;
            }
            exchange.write(&piece).await?;
            piece.clear();
            // What goes into the socket at once lets nobody else have a turn.
            ring::yield_now().await;
            page = tree.page(&path, after.as_ref(), left).await?;
        }
        if !lines {
            piece.push(b']');
        }
        exchange.write(&piece).await?;
        exchange.finish().await
    }
}

/// The change that `After` names.
fn event(text: &str) -> Result<Event, Error> {
    let parsed = text.parse::<Event>();
    parsed.map_err(|error| Error::BadRequest(format!("After: {error}")))
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
    write_listed(piece, path, &Listed::new(path, row));
}

fn write_listed(piece: &mut Vec<u8>, path: &str, listed: &Listed<'_>) {
    let mut digits = [0; 64];
    let checksum = listed.sha256.map_or("", |sum| hex(sum, &mut digits));
    let entry = Entry {
        path,
        is_dir: listed.is_dir,
        size: listed.size,
        checksum,
        protocol: listed.protocol.name(),
        mtime: listed.mtime,
        created_at: listed.created_at,
        updated_at: listed.updated_at,
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
