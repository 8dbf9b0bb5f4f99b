//! Cases that real clients send, cut at every place.

use super::*;
use crate::limits::FORM_AROUND_MAX_BYTES;

/// What a body was split into: field, file name, bytes.
pub(super) type Parts = Vec<(String, Option<String>, Vec<u8>)>;

/// Feeds a body in pieces that end at the given places.
pub(super) fn split_at(boundary: &str, body: &[u8], ends: &[usize]) -> Result<Parts, MultipartError> {
    let mut splitter = Splitter::new(boundary);
    let mut parts = Parts::new();
    let mut consumed_to = 0;
    for end in ends.iter().copied().chain([body.len()]) {
        loop {
            let input = &body[consumed_to..end];
            if input.is_empty() {
                break;
            }
            match splitter.step(input)? {
                Step::NeedMore => break,
                Step::Skip { consumed } | Step::PartEnd { consumed } | Step::End { consumed } => {
                    consumed_to += consumed;
                }
                Step::PartStart { consumed, head } => {
                    parts.push((head.field, head.filename, Vec::new()));
                    consumed_to += consumed;
                }
                Step::Data { consumed } => {
                    parts.last_mut().unwrap().2.extend_from_slice(&input[..consumed]);
                    consumed_to += consumed;
                }
            }
        }
    }
    splitter.finish()?;
    Ok(parts)
}

pub(super) fn every_cut(boundary: &str, body: &[u8]) -> Result<Parts, MultipartError> {
    let whole = split_at(boundary, body, &[]);
    for first in 0..=body.len() {
        assert_eq!(split_at(boundary, body, &[first]), whole, "cut at {first}");
    }
    let single: Vec<usize> = (0..body.len()).collect();
    assert_eq!(split_at(boundary, body, &single), whole, "byte by byte");
    whole
}

pub(super) fn part(disposition: &str, payload: &str) -> String {
    format!("--b\r\nContent-Disposition: {disposition}\r\n\r\n{payload}\r\n")
}

pub(super) fn one(disposition: &str) -> (String, Option<String>) {
    let body = part(disposition, "x") + "--b--\r\n";
    let parts = every_cut("b", body.as_bytes()).unwrap();
    (parts[0].0.clone(), parts[0].1.clone())
}

#[test]
fn payloads_that_look_like_boundaries_stay_payload() {
    for payload in [
        "",
        "\r\n",
        "\r\n-",
        "\r\n--",
        "\r\n--c",
        "--b",
        "\r\r\n--\r\n-",
        "a\r\n--\r\n--a",
        "\n--b\r",
    ] {
        let body = part("form-data; name=\"f\"; filename=\"n\"", payload) + "--b--";
        let parts = every_cut("b", body.as_bytes()).unwrap();
        assert_eq!(parts[0].2, payload.as_bytes(), "{payload:?}");
    }
}

#[test]
fn several_parts_with_preamble_and_epilogue() {
    let body = format!(
        "ignored\r\n{}{}--b-- \r\nepilogue --b\r\n",
        part("form-data; name=a; filename=1", "one"),
        part("form-data; name=\"meta\"", "{}")
    );
    let parts = every_cut("b", body.as_bytes()).unwrap();
    assert_eq!(parts[0], ("a".into(), Some("1".into()), b"one".to_vec()));
    assert_eq!(parts[1], ("meta".into(), None, b"{}".to_vec()));
}

