//! Bodies of requests: JSON or a form, with the same fields.

use serde::Deserialize;
use serde::de::DeserializeOwned;

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

/// The body of a request as JSON, whatever form it came in.
pub(super) async fn json(exchange: &mut Exchange) -> Result<serde_json::Value, Error> {
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
        _ if body.is_empty() => Ok(serde_json::Value::Object(serde_json::Map::new())),
        "" | "application/json" => serde_json::from_slice(&body)
            .map_err(|error| Error::BadRequest(format!("the body is no JSON: {error}"))),
        "application/x-www-form-urlencoded" => form(&body),
        other => Err(Error::UnsupportedMedia(format!(
            "{other} is not understood: send application/json or application/x-www-form-urlencoded"
        ))),
    }
}

/// The body of a request.
pub(super) async fn read<T: DeserializeOwned>(exchange: &mut Exchange) -> Result<T, Error> {
    serde_json::from_value(json(exchange).await?).map_err(|error| Error::BadRequest(error.to_string()))
}

/// Fields of a form. `Filelist` is a list however often it is given.
fn form(body: &[u8]) -> Result<serde_json::Value, Error> {
    let mut fields = serde_json::Map::new();
    for (name, value) in form_urlencoded::parse(body) {
        let value = serde_json::Value::String(value.into_owned());
        if matches!(name.as_ref(), "Filelist" | "Filelist[]") {
            let list = fields
                .entry("Filelist")
                .or_insert_with(|| serde_json::Value::Array(Vec::new()));
            if let serde_json::Value::Array(list) = list {
                list.push(value);
            }
        } else if fields.insert(name.clone().into_owned(), value).is_some() {
            return Err(Error::BadRequest(format!("the field {name} is given twice")));
        }
    }
    Ok(serde_json::Value::Object(fields))
}
