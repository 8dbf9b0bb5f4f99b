//! Requests about files that are on another node.

use std::borrow::Cow;
use std::time::Duration;

use super::Api;
use crate::error::Error;
use crate::http::exchange::{Exchange, Reply};
use crate::limits::RELAY_RETRY_S;
use crate::relay;

/// Whether a route is about files of one association: then the node answers that has them.
pub(super) fn is_about_files(path: &str) -> bool {
    matches!(
        path,
        "/api/upload"
            | "/api/download/single"
            | "/api/download/prepare"
            | "/api/download/multi"
            | "/api/list/files"
            | "/api/list/dirs"
            | "/api/mkdir"
            | "/api/move"
            | "/api/delete"
    )
}

impl Api {
    /// The node that has the files of who asks, if that is another.
    pub(super) fn elsewhere(&self, exchange: &Exchange) -> Result<Option<u64>, Error> {
        let authorization = exchange.head().header("authorization");
        let principal = self.authenticator.authenticate(authorization)?;
        let node = self.registrar.elsewhere(&principal.association)?;
        if node.is_some() && exchange.is_relayed() {
            // The node that has passed it on knows an older registry, or this one does.
            return Err(Error::Unavailable {
                detail: "the files of this association are being moved: try again".to_owned(),
                retry_after: Duration::from_secs(RELAY_RETRY_S),
            });
        }
        Ok(node)
    }

    /// Has another node answer, or sends the client there.
    pub(super) async fn relay(&self, exchange: &mut Exchange, node: u64) -> Result<(), Error> {
        let registry = self.registrar.current();
        let url = registry.node(node).map(|node| node.public_url.as_str());
        match url.filter(|url| self.config.raw.redirect && !url.is_empty()) {
            Some(url) => {
                let target = format!("{url}{}", exchange.head().target());
                let head = self.head(exchange, 307).field("Location", &target);
                let body = Cow::Borrowed(&[][..]);
                exchange.reply(Reply { head, body }).await
            }
            None => relay::forward(&self.links, node, exchange).await,
        }
    }
}
