use filegrid::limits::{BOUNDARY_MAX_BYTES, PART_HEAD_MAX_BYTES, PART_PADDING_MAX_BYTES};
use filegrid::multipart::{MultipartError, PartHead, Splitter, Step, boundary_of};

use super::{STRIDES, arrivals, find, first_line};

/// What a body was split into, and how it ended.
#[derive(Debug, PartialEq)]
struct Outcome {
    parts: Vec<(PartHead, Vec<u8>)>,
    end: Result<(), MultipartError>,
}

/// The first line is a `Content-Type`, the rest a body. However the body arrives, the splitter finds what a plain
/// search over the whole finds; and what a client joins comes out again.
pub fn multipart(data: &[u8]) {
    let (line, body) = first_line(data);
    let line = std::str::from_utf8(line).unwrap_or_default();
    let boundary = match boundary_of(line) {
        Ok(Some(boundary)) => boundary,
        _ => "b".to_owned(),
    };
    assert!((1..=BOUNDARY_MAX_BYTES).contains(&boundary.len()));
    assert!(!boundary.contains(['\r', '\n', '"', '\\']));
    let expected = model(&boundary, body);
    for stride in STRIDES {
        assert_eq!(
            split(&boundary, body, stride),
            expected,
            "{stride} bytes at a time"
        );
    }
    joined(&boundary, line, body);
}

/// Feeds a body so many bytes at a time, the way ingest does.
fn split(boundary: &str, body: &[u8], stride: usize) -> Outcome {
    let mut splitter = Splitter::new(boundary);
    let mut parts: Vec<(PartHead, Vec<u8>)> = Vec::new();
    let (mut at, mut open) = (0, false);
    for end in arrivals(body.len(), stride) {
        while at < end {
            let input = &body[at..end];
            let step = match splitter.step(input) {
                Ok(step) => step,
                Err(error) => {
                    return Outcome {
                        parts,
                        end: Err(error),
                    };
                }
            };
            let consumed = match step {
                Step::NeedMore => {
                    assert!(
                        !open || input.len() < splitter.tail_max_bytes(),
                        "payload stays back"
                    );
                    break;
                }
                Step::PartStart { consumed, head } => {
                    assert!(!open, "a part in a part");
                    open = true;
                    parts.push((head, Vec::new()));
                    consumed
                }
                Step::Data { consumed } => {
                    assert!(open, "payload outside of parts");
                    parts.last_mut().unwrap().1.extend_from_slice(&input[..consumed]);
                    consumed
                }
                Step::PartEnd { consumed } => {
                    assert!(open, "an end without a part");
                    open = false;
                    consumed
                }
                Step::Skip { consumed } | Step::End { consumed } => consumed,
            };
            assert!((1..=input.len()).contains(&consumed));
            at += consumed;
        }
    }
    Outcome {
        parts,
        end: splitter.finish(),
    }
}

/// The same by RFC 2046 §5.1.1, over the whole body at once.
fn model(boundary: &str, body: &[u8]) -> Outcome {
    let mut parts = Vec::new();
    let end = read(boundary, body, &mut parts);
    Outcome { parts, end }
}

fn read(boundary: &str, body: &[u8], parts: &mut Vec<(PartHead, Vec<u8>)>) -> Result<(), MultipartError> {
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    // The first boundary may stand at the very beginning, as if a line ended before it.
    let text = [b"\r\n", body].concat();
    let first = find(&text, &delimiter).ok_or(MultipartError::CutOff)?;
    let mut rest = &text[first + delimiter.len()..];
    loop {
        if rest.starts_with(b"--") {
            return Ok(());
        }
        let padding = rest.iter().take_while(|byte| b" \t".contains(byte)).count();
        let line_end = &rest[padding..];
        match line_end {
            _ if padding > PART_PADDING_MAX_BYTES => return Err(MultipartError::Head),
            b"" | b"\r" => return Err(MultipartError::CutOff),
            b"-" if padding == 0 => return Err(MultipartError::CutOff),
            [b'\r', b'\n', head @ ..] => rest = head,
            _ => return Err(MultipartError::Head),
        }
        if rest.starts_with(b"\r\n") {
            return Err(MultipartError::Unnamed);
        }
        let window = &rest[..rest.len().min(PART_HEAD_MAX_BYTES)];
        let Some(end) = find(window, b"\r\n\r\n") else {
            return Err(if window.len() == PART_HEAD_MAX_BYTES {
                MultipartError::HeadTooLong
            } else {
                MultipartError::CutOff
            });
        };
        parts.push((head(&rest[..end + 4])?, Vec::new()));
        rest = &rest[end + 4..];
        let payload = &mut parts.last_mut().unwrap().1;
        if let Some(end) = find(rest, &delimiter) {
            payload.extend_from_slice(&rest[..end]);
            rest = &rest[end + delimiter.len()..];
        } else {
            let held = (0..delimiter.len())
                .rev()
                .find(|held| rest.ends_with(&delimiter[..*held]));
            payload.extend_from_slice(&rest[..rest.len() - held.unwrap_or(0)]);
            return Err(MultipartError::CutOff);
        }
    }
}

/// What a head says when it stands alone.
fn head(head: &[u8]) -> Result<PartHead, MultipartError> {
    let mut splitter = Splitter::new("x");
    assert_eq!(splitter.step(b"--x"), Ok(Step::Skip { consumed: 3 }));
    assert_eq!(splitter.step(b"\r\n"), Ok(Step::Skip { consumed: 2 }));
    match splitter.step(head)? {
        Step::PartStart { consumed, head: said } => {
            assert_eq!(consumed, head.len());
            let name = said.filename.as_deref().unwrap_or_default();
            assert!(!name.contains(['/', '\\']), "a name with a directory: {name:?}");
            Ok(said)
        }
        step => panic!("no head: {step:?}"),
    }
}

/// A file of any name and bytes arrives as it was sent.
fn joined(boundary: &str, name: &str, payload: &[u8]) {
    if name.len() > 1000
        || find(
            &[b"\r\n", payload].concat(),
            format!("\r\n--{boundary}").as_bytes(),
        )
        .is_some()
    {
        return;
    }
    let escaped: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let front = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"f\"; filename*=UTF-8''{escaped}\r\n\r\n"
    );
    let back = format!("\r\n--{boundary}--\r\n");
    let body = [front.as_bytes(), payload, back.as_bytes()].concat();
    let head = PartHead {
        field: "f".to_owned(),
        filename: name.rsplit(['/', '\\']).next().map(str::to_owned),
    };
    let expected = Outcome {
        parts: vec![(head, payload.to_vec())],
        end: Ok(()),
    };
    for stride in STRIDES {
        assert_eq!(
            split(boundary, &body, stride),
            expected,
            "{stride} bytes at a time"
        );
    }
}
