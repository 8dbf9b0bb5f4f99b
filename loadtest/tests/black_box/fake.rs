//! A server of HTTP that answers as a test wants it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is asked: the line without the version, and the body's length.
pub(crate) struct Asked {
    /// `POST /api/mkdir`.
    pub(crate) line: String,
    /// How many requests for files there were before, on all connections.
    pub(crate) number: usize,
}

/// Bytes of an answer.
pub(crate) fn answer(status: u16, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status} Text\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// What a server says when all is well.
pub(crate) fn ok() -> Vec<u8> {
    answer(200, br#"{"rslt":"OK"}"#)
}

/// Starts one. Its threads end with the test. Requests for files are answered by `files`, all others are taken.
pub(crate) fn serve(files: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static) -> SocketAddr {
    serve_by(files, |_| ok())
}

/// The same, with other requests answered by their first line.
pub(crate) fn serve_by(
    files: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static,
    others: fn(&str) -> Vec<u8>,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let files = Arc::new(files);
    let count = Arc::new(AtomicUsize::new(0));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (files, count) = (Arc::clone(&files), Arc::clone(&count));
            std::thread::spawn(move || connection(stream.unwrap(), &*files, others, &count));
        }
    });
    address
}

fn connection(
    stream: TcpStream,
    files: &dyn Fn(&Asked) -> Vec<u8>,
    others: fn(&str) -> Vec<u8>,
    count: &AtomicUsize,
) {
    let mut reader = BufReader::new(stream);
    while let Some((line, length, expects)) = head(&mut reader) {
        if !expects {
            std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink()).unwrap();
        }
        let answer = if line.contains("/api/download/single") || line.contains("/api/upload") {
            let number = count.fetch_add(1, Ordering::SeqCst);
            files(&Asked { line, number })
        } else {
            others(&line)
        };
        if expects && answer.starts_with(b"HTTP/1.1 2") {
            reader
                .get_mut()
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                .unwrap();
            std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink()).unwrap();
        } else if expects {
            // Whoever does not want the body does not wait for it.
            let _ = reader.get_mut().write_all(&answer);
            return;
        }
        // Nothing is how a connection is ended.
        if answer.is_empty() || reader.get_mut().write_all(&answer).is_err() {
            return;
        }
    }
}

/// First line, length of the body, and whether the client waits before it sends that.
fn head(reader: &mut BufReader<TcpStream>) -> Option<(String, u64, bool)> {
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|read| *read > 0)?;
    let (mut length, mut expects) = (0, false);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        if let Some(told) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = told.trim().parse().unwrap();
        }
        expects |= line == "Expect: 100-continue\r\n";
        if line == "\r\n" {
            return Some((first.rsplit_once(' ')?.0.to_owned(), length, expects));
        }
    }
}
