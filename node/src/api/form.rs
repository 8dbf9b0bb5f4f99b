//! Bodies that come as `application/x-www-form-urlencoded`, rewritten as JSON.

use std::borrow::Cow;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::error::Error;
use crate::http::urlencoded::pairs;

/// A field of an entry of `Movelist`: which entry, which field, its value.
type MoveField<'a> = (u32, String, Cow<'a, str>);

/// The fields of a form, in the order they came in.
#[derive(Default)]
struct Form<'a> {
    plain: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    files: Vec<Cow<'a, str>>,
    moves: Vec<MoveField<'a>>,
}

/// A form as the JSON that says the same.
///
/// # Layout
///
/// `Filelist`, `Filelist[]` or `Filelist[0]`, once for each path; `Movelist[0][from]` and `Movelist[0][to]`, in the
/// order of their numbers; any other field is a string. A field that comes twice does so in the JSON too.
///
/// # Errors
///
/// It is not UTF-8.
pub(super) fn to_json(body: &[u8]) -> Result<Vec<u8>, Error> {
    let mut form = Form::default();
    for (name, value) in pairs(body)? {
        match bracketed(&name) {
            ("Filelist", _, None) => form.files.push(value),
            ("Movelist", Some(entry), Some(field)) => form.moves.push((entry, field.to_owned(), value)),
            _ => form.plain.push((name, value)),
        }
    }
    form.moves.sort_by_key(|(entry, ..)| *entry);
    serde_json::to_vec(&form).map_err(|error| Error::Internal(error.to_string()))
}

/// The parts of `list[3][field]`, `list[3]`, `list[]` or `list`; all of any other name is its first part.
fn bracketed(name: &str) -> (&str, Option<u32>, Option<&str>) {
    let parts = || {
        let (list, rest) = name.split_once('[')?;
        let rest = rest.strip_suffix(']')?;
        let (entry, field) = match rest.split_once("][") {
            Some((entry, field)) => (entry, Some(field)),
            None => (rest, None),
        };
        match entry {
            "" => Some((list, None, field)),
            number => Some((list, Some(number.parse().ok()?), field)),
        }
    };
    parts().unwrap_or((name, None, None))
}

impl Serialize for Form<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in &self.plain {
            map.serialize_entry(name, value)?;
        }
        if !self.files.is_empty() {
            map.serialize_entry("Filelist", &self.files)?;
        }
        if !self.moves.is_empty() {
            let entries: Vec<_> = self.moves.chunk_by(|one, next| one.0 == next.0).collect();
            map.serialize_entry("Movelist", &entries.into_iter().map(Entry).collect::<Vec<_>>())?;
        }
        map.end()
    }
}

/// The fields of one entry.
struct Entry<'a>(&'a [MoveField<'a>]);

impl Serialize for Entry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(_, field, value)| (field, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_says_what_json_says() {
        for (form, json) in [
            ("", "{}"),
            ("Params=%2Fa+b%2Fc", r#"{"Params":"/a b/c"}"#),
            ("Filelist=a", r#"{"Filelist":["a"]}"#),
            (
                "Filelist=a&Filelist[]=b&Filelist[7]=c",
                r#"{"Filelist":["a","b","c"]}"#,
            ),
            ("Filelist%5B%5D=%22", r#"{"Filelist":["\""]}"#),
            (
                "Movelist[1][from]=c&Movelist[0][from]=a&Movelist[0][to]=b&Movelist[1][to]=d",
                r#"{"Movelist":[{"from":"a","to":"b"},{"from":"c","to":"d"}]}"#,
            ),
            ("Movelist=a", r#"{"Movelist":"a"}"#),
            ("Movelist[x][from]=a", r#"{"Movelist[x][from]":"a"}"#),
            ("Movelist[][from]=a", r#"{"Movelist[][from]":"a"}"#),
            ("Filelist[0][from]=a", r#"{"Filelist[0][from]":"a"}"#),
            ("a[=1&a=2&a=3", r#"{"a[":"1","a":"2","a":"3"}"#),
        ] {
            let read = String::from_utf8(to_json(form.as_bytes()).unwrap()).unwrap();
            assert_eq!(read, json, "{form}");
        }
    }
}
