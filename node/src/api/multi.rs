//! `/api/download/multi`.

use std::ops::Range;

use uuid::Uuid;

use super::Api;
use super::download::send_one;
use super::prepared::Download;
use crate::archive::Piece;
use crate::auth::Scope;
use crate::error::Error;
use crate::http::conditional::{Validators, Verdict};
use crate::http::exchange::{BodyLength, Exchange, Reply, ReplyHead};
use crate::http::names::{Disposition, content_disposition};
use crate::http::range::{Ranges, byte_ranges};
use crate::http::urlencoded::parameter;
use crate::send::send;

impl Api {
    pub(super) async fn multi(&self, exchange: &mut Exchange) -> Result<(), Error> {
        let principal = self.principal_at_home(exchange, Scope::FileRead)?;
        let id = parameter(exchange.head(), "id")?;
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
        let ranges = match validators.ranges(exchange.head(), length) {
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
            let content = self.store.content_of(download.association(), file);
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
            let content = self.store.content_of(download.association(), file);
            return send(exchange, &content, range).await;
        }
        for piece in download.layout.pieces(range) {
            match piece {
                Piece::Bytes(bytes) => exchange.write(&bytes).await?,
                Piece::File { entry, range } => {
                    if let Some(file) = download.files.get(entry) {
                        let content = self.store.content_of(download.association(), file);
                        send(exchange, &content, range).await?;
                    }
                }
            }
        }
        Ok(())
    }
}
