//! Request heads, and multipart bodies beside the checksum that is computed of the same bytes.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group};
use filegrid::disk::sim::Random;
use filegrid::http::exchange::parse_head;
use filegrid::limits::TRANSFER_BUFFER_MAX_BYTES;
use filegrid::multipart::{Splitter, Step};

const PAYLOAD_BYTES: usize = 64 << 20;
const BOUNDARY: &str = "------------------------d74496d66958873e";

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = head, multipart
}

fn head(criterion: &mut Criterion) {
    let curl = "POST /api/upload HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: curl/8.14.1\r\nAccept: */*\r\n\
         Content-Length: 4296\r\nContent-Type: multipart/form-data; boundary=------------------------d74496d66958873e\r\n";
    let token = format!("Authorization: Bearer {}\r\n", "x".repeat(420));
    let browser = "Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
         Origin: https://app.example.com\r\nReferer: https://app.example.com/files/2026/07\r\nConnection: keep-alive\r\n\
         Sec-Fetch-Dest: empty\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Site: same-site\r\nPragma: no-cache\r\n\
         Cache-Control: no-cache\r\nsec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\n";
    let mut group = criterion.benchmark_group("head");
    for (name, head) in [
        ("curl", format!("{curl}{token}\r\n")),
        ("browser", format!("{curl}{token}{browser}\r\n")),
    ] {
        group.throughput(Throughput::ElementsAndBytes {
            elements: 1,
            bytes: head.len() as u64,
        });
        group.bench_function(name, |bencher| {
            bencher.iter(|| parse_head(black_box(head.as_bytes())).unwrap())
        });
    }
    group.finish();
}

fn multipart(criterion: &mut Criterion) {
    let delimiter = format!("\r\n--{BOUNDARY}");
    let almost = &delimiter[..delimiter.len() - 1];
    let mut group = criterion.benchmark_group("multipart");
    group.throughput(Throughput::Bytes(PAYLOAD_BYTES as u64));
    for (name, payload) in [
        ("random", Random::new(1).bytes(PAYLOAD_BYTES)),
        ("line breaks and dashes", repeated(b"\r\n-")),
        ("almost delimiters", repeated(almost.as_bytes())),
    ] {
        let front = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=f; filename=n\r\n\r\n");
        let body = [front.as_bytes(), &payload, delimiter.as_bytes(), b"--\r\n"].concat();
        group.bench_function(name, |bencher| {
            bencher.iter(|| assert_eq!(split(&body), PAYLOAD_BYTES))
        });
        group.bench_function(format!("{name}, crc32fast"), |bencher| {
            bencher.iter(|| crc32fast::hash(black_box(&payload)));
        });
    }
    group.finish();
}

fn repeated(pattern: &[u8]) -> Vec<u8> {
    pattern.iter().copied().cycle().take(PAYLOAD_BYTES).collect()
}

/// Splits a body that arrives as fast as it may; says how much payload there was.
fn split(body: &[u8]) -> usize {
    let mut splitter = Splitter::new(BOUNDARY);
    let (mut at, mut end, mut payload) = (0, 0, 0);
    while at < body.len() {
        if at == end {
            end = (end + TRANSFER_BUFFER_MAX_BYTES).min(body.len());
        }
        match splitter.step(&body[at..end]).unwrap() {
            Step::NeedMore => end = (end + TRANSFER_BUFFER_MAX_BYTES).min(body.len()),
            Step::Data { consumed } => {
                payload += consumed;
                at += consumed;
            }
            Step::Skip { consumed }
            | Step::PartStart { consumed, .. }
            | Step::PartEnd { consumed }
            | Step::End { consumed } => at += consumed,
        }
    }
    splitter.finish().unwrap();
    payload
}
