//! A server of files by HTTP, whose answers are of all the kinds that such servers send.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What it holds: files and directories (which have none) by path; and what it was asked.
#[derive(Default)]
pub(crate) struct Share {
    pub(crate) entries: BTreeMap<String, Option<Vec<u8>>>,
    pub(crate) connections: usize,
    pub(crate) requests: Vec<Asked>,
    /// The first byte of each file is sent as another one.
    pub(crate) is_wrong: bool,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: String,
}

/// How it answers: with a length, in chunks, or until the end of the connection.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Framing {
    Length,
    Chunks,
    End,
    /// With a length, and then the connection ends without a word.
    Gone,
}

/// Starts one. Its threads end with the test.
pub(crate) fn serve(framing: Framing) -> (SocketAddr, Arc<Mutex<Share>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let share = Arc::new(Mutex::new(Share::default()));
    let shared = Arc::clone(&share);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let share = Arc::clone(&shared);
            share.lock().unwrap().connections += 1;
            std::thread::spawn(move || connection(stream.unwrap(), &share, framing));
        }
    });
    (address, share)
}

fn connection(stream: TcpStream, share: &Mutex<Share>, framing: Framing) {
    let mut reader = BufReader::new(stream);
    while let Some((asked, length)) = head(&mut reader) {
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let (status, answer) = share.lock().unwrap().answer(&asked, body);
        let stream = reader.get_mut();
        let sent = match framing {
            // It has no body, whatever is said about its length (RFC 9112, 6.3).
            Framing::Length | Framing::Chunks if status == 204 => {
                stream.write_all(b"HTTP/1.1 204 None\r\n\r\n")
            }
            Framing::Length | Framing::Gone => {
                let head = format!(
                    "HTTP/1.1 {status} Text\r\nContent-Length: {}\r\n\r\n",
                    answer.len()
                );
                stream.write_all(&[head.as_bytes(), &answer].concat())
            }
            Framing::Chunks => stream.write_all(&chunked(status, &answer)),
            Framing::End => {
                let head = format!("HTTP/1.1 {status} Text\r\nConnection: close\r\n\r\n");
                stream.write_all(&[head.as_bytes(), &answer].concat())
            }
        };
        if sent.is_err() || matches!(framing, Framing::End | Framing::Gone) {
            return;
        }
    }
}

fn chunked(status: u16, answer: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status} Text\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
    for piece in answer.chunks(1000) {
        bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        bytes.extend_from_slice(piece);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// A request without its body, and the length of that.
fn head(reader: &mut BufReader<TcpStream>) -> Option<(Asked, usize)> {
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|read| *read > 0)?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let (mut length, mut headers) = (0, String::new());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        if let Some(told) = line.strip_prefix("Content-Length:") {
            length = told.trim().parse().unwrap();
        }
        if line == "\r\n" {
            let asked = Asked {
                method,
                target,
                headers,
            };
            return Some((asked, length));
        }
        headers.push_str(&line);
    }
}

impl Share {
    /// Status and body of an answer.
    fn answer(&mut self, asked: &Asked, body: Vec<u8>) -> (u16, Vec<u8>) {
        self.requests.push(asked.clone());
        let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
        let directory = path.trim_end_matches('/').to_owned();
        match asked.method.as_str() {
            "PUT" => self.put(path.to_owned(), body),
            "MKCOL" if path.ends_with('/') => {
                self.entries.insert(directory, None);
                (201, Vec::new())
            }
            "POST" => self.form(path, &body),
            "DELETE" => {
                let below = format!("{directory}/");
                self.entries
                    .retain(|path, _| path != &directory && !path.starts_with(&below));
                (204, Vec::new())
            }
            "GET" if query == "zip" => (200, self.archive(&directory)),
            "GET" if path.ends_with('/') => {
                let names = self.below(&directory);
                let lines = names
                    .iter()
                    .map(|(name, _)| format!("<a href=\"{name}\">{name}</a>\n"));
                (200, lines.collect::<String>().into_bytes())
            }
            "GET" => match self.entries.get(path) {
                Some(Some(content)) => {
                    let mut content = content.clone();
                    if let Some(first) = content.first_mut().filter(|_| self.is_wrong) {
                        *first ^= 1;
                    }
                    (200, content)
                }
                _ => (404, b"not here".to_vec()),
            },
            _ => (405, Vec::new()),
        }
    }

    fn put(&mut self, path: String, content: Vec<u8>) -> (u16, Vec<u8>) {
        match self.entries.insert(path, Some(content)) {
            None => (201, Vec::new()),
            Some(_) => (204, Vec::new()),
        }
    }

    /// A form: `act` is `put` or `mkdir`, the last part is a file or the name of a directory.
    fn form(&mut self, directory: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let text: String = body.iter().map(|byte| char::from(*byte)).collect();
        let parts: Vec<_> = text.split("--loadtest-boundary").collect();
        assert_eq!(parts[parts.len() - 1], "--\r\n", "the end of the body");
        let (act, last) = (content(parts[1]), parts[2]);
        if act == b"mkdir" {
            let name = String::from_utf8(content(last)).unwrap();
            self.entries
                .insert(format!("{directory}/{name}").replace("//", "/"), None);
        } else {
            let (_, name) = last.split_once("name=\"f\"; filename=\"").unwrap();
            let name = name.split('"').next().unwrap();
            self.put(format!("{directory}/{name}"), content(last));
        }
        (303, b"see other".to_vec())
    }

    /// Names and contents of files in a directory.
    fn below(&self, directory: &str) -> Vec<(String, Vec<u8>)> {
        let below = format!("{directory}/");
        let files = self.entries.iter().filter_map(|(path, content)| {
            let name = path.strip_prefix(&below)?;
            Some((name.to_owned(), content.clone()?))
        });
        files.collect()
    }

    /// A ZIP of a directory, without sums.
    fn archive(&self, directory: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, content) in self.below(directory) {
            let size = u32::try_from(content.len()).unwrap().to_le_bytes();
            bytes.extend_from_slice(b"PK\x03\x04\x14\0\0\x08\0\0\0\0\0\0\0\0\0\0");
            bytes.extend_from_slice(&[size, size].concat());
            bytes.extend_from_slice(&u16::try_from(name.len()).unwrap().to_le_bytes());
            bytes.extend_from_slice(&[0, 0]);
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(&content);
        }
        if let Some(last) = bytes.last_mut().filter(|_| self.is_wrong) {
            *last ^= 1;
        }
        bytes.extend_from_slice(b"PK\x05\x06");
        bytes
    }
}

/// What is in a part.
fn content(part: &str) -> Vec<u8> {
    let (_, content) = part.split_once("\r\n\r\n").unwrap();
    let content = content.strip_suffix("\r\n").unwrap();
    content
        .chars()
        .map(|letter| u8::try_from(u32::from(letter)).unwrap())
        .collect()
}
