//! `/admin/lost`: what the cluster has and the node that it belongs to has not.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;
use uuid::Uuid;

use super::Admin;
use crate::error::Error;
use crate::http::exchange::Exchange;

#[derive(Serialize)]
struct Page {
    entries: Vec<Entry>,
    /// Goes on behind this page; null at the end.
    cursor: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    association_key: Uuid,
    node: String,
    path: String,
    is_dir: bool,
    size: u64,
}

impl Admin {
    pub(super) async fn list_lost(&self, exchange: &mut Exchange) -> Result<(), Error> {
        let after = behind(exchange.head().query().unwrap_or_default())?;
        let page = self.cluster.lost(after).await?;
        let entries = page.entries.into_iter().map(|entry| Entry {
            association_key: entry.mark.association,
            node: format!("{:016x}", entry.mark.node),
            path: entry.mark.path,
            is_dir: entry.is_dir,
            size: entry.size,
        });
        let answer = Page {
            entries: entries.collect(),
            cursor: page.next.map(|key| BASE64_URL_SAFE_NO_PAD.encode(key)),
        };
        self.answer(exchange, &answer).await
    }
}

/// The key that a query names to go on behind.
fn behind(query: &str) -> Result<Vec<u8>, Error> {
    let mut after = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name != "Cursor" {
            return Err(Error::BadRequest(format!("{name} is not known here: Cursor is")));
        }
        after = BASE64_URL_SAFE_NO_PAD
            .decode(value.as_bytes())
            .map_err(|_| Error::BadRequest("Cursor: take it from the page before as it is".to_owned()))?;
    }
    Ok(after)
}
