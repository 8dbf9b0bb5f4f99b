//! Bodies of requests: JSON or a form, with the same fields.

use serde::Deserialize;
use serde::de::DeserializeOwned;

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

/// The body of a request as the text of a JSON object, whatever form it came in. No body is an object without fields.
pub(super) async fn object(exchange: &mut Exchange) -> Result<Vec<u8>, Error> {
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
    let body = exchange.body_bytes(REQUEST_BODY_MAX_BYTES).await?;
    match media.as_str() {
        _ if body.is_empty() => Ok(b"{}".to_vec()),
        // Fields in a list would be taken by their places.
        "" | "application/json" if body.trim_ascii_start().starts_with(b"{") => Ok(body),
        "" | "application/json" => Err(Error::BadRequest("the body is not a JSON object".to_owned())),
        "application/x-www-form-urlencoded" => {
            form::to_json(&body).map_err(|error| Error::Internal(error.to_string()))
        }
        other => Err(Error::UnsupportedMedia(format!(
            "{other} is not understood: send application/json or application/x-www-form-urlencoded"
        ))),
    }
}

/// The body of a request.
pub(super) async fn read<T: DeserializeOwned>(exchange: &mut Exchange) -> Result<T, Error> {
    let object = object(exchange).await?;
    serde_json::from_slice(&object).map_err(|error| Error::BadRequest(format!("the body: {error}")))
}
