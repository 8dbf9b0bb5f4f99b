//! A body of `multipart/form-data` (RFC 7578) with one file at its end.

use super::client::Payload;
use crate::content::Content;
use crate::files::File;

/// Field that names the boundary of parts.
pub const TYPE: &str = "Content-Type: multipart/form-data; boundary=loadtest-boundary\r\n";
/// What ends a part and the body.
const TAIL: &[u8] = b"\r\n--loadtest-boundary--\r\n";
/// What most forms take without the file.
const FRONT_BYTES: usize = 512;

/// Parts that are being written.
pub struct Form {
    text: String,
}

impl Default for Form {
    fn default() -> Self {
        Self {
            text: String::with_capacity(FRONT_BYTES),
        }
    }
}

impl Form {
    /// A part with a text, which may come in pieces.
    #[must_use]
    pub fn text(mut self, name: &str, value: &[&str]) -> Self {
        self.begin(name);
        self.text.push_str("\"\r\n\r\n");
        self.text.extend(value.iter().copied());
        self.text.push_str("\r\n");
        self
    }

    /// Parts with texts.
    #[must_use]
    pub fn texts(self, fields: &[(String, String)]) -> Self {
        let add = |form: Self, (name, value): &(String, String)| form.text(name, &[value]);
        fields.iter().fold(self, add)
    }

    /// The last part, whose content is a file's.
    #[must_use]
    pub fn file(mut self, name: &str, file_name: &str) -> Self {
        self.begin(name);
        self.text.push_str("\"; filename=\"");
        self.text.push_str(file_name);
        self.text
            .push_str("\"\r\nContent-Type: application/octet-stream\r\n\r\n");
        self
    }

    fn begin(&mut self, name: &str) {
        self.text
            .push_str("--loadtest-boundary\r\nContent-Disposition: form-data; name=\"");
        self.text.push_str(name);
    }

    /// Length of a body that ends with so many bytes of a file.
    #[must_use]
    pub fn length(&self, size: u64) -> u64 {
        self.text.len() as u64 + size + TAIL.len() as u64
    }

    /// What is in front of the file.
    #[must_use]
    pub fn front(&self) -> &str {
        &self.text
    }
}

/// The rest of a body whose last part is a file.
#[must_use]
pub fn payload<'a>(content: &'a Content, file: &File) -> Payload<'a> {
    Payload {
        content,
        number: file.number,
        size: file.size,
        tail: TAIL,
    }
}

/// Such a body without a file.
#[must_use]
pub fn without_file(fields: &[(String, String)], name: &str, value: &str) -> String {
    let mut text = Form::default().texts(fields).text(name, &[value]).text;
    // The end of the last part is there already.
    text.push_str("--loadtest-boundary--\r\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_as_long_as_its_head_says() {
        let form = Form::default().text("a", &["", "1"]).file("f", "name");
        let expected = "--loadtest-boundary\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n\
                        --loadtest-boundary\r\nContent-Disposition: form-data; name=\"f\"; filename=\"name\"\r\n\
                        Content-Type: application/octet-stream\r\n\r\n";
        assert_eq!(form.front(), expected);
        assert_eq!(form.length(5), (expected.len() + 5 + TAIL.len()) as u64);
        let body = without_file(&[("act".to_owned(), "mkdir".to_owned())], "name", "d");
        assert!(body.ends_with("name=\"name\"\r\n\r\nd\r\n--loadtest-boundary--\r\n"));
    }
}
