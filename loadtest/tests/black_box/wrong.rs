//! Servers that do wrong, and what is said about them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::fake::{Asked, answer, ok, serve, serve_by};
use crate::program::loadtest;

fn is_upload(asked: &Asked) -> bool {
    asked.line.contains("/api/upload")
}

#[test]
fn wrong_bytes_are_never_let_pass() {
    let server = serve(|asked| {
        if is_upload(asked) {
            ok()
        } else {
            answer(200, &[7; 5000])
        }
    });
    let target = format!(
        "rest --target http://{server} --token t --files 3 --size 5000 --requests 20 --connections 2"
    );
    let ended = loadtest(&format!("{target} --profile download --verify --max-errors 100%"));
    ended.missed("20 came back wrong");
    assert_eq!(ended.errors("wrong content"), 20);
    // Without a comparison only the length can be known.
    loadtest(&format!("{target} --profile download")).passed(20);
    // What was uploaded is read back.
    let target = target.replace("--connections 2", "--connections 1");
    let ended = loadtest(&format!("{target} --profile upload --verify"));
    ended.missed("3 came back wrong");
    assert_eq!(ended.requests(), 20);
    assert_eq!(
        ended.errors("wrong content, read back"),
        3,
        "as many as there are names"
    );
}

#[test]
fn a_wrong_length_is_seen_without_a_comparison() {
    let server = serve(|asked| {
        if is_upload(asked) {
            ok()
        } else {
            answer(200, &[7; 4999])
        }
    });
    let target = format!("rest --target http://{server} --token t --files 3 --size 5000 --requests 5");
    loadtest(&format!("{target} --profile download")).missed("4999 bytes came instead of 5000");
}

#[test]
fn errors_are_counted_by_kind() {
    let refusal = br#"{"title":"no","detail":"come <later>"}"#;
    let server = serve(move |asked| match asked.number {
        // The files that are made first.
        0..4 => ok(),
        number if number % 4 == 0 => answer(503, refusal),
        number if number % 4 == 1 => Vec::new(),
        _ => answer(200, &[0; 10]),
    });
    let directory = tempfile::tempdir().unwrap();
    let page = directory.path().join("page.html");
    let ended = loadtest(&format!(
        "rest --target http://{server} --token t --profile download --files 4 --size 10 --requests 20 --connections 1 \
         --html {}",
        page.display()
    ));
    ended.missed("10 of 20 requests failed");
    assert_eq!(
        (ended.errors("HTTP 503"), ended.errors("connection closed")),
        (5, 5)
    );
    assert_eq!(ended.requests(), 10);
    assert!(ended.out.contains("HTTP 503: come <later>"), "{}", ended.out);
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("come &lt;later&gt;") && !page.contains("<later>"));
}

#[test]
fn as_many_errors_as_allowed_are_let_pass() {
    let server = serve(|asked| {
        if asked.number % 10 == 3 {
            answer(500, b"")
        } else {
            ok()
        }
    });
    let upload = format!("rest --target http://{server} --token t --profile upload --size 10 --requests 100");
    assert_eq!(loadtest(&format!("{upload} --max-errors 10%")).status, Some(0));
    assert_eq!(loadtest(&format!("{upload} --max-errors 9")).status, Some(1));
}

#[test]
fn a_stall_shows_in_all_that_came_due_meanwhile() {
    let stalled = Arc::new(AtomicBool::new(false));
    #[allow(clippy::disallowed_methods, reason = "this is the stall")]
    let server = serve(move |asked| {
        if asked.number == 100 && !stalled.swap(true, Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(600));
        }
        ok()
    });
    let ended = loadtest(&format!(
        "rest --target http://{server} --token t --profile upload --size 10 --connections 1 --rate 200/s --duration 3s \
         --warm-up 0"
    ));
    ended.passed(600);
    // 120 of 600 came due while it stalled: half of those, a tenth of all, waited 300 ms or longer.
    assert!(ended.number("latency", "p95_us") > 400_000.0, "{}", ended.out);
    assert!(ended.number("latency", "p90_us") > 280_000.0, "{}", ended.out);
    assert!(ended.number("latency", "p99_9_us") > 590_000.0, "{}", ended.out);
    // From when each was begun, one alone has waited.
    assert!(
        ended.number("service", "p90_us") < ended.number("latency", "p90_us"),
        "{}",
        ended.out
    );
}

#[test]
fn what_is_never_answered_is_counted() {
    #[allow(clippy::disallowed_methods, reason = "it never answers")]
    let server = serve(|asked| {
        if asked.number >= 50 {
            std::thread::sleep(Duration::from_secs(600));
        }
        ok()
    });
    let ended = loadtest(&format!(
        "rest --target http://{server} --token t --profile upload --size 10 --connections 2 --rate 100/s --duration 1s \
         --warm-up 0 --grace 100ms"
    ));
    ended.missed("50 of 100 requests failed");
    assert_eq!((ended.errors("not finished"), ended.errors("not begun")), (2, 48));
}

