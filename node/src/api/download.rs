//! `/api/download/single`.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Api, path_of};
use crate::auth::{Principal, Scope};
use crate::error::Error;
use crate::http::conditional::{Validators, Verdict, http_date};
use crate::http::exchange::{BodyLength, Exchange, Reply, ReplyHead};
use crate::http::names::{Disposition, content_disposition, is_active, media_type};
use crate::http::range::{Ranges, byte_ranges};
use crate::http::urlencoded::parameter;
use crate::send::send;
use crate::store::{Content, Opened, Piece};

/// First bytes of a file that its type is told by.
const SNIFF_BYTES: u64 = 512;

impl Api {
    pub(super) async fn download(&self, exchange: &mut Exchange) -> Result<(), Error> {
        let principal = self
            .authenticator
            .authenticate(exchange.head().header("authorization"))?;
        if !principal.scopes.has(Scope::Edge) {
            principal.require(Scope::FileRead)?;
        }
        self.registrar.check_home(&principal.association)?;
        let opened = self.open_asked(exchange, &principal)?;
        let (row, content, name) = opened;
        let etag = format!("\"{:x}-{:x}\"", row.version, row.size);
        let modified_s = u64::try_from(row.mtime / 1000).unwrap_or(0);
        let validators = Validators {
            etag: &etag,
            modified_s: Some(modified_s),
        };
        let kind = kind_of(&name, &content, row.size).await?;
        let head = |status: u16| {
            let head = self
                .head(exchange, status)
                .field("ETag", &etag)
                .field("Last-Modified", &http_date(modified_s))
                .field("Accept-Ranges", "bytes")
                .field("Cache-Control", "private, no-cache")
                .field("X-Content-Type-Options", "nosniff");
            if is_active(&kind) {
                head.field("Content-Security-Policy", "sandbox; default-src 'none'")
            } else {
                head
            }
        };
        match validators.evaluate(exchange.head()) {
            Verdict::Failed => return Err(Error::PreconditionFailed),
            Verdict::NotModified => {
                let head = head(304);
                return exchange
                    .reply(Reply {
                        head,
                        body: b"".into(),
                    })
                    .await;
            }
            Verdict::Proceed => {}
        }
        let ranges = validators.ranges(exchange.head(), row.size);
        let status = if matches!(ranges, Ranges::Some(_)) {
            206
        } else {
            200
        };
        let mut head = head(status).field(
            "Content-Disposition",
            &content_disposition(Disposition::Inline, &name),
        );
        let digest_asked = exchange.head().header("want-repr-digest").is_some();
        if let Some(sha256) = row.sha256.filter(|_| digest_asked) {
            head = head.field("Repr-Digest", &format!("sha-256=:{}:", STANDARD.encode(sha256)));
        }
        match ranges {
            Ranges::Whole => {
                send_one(exchange, head.field("Content-Type", &kind), &content, 0..row.size).await
            }
            Ranges::Unsatisfiable => Err(Error::RangeNotSatisfiable { len: row.size }),
            Ranges::Some(ranges) => send_ranges(exchange, head, &content, &ranges, row.size, &kind).await,
        }
    }

    fn open_asked(
        &self,
        exchange: &Exchange,
        principal: &Principal,
    ) -> Result<(filegrid_tree::FileRow, Content, String), Error> {
        let asked = parameter(exchange.head(), "path")?;
        let path = path_of(principal, &asked)?;
        let name = path.name().unwrap_or_default().to_owned();
        let Opened { row, content } = self.store.open(&principal.association, &path)?;
        Ok((row, content, name))
    }
}

async fn kind_of(name: &str, content: &Content, size: u64) -> Result<String, Error> {
    if size > 0 && mime_guess::from_path(name).first_raw().is_none() {
        // A small blob is in memory now and is read again from there; of a large one a block is read.
        match content.piece(0, SNIFF_BYTES).await? {
            Some(piece @ Piece::Bytes { .. }) => return Ok(media_type(name, piece.bytes())),
            Some(Piece::File { file, offset, .. }) => {
                let bytes = usize::try_from(SNIFF_BYTES.min(size)).unwrap_or(0);
                let mut buffer = crate::ring::AlignedBuf::with_capacity(bytes);
                buffer.resize_zeroed(bytes);
                let (read, buffer) = file.read_at(buffer, offset).await;
                read.map_err(|error| Error::Disk(format!("cannot read a blob: {error}")))?;
                return Ok(media_type(name, &buffer));
            }
            None => {}
        }
    }
    Ok(media_type(name, b""))
}

/// Sends one run of bytes.
pub(super) async fn send_one(
    exchange: &mut Exchange,
    head: ReplyHead,
    content: &Content,
    range: Range<u64>,
) -> Result<(), Error> {
    exchange
        .start(head, BodyLength::Exact(range.end - range.start))
        .await?;
    if exchange.head().method() != "HEAD" {
        send(exchange, content, range).await?;
    }
    exchange.finish().await
}

async fn send_ranges(
    exchange: &mut Exchange,
    head: ReplyHead,
    content: &Content,
    ranges: &[Range<u64>],
    size: u64,
    kind: &str,
) -> Result<(), Error> {
    if let [range] = ranges {
        let head = head.field("Content-Type", kind).field(
            "Content-Range",
            &format!("bytes {}-{}/{size}", range.start, range.end - 1),
        );
        return send_one(exchange, head, content, range.clone()).await;
    }
    let boundary = uuid::Uuid::new_v4().simple().to_string();
    let layout = byte_ranges(ranges, size, kind, &boundary);
    let head = head.field("Content-Type", &layout.content_type);
    exchange.start(head, BodyLength::Exact(layout.length)).await?;
    if exchange.head().method() != "HEAD" {
        for (front, range) in layout.heads.iter().zip(ranges) {
            exchange.write(front).await?;
            send(exchange, content, range.clone()).await?;
        }
        exchange.write(&layout.tail).await?;
    }
    exchange.finish().await
}
