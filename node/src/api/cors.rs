//! What browsers need to call the API from other origins (WHATWG Fetch).

use std::borrow::Cow;

use super::Api;
use crate::error::Error;
use crate::http::exchange::{Exchange, Reply, ReplyHead};

impl Api {
    /// The origin of a request, if it may call.
    fn origin(&self, exchange: &Exchange) -> Option<String> {
        let origin = std::str::from_utf8(exchange.head().header("origin")?).ok()?;
        let allowed = &self.config.raw.cors_origins;
        allowed
            .iter()
            .any(|known| known == "*" || known == origin)
            .then(|| origin.to_owned())
    }

    /// Adds what lets the page that asks read the answer.
    pub(super) fn with_cors(&self, exchange: &Exchange, head: ReplyHead) -> ReplyHead {
        if self.config.raw.cors_origins.is_empty() {
            return head;
        }
        let head = head.field("Vary", "Origin");
        match self.origin(exchange) {
            Some(origin) => head.field("Access-Control-Allow-Origin", &origin).field(
                "Access-Control-Expose-Headers",
                "Accept-Ranges, Content-Disposition, Content-Range, ETag, Filegrid-Event, Filegrid-Lag-Ms, \
                 Repr-Digest, Retry-After",
            ),
            None => head,
        }
    }

    /// Answers a preflight.
    pub(super) async fn preflight(&self, exchange: &mut Exchange) -> Result<(), Error> {
        let mut head = self.head(exchange, 204);
        if self.origin(exchange).is_some() {
            head = head
                .field("Access-Control-Allow-Methods", "GET, HEAD, POST, PATCH, DELETE")
                .field(
                    "Access-Control-Allow-Headers",
                    "Authorization, Content-Type, Range, If-Range, If-Match, If-None-Match, If-Modified-Since, \
                     Want-Repr-Digest",
                )
                .field("Access-Control-Max-Age", "600");
        }
        exchange
            .reply(Reply {
                head: head.field("Allow", "GET, HEAD, POST, PATCH, DELETE, OPTIONS"),
                body: Cow::Borrowed(b""),
            })
            .await
    }
}
