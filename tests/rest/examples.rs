//! The examples of `docs/api` and of the first start, run as they stand.
//!
//! Each page is run against a server of its own, after the blocks of `README.md`, which log in: a block marked `sh` is a
//! piece of one bash script. A block marked `json`, `http` or `text` right under it is what it prints; without one it
//! prints nothing. `…` in an answer stands for anything.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use filegrid::{http::problem, limits};
use serde_json::Value;

use crate::client;
use crate::support::Server;

/// What stands on the pages for the address of the server.
const ADDRESS: &str = "127.0.0.1:8080";

/// The same for the operator's API.
const ADMIN_ADDRESS: &str = "127.0.0.1:8081";

/// A block of a page, and the answer that stands under it.
#[derive(Debug, Default)]
struct Example {
    place: String,
    script: String,
    /// Kind and text.
    answer: Option<(String, String)>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api")
}

fn page(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap()
}

/// The blocks of a page. One that is neither run nor an answer is an error of the page: it would be believed unchecked.
fn examples(name: &str) -> Vec<Example> {
    let page = page(name);
    let mut examples: Vec<Example> = Vec::new();
    let mut lines = page.lines().enumerate();
    // Whether nothing but empty lines came since the last block.
    let mut right_under = false;
    while let Some((number, line)) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else {
            right_under &= line.is_empty();
            continue;
        };
        let place = format!("{name}:{}", number + 1);
        let block: Vec<_> = lines
            .by_ref()
            .map(|(_, line)| line)
            .take_while(|line| *line != "```")
            .collect();
        let text = block.join("\n");
        match (kind, examples.last_mut()) {
            ("sh", _) => examples.push(Example {
                place,
                script: text,
                answer: None,
            }),
            ("json" | "http" | "text", Some(example)) if right_under && example.answer.is_none() => {
                example.answer = Some((kind.to_owned(), text));
            }
            _ => panic!("{place}: a block that is neither run nor an answer"),
        }
        right_under = true;
    }
    examples
}

/// Runs the blocks of a page, those of the overview first, and compares what they print.
fn run(name: &str) {
    if !client::installed(&["bash", "curl", "http", "python3"]) {
        return;
    }
    let server = Server::start_with(&[("cors_origins", "")]);
    let directory = tempfile::tempdir().unwrap();
    let mut all = examples("README.md");
    if name != "README.md" {
        all.extend(examples(name));
    }
    let address = format!("127.0.0.1:{}", server.port);
    let admin_address = format!("127.0.0.1:{}", server.port_of("admin"));
    let output = |number: usize, kind: &str| directory.path().join(format!("{number}.{kind}"));
    let mut script = "set -euo pipefail\n".to_owned();
    for (number, example) in all.iter().enumerate() {
        let (out, err) = (output(number, "out"), output(number, "err"));
        let block = example.script.replace(ADDRESS, &address);
        let block = block.replace(ADMIN_ADDRESS, &admin_address);
        assert!(
            !block.contains("8080"),
            "{}: another address than {ADDRESS}",
            example.place
        );
        script += &format!("{{\n{block}\n}} >{} 2>{}\n", out.display(), err.display());
    }
    // Where a block has failed, the output of the next is not there.
    script += &format!(": >{}", output(all.len(), "out").display());
    bash(&script, directory.path(), &server);
    for (number, example) in all.iter().enumerate() {
        let read = |kind| std::fs::read(output(number, kind)).unwrap_or_default();
        let (out, err) = (read("out"), String::from_utf8_lossy(&read("err")).into_owned());
        assert!(
            output(number + 1, "out").exists(),
            "{}: failed: {err}",
            example.place
        );
        let out = String::from_utf8(out).unwrap();
        let (kind, answer) = example.answer.clone().unwrap_or_default();
        let answer = answer.replace(ADDRESS, &address);
        assert!(
            answers(&kind, &answer, &out),
            "{}:\n{}\nprinted\n{out}\n{err}\ninstead of\n{answer}",
            example.place,
            example.script
        );
    }
}

