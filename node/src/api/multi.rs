//! `/api/download/multi`, and the downloads that wait to be fetched.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use super::Api;
use super::download::send_one;
use crate::archive::{Entry, Layout, Piece};
use crate::auth::{Principal, Scope};
use crate::clock;
use crate::error::Error;
use crate::http::conditional::{Validators, Verdict};
use crate::http::exchange::{BodyLength, Exchange, Reply, ReplyHead};
use crate::http::names::{Disposition, content_disposition, query_parameter};
use crate::http::range::{Ranges, byte_ranges, parse};
use crate::limits::{PREPARED_LIFETIME_MS, PREPARED_MAX_COUNT};
use crate::send::send;
use crate::store::Held;

/// One prepared download: the versions as they were, pinned.
struct Download {
    association: [u8; 16],
    access_key: String,
    files: Vec<Held>,
    layout: Layout,
    until_ms: i64,
}

/// The downloads that wait to be fetched, of all shards.
#[derive(Default)]
pub struct Prepared(Mutex<HashMap<String, Arc<Download>>>);

impl Prepared {
    pub(super) fn add(&self, principal: &Principal, files: Vec<(String, Held)>) -> Result<String, Error> {
        let (names, files): (Vec<_>, Vec<_>) = files.into_iter().unzip();
        let entry = |(name, file): (String, &Held)| Entry {
            name,
            size: file.row.size,
            crc32: file.row.crc32,
            mtime_ms: file.row.mtime,
        };
        let layout = Layout::new(names.into_iter().zip(&files).map(entry).collect());
        let now_ms = clock::now_ms();
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|_, download| download.until_ms > now_ms);
        if waiting.len() >= PREPARED_MAX_COUNT {
            return Err(Error::Unavailable {
                detail: "too many prepared downloads".to_owned(),
                retry_after: std::time::Duration::from_secs(60),
            });
        }
        let id = Uuid::new_v4().simple().to_string();
        let download = Download {
            association: principal.association,
            access_key: principal.access_key.clone(),
            files,
            layout,
            until_ms: now_ms + PREPARED_LIFETIME_MS,
        };
        waiting.insert(id.clone(), Arc::new(download));
        Ok(id)
    }

    /// Drops what nobody may fetch any more, and its pins.
    pub fn expire(&self) {
        let now_ms = clock::now_ms();
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, download| download.until_ms > now_ms);
    }

    fn get(&self, id: &str, principal: &Principal) -> Option<Arc<Download>> {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = waiting.get(id)?;
        let mine = found.association == principal.association && found.access_key == principal.access_key;
        (mine && found.until_ms > clock::now_ms()).then(|| Arc::clone(found))
    }
}

impl Api {
    pub(super) async fn multi(&self, exchange: &mut Exchange) -> Result<(), Error> {
        let principal = self.principal(exchange, Scope::FileRead)?;
        let id = exchange
            .head()
            .query()
            .and_then(|query| query_parameter(query, "id"));
        let id = id.ok_or_else(|| Error::BadRequest("the parameter id is missing".to_owned()))?;
        let download = self.prepared.get(&id, &principal);
        let download =
            download.ok_or_else(|| Error::NotFound("there is no such prepared download".to_owned()))?;
        let single = if download.files.len() == 1 {
            download.layout.entries().first()
        } else {
            None
        };
        let length = single.map_or(download.layout.length(), |entry| entry.size);
        let etag = format!("\"{id}\"");
        let validators = Validators {
            etag: &etag,
            modified_s: None,
        };
        match validators.evaluate(exchange.head()) {
            Verdict::Failed => return Err(Error::PreconditionFailed),
            Verdict::NotModified => {
                let head = self.head(exchange, 304).field("ETag", &etag);
                return exchange
                    .reply(Reply {
                        head,
                        body: b"".into(),
                    })
                    .await;
            }
            Verdict::Proceed => {}
        }
        let asked = exchange
            .head()
            .header("range")
            .filter(|_| validators.range_applies(exchange.head()));
        let ranges = match asked.map_or(Ranges::Whole, |field| parse(field, length)) {
            Ranges::Whole => None,
            Ranges::Some(ranges) => Some(ranges),
            Ranges::Unsatisfiable => return Err(Error::RangeNotSatisfiable { len: length }),
        };
        let name = single.map_or("files.zip", |entry| {
            entry.name.rsplit('/').next().unwrap_or_default()
        });
        let kind = if single.is_some() {
            "application/octet-stream"
        } else {
            "application/zip"
        };
        let head = self
            .head(exchange, if ranges.is_some() { 206 } else { 200 })
            .field("ETag", &etag)
            .field("Accept-Ranges", "bytes")
            .field("X-Content-Type-Options", "nosniff")
            .field(
                "Content-Disposition",
                &content_disposition(Disposition::Attachment, name),
            );
        self.send_download(exchange, head, &download, ranges, length, kind)
            .await
    }

    async fn send_download(
        &self,
        exchange: &mut Exchange,
        head: ReplyHead,
        download: &Download,
        ranges: Option<Vec<Range<u64>>>,
        length: u64,
        kind: &str,
    ) -> Result<(), Error> {
        let ranges = match ranges {
            None => {
                return self
                    .send_whole(exchange, head.field("Content-Type", kind), download, 0..length)
                    .await;
            }
            Some(ranges) => ranges,
        };
        if let [range] = ranges.as_slice() {
            let head = head.field("Content-Type", kind).field(
                "Content-Range",
                &format!("bytes {}-{}/{length}", range.start, range.end - 1),
            );
            return self.send_whole(exchange, head, download, range.clone()).await;
        }
        let boundary = Uuid::new_v4().simple().to_string();
        let layout = byte_ranges(&ranges, length, kind, &boundary);
        exchange
            .start(
                head.field("Content-Type", &layout.content_type),
                BodyLength::Exact(layout.length),
            )
            .await?;
        if exchange.head().method() != "HEAD" {
            for (front, range) in layout.heads.iter().zip(ranges) {
                exchange.write(front).await?;
                self.send_part(exchange, download, range).await?;
            }
            exchange.write(&layout.tail).await?;
        }
        exchange.finish().await
    }

    async fn send_whole(
        &self,
        exchange: &mut Exchange,
        head: ReplyHead,
        download: &Download,
        range: Range<u64>,
    ) -> Result<(), Error> {
        if let [file] = download.files.as_slice() {
            let content = self.store.content_of(&download.association, file);
            return send_one(exchange, head, &content, range).await;
        }
        exchange
            .start(head, BodyLength::Exact(range.end - range.start))
            .await?;
        if exchange.head().method() != "HEAD" {
            self.send_part(exchange, download, range).await?;
        }
        exchange.finish().await
    }

    async fn send_part(
        &self,
        exchange: &mut Exchange,
        download: &Download,
        range: Range<u64>,
    ) -> Result<(), Error> {
        if let [file] = download.files.as_slice() {
            let content = self.store.content_of(&download.association, file);
            return send(exchange, &content, range).await;
        }
        for piece in download.layout.pieces(range) {
            match piece {
                Piece::Bytes(bytes) => exchange.write(&bytes).await?,
                Piece::File { entry, range } => {
                    if let Some(file) = download.files.get(entry) {
                        let content = self.store.content_of(&download.association, file);
                        send(exchange, &content, range).await?;
                    }
                }
            }
        }
        Ok(())
    }
}
