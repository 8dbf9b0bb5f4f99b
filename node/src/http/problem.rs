//! Errors as HTTP replies: `application/problem+json` (RFC 9457), with `rslt` for older clients.
//!
//! The one place where errors become statuses.

use std::borrow::Cow;
use std::time::Duration;

use serde::Serialize;

use super::exchange::{Exchange, Reply, ReplyHead};
use crate::error::Error;

#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    rslt: &'a str,
}

/// Answers a request with an error, if no reply has begun; hands the error on if it cannot be told.
///
/// # Errors
///
/// That one, or the peer is gone.
pub async fn tell(exchange: &mut Exchange, error: Error) -> Result<(), Error> {
    match reply(&error) {
        Some(reply) if !exchange.is_started() => exchange.reply(reply).await,
        _ => Err(error),
    }
}

/// The status of an error; `None` where the connection is closed without an answer.
#[must_use]
pub fn status(error: &Error) -> Option<u16> {
    Some(match error {
        Error::BadRequest(_) => 400,
        Error::Unauthorized(_) => 401,
        Error::Forbidden(_) => 403,
        Error::NotFound(_) => 404,
        Error::MethodNotAllowed { .. } => 405,
        Error::Timeout(_) => 408,
        Error::Conflict(_) => 409,
        Error::LengthRequired => 411,
        Error::PreconditionFailed => 412,
        Error::TooLarge(_) => 413,
        Error::UriTooLong { .. } => 414,
        Error::UnsupportedMedia(_) => 415,
        Error::RangeNotSatisfiable { .. } => 416,
        Error::TooManyRequests { .. } => 429,
        Error::HeadTooLarge(_) => 431,
        Error::Damaged(_) | Error::Disk(_) | Error::Internal(_) => 500,
        Error::Gateway(_) => 502,
        Error::Unavailable { .. } => 503,
        Error::StorageFull => 507,
        Error::Fenced | Error::Disconnected => return None,
    })
}

/// The reply that tells an error.
#[must_use]
pub fn reply(error: &Error) -> Option<Reply> {
    let status = status(error)?;
    let shown = error.to_string();
    // What went wrong inside is in the log, not in the answer.
    let detail = if status == 500 {
        "the server could not do this; its log says why"
    } else {
        &shown
    };
    let problem = Problem {
        r#type: "about:blank",
        title: reason(status),
        status,
        detail,
        rslt: "ERROR",
    };
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let head = ReplyHead::new(status).field("Content-Type", "application/problem+json");
    Some(Reply {
        head: with_fields(head, error),
        body: Cow::Owned(body),
    })
}

fn with_fields(head: ReplyHead, error: &Error) -> ReplyHead {
    let seconds = |after: &Duration| after.as_secs().max(1).to_string();
    match error {
        Error::Unauthorized(_) => head.field("WWW-Authenticate", "Bearer"),
        Error::MethodNotAllowed { allow } => head.field("Allow", allow),
        Error::RangeNotSatisfiable { len } => head.field("Content-Range", &format!("bytes */{len}")),
        Error::TooManyRequests { retry_after, .. } | Error::Unavailable { retry_after, .. } => {
            head.field("Retry-After", &seconds(retry_after))
        }
        _ => head,
    }
}

/// The reason phrase of a status, RFC 9110 §15.
#[must_use]
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        200 => "OK",
        204 => "No Content",
        206 => "Partial Content",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        507 => "Insufficient Storage",
        _ => "",
    }
}