/// Runs a script as somebody would who pastes the lines of the first start when asked for the keys.
fn bash(script: &str, directory: &Path, server: &Server) {
    // Without a terminal HTTPie would wait for a body on its input.
    std::fs::write(
        directory.join("config.json"),
        r#"{"default_options": ["--ignore-stdin"]}"#,
    )
    .unwrap();
    let mut command = Command::new("bash");
    command.args(["-c", script]);
    command
        .env("HTTPIE_CONFIG_DIR", directory)
        .env("NO_PROXY", "127.0.0.1");
    command.current_dir(directory).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let keys = server
        .keys()
        .iter()
        .map(String::as_str)
        .chain([server.operator_token()]);
    for (name, key) in ["AssociationKey", "AccessKey", "SecretKey", "OperatorToken"]
        .iter()
        .zip(keys)
    {
        // A script that does not ask may be over by now.
        let _ = writeln!(input, "{name}: {key}");
    }
    drop(input);
    child.wait().unwrap();
}

/// Whether something that was printed is what a page says.
fn answers(kind: &str, answer: &str, printed: &str) -> bool {
    match kind {
        "json" => same_json(&serde_json::from_str(answer).unwrap(), printed),
        "http" => same_http(answer, printed),
        _ => same_text(answer.trim_end(), printed.trim_end()),
    }
}

/// White space is free, and so is the order of fields.
fn same_json(answer: &Value, printed: &str) -> bool {
    fn same(answer: &Value, printed: &Value) -> bool {
        match (answer, printed) {
            (Value::String(answer), _) if answer == "…" => true,
            (Value::String(answer), Value::String(printed)) => same_text(answer, printed),
            (Value::Array(answer), Value::Array(printed)) => {
                answer.len() == printed.len() && answer.iter().zip(printed).all(|(a, p)| same(a, p))
            }
            (Value::Object(answer), Value::Object(printed)) => {
                answer.len() == printed.len()
                    && answer
                        .iter()
                        .all(|(name, a)| printed.get(name).is_some_and(|p| same(a, p)))
            }
            _ => answer == printed,
        }
    }
    serde_json::from_str(printed).is_ok_and(|printed| same(answer, &printed))
}

/// The first line, the fields that are shown, and the body.
fn same_http(answer: &str, printed: &str) -> bool {
    let printed = printed.replace("\r\n", "\n");
    let (head, body) = answer.split_once("\n\n").unwrap_or((answer, ""));
    let (printed_head, printed_body) = printed.split_once("\n\n").unwrap_or((&printed, ""));
    let same_body = match serde_json::from_str(body) {
        Ok(body) => same_json(&body, printed_body),
        Err(_) => same_text(body.trim_end(), printed_body.trim_end()),
    };
    let mut lines = head.lines();
    let same_status = lines.next() == printed_head.lines().next();
    same_status && same_body && lines.all(|field| printed_head.lines().any(|line| same_text(field, line)))
}

/// `…` stands for any run of characters.
fn same_text(answer: &str, printed: &str) -> bool {
    let Some((first, rest)) = answer.split_once('…') else {
        return answer == printed;
    };
    let Some(mut printed) = printed.strip_prefix(first) else {
        return false;
    };
    let (middle, last) = rest.rsplit_once('…').unwrap_or(("", rest));
    for piece in middle.split('…') {
        let Some(at) = printed.find(piece) else {
            return false;
        };
        printed = &printed[at + piece.len()..];
    }
    printed.ends_with(last)
}

