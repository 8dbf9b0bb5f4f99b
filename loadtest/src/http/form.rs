//! A body of `multipart/form-data` (RFC 7578) with one file at its end.

use super::client::Payload;
use crate::content::Content;
use crate::files::File;

/// Line that names the boundary of parts.
const TYPE: &str = "Content-Type: multipart/form-data; boundary=loadtest-boundary\r\n";
/// What ends a part and the body.
const TAIL: &[u8] = b"\r\n--loadtest-boundary--\r\n";
/// What most parts take.
const PART_BYTES: usize = 256;

/// Parts that are being written.
#[derive(Default)]
pub struct Form {
    text: String,
}

impl Form {
    /// A part with a text.
    #[must_use]
    pub fn text(mut self, name: &str, value: &str) -> Self {
        self.begin(name);
        self.text.push_str("\"\r\n\r\n");
        self.text.push_str(value);
        self.text.push_str("\r\n");
        self
    }

    /// Parts with texts.
    #[must_use]
    pub fn texts(self, fields: &[(String, String)]) -> Self {
        let add = |form: Self, (name, value): &(String, String)| form.text(name, value);
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
        self.text.reserve(PART_BYTES);
        self.text
            .push_str("--loadtest-boundary\r\nContent-Disposition: form-data; name=\"");
        self.text.push_str(name);
    }

    /// Fields of the head, for a body that ends with so many bytes of a file.
    #[must_use]
    pub fn fields(&self, size: u64) -> String {
        let length = self.text.len() as u64 + size + TAIL.len() as u64;
        format!("{TYPE}Content-Length: {length}\r\n")
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

/// Such a body without a file, with the fields of its head.
#[must_use]
pub fn without_file(fields: &[(String, String)], name: &str, value: &str) -> (String, String) {
    let form = Form::default().texts(fields).text(name, value);
    // The end of the last part is there already.
    let body = format!("{}--loadtest-boundary--\r\n", form.text);
    (format!("{TYPE}Content-Length: {}\r\n", body.len()), body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_as_long_as_its_head_says() {
        let form = Form::default().text("a", "1").file("f", "name");
        let expected = "--loadtest-boundary\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n\
                        --loadtest-boundary\r\nContent-Disposition: form-data; name=\"f\"; filename=\"name\"\r\n\
                        Content-Type: application/octet-stream\r\n\r\n";
        assert_eq!(form.front(), expected);
        let length = expected.len() + 5 + TAIL.len();
        assert!(form.fields(5).ends_with(&format!("Content-Length: {length}\r\n")));
        let (fields, body) = without_file(&[("act".to_owned(), "mkdir".to_owned())], "name", "d");
        assert!(fields.ends_with(&format!("Content-Length: {}\r\n", body.len())));
        assert!(body.ends_with("name=\"name\"\r\n\r\nd\r\n--loadtest-boundary--\r\n"));
    }
}
