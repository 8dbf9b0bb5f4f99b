//! A request over HTTP whose answer is read as it comes. Everything else goes through the load generator.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use loadtest::plan::{Access, Credentials};
use serde_json::{Value, json};

use crate::servers::Door;

/// Time without a byte after which an answer is given up.
const SILENCE: Duration = Duration::from_secs(120);
/// Bytes that are read at a time.
const PIECE_BYTES: usize = 1 << 20;
/// Answers that are kept whole.
const KEPT_MAX_BYTES: u64 = 1 << 20;

/// A request.
pub(crate) struct Request<'a> {
    /// Its method.
    pub(crate) method: &'a str,
    /// Path and query.
    pub(crate) route: &'a str,
    /// Header fields, each with its line's end.
    pub(crate) fields: &'a str,
    /// Its body.
    pub(crate) body: &'a [u8],
}

/// The head of an answer.
pub(crate) struct Head {
    /// Its status.
    pub(crate) status: u16,
    fields: Vec<(String, String)>,
}

impl Head {
    /// The value of a field, by its name in small letters.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Sends a request on a connection of its own, and lets `each` have the pieces of its answer's body.
///
/// # Errors
///
/// If it cannot be sent, or the answer is cut short or cannot be read.
pub(crate) fn ask(door: &Door, request: &Request<'_>, each: &mut dyn FnMut(&[u8])) -> Result<Head, String> {
    exchange(door, request, each).map_err(|error| format!("{} {}: {error}", request.method, request.route))
}

/// The same, with an answer that is JSON.
///
/// # Errors
///
/// As for [`ask`], and if the answer is no success.
pub(crate) fn ask_json(door: &Door, route: &str, fields: &str, body: &Value) -> Result<Value, String> {
    let mut kept = Vec::new();
    let body = body.to_string();
    let request = Request {
        method: "POST",
        route,
        fields: &format!("Content-Type: application/json\r\n{fields}"),
        body: body.as_bytes(),
    };
    let head = ask(door, &request, &mut |piece| {
        if kept.len() as u64 + piece.len() as u64 <= KEPT_MAX_BYTES {
            kept.extend_from_slice(piece);
        }
    })?;
    let text = String::from_utf8_lossy(&kept);
    match head.status {
        200 => serde_json::from_str(&text).map_err(|error| format!("{route}: {error}: {text}")),
        status => Err(format!("{route}: HTTP {status}: {text}")),
    }
}

/// The header field that opens the REST API of ours.
///
/// # Errors
///
/// If the keys are refused, or it is no door of ours.
pub(crate) fn authorization(door: &Door) -> Result<String, String> {
    let Access::Rest(access) = &door.access else {
        return Err("not a door of REST".to_owned());
    };
    let token = match &access.credentials {
        Credentials::Token(token) => token.clone(),
        Credentials::Keys(keys) => {
            let keys = json!({
                "AssociationKey": keys.association, "AccessKey": keys.access, "SecretKey": keys.secret,
            });
            let answer = ask_json(door, "/apiaccess/auth", "", &keys)?;
            let token = answer.get("token").and_then(Value::as_str);
            token
                .ok_or("no token in the answer to apiaccess/auth")?
                .to_owned()
        }
    };
    Ok(format!("Authorization: Bearer {token}\r\n"))
}

fn exchange(door: &Door, request: &Request<'_>, each: &mut dyn FnMut(&[u8])) -> std::io::Result<Head> {
    let mut stream = TcpStream::connect((door.target.host.as_str(), door.target.port))?;
    stream.set_read_timeout(Some(SILENCE))?;
    let head = format!(
        "{} {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n{}\r\n",
        request.method,
        request.route,
        door.target.authority,
        request.body.len(),
        request.fields
    );
    stream.write_all(&[head.as_bytes(), request.body].concat())?;
    let mut reader = BufReader::with_capacity(PIECE_BYTES, stream);
    let head = read_head(&mut reader)?;
    if head
        .field("transfer-encoding")
        .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
    {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).map_err(|_| malformed("the size of a chunk"))?;
            if size == 0 {
                return Ok(head);
            }
            body(&mut reader, Some(size), each)?;
            reader.read_line(&mut line)?;
        }
    }
    let length = head
        .field("content-length")
        .and_then(|length| length.parse().ok());
    body(&mut reader, length, each)?;
    Ok(head)
}

fn read_head(reader: &mut impl BufRead) -> std::io::Result<Head> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| malformed("the first line"))?;
    let mut fields = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(malformed("the end of the head"));
        }
        match line.trim_end().split_once(':') {
            Some((name, value)) => fields.push((name.to_ascii_lowercase(), value.trim().to_owned())),
            None => return Ok(Head { status, fields }),
        }
    }
}

/// So many bytes, or all that come.
fn body(reader: &mut impl BufRead, length: Option<u64>, each: &mut dyn FnMut(&[u8])) -> std::io::Result<()> {
    let mut pieces = reader.take(length.unwrap_or(u64::MAX));
    loop {
        let piece = pieces.fill_buf()?;
        let count = piece.len();
        if count == 0 {
            break;
        }
        each(piece);
        pieces.consume(count);
    }
    match length {
        Some(_) if pieces.limit() > 0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

fn malformed(what: &str) -> std::io::Error {
    std::io::Error::other(format!("{what} of the answer cannot be read"))
}