#[test]
fn names_as_clients_send_them() {
    let named = |filename: &str| one(&format!("form-data; name=\"f\"; {filename}")).1.unwrap();
    assert_eq!(named("filename=\"a b.txt\""), "a b.txt");
    assert_eq!(named("filename=plain.txt"), "plain.txt");
    assert_eq!(named("filename=\"C:\\dir\\x.txt\""), "x.txt");
    assert_eq!(named("filename=\"../../etc/passwd\""), "passwd");
    assert_eq!(named("filename=\"q\\\"q.txt\""), "q\"q.txt");
    assert_eq!(named("filename=\"q%22q.txt\""), "q\"q.txt");
    assert_eq!(named("filename=\"a;b=c.txt\""), "a;b=c.txt");
    assert_eq!(
        named("filename=\"x\"; filename*=UTF-8''na%C3%AFve.txt"),
        "naïve.txt"
    );
    assert_eq!(named("filename*=utf-8'en'%E2%82%AC; filename=\"x\""), "€");
    assert_eq!(named("filename=\"\""), "");
    assert_eq!(one("form-data; name=\"f\"").1, None);
    assert_eq!(one("FORM-DATA; NAME=\"F\"").0, "F");
}

#[test]
fn what_is_malformed_is_refused() {
    let refused = |body: &str| every_cut("b", body.as_bytes()).unwrap_err();
    assert_eq!(refused(""), MultipartError::CutOff);
    assert_eq!(refused(&part("form-data; name=a", "x")), MultipartError::CutOff);
    assert_eq!(refused("--b\r\n\r\nx\r\n--b--"), MultipartError::Unnamed);
    assert_eq!(
        refused("--b\r\nContent-Type: a/b\r\n\r\nx\r\n--b--"),
        MultipartError::Unnamed
    );
    assert_eq!(refused("--b\r\nno colon\r\n\r\nx\r\n--b--"), MultipartError::Head);
    assert_eq!(refused("--bx\r\n"), MultipartError::Head);
    let long = format!("--b\r\nX: {}", "y".repeat(20_000));
    assert_eq!(
        split_at("b", long.as_bytes(), &[]),
        Err(MultipartError::HeadTooLong)
    );
}

#[test]
fn what_stands_around_the_parts_is_bounded() {
    let most = "x".repeat(FORM_AROUND_MAX_BYTES - 100);
    let parts = part("form-data; name=a; filename=1", "one");
    for body in [format!("{most}\r\n{parts}--b--"), format!("{parts}--b--{most}")] {
        assert_eq!(split_at("b", body.as_bytes(), &[]).unwrap().len(), 1);
    }
    for body in [
        format!("{most}{most}\r\n{parts}--b--"),
        format!("{parts}--b--{most}{most}"),
        format!("{most}\r\n{parts}--b--{most}"),
    ] {
        let pieces: Vec<usize> = (0..body.len()).step_by(1000).collect();
        assert_eq!(
            split_at("b", body.as_bytes(), &pieces),
            Err(MultipartError::Around)
        );
    }
}

#[test]
fn boundaries() {
    let of = |text: &str| boundary_of(text);
    assert_eq!(of("multipart/form-data; boundary=abc"), Ok(Some("abc".into())));
    assert_eq!(
        of("Multipart/Form-Data; charset=x; boundary=\"a b\""),
        Ok(Some("a b".into()))
    );
    assert_eq!(of("application/json"), Ok(None));
    assert_eq!(of("multipart/form-data"), Err(MultipartError::Boundary));
    assert_eq!(
        of("multipart/form-data; boundary="),
        Err(MultipartError::Boundary)
    );
    assert_eq!(
        of(&format!("multipart/form-data; boundary={}", "x".repeat(71))),
        Err(MultipartError::Boundary)
    );
}

mod model {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_joined_is_split(
            payloads in proptest::collection::vec("[\r\n\\-bx]{0,30}", 0..5),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            prop_assume!(payloads.iter().all(|payload| !format!("\r\n{payload}").contains("\r\n--b")));
            let mut body: String = payloads.iter().map(|p| part("form-data; name=f; filename=n", p)).collect();
            body.push_str("--b--");
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len())).collect();
            cuts.sort_unstable();
            let parts = split_at("b", body.as_bytes(), &cuts).unwrap();
            let bytes: Vec<_> = parts.into_iter().map(|(_, _, bytes)| bytes).collect();
            prop_assert_eq!(bytes, payloads.iter().map(|p| p.as_bytes().to_vec()).collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_refused_or_split(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = split_at("b", &body, &[]);
        }
    }
}
