//! REST, against a node.

use crate::node::Node;
use crate::program::{loadtest, start};

const SMALL: &str = "--size uniform:0..200KiB --files 10 --connections 4 --requests 40 --verify";

#[test]
fn every_profile_runs_is_verified_and_leaves_nothing() {
    let node = Node::start();
    for profile in [
        "upload",
        "download",
        "mixed",
        "list",
        "list --listing tree",
        "list --listing dirs",
        "archive",
    ] {
        let ended = loadtest(&format!("{} --profile {profile} {SMALL}", node.rest()));
        ended.passed(40);
        node.is_empty();
    }
}

#[test]
fn shares_and_kinds_are_told() {
    let node = Node::start();
    let ended = loadtest(&format!(
        "{} --profile mixed --mix upload=1,download=1,list=1 {SMALL}",
        node.rest()
    ));
    ended.passed(40);
    let kinds = ended.report["figures"]["operations"].as_array().unwrap();
    let names: Vec<_> = kinds.iter().map(|kind| kind["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["upload", "download", "list"]);
    let sum: u64 = kinds.iter().map(|kind| kind["requests"].as_u64().unwrap()).sum();
    assert_eq!(sum, 40);
}

#[test]
fn large_files_go_both_ways_through_tls_too() {
    let node = Node::start();
    for (target, profile) in [
        (node.rest(), "upload"),
        (node.https(), "upload"),
        (node.https(), "download"),
    ] {
        let ended = loadtest(&format!(
            "{target} --profile {profile} --size 5MiB --files 2 --connections 2 --requests 4 --verify"
        ));
        ended.passed(4);
        assert_eq!(ended.report["figures"]["all"]["bytes"], 20 << 20);
    }
    node.is_empty();
}

#[test]
fn a_time_and_a_rate_are_kept() {
    let node = Node::start();
    let ended = loadtest(&format!(
        "{} --profile upload --size 100 --rate 50/s --duration 1s --warm-up 200ms --connections 2",
        node.rest()
    ));
    ended.passed(50);
    assert_eq!(ended.requests(), 50);
    let ended = loadtest(&format!(
        "{} --profile upload --size 100 --duration 500ms --warm-up 100ms --connections 2 --threads 2",
        node.rest()
    ));
    ended.passed(1);
    assert_eq!(ended.report["settings"]["threads"], 2);
    assert!(ended.report["figures"]["elapsed_s"].as_f64().unwrap() >= 0.5);
    assert!(
        ended.report["figures"]["usage"]["generator_us_per_request"]
            .as_f64()
            .unwrap()
            > 0.0
    );
    node.is_empty();
}

#[test]
fn several_targets_share_the_connections() {
    let node = Node::start();
    let keys = node.keys();
    let (plain, secure) = (node.rest(), node.https());
    let target = |options: &str| options.split_whitespace().nth(2).unwrap().to_owned();
    let ended = loadtest(&format!(
        "rest --target {} --target {} {keys} --ca {} --profile download {SMALL}",
        target(&plain),
        target(&secure),
        node.certificate().display()
    ));
    ended.passed(40);
    let targets = ended.report["figures"]["targets"].as_array().unwrap();
    let counts: Vec<_> = targets
        .iter()
        .map(|target| target["requests"].as_u64().unwrap())
        .collect();
    assert!(
        counts.len() == 2 && counts.iter().all(|count| *count > 0),
        "{counts:?}"
    );
    node.is_empty();
}

#[test]
fn thresholds_make_the_status() {
    let node = Node::start();
    let upload = format!(
        "{} --profile upload --size 100 --requests 20 --connections 2",
        node.rest()
    );
    loadtest(&format!(
        "{upload} --max-p99 10m --max-latency 100=10m --min-rate 1/h --min-throughput 1"
    ))
    .passed(20);
    loadtest(&format!("{upload} --max-p99 1us")).missed("missed: p99 is ");
    loadtest(&format!("{upload} --max-p50 1us")).missed("missed: p50 is ");
    loadtest(&format!("{upload} --max-latency 99.9=1us")).missed("missed: p99.9 is ");
    loadtest(&format!("{upload} --min-rate 1000000/s")).missed("missed: the rate is ");
    loadtest(&format!("{upload} --min-throughput 1TiB/s")).missed("missed: the throughput is ");
    node.is_empty();
}

#[test]
fn who_may_not_is_told_why() {
    let node = Node::start();
    let upload = "--profile upload --size 100 --requests 5";
    let wrong = node.rest().replace("--secret-key sk_", "--secret-key sk_x");
    loadtest(&format!("{wrong} {upload}")).failed("HTTP 401: logging in: the keys are not valid");
    loadtest(&format!("{} {upload}", node.https_untrusted())).failed("TLS");
    loadtest(&format!("{} --insecure {upload}", node.https_untrusted())).passed(5);
    node.is_empty();
}

#[test]
fn what_is_kept_is_said() {
    let node = Node::start();
    let upload = "--profile upload --size 100 --requests 5 --connections 1 --keep --directory /here";
    let ended = loadtest(&format!("{} {upload}", node.rest()));
    ended.passed(5);
    let note = ended.report["notes"][0].as_str().unwrap();
    assert!(
        note.starts_with("/here/loadtest-") && note.ends_with(" was kept"),
        "{note}"
    );
}

#[test]
fn what_a_process_leaves_for_later_is_waited_for() {
    let node = Node::start();
    let upload = "--profile upload --size 100 --requests 5";
    let mut quiet = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let ended = loadtest(&format!("{} {upload} --pid {} --settle", node.rest(), quiet.id()));
    quiet.kill().unwrap();
    quiet.wait().unwrap();
    ended.passed(5);
    let usage = &ended.report["figures"]["usage"];
    assert!(usage["server_cpu_after_s"].as_f64().unwrap() < 0.1, "{usage}");
    assert!(usage["server_memory_peak_bytes"].as_u64().unwrap() > 0, "{usage}");
    assert!(
        ended.out.contains("until it came to rest, at most"),
        "{}",
        ended.out
    );
    node.is_empty();
}

#[test]
fn an_interruption_reports_and_cleans_up() {
    let node = Node::start();
    let options = "--profile mixed --size 1KiB --files 20 --duration 10m --warm-up 0 --verify";
    let running = start(&format!("{} {options}", node.rest()));
    node.wait_for_uploads();
    running.interrupt();
    let ended = running.wait();
    ended.missed("interrupted");
    assert!(ended.requests() > 0, "{}", ended.out);
    node.is_empty();
}

#[test]
fn a_page_needs_nothing_else() {
    let node = Node::start();
    let directory = tempfile::tempdir().unwrap();
    let page = directory.path().join("page.html");
    loadtest(&format!(
        "{} --profile download --size 1KiB --files 5 --duration 1500ms --html {}",
        node.rest(),
        page.display()
    ))
    .passed(1);
    let page = std::fs::read_to_string(page).unwrap();
    assert_eq!(page.matches("<svg").count(), 3, "rate, latency, percentiles");
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    assert!(page.contains("prefers-color-scheme: dark"));
    for outside in ["src=", "href=", "@import", "url(", "<script", "<link"] {
        assert!(!page.contains(outside), "{outside}");
    }
}
