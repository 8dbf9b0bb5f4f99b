//! `/metrics`, `/livez` and `/readyz`, on a listener of their own.

use std::borrow::Cow;
use std::sync::Arc;

use super::{allowed, no_route};
use crate::error::Error;
use crate::http::exchange::{Exchange, Reply, ReplyHead, Service};
use crate::http::problem;
use crate::metrics::{self, Health};

/// What machines ask a node that look after it.
pub struct Probes {
    /// How the node is.
    pub health: Arc<Health>,
}

impl Service for Probes {
    async fn call(&self, exchange: &mut Exchange) -> Result<(), Error> {
        match self.route(exchange).await {
            Ok(()) => Ok(()),
            Err(error) => problem::tell(exchange, error).await,
        }
    }
}

impl Probes {
    async fn route(&self, exchange: &mut Exchange) -> Result<(), Error> {
        let path = exchange.head().path().to_owned();
        let path = path.strip_suffix('/').unwrap_or(&path);
        if !matches!(path, "/metrics" | "/livez" | "/readyz") {
            return Err(no_route(exchange));
        }
        allowed(exchange, "GET, HEAD")?;
        let (status, kind, text) = match path {
            "/metrics" => {
                let text = metrics::text(&self.health).map_err(|error| Error::Internal(error.to_string()))?;
                (200, metrics::CONTENT_TYPE, text)
            }
            // Whoever reads this has been answered by a shard.
            "/livez" => (200, PLAIN, "ok\n".to_owned()),
            _ => match self.health.reasons().as_slice() {
                [] => (200, PLAIN, "ok\n".to_owned()),
                reasons => (503, PLAIN, reasons.join("\n") + "\n"),
            },
        };
        let head = ReplyHead::new(status)
            .field("Content-Type", kind)
            .field("Cache-Control", "no-store");
        let body = Cow::Owned(text.into_bytes());
        exchange.reply(Reply { head, body }).await
    }
}

const PLAIN: &str = "text/plain; charset=utf-8";