#[test]
fn requests_that_take_too_long_have_failed() {
    #[allow(clippy::disallowed_methods, reason = "it never answers")]
    let server = serve(|asked| {
        if asked.number == 3 {
            std::thread::sleep(Duration::from_secs(600));
        }
        ok()
    });
    let ended = loadtest(&format!(
        "rest --target http://{server} --token t --profile upload --size 10 --connections 1 --requests 10 --timeout 1s"
    ));
    ended.missed("1 of 10 requests failed");
    assert_eq!(ended.errors("timed out"), 1);
}

#[test]
fn nobody_there_is_said() {
    let options = "--token t --profile upload --requests 1";
    loadtest(&format!("rest --target http://127.0.0.1:1 {options}")).failed("connection refused");
    loadtest(&format!("rest --target http://no.such.host.invalid {options}")).failed("no.such.host.invalid");
    let ended = loadtest(&format!(
        "rest --target http://127.0.0.1:1 {options} --pid 4194999"
    ));
    ended.failed("/proc/4194999/stat");
    loadtest("rest --target http://127.0.0.1:1 --profile upload").failed("--association-key");
    loadtest(&format!(
        "rest --target http://127.0.0.1:1 {options} --html /no/such/place"
    ))
    .failed("/no/such/place");
}

#[test]
fn what_cannot_be_deleted_is_said() {
    let server = serve_by(
        |_| ok(),
        |line| {
            if line.contains("/api/delete") {
                answer(403, br#"{"detail":"file.delete is missing"}"#)
            } else {
                ok()
            }
        },
    );
    let options = "--token t --profile upload --size 2 --requests 1";
    let ended = loadtest(&format!("rest --target http://{server} {options}"));
    ended.missed("could not be deleted and is still there");
    assert!(
        ended.out.contains("HTTP 403: file.delete is missing"),
        "{}",
        ended.out
    );
}

#[test]
fn what_cannot_be_prepared_is_said() {
    let server = serve(|_| answer(507, br#"{"detail":"the disk is full"}"#));
    let options = "--token t --profile download --size 2 --requests 1";
    let ended = loadtest(&format!("rest --target http://{server} {options}"));
    ended.failed("HTTP 507: the disk is full");
}

#[test]
fn a_token_is_renewed_before_it_expires() {
    static LOGINS: AtomicUsize = AtomicUsize::new(0);
    let server = serve_by(
        |_| ok(),
        |line| {
            if line != "POST /apiaccess/auth" {
                return ok();
            }
            LOGINS.fetch_add(1, Ordering::SeqCst);
            answer(200, br#"{"token":"t","expires_in":1}"#)
        },
    );
    let keys = "--association-key a --access-key b --secret-key c";
    let ended = loadtest(&format!(
        "rest --target http://{server} {keys} --profile upload --size 10 --duration 3s --warm-up 0 --rate 50/s"
    ));
    ended.passed(150);
    assert!(LOGINS.load(Ordering::SeqCst) >= 3);
}

fn sent_to(place: &str) -> Vec<u8> {
    format!("HTTP/1.1 307 There\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

#[test]
fn requests_go_where_they_are_sent() {
    static THERE: OnceLock<SocketAddr> = OnceLock::new();
    fn away(line: &str) -> Vec<u8> {
        let path = line.split(' ').nth(1).unwrap();
        sent_to(&format!("http://{}{path}", THERE.get().unwrap()))
    }
    let there = serve(|asked| match is_upload(asked) {
        true => ok(),
        false => answer(200, &[7; 5000]),
    });
    THERE.set(there).unwrap();
    let server = serve_by(|asked| away(&asked.line), away);
    let target = format!("rest --target http://{server} --token t --files 3 --size 5000 --requests 20");
    loadtest(&format!("{target} --profile download")).passed(20);
    loadtest(&format!("{target} --profile upload")).passed(20);
}

#[test]
fn requests_that_are_sent_around_have_failed() {
    static ITSELF: OnceLock<SocketAddr> = OnceLock::new();
    let server = serve_by(|_| ok(), |_| sent_to("http://localhost:1/api/mkdir"));
    let options = "--token t --profile upload --size 2 --requests 1";
    loadtest(&format!("rest --target http://{server} {options}")).failed("connection refused");
    let server = serve_by(|_| ok(), |_| sent_to("nowhere"));
    loadtest(&format!("rest --target http://{server} {options}")).failed("sent to nowhere");
    let server = serve_by(
        |_| ok(),
        |_| sent_to(&format!("http://{}/api/mkdir", ITSELF.get().unwrap())),
    );
    ITSELF.set(server).unwrap();
    loadtest(&format!("rest --target http://{server} {options}")).failed("sent around");
}
