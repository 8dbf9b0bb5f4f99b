use filegrid::http::exchange::{ChunkStep, Chunks};

use super::{STRIDES, arrivals};

/// Longest line of chunk framing, and most bytes of trailers, as the decoder has them.
const LINE_MAX_BYTES: usize = 1024;
const TRAILERS_MAX_BYTES: usize = 8192;

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    /// Behind this many bytes.
    At(usize),
    /// More is needed.
    Open,
    Malformed,
}

/// A chunked body. However it arrives, the decoder gives what a plain reading of the whole gives; and what a client
/// encodes comes out again.
pub fn chunked(data: &[u8]) {
    let expected = model(data);
    for stride in STRIDES {
        assert_eq!(decode(data, stride), expected, "{stride} bytes at a time");
    }
    encoded(data);
}

/// Feeds a body so many bytes at a time, the way a connection does.
fn decode(body: &[u8], stride: usize) -> (Vec<u8>, End) {
    let mut chunks = Chunks::default();
    let (mut payload, mut at) = (Vec::new(), 0);
    for end in arrivals(body.len(), stride) {
        loop {
            let input = &body[at..end];
            let consumed = match chunks.step(input) {
                Err(_) => return (payload, End::Malformed),
                Ok(ChunkStep::Need) => {
                    assert!(input.len() <= LINE_MAX_BYTES, "framing is gathered without bound");
                    break;
                }
                Ok(ChunkStep::End(n)) => {
                    assert!((1..=input.len()).contains(&n));
                    return (payload, End::At(at + n));
                }
                Ok(ChunkStep::Skip(n)) => n,
                Ok(ChunkStep::Data(n)) => {
                    payload.extend_from_slice(&input[..n]);
                    n
                }
            };
            assert!((1..=input.len()).contains(&consumed));
            at += consumed;
        }
    }
    (payload, End::Open)
}

/// The same by the grammar of RFC 9112 §7.1, over the whole at once.
fn model(body: &[u8]) -> (Vec<u8>, End) {
    let mut payload = Vec::new();
    let end = read(body, &mut payload);
    (payload, end.unwrap_or_else(|end| end))
}

fn read(body: &[u8], payload: &mut Vec<u8>) -> Result<End, End> {
    let mut rest = body;
    loop {
        let size = size(line(&mut rest)?)?;
        if size == 0 {
            break;
        }
        let whole = usize::try_from(size).unwrap_or(usize::MAX);
        let (data, behind) = rest.split_at(whole.min(rest.len()));
        payload.extend_from_slice(data);
        match behind {
            _ if data.len() < whole => return Err(End::Open),
            b"" | b"\r" => return Err(End::Open),
            [b'\r', b'\n', next @ ..] => rest = next,
            _ => return Err(End::Malformed),
        }
    }
    let mut trailers = 0;
    loop {
        let line = line(&mut rest)?;
        trailers += line.len() + 2;
        if trailers > TRAILERS_MAX_BYTES {
            return Err(End::Malformed);
        }
        if line.is_empty() {
            return Ok(End::At(body.len() - rest.len()));
        }
    }
}

/// Takes a line off: no control bytes but tabs in it, CR LF behind it.
fn line<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], End> {
    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
        return Err(if rest.len() > LINE_MAX_BYTES {
            End::Malformed
        } else {
            End::Open
        });
    };
    if end > LINE_MAX_BYTES || end == 0 || rest[end - 1] != b'\r' {
        return Err(End::Malformed);
    }
    let line = &rest[..end - 1];
    *rest = &rest[end + 1..];
    if line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return Err(End::Malformed);
    }
    Ok(line)
}

/// `1*HEXDIG`, then nothing or extensions, which white space may precede.
fn size(line: &[u8]) -> Result<u64, End> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let behind = &line[digits..];
    let extension = behind.iter().find(|byte| !b" \t".contains(byte));
    if !(1..=16).contains(&digits) || !behind.is_empty() && extension != Some(&b';') {
        return Err(End::Malformed);
    }
    let digits = std::str::from_utf8(&line[..digits]).unwrap();
    Ok(u64::from_str_radix(digits, 16).unwrap())
}

/// Any payload, cut into chunks of many sizes and followed by another request, arrives whole.
fn encoded(payload: &[u8]) {
    let (mut body, mut rest, mut size) = (Vec::new(), payload, 1);
    while !rest.is_empty() {
        let (chunk, behind) = rest.split_at(rest.len().min(size));
        body.extend_from_slice(format!("{:X} ; a=\"b\"\r\n", chunk.len()).as_bytes());
        body.extend_from_slice(chunk);
        body.extend_from_slice(b"\r\n");
        (rest, size) = (behind, size * 3 + 1);
    }
    body.extend_from_slice(b"000\r\nA-Trailer: x\r\n\r\n");
    let end = body.len();
    body.extend_from_slice(b"GET / HTTP/1.1\r\n");
    for stride in STRIDES {
        assert_eq!(
            decode(&body, stride),
            (payload.to_vec(), End::At(end)),
            "{stride} bytes at a time"
        );
    }
}
