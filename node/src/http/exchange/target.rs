//! The target of a request, in whichever of its four forms it comes (RFC 9112 §3.2).

use std::borrow::Cow;

use super::wire::bad;
use crate::error::Error;

/// The target as path and query, or `*`; `None`: it came like that. Of a whole URL scheme and host are left away: there
/// is one host here. Letters that are percent-encoded in the path without need are decoded (RFC 3986 §6.2.2.2).
///
/// # Errors
///
/// What is none of the forms that the method may have.
pub(super) fn rewritten(method: &str, target: &str) -> Result<Option<String>, Error> {
    if target == "*" && method == "OPTIONS" {
        return Ok(None);
    }
    if target.contains('#') {
        return Err(bad("the target has a fragment"));
    }
    let origin = origin(target)?;
    let (path, query) = match origin.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (origin.as_ref(), None),
    };
    if target.starts_with('/') && !path.contains('%') {
        return Ok(None);
    }
    let path = decode_unreserved(path)?;
    Ok(Some(match query {
        Some(query) => format!("{path}?{query}"),
        None => path,
    }))
}

/// Path and query of an origin form or of a whole URL.
fn origin(target: &str) -> Result<Cow<'_, str>, Error> {
    if target.starts_with('/') {
        return Ok(Cow::Borrowed(target));
    }
    let (scheme, rest) = target
        .split_once("://")
        .ok_or_else(|| bad("the target is neither a path nor a URL"))?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(bad("the target is of a scheme that is not spoken here"));
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    if host.is_empty() || !is_authority(host.as_bytes()) {
        return Err(bad("the host in the target is malformed"));
    }
    Ok(if path.starts_with('/') {
        Cow::Borrowed(path)
    } else {
        Cow::Owned(format!("/{path}"))
    })
}

/// Whether it can be a host and a port (RFC 3986 §3.2.2), or nothing. No user may stand before it (RFC 9110 §4.2.4).
pub(super) fn is_authority(host: &[u8]) -> bool {
    host.iter()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%:[]".contains(byte))
}

fn decode_unreserved(path: &str) -> Result<String, Error> {
    let mut pieces = path.split('%');
    let mut decoded = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let digits = piece
            .get(..2)
            .filter(|two| two.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let byte = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        let byte = byte.ok_or_else(|| bad("the target has a % that is not followed by two digits"))?;
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            decoded.push(char::from(byte));
            decoded.push_str(piece.get(2..).unwrap_or_default());
        } else {
            decoded.push('%');
            decoded.push_str(piece);
        }
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn normal(method: &str, target: &str) -> Option<String> {
        let rewritten = rewritten(method, target).ok()?;
        Some(rewritten.unwrap_or_else(|| target.to_owned()))
    }

    #[test]
    fn every_form_comes_to_path_and_query() {
        let of = |target| normal("GET", target);
        for (target, expected) in [
            ("/a?b=%41", Some("/a?b=%41")),
            ("http://host:80/a/b?c", Some("/a/b?c")),
            ("HTTPS://[::1]:8443", Some("/")),
            ("http://host?q=1", Some("/?q=1")),
            ("/%61pi/%75pload", Some("/api/upload")),
            ("/api%2Fupload", Some("/api%2Fupload")),
            ("/%e2%82%ac", Some("/%e2%82%ac")),
            ("/a%00", Some("/a%00")),
            ("*", None),
            ("host:80", None),
            ("a/b", None),
            ("", None),
            ("ftp://host/a", None),
            ("http://", None),
            ("http://user@host/", None),
            ("/a#b", None),
            ("/%zz", None),
            ("/%4", None),
            ("/%", None),
        ] {
            assert_eq!(of(target).as_deref(), expected, "{target}");
        }
        assert_eq!(normal("OPTIONS", "*").unwrap(), "*");
    }

    proptest! {
        #[test]
        fn what_is_normal_stays_as_it_is(target in "/[a-c%0-9/?.]{0,12}") {
            if let Some(once) = normal("GET", &target) {
                prop_assert_eq!(normal("GET", &once).unwrap(), once);
            }
        }
    }
}
