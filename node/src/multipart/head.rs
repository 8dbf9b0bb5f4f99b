//! The head of a part.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::MultipartError;
use crate::limits::BOUNDARY_MAX_BYTES;

/// What the head of a part says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartHead {
    /// Name of the form's field.
    pub field: String,
    /// Last component of the file's name; empty for an empty file input; `None` for a plain field.
    pub filename: Option<String>,
}

/// The boundary that a `Content-Type` names, if it is `multipart/form-data`.
///
/// # Errors
///
/// [`MultipartError::Boundary`] if it names none or a bad one.
pub fn boundary_of(content_type: &str) -> Result<Option<String>, MultipartError> {
    let (media, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    if !media.trim().eq_ignore_ascii_case("multipart/form-data") {
        return Ok(None);
    }
    let mut boundary = None;
    for parameter in Parameters(parameters) {
        let (name, value) = parameter.map_err(|_| MultipartError::Boundary)?;
        if name.eq_ignore_ascii_case("boundary") && boundary.replace(value).is_some() {
            return Err(MultipartError::Boundary);
        }
    }
    let boundary = boundary.ok_or(MultipartError::Boundary)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    let valid = (1..=BOUNDARY_MAX_BYTES).contains(&boundary.len())
        && boundary.bytes().all(allowed)
        && !boundary.ends_with(' ');
    if valid {
        Ok(Some(boundary))
    } else {
        Err(MultipartError::Boundary)
    }
}

/// Reads the lines of a head, without the empty one that ends it.
pub(super) fn parse(head: &[u8]) -> Result<PartHead, MultipartError> {
    let head = std::str::from_utf8(head).map_err(|_| MultipartError::Head)?;
    let mut found = None;
    for line in unfolded(head).split("\r\n") {
        // Others may take these for the end of the line, or of the name.
        if line.contains(['\r', '\n', '\0']) {
            return Err(MultipartError::Head);
        }
        let (name, value) = line.split_once(':').ok_or(MultipartError::Head)?;
        if name.trim_end().eq_ignore_ascii_case("content-disposition") {
            if found.is_some() {
                return Err(MultipartError::Head);
            }
            found = Some(disposition(value)?);
        }
    }
    found.ok_or(MultipartError::Unnamed)
}

/// A line that begins with white space continues the one before it (RFC 5322 §2.2.3).
fn unfolded(head: &str) -> Cow<'_, str> {
    if head.contains("\r\n ") || head.contains("\r\n\t") {
        Cow::Owned(head.replace("\r\n ", " ").replace("\r\n\t", "\t"))
    } else {
        Cow::Borrowed(head)
    }
}

fn disposition(value: &str) -> Result<PartHead, MultipartError> {
    let (kind, parameters) = value.split_once(';').unwrap_or((value, ""));
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return Err(MultipartError::Unnamed);
    }
    let (mut field, mut filename, mut extended) = (None, None, None);
    for parameter in Parameters(parameters) {
        let (name, value) = parameter?;
        let known = match name.to_ascii_lowercase().as_str() {
            "name" => &mut field,
            "filename" => &mut filename,
            "filename*" => &mut extended,
            _ => continue,
        };
        // Which of two is meant cannot be known (RFC 6266 §4.1).
        if known.replace(value).is_some() {
            return Err(MultipartError::Head);
        }
    }
    let extended = extended.map(|value| rfc8187(&value).ok_or(MultipartError::Head));
    let filename = extended
        .transpose()?
        .or(filename)
        .map(|name| last_component(&name).to_owned());
    Ok(PartHead {
        field: field.ok_or(MultipartError::Unnamed)?,
        filename,
    })
}

/// `charset'language'percent-encoded`, RFC 8187 §3.2. UTF-8 only, the one charset that the RFC still asks for.
fn rfc8187(value: &str) -> Option<String> {
    let (charset, rest) = value.split_once('\'')?;
    let (_, text) = rest.split_once('\'')?;
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned)
}

/// Old browsers send whole paths, of either kind.
fn last_component(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

/// `; name=value` parameters; a value may be a quoted string. Nothing comes behind one that is malformed.
struct Parameters<'a>(&'a str);

impl Iterator for Parameters<'_> {
    type Item = Result<(String, String), MultipartError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.0.trim_start_matches([' ', '\t', ';']);
            if rest.is_empty() {
                return None;
            }
            let end = rest.find(['=', ';']).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            let Some(value) = after.strip_prefix('=') else {
                self.0 = after;
                continue;
            };
            let value = value.trim_start_matches([' ', '\t']);
            let (value, rest) = match value.strip_prefix('"') {
                Some(quoted) => match unquote(quoted) {
                    Some(unquoted) => unquoted,
                    None => {
                        self.0 = "";
                        return Some(Err(MultipartError::Head));
                    }
                },
                None => {
                    let end = value.find(';').unwrap_or(value.len());
                    let (value, rest) = value.split_at(end);
                    (value.trim_end().to_owned(), rest)
                }
            };
            self.0 = rest;
            return Some(Ok((name.trim().to_owned(), value)));
        }
    }
}

/// The value of a quoted string without its opening quote, and what follows. Browsers escape a quote as `%22`
/// (WHATWG) or `\"`; a backslash before anything else is an old browser's path separator and stays. `None` if the
/// string does not end, or not where the parameter does: a quote in it was not escaped, and the name is another.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::with_capacity(quoted.len());
    let mut rest = quoted;
    while let Some(at) = rest.find(['"', '\\']) {
        let (plain, from) = rest.split_at(at);
        value.push_str(plain);
        if let Some(after) = from.strip_prefix('"') {
            let after = after.trim_start_matches([' ', '\t']);
            let whole = after.is_empty() || after.starts_with(';');
            return whole.then(|| (browser_unescape(value), after));
        }
        let escaped = from.get(1..).unwrap_or_default();
        if let Some(after) = escaped.strip_prefix('"') {
            value.push('"');
            rest = after;
        } else if let Some(after) = escaped.strip_prefix('\\') {
            value.push('\\');
            rest = after;
        } else {
            value.push('\\');
            rest = escaped;
        }
    }
    None
}

/// HTML's form encoding escapes exactly these three in names; everything else stays as it is.
fn browser_unescape(value: String) -> String {
    if !value.contains('%') {
        return value;
    }
    value
        .replace("%22", "\"")
        .replace("%0D", "\r")
        .replace("%0A", "\n")
}
