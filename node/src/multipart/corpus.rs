//! What the test corpora of python-multipart, formidable and busboy cover, with fixtures of our own.

use super::tests::{every_cut, one, part, split_at};
use super::*;
use crate::limits::PART_PADDING_MAX_BYTES;

const FILE: &str = "form-data; name=\"f\"; filename=\"n\"";

/// The payload of a body of one file.
fn payload_of(boundary: &str, body: &str) -> Vec<u8> {
    let mut parts = every_cut(boundary, body.as_bytes()).unwrap();
    assert_eq!(parts.len(), 1);
    parts.remove(0).2
}

fn head_of(lines: &str) -> Result<(String, Option<String>), MultipartError> {
    let body = format!("--b\r\n{lines}\r\n\r\nx\r\n--b--");
    let mut parts = every_cut("b", body.as_bytes())?;
    let (field, filename, _) = parts.remove(0);
    Ok((field, filename))
}

#[test]
fn a_browsers_form() {
    let boundary = "----WebKitFormBoundaryTB2MiQ36fnSJlrhY";
    let body = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nAn upload\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"f\"; filename=\"1.dat\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n{}\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"g\"; filename=\"\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n\r\n--{boundary}--\r\n",
        "A".repeat(1023)
    );
    let parts = every_cut(boundary, body.as_bytes()).unwrap();
    assert_eq!(parts[0], ("title".into(), None, b"An upload".to_vec()));
    assert_eq!(parts[1], ("f".into(), Some("1.dat".into()), vec![b'A'; 1023]));
    assert_eq!(parts[2], ("g".into(), Some(String::new()), Vec::new()));
    assert_eq!(parts.len(), 3);
}

#[test]
fn forms_without_parts() {
    for body in ["--b--", "--b--\r\n", "\r\n--b--", "preamble\r\n--b--epilogue"] {
        assert_eq!(every_cut("b", body.as_bytes()), Ok(Vec::new()), "{body:?}");
    }
}

#[test]
fn every_beginning_of_a_delimiter_is_payload_when_it_goes_on_differently() {
    let boundary = format!("-{}-", "x".repeat(60));
    let delimiter = format!("\r\n--{boundary}");
    for length in 0..delimiter.len() {
        let begun = &delimiter[..length];
        for payload in [
            format!("a{begun}b"),
            format!("a{begun}"),
            format!("{begun}{begun}"),
        ] {
            let body =
                format!("--{boundary}\r\nContent-Disposition: {FILE}\r\n\r\n{payload}{delimiter}--\r\n");
            let ends: Vec<usize> = (body.len() - 2 * delimiter.len() - 8..body.len()).collect();
            for cut in &ends {
                let parts = split_at(&boundary, body.as_bytes(), &[*cut]).unwrap();
                assert_eq!(parts[0].2, payload.as_bytes(), "{length} bytes, cut at {cut}");
            }
            let parts = split_at(&boundary, body.as_bytes(), &ends).unwrap();
            assert_eq!(parts[0].2, payload.as_bytes(), "{length} bytes, byte by byte");
        }
    }
}

#[test]
fn payloads_of_line_breaks() {
    for payload in [
        "\r\n".repeat(50),
        "\r\n-".repeat(50),
        "\r\n--".repeat(50),
        "\r".repeat(50),
        format!("{}\r{}", "a".repeat(31), "b".repeat(40)),
        "ends with \r".to_owned(),
        "--boundar\r\n\r\n--bound\r\n--\r\n--boundar-\r\n--Boundary\r\n".to_owned(),
    ] {
        let body = format!("--boundary\r\nContent-Disposition: {FILE}\r\n\r\n{payload}\r\n--boundary--");
        assert_eq!(payload_of("boundary", &body), payload.as_bytes());
    }
}

/// RFC 2046 §5.1.1: a line that begins with the delimiter is one, so what follows it cannot be payload. Some take it
/// for payload all the same; nothing is stored of what is read in two ways.
#[test]
fn a_boundary_that_goes_on_is_refused() {
    for behind in ["x", "-", "-x", " x", "\r", "\n", "\rx", " -"] {
        let body = part(FILE, &format!("one\r\n--b{behind}\r\ntwo")) + "--b--";
        let refused = every_cut("b", body.as_bytes());
        assert_eq!(refused, Err(MultipartError::Head), "{behind:?}");
    }
}

