//! Names and media types in fields.

use std::fmt::Write as _;

/// How a body is meant to be used (RFC 6266).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Shown.
    Inline,
    /// Saved.
    Attachment,
}

/// A `Content-Disposition` with the file's name: a plain form for old clients and, where that is not the name
/// itself, one in UTF-8 (RFC 8187).
#[must_use]
pub fn content_disposition(kind: Disposition, name: &str) -> String {
    let kind = match kind {
        Disposition::Inline => "inline",
        Disposition::Attachment => "attachment",
    };
    let plain =
        |symbol: char| symbol.is_ascii() && !symbol.is_ascii_control() && !matches!(symbol, '"' | '\\' | '%');
    let ascii: String = name
        .chars()
        .map(|symbol| if plain(symbol) { symbol } else { '_' })
        .collect();
    let mut value = format!("{kind}; filename=\"{ascii}\"");
    if ascii != name {
        value.push_str("; filename*=UTF-8''");
        for byte in name.bytes() {
            // attr-char of RFC 8187 §3.2.1.
            if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
                value.push(char::from(byte));
            } else {
                // Writing to a string does not fail.
                let _ = write!(value, "%{byte:02X}");
            }
        }
    }
    value
}

/// The media type of a file: by its name, and where that says nothing by its first bytes.
#[must_use]
pub fn media_type(name: &str, first: &[u8]) -> String {
    match mime_guess::from_path(name).first_raw() {
        Some("text/plain") => "text/plain; charset=utf-8".to_owned(),
        Some(known) => known.to_owned(),
        None => infer::get(first)
            .map_or("application/octet-stream", |found| found.mime_type())
            .to_owned(),
    }
}

/// Whether a browser would run it: it is then sent so that it cannot act in the API's origin.
#[must_use]
pub fn is_active(media_type: &str) -> bool {
    let bare = media_type.split(';').next().unwrap_or_default().trim();
    bare == "text/html" || bare.contains("xml") || bare.contains("javascript") || bare == "application/pdf"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive() {
        let inline = |name| content_disposition(Disposition::Inline, name);
        assert_eq!(inline("a b.txt"), "inline; filename=\"a b.txt\"");
        assert_eq!(
            inline("€\".txt"),
            "inline; filename=\"__.txt\"; filename*=UTF-8''%E2%82%AC%22.txt"
        );
        assert!(!inline("a\r\nX: y").contains('\n'));
    }

    #[test]
    fn types_by_name_then_by_content() {
        assert_eq!(media_type("a.html", b""), "text/html");
        assert_eq!(media_type("noext", b"\x89PNG\r\n\x1a\n"), "image/png");
        assert_eq!(media_type("noext", b"hello"), "application/octet-stream");
        assert!(
            is_active("text/html; charset=utf-8") && is_active("image/svg+xml") && !is_active("image/png")
        );
    }
}
