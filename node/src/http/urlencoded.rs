//! Names and values as queries and forms carry them: `application/x-www-form-urlencoded`.

use form_urlencoded::Parse;
use percent_encoding::percent_decode;

use super::exchange::RequestHead;
use crate::error::Error;

/// The pairs, decoded, in their order.
///
/// # Errors
///
/// What is not UTF-8 when it is decoded: it would be read as another name than the one that was meant.
pub fn pairs(encoded: &[u8]) -> Result<Parse<'_>, Error> {
    // The separators are ASCII, so the whole is UTF-8 just when every piece is.
    if percent_decode(encoded).decode_utf8().is_err() {
        return Err(Error::BadRequest(
            "a name or value is not UTF-8 when it is decoded".to_owned(),
        ));
    }
    Ok(form_urlencoded::parse(encoded))
}

/// The parameter of this name in the query of a request: the first, should there be more.
///
/// # Errors
///
/// It is not there, or the query is not UTF-8.
pub fn parameter(head: &RequestHead, name: &str) -> Result<String, Error> {
    pairs(head.query().unwrap_or_default().as_bytes())?
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
        .ok_or_else(|| Error::BadRequest(format!("the parameter {name} is missing")))
}