#[test]
fn white_space_behind_a_boundary_is_bounded() {
    let padded = |length| {
        let body = format!(
            "--b{}\r\nContent-Disposition: {FILE}\r\n\r\nx\r\n--b--",
            " ".repeat(length)
        );
        every_cut("b", body.as_bytes())
    };
    assert!(padded(PART_PADDING_MAX_BYTES).is_ok());
    assert_eq!(padded(PART_PADDING_MAX_BYTES + 1), Err(MultipartError::Head));
}

#[test]
fn bodies_that_end_too_early() {
    let whole = part(FILE, "x") + "--b--";
    for length in 0..whole.len() - 2 {
        let cut_off = split_at("b", &whole.as_bytes()[..length], &[]);
        assert_eq!(cut_off, Err(MultipartError::CutOff), "after {length} bytes");
    }
    let without_dashes = part(FILE, "x") + "--b\r\n";
    assert_eq!(
        every_cut("b", without_dashes.as_bytes()),
        Err(MultipartError::CutOff)
    );
}

#[test]
fn names_with_every_special_character() {
    let named = |filename: &str| {
        one(&format!("form-data; name=\"f\"; filename=\"{filename}\""))
            .1
            .unwrap()
    };
    assert_eq!(
        named(": \\ ? % * | %22 < > . ☃ ; ' @ # $ ^ & ( ) - _ = + { } [ ] ` ~.txt"),
        " ? % * | \" < > . ☃ ; ' @ # $ ^ & ( ) - _ = + { } [ ] ` ~.txt"
    );
    assert_eq!(named("\u{2028}(.txt"), "\u{2028}(.txt");
    assert_eq!(named("a%0D%0Ab"), "a\r\nb");
    assert_eq!(
        named("%2522 100% %41"),
        "%2522 100% %41",
        "nothing else is escaped"
    );
    assert_eq!(named("q\\\\q"), "q", "an escaped backslash separates as well");
    assert_eq!(named("/tmp/1.dat"), "1.dat");
    assert_eq!(named("C:\\files\\1.dat"), "1.dat");
    assert_eq!(named("\\\\server\\share\\1.dat"), "1.dat");
    assert_eq!(named("relative/1.dat"), "1.dat");
    assert_eq!(named("dir/"), "");
}

#[test]
fn dispositions_as_clients_write_them() {
    let both = ("f".to_owned(), Some("n".to_owned()));
    for disposition in [
        "form-data; filename=\"n\"; name=\"f\"",
        "form-data;name=f;filename=n",
        "form-data ; name = f ; filename = n ; ",
        "Form-Data; NAME=\"f\"; FILENAME=\"n\"; size=1; x",
        "form-data; name=\"f\"; filename=\"x\"; filename*=UTF-8''n",
        "form-data; name=\"f\"; filename*=utf-8'de'a%2Fn",
    ] {
        assert_eq!(one(disposition), both, "{disposition}");
    }
}

#[test]
fn dispositions_that_are_read_in_several_ways() {
    for (disposition, error) in [
        (
            "form-data; name=\"f\"; filename=\"a\"; filename=\"b\"",
            MultipartError::Head,
        ),
        ("form-data; name=\"f\"; name=\"g\"", MultipartError::Head),
        ("form-data; name=\"f\"; filename=\"a", MultipartError::Head),
        ("form-data; name=\"f\"; filename=\"a\\\"", MultipartError::Head),
        (
            "form-data; name=\"f\"; filename=\"a\"b.txt\"",
            MultipartError::Head,
        ),
        ("form-data; name=\"f\"; filename=\"a\rb\"", MultipartError::Head),
        ("form-data; name=\"f\"; filename=\"a\nb\"", MultipartError::Head),
        ("form-data; name=\"f\"; filename=\"a\0b\"", MultipartError::Head),
        (
            "form-data; name=\"f\"; filename*=UTF-8''%FF",
            MultipartError::Head,
        ),
        (
            "form-data; name=\"f\"; filename*=ISO-8859-1''%E4",
            MultipartError::Head,
        ),
        ("form-data; name=\"f\"; filename*=n", MultipartError::Head),
        ("form-data; filename=\"a\"", MultipartError::Unnamed),
        ("form-data", MultipartError::Unnamed),
        ("attachment; name=\"f\"; filename=\"a\"", MultipartError::Unnamed),
        ("", MultipartError::Unnamed),
    ] {
        let refused = head_of(&format!("Content-Disposition: {disposition}"));
        assert_eq!(refused, Err(error), "{disposition:?}");
    }
    let latin1 = b"--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"\xe4\"\r\n\r\nx\r\n--b--";
    assert_eq!(every_cut("b", latin1), Err(MultipartError::Head));
}

