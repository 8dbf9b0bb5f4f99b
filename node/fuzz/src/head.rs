use filegrid::http::exchange::{Framing, RequestHead, parse_head};
use filegrid::limits::{HEAD_MAX_BYTES, HEADER_MAX_COUNT, TARGET_MAX_BYTES};

/// Prefixes of longer inputs are not all tried: a fuzzer does more with many inputs.
const PREFIXES_MAX: usize = 64;

/// A request head. What is accepted says what a plain reading of its lines says, and is framed in one way alone;
/// and a decision that was taken on less input stands on more.
pub fn head(data: &[u8]) {
    let whole = parse_head(data);
    if let Ok(Some((head, consumed))) = &whole {
        assert!((1..=data.len().min(HEAD_MAX_BYTES)).contains(consumed));
        means(head, &data[..*consumed]);
    }
    let shown = |result: &Result<Option<(RequestHead, usize)>, _>| match result {
        Ok(Some((head, consumed))) => format!("{consumed} {head:?}"),
        Ok(None) => "incomplete".to_owned(),
        Err(_) => "refused".to_owned(),
    };
    let step = data.len().div_ceil(PREFIXES_MAX).max(1);
    for length in (0..data.len()).step_by(step) {
        let less = parse_head(&data[..length]);
        if !matches!(less, Ok(None)) {
            assert_eq!(shown(&less), shown(&whole), "after {length} bytes");
        } else if let Ok(Some((_, consumed))) = &whole {
            assert!(
                length < *consumed,
                "a head of {consumed} bytes is missing after {length}"
            );
        }
        assert!(
            !matches!(less, Ok(None)) || length < HEAD_MAX_BYTES,
            "a head without end"
        );
    }
}

/// Compares a head with its bytes, line by line.
fn means(head: &RequestHead, bytes: &[u8]) {
    let text = bytes.strip_suffix(b"\r\n\r\n").unwrap();
    let lines: Vec<&[u8]> = split(text, b"\r\n").skip_while(|line| line.is_empty()).collect();
    assert!(
        lines
            .iter()
            .all(|line| !line.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')))
    );

    let words: Vec<&[u8]> = split(lines[0], b" ").collect();
    let [method, target, version] = words[..] else {
        panic!("{} words in the first line", words.len())
    };
    assert_eq!(head.method().as_bytes(), method);
    assert!(is_token(method));
    assert!(target.len() <= TARGET_MAX_BYTES);
    let (path, query) = origin(method, target);
    assert_eq!(head.path().as_bytes(), path);
    assert_eq!(head.query().map(str::as_bytes), query);
    assert!(version == b"HTTP/1.1" || version == b"HTTP/1.0");

    let fields: Vec<(&[u8], &[u8])> = lines[1..].iter().map(|line| field(line)).collect();
    assert!(fields.len() <= HEADER_MAX_COUNT);
    let values = |name: &[u8]| -> Vec<&[u8]> {
        let same = fields
            .iter()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name));
        same.map(|(_, value)| *value).collect()
    };
    for (name, _) in &fields {
        let name_text = std::str::from_utf8(name).unwrap();
        assert_eq!(
            head.headers(name_text).collect::<Vec<_>>(),
            values(name),
            "{name_text}"
        );
        assert_eq!(
            head.header(&name_text.to_uppercase()),
            values(name).first().copied()
        );
    }
    assert!(version == b"HTTP/1.0" || values(b"host").len() == 1);
    framed(
        head.framing(),
        version,
        &values(b"content-length"),
        &values(b"transfer-encoding"),
    );
}

/// Path and query of a target: without scheme and host, and without encoding that means nothing (RFC 3986 §6.2.2.2).
fn origin<'a>(method: &[u8], target: &'a [u8]) -> (Vec<u8>, Option<&'a [u8]>) {
    if (method, target) == (b"OPTIONS", b"*") {
        return (b"*".to_vec(), None);
    }
    assert!(!target.contains(&b'#'));
    let mut rest = target;
    if target[0] != b'/' {
        let scheme = super::find(target, b"://").unwrap();
        assert!([&b"http"[..], b"https"].contains(&&*target[..scheme].to_ascii_lowercase()));
        rest = &target[scheme + 3..];
        let host = rest
            .iter()
            .position(|byte| b"/?".contains(byte))
            .unwrap_or(rest.len());
        assert!(host > 0 && !rest[..host].contains(&b'@'));
        rest = &rest[host..];
    }
    let end = rest.iter().position(|byte| *byte == b'?');
    let (encoded, query) = match end {
        Some(end) => (&rest[..end], Some(&rest[end + 1..])),
        None => (rest, None),
    };
    let mut path = if encoded.starts_with(b"/") {
        vec![]
    } else {
        vec![b'/']
    };
    let mut at = 0;
    while at < encoded.len() {
        let byte = (encoded[at] == b'%').then(|| {
            let digits = std::str::from_utf8(&encoded[at + 1..at + 3]).unwrap();
            u8::from_str_radix(digits, 16).unwrap()
        });
        match byte {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => path.push(byte),
            Some(_) => path.extend_from_slice(&encoded[at..at + 3]),
            None => path.push(encoded[at]),
        }
        at += if byte.is_some() { 3 } else { 1 };
    }
    (path, query)
}

/// One length, given once, or one coding that we know: anything else is read differently by somebody on the way.
fn framed(framing: Framing, version: &[u8], lengths: &[&[u8]], codings: &[&[u8]]) {
    match framing {
        Framing::None => assert!(lengths.is_empty() && codings.is_empty()),
        Framing::Length(length) => {
            assert!(codings.is_empty() && lengths.len() == 1);
            assert!(lengths[0].iter().all(u8::is_ascii_digit));
            let digits = String::from_utf8(lengths[0].to_vec()).unwrap();
            let digits = digits.trim_start_matches('0');
            assert_eq!(length.to_string(), if digits.is_empty() { "0" } else { digits });
        }
        Framing::Chunked => {
            assert!(lengths.is_empty() && codings.len() == 1 && version == b"HTTP/1.1");
            assert!(codings[0].eq_ignore_ascii_case(b"chunked"));
        }
    }
}

/// Name and value of a field. The name is a token up to its colon, so nothing is folded.
fn field(line: &[u8]) -> (&[u8], &[u8]) {
    let colon = line.iter().position(|byte| *byte == b':').unwrap();
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    assert!(is_token(name));
    let white = |byte: &u8| b" \t".contains(byte);
    let start = value.iter().position(|byte| !white(byte)).unwrap_or(value.len());
    let end = value
        .iter()
        .rposition(|byte| !white(byte))
        .map_or(start, |last| last + 1);
    (name, &value[start..end])
}

/// RFC 9110 §5.6.2.
fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

fn split<'a>(text: &'a [u8], separator: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let from = rest?;
        match super::find(from, separator) {
            Some(at) => {
                rest = Some(&from[at + separator.len()..]);
                Some(&from[..at])
            }
            None => rest.take(),
        }
    })
}
