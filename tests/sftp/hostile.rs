//! Clients that mean no good, and clients that go at the wrong moment.

use std::time::Duration;

use filegrid::sftp::fields::{put_string, put_u32};

use crate::client::{FAILURE, NAME, OK, PUT, READ, Sftp, read_fields, server, server_with, write_fields};
use crate::support::{blobs, noise};

/// Memory of the server, in KiB.
fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn packets_that_are_none_end_the_session_alone() {
    let server = server();
    let mut other = Sftp::start(&server);
    for bytes in [
        vec![0; 4],
        vec![0xff; 4],
        vec![0, 4, 0, 1, 5],
        vec![0, 0, 0, 1, 5],
        vec![0, 0, 0, 4, 5, 0, 0, 0],
    ] {
        let mut sftp = Sftp::start(&server);
        sftp.send_raw(bytes);
        assert!(sftp.has_ended());
    }
    // Twice hello, and no hello.
    let mut sftp = Sftp::start(&server);
    sftp.send(&[1, 0, 0, 0, 3]);
    assert!(sftp.has_ended());
    let mut sftp = Sftp::connect(&server, NAME);
    sftp.request(16, |out| put_string(out, b"/"));
    assert!(sftp.has_ended());
    other.put("/f", b"goes on");
}

#[test]
fn handles_have_a_bound_and_are_not_guessed() {
    let server = server();
    server.put("/f", b"x");
    let mut sftp = Sftp::start(&server);
    let mut open = Vec::new();
    loop {
        match sftp.try_open("/f", READ) {
            Ok(handle) => open.push(handle),
            Err(code) => {
                assert_eq!(code, FAILURE);
                break;
            }
        }
    }
    assert_eq!(open.len(), 128);
    let first = open.swap_remove(0);
    assert_eq!(sftp.close(&first), OK);
    let again = sftp.open("/f", READ);
    assert_ne!(first, again, "a handle is not used again");
    assert_eq!(sftp.read(&first, 0, 1), Err(FAILURE));
    assert_eq!(sftp.read(&again, 0, 1), Ok(b"x".to_vec()));
    let mut other = Sftp::start(&server);
    assert_eq!(other.read(&again, 0, 1), Err(FAILURE), "another session's");
}

#[test]
fn a_write_that_failed_is_not_made_up_for_by_others() {
    let server = server_with(&[("low_water_mib", "1000000000")]);
    let mut sftp = Sftp::start(&server);
    let bytes = noise(200_000, 1);
    let open = sftp.open("/f", PUT);
    let mut codes = Vec::new();
    for n in 0..50 {
        codes.push(sftp.write(&open, n * 200_000, &bytes));
    }
    assert!(codes.contains(&FAILURE), "the disk is said to be full");
    assert_eq!(sftp.write(&open, 0, &bytes), FAILURE);
    assert_eq!(sftp.read(&open, 0, 10), Err(FAILURE));
    assert_eq!(sftp.close(&open), FAILURE);
    assert_eq!(server.get("/f").status, 404);
    assert!(sftp.stat("/f").is_err(), "nor is it kept");
}

#[test]
fn whoever_takes_no_replies_gets_no_more() {
    let server = server();
    server.put("/f", &noise(2_000_000, 1));
    let mut sftp = Sftp::start(&server);
    let open = sftp.open("/f", READ);
    let before = memory(server.pid());
    let mut requests = Vec::new();
    for id in 0..2_000_u32 {
        let mut packet = vec![5];
        put_u32(&mut packet, id);
        read_fields(&mut packet, &open, 0, 255 << 10);
        put_string(&mut requests, &packet);
    }
    // 500 MiB are asked for at a time, and nothing is read.
    let mut taken = 0;
    while taken < 400 && sftp.flood(requests.clone(), Duration::from_secs(2)) {
        taken += 1;
    }
    assert!(taken < 400, "requests are taken without an end");
    let grown = memory(server.pid()).saturating_sub(before);
    assert!(grown < 64 << 10, "{grown} KiB");
    let mut other = Sftp::start(&server);
    assert_eq!(other.get("/f").len(), 2_000_000);
    // What is read at last is answered in order.
    for id in 0..100_u32 {
        let reply = sftp.packet().unwrap();
        assert_eq!((reply[0], &reply[1..5]), (103, id.to_be_bytes().as_slice()));
    }
}

#[test]
fn requests_sent_all_at_once_are_all_answered() {
    let server = server();
    let bytes = noise(60_000, 1);
    let mut sftp = Sftp::start(&server);
    let open = sftp.open("/f", PUT);
    let mut all = Vec::new();
    for (id, (at, piece)) in (1000_u32..).zip((0..).step_by(30).zip(bytes.chunks(30))) {
        let mut packet = vec![6];
        put_u32(&mut packet, id);
        write_fields(&mut packet, &open, at, piece);
        put_string(&mut all, &packet);
    }
    // The same id for all that follow: each is answered.
    for kind in [4_u8, 8, 4] {
        let mut packet = vec![kind];
        put_u32(&mut packet, 7);
        put_string(&mut packet, &open);
        put_string(&mut all, &packet);
    }
    sftp.send_raw(all);
    for id in 1000..3000_u32 {
        assert_eq!(
            sftp.packet().unwrap()[..5],
            [&[101_u8][..], &id.to_be_bytes()].concat()
        );
    }
    let mut codes: Vec<_> = (0..3).map(|_| sftp.packet().unwrap()[8]).collect();
    codes.sort_unstable();
    assert_eq!(codes, [0, 4, 4]);
    assert_eq!(server.get("/f").body, bytes);
}

#[test]
fn a_client_that_goes_leaves_nothing_half_done() {
    let server = server();
    server.put("/f", b"old");
    let bytes = noise(300_000, 1);
    for step in 0..4 {
        let mut sftp = Sftp::start(&server);
        let open = sftp.open("/f", PUT);
        let mut sent = Vec::new();
        put_string(&mut sent, &{
            let mut packet = vec![6, 0, 0, 0, 9];
            write_fields(&mut packet, &open, 0, &bytes[..200_000]);
            packet
        });
        match step {
            // In the length, in the head, in the data, behind it.
            0 => sent.truncate(2),
            1 => sent.truncate(12),
            2 => sent.truncate(150_000),
            _ => {}
        }
        sftp.send_raw(sent);
        sftp.drop_connection();
    }
    let mut sftp = Sftp::start(&server);
    assert_eq!(server.get("/f").body, b"old");
    sftp.put("/f", b"new");
    assert_eq!(server.get("/f").body, b"new");
    assert_eq!(sftp.path(13, "/f"), OK);
    crate::client::until(|| blobs(server.data()).is_empty().then_some(()));
}