#[test]
fn heads() {
    let file = Ok(("f".to_owned(), Some("n".to_owned())));
    for lines in [
        "CONTENT-disposition: form-data; name=\"f\"; filename=\"n\"\r\nother!#$%&'*+-.^_`|~: baz\r\nX-1: y",
        "Content-Transfer-Encoding: base64\r\nContent-Disposition: form-data; name=f; filename=n",
        "Content-Type:\r\n text/plain; a=b\r\nContent-Disposition: form-data;\r\n\tname=f;\r\n filename=n",
        "Content-Disposition : form-data; name=f; filename=n",
    ] {
        assert_eq!(head_of(lines), file, "{lines:?}");
    }
    let disposition = "Content-Disposition: form-data; name=f; filename=n";
    for (lines, error) in [
        (format!("{disposition}\r\n{disposition}"), MultipartError::Head),
        (format!("{disposition}\r\nno colon"), MultipartError::Head),
        (format!("{disposition}\nX: y"), MultipartError::Head),
        (format!("X: \r{disposition}"), MultipartError::Head),
        (format!(" {disposition}"), MultipartError::Unnamed),
        (
            "Content-\rDisposition: form-data; name=f".to_owned(),
            MultipartError::Head,
        ),
        (": form-data; name=f".to_owned(), MultipartError::Unnamed),
    ] {
        assert_eq!(head_of(&lines), Err(error), "{lines:?}");
    }
}

#[test]
fn each_part_may_have_a_long_head() {
    let long = "x".repeat(8 << 10);
    let disposition = format!("form-data; name=f; filename=\"{long}\"");
    let body = part(&disposition, "1") + &part(&disposition, "2") + &part(&disposition, "3") + "--b--";
    let parts = split_at("b", body.as_bytes(), &[1000, 9000, 9001]).unwrap();
    assert_eq!(parts.len(), 3);
    assert!(parts.iter().all(|(_, name, _)| name.as_ref() == Some(&long)));
}

#[test]
fn thousands_of_parts() {
    let mut body: String = (0..5000)
        .map(|at| part(&format!("form-data; name=f{at}; filename={at}"), &at.to_string()))
        .collect();
    body.push_str("--b--");
    let ends: Vec<usize> = (0..body.len()).step_by(977).collect();
    let parts = split_at("b", body.as_bytes(), &ends).unwrap();
    assert_eq!(parts.len(), 5000);
    for (at, part) in parts.into_iter().enumerate() {
        assert_eq!(
            part,
            (
                format!("f{at}"),
                Some(at.to_string()),
                at.to_string().into_bytes()
            )
        );
    }
}

#[test]
fn a_boundary_given_twice_or_badly_quoted() {
    for parameters in [
        "boundary=a; boundary=b",
        "boundary=\"a",
        "boundary=\"a\"b",
        "boundary=\"a \"",
        "boundary=\"ä\"",
    ] {
        let named = boundary_of(&format!("multipart/form-data; {parameters}"));
        assert_eq!(named, Err(MultipartError::Boundary), "{parameters}");
    }
    let longest = "'()+_,-./:=? 1Az".repeat(5)[..70].to_owned().replace(' ', "x");
    let named = boundary_of(&format!("multipart/form-data; boundary=\"{longest}\""));
    assert_eq!(named, Ok(Some(longest)));
}