/// A test for each page.
macro_rules! pages {
    ($($test:ident: $name:literal,)*) => {
        const PAGES: &[&str] = &[$($name),*];
        $(#[test] fn $test() { run($name) })*
    };
}

pages! {
    overview: "README.md",
    admin: "admin.md",
    auth: "auth.md",
    delete: "delete.md",
    download_multi: "download-multi.md",
    download_prepare: "download-prepare.md",
    download_single: "download-single.md",
    errors: "errors.md",
    ftpaccounts: "ftpaccounts.md",
    jwks: "jwks.md",
    list_dirs: "list-dirs.md",
    list_files: "list-files.md",
    list_tree: "list-tree.md",
    mkdir: "mkdir.md",
    move_: "move.md",
    upload: "upload.md",
}

#[test]
fn every_page_is_run_and_reached_and_shows_both_clients() {
    let mut found: Vec<_> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    assert_eq!(found, PAGES);
    let overview = page("README.md");
    for name in PAGES.iter().filter(|name| **name != "README.md") {
        assert!(overview.contains(&format!("]({name})")), "{name} is not linked");
        let scripts: String = examples(name)
            .into_iter()
            .map(|example| example.script + "\n")
            .collect();
        assert!(
            scripts.contains("curl ") && scripts.contains("http "),
            "{name} shows one client only"
        );
        assert!(
            examples(name).iter().any(|example| example.answer.is_some()),
            "{name} shows no answer"
        );
    }
}

#[test]
fn the_errors_page_has_every_status() {
    let page = page("errors.md");
    let mut shown: Vec<u16> = page
        .lines()
        .filter_map(|line| line.get(2..6)?.trim().parse().ok())
        .collect();
    shown.sort_unstable();
    let known: Vec<u16> = (400..600)
        .filter(|status| !problem::reason(*status).is_empty())
        .collect();
    assert_eq!(shown, known);
}

#[test]
fn the_overview_tells_the_limits_of_the_code() {
    let page = page("README.md");
    for limit in [
        limits::HEAD_MAX_BYTES,
        limits::HEADER_MAX_COUNT,
        limits::TARGET_MAX_BYTES,
        limits::REQUEST_BODY_MAX_BYTES,
        limits::PARTS_MAX_COUNT,
        limits::PART_HEAD_MAX_BYTES,
        limits::META_MAX_BYTES,
        limits::CHANGE_MAX_BYTES,
        limits::PATH_MAX_BYTES,
        limits::NAME_MAX_BYTES,
        limits::PREPARED_FILES_MAX_COUNT,
        limits::PREPARED_TENANT_MAX_BYTES,
        limits::LOGIN_BODY_MAX_BYTES,
        limits::FIELD_NAME_MAX_BYTES,
        limits::FORM_AROUND_MAX_BYTES,
        limits::RANGES_MAX_COUNT,
        limits::TOKEN_MAX_BYTES,
    ] {
        let digits = limit.to_string();
        let groups: Vec<_> = digits
            .as_bytes()
            .rchunks(3)
            .rev()
            .map(String::from_utf8_lossy)
            .collect();
        let shown = format!("| {} ", groups.join(","));
        assert!(page.contains(&shown), "{shown} is not among the limits");
    }
}

#[test]
fn the_line_that_the_first_start_prints_uploads_the_readme() {
    if !client::installed(&["bash", "curl", "sed"]) {
        return;
    }
    let server = Server::start();
    let printed = Command::new("bash")
        .args(["-c", server.first_upload()])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .env("NO_PROXY", "127.0.0.1")
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&printed.stdout),
        r#"{"rslt":"OK"}"#,
        "{printed:?}"
    );
    let readme = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    assert!(server.get("/README.md").body == readme);
}

#[test]
fn answers_are_told_from_others() {
    assert!(same_text("a…c…e", "abcde") && !same_text("a…c…e", "abde") && !same_text("a…", "ba"));
    assert!(!same_text("…ab", "abc") && !same_text("ab…ab", "ab") && same_text("…", ""));
    assert!(same_json(
        &serde_json::json!({"a": "…", "b": [1]}),
        "{\"b\": [1], \"a\": null}"
    ));
    assert!(!same_json(&serde_json::json!({"a": 1}), "{\"a\": 1, \"b\": 2}"));
    assert!(!same_json(&serde_json::json!([]), "[1]") && !same_json(&serde_json::json!([]), ""));
    let printed = "HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\n\r\nbody\n";
    assert!(same_http("HTTP/1.1 200 OK\nB: …\n\nbody", printed));
    for other in [
        "HTTP/1.1 200 OK\nB: 1\n\nbody",
        "HTTP/1.1 200 OK\nB: 2",
        "HTTP/1.1 404 Not Found\n\nbody",
    ] {
        assert!(!same_http(other, printed));
    }
}
