//! Bodies of requests: JSON or a form, with the same fields.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};

use super::form;
use crate::error::Error;
use crate::http::exchange::Exchange;
use crate::limits::REQUEST_BODY_MAX_BYTES;

/// `{"Params":"/dir"}`, and what pages a listing.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    /// A path; the root if it is left out.
    #[serde(rename = "Params", default)]
    pub(super) path: Option<String>,
}

/// `{"Filelist":["/a"]}`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileList {
    #[serde(rename = "Filelist", alias = "Filelist[]")]
    pub(super) paths: Vec<String>,
}

/// The body of a request, of at most `most` bytes, as the text of a JSON object, whatever form it came in. No body is an
/// object without fields.
pub(super) async fn object(exchange: &mut Exchange, most: usize) -> Result<Vec<u8>, Error> {
    let kind = exchange
        .head()
        .header("content-type")
        .map(|kind| String::from_utf8_lossy(kind).into_owned());
    let kind = kind.unwrap_or_default();
    let media = kind
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let body = exchange.body_bytes(most).await?;
    match media.as_str() {
        _ if body.is_empty() => Ok(b"{}".to_vec()),
        // Fields in a list would be taken by their places.
        "" | "application/json" if body.trim_ascii_start().starts_with(b"{") => Ok(body),
        "" | "application/json" => Err(Error::BadRequest("the body is not a JSON object".to_owned())),
        "application/x-www-form-urlencoded" => form::to_json(&body),
        other => Err(Error::UnsupportedMedia(format!(
            "{other} is not understood: send application/json or application/x-www-form-urlencoded"
        ))),
    }
}

/// The body of a request.
pub(super) async fn read<T: DeserializeOwned>(exchange: &mut Exchange) -> Result<T, Error> {
    let object = object(exchange, REQUEST_BODY_MAX_BYTES).await?;
    serde_json::from_slice(&object).map_err(|error| Error::BadRequest(format!("the body: {error}")))
}

/// A number, which forms send as text.
pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    match Plain::deserialize(deserializer)? {
        Plain::Number(number) => Ok(number),
        Plain::Text(text) => text
            .parse()
            .map_err(|_| D::Error::custom(format!("{text} is no number"))),
        Plain::Flag(_) => Err(D::Error::custom("a number is needed")),
    }
}

/// True or false, which forms send as text; `None` where it is null or an empty text.
pub(super) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    let value = Option::<Plain>::deserialize(deserializer)?;
    match value {
        None => Ok(None),
        Some(Plain::Flag(flag)) => Ok(Some(flag)),
        Some(Plain::Text(text)) => match text.as_str() {
            "" => Ok(None),
            "true" | "1" => Ok(Some(true)),
            "false" | "0" => Ok(Some(false)),
            _ => Err(D::Error::custom(format!("{text} is not true or false"))),
        },
        Some(Plain::Number(_)) => Err(D::Error::custom("true or false is needed")),
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a number, a text, true or false is needed")]
enum Plain {
    Flag(bool),
    Number(u64),
    Text(String),
}
