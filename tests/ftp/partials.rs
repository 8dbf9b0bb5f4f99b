//! Uploads that break: what has arrived is kept, and gone on with.

use std::io::Write as _;
use std::process::Command;

use serde_json::json;

use crate::client::{Ftp, NAME, PASSWORD, account, server, server_with};
use crate::programs::{directory, run, well};
use crate::support::{Server, blobs, noise, poll};
use crate::wire::Wire;

/// Below and beyond what fits the log, and the smallest buffer.
const SIZES: [usize; 3] = [2000, 100_000, 600_000];

/// A session with TLS: uploads can be cut off without a byte being lost on the way.
#[track_caller]
fn login_as(server: &Server, name: &str) -> Ftp {
    let mut ftp = Ftp::connect(server);
    ftp.secure(server);
    assert!(ftp.try_login(name));
    ftp
}

fn login(server: &Server) -> Ftp {
    login_as(server, NAME)
}

/// Begins an upload, sends some bytes, and ends it without close_notify.
#[track_caller]
fn broken(ftp: &mut Ftp, line: &str, bytes: &[u8]) {
    let Wire::Secure(mut stream) = ftp.begin(line) else {
        panic!("not secure")
    };
    stream.write_all(bytes).unwrap();
    stream.flush().unwrap();
    stream.sock.shutdown(std::net::Shutdown::Write).unwrap();
    ftp.expect_reply(426);
}

#[track_caller]
fn size(ftp: &mut Ftp, name: &str) -> usize {
    let text = ftp.expect(&format!("SIZE {name}"), 213);
    text.trim_end()[4..].parse().unwrap()
}

#[test]
fn a_broken_upload_goes_on_and_the_old_file_stays_until_then() {
    let server = server();
    account(&server, "bert", "/", "RW");
    let mut bert = login_as(&server, "bert");
    for (old, length) in [(&b"old"[..], SIZES[0]), (b"", SIZES[1]), (b"old", SIZES[2])] {
        let bytes = noise(length, 1);
        let name = format!("f{length}");
        let mut ftp = login(&server);
        if !old.is_empty() {
            ftp.upload(&format!("STOR {name}"), old);
        }
        broken(&mut ftp, &format!("STOR {name}"), &bytes[..length / 2]);
        // Another session goes on, and breaks too.
        let mut ftp = login(&server);
        assert_eq!(size(&mut ftp, &name), length / 2);
        let facts = ftp.expect(&format!("MLST {name}"), 250);
        assert!(facts.contains(&format!("size={};", length / 2)), "{facts}");
        ftp.expect(&format!("REST {}", length / 2), 350);
        broken(
            &mut ftp,
            &format!("STOR {name}"),
            &bytes[length / 2..length / 4 * 3],
        );
        assert_eq!(size(&mut ftp, &name), length / 4 * 3);
        // Nobody else sees any of it.
        let listed = ftp.listing("NLST");
        assert_eq!(listed.contains(&name), !old.is_empty());
        if old.is_empty() {
            bert.expect(&format!("SIZE {name}"), 550);
            ftp.passive();
            ftp.expect(&format!("RETR {name}"), 550);
        } else {
            assert_eq!(size(&mut bert, &name), 3);
            assert_eq!(server.get(&format!("/{name}")).text(), "old");
            assert_eq!(ftp.download(&format!("RETR {name}")), b"old");
            assert!(
                ftp.listing("MLSD")
                    .iter()
                    .any(|line| line.contains("size=3;") && line.ends_with(&name))
            );
        }
        ftp.expect(&format!("REST {}", length + 1), 350);
        ftp.passive();
        ftp.expect(&format!("STOR {name}"), 554);
        ftp.expect(&format!("REST {}", length / 4 * 3), 350);
        ftp.upload(&format!("STOR {name}"), &bytes[length / 4 * 3..]);
        assert!(server.get(&format!("/{name}")).body == bytes);
        assert_eq!(size(&mut ftp, &name), length);
        assert!(ftp.download(&format!("RETR {name}")) == bytes);
    }
    assert!(ftp_hash(&server, "f600000").contains(" 0-600000 "));
}

fn ftp_hash(server: &Server, name: &str) -> String {
    login(server).expect(&format!("HASH {name}"), 213)
}

#[test]
fn what_is_kept_is_cut_continued_or_dropped() {
    let server = server();
    let mut ftp = login(&server);
    for length in SIZES {
        let bytes = noise(length, 2);
        // A restart inside cuts it.
        broken(&mut ftp, "STOR f", &bytes[..length / 2]);
        ftp.expect(&format!("REST {}", length / 3), 350);
        ftp.upload("STOR f", b"end");
        let cut = [&bytes[..length / 3], b"end"].concat();
        assert!(server.get("/f").body == cut, "{length}");
        // APPE goes on at its end, as curl does it.
        broken(&mut ftp, "STOR f", &bytes[..length / 2]);
        ftp.upload("APPE f", &bytes[length / 2..]);
        assert!(server.get("/f").body == bytes, "{length}");
        // A broken continuation of a published file is kept with what it goes on from.
        ftp.expect(&format!("REST {}", length / 2), 350);
        broken(&mut ftp, "STOR f", b"other");
        assert_eq!(size(&mut ftp, "f"), length / 2 + 5);
        assert!(server.get("/f").body == bytes, "{length}");
        ftp.upload("APPE f", b"");
        let other = [&bytes[..length / 2], b"other"].concat();
        assert!(server.get("/f").body == other, "{length}");
        broken(&mut ftp, "APPE f", b" and");
        ftp.upload("APPE f", b" more");
        assert!(
            server.get("/f").body == [&other[..], b" and more"].concat(),
            "{length}"
        );
        // From the beginning: what was kept is gone, also if nothing comes of it.
        broken(&mut ftp, "STOR f", &bytes);
        broken(&mut ftp, "STOR f", b"");
        assert_eq!(size(&mut ftp, "f"), other.len() + 9);
        broken(&mut ftp, "STOR f", &bytes);
        ftp.upload("STOR f", b"whole");
        assert_eq!(server.get("/f").text(), "whole");
        ftp.expect("DELE f", 250);
    }
    assert_eq!(server.tree(), ["/"]);
    poll(|| blobs(server.data()).is_empty());
}

#[test]
fn what_is_kept_ends_when_the_file_is_another_by_now() {
    let server = server();
    let mut ftp = login(&server);
    let bytes = noise(300_000, 3);
    ftp.expect("MKD d", 257);
    let ends: [&dyn Fn(&mut Ftp); 5] = [
        &|_| server.put("/d/f", b"by rest"),
        &|ftp| ftp.upload("STOR d/f", b"again"),
        &|ftp| drop(ftp.expect("DELE d/f", 250)),
        &|ftp| {
            ftp.expect("RNFR d/f", 350);
            ftp.expect("RNTO d/g", 250);
            ftp.expect("DELE d/g", 250);
        },
        &|_| drop(server.call("/api/delete", json!({"Filelist": ["/d"]}))),
    ];
    for end in ends {
        if !server.tree().contains(&"/d".to_owned()) {
            ftp.expect("MKD d", 257);
        }
        ftp.upload("STOR d/f", b"before");
        broken(&mut ftp, "STOR d/f", &bytes);
        assert_eq!(size(&mut ftp, "d/f"), bytes.len());
        end(&mut ftp);
        let (code, text) = ftp.ask("SIZE d/f");
        assert!(code == 550 || text.trim_end().len() < 8, "{text}");
        poll(|| blobs(server.data()).is_empty());
    }
    // An upload that goes on while somebody replaces the file is refused, and nothing of it is kept.
    ftp.expect("MKD d", 257);
    ftp.upload("STOR d/f", b"before");
    broken(&mut ftp, "STOR d/f", &bytes[..1000]);
    ftp.expect("REST 1000", 350);
    let mut data = ftp.begin("STOR d/f");
    data.write_all(b"more").unwrap();
    server.put("/d/f", b"by rest");
    data.end();
    ftp.expect_reply(550);
    assert_eq!(server.get("/d/f").text(), "by rest");
    assert_eq!(size(&mut ftp, "d/f"), 7);
    // DELE of what is only kept is no error to its account.
    broken(&mut ftp, "STOR d/new", &bytes);
    ftp.expect("DELE d/new", 250);
    ftp.expect("SIZE d/new", 550);
    ftp.expect("DELE d/new", 550);
    poll(|| blobs(server.data()).is_empty());
}

#[test]
fn what_is_kept_outlives_a_restart_and_ends_in_time_and_with_its_account() {
    let mut server = server();
    let bytes = noise(400_000, 4);
    let mut ftp = login(&server);
    broken(&mut ftp, "STOR large", &bytes);
    broken(&mut ftp, "STOR small", &bytes[..5000]);
    server.kill_and_restart();
    server.stop_and_restart();
    let mut ftp = login(&server);
    assert_eq!(
        (size(&mut ftp, "large"), size(&mut ftp, "small")),
        (400_000, 5000)
    );
    ftp.upload("APPE small", b"!");
    ftp.upload("APPE large", b"!");
    for (name, length) in [("large", 400_000), ("small", 5000)] {
        assert!(server.get(&format!("/{name}")).body == [&bytes[..length], b"!"].concat());
    }
    ftp.expect("DELE large", 250);
    // The account goes.
    let id = account(&server, "bert", "/not/yet/there", "RW");
    let mut bert = login_as(&server, "bert");
    broken(&mut bert, "STOR f", &bytes);
    assert_eq!(size(&mut bert, "f"), 400_000);
    server.delete_account(id);
    poll(|| blobs(server.data()).is_empty());
    // The time is over.
    broken(&mut ftp, "STOR f", &bytes);
    drop(ftp);
    server.set("keep_partial_s", "1");
    server.stop_and_restart();
    let mut ftp = login(&server);
    poll(|| ftp.ask("SIZE f").0 == 550);
    poll(|| blobs(server.data()).is_empty());
}

#[test]
fn nothing_is_kept_where_the_operator_says_so_nor_of_unique_names() {
    let none = server_with(&[("keep_partial_s", "0")]);
    let mut ftp = login(&none);
    broken(&mut ftp, "STOR f", &noise(300_000, 5));
    ftp.expect("SIZE f", 550);
    poll(|| blobs(none.data()).is_empty());
    let server = server();
    let mut ftp = login(&server);
    let stream = ftp.passive();
    let intro = ftp.expect("STOU", 150);
    let name = intro.trim_end().strip_prefix("150 FILE: ").unwrap().to_owned();
    let Wire::Secure(mut stream) = ftp.wire(stream) else {
        panic!("not secure")
    };
    stream.write_all(&noise(300_000, 5)).unwrap();
    stream.sock.shutdown(std::net::Shutdown::Both).unwrap();
    ftp.expect_reply(426);
    ftp.expect(&format!("SIZE {name}"), 550);
    poll(|| blobs(server.data()).is_empty());
}

#[test]
fn a_lost_control_connection_and_abor_leave_what_has_arrived() {
    let server = server();
    let bytes = noise(200_000, 6);
    let mut ftp = Ftp::login(&server);
    let mut data = ftp.begin("STOR lost");
    data.write_all(&bytes).unwrap();
    drop(ftp);
    let mut ftp = Ftp::login(&server);
    poll(|| ftp.ask("SIZE lost").0 == 213);
    let arrived = size(&mut ftp, "lost");
    ftp.expect(&format!("REST {arrived}"), 350);
    ftp.upload("STOR lost", &bytes[arrived..]);
    assert!(server.get("/lost").body == bytes);
    // ABOR, in the clear.
    let mut data = ftp.begin("STOR aborted");
    data.write_all(&bytes).unwrap();
    ftp.send(b"ABOR\r\n");
    ftp.expect_reply(426);
    ftp.expect_reply(226);
    if let (213, text) = ftp.ask("SIZE aborted") {
        let arrived: usize = text.trim_end()[4..].parse().unwrap();
        ftp.upload("APPE aborted", &bytes[arrived..]);
        assert!(server.get("/aborted").body == bytes);
    }
}

#[test]
fn clients_go_on_with_what_they_had_sent() {
    let server = server();
    let files = directory(&server, "files");
    let bytes = noise(500_000, 7);
    let up = files.join("up");
    std::fs::write(&up, &bytes).unwrap();
    server.put("/up", b"old");
    let port = server.port_of("ftp");
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-u", &format!("{NAME}:{PASSWORD}"), "-C", "-", "-T"]);
    curl.arg(&up).arg(format!("ftp://127.0.0.1:{port}/up"));
    let mut lftp = Command::new("lftp");
    let script = format!(
        "set cmd:fail-exit yes; set ftp:ssl-allow no; set net:max-retries 2; \
         open -u {NAME},'{PASSWORD}' ftp://127.0.0.1:{port}; put -c {} -o up; bye",
        up.display()
    );
    lftp.args(["--norc", "-c", &script]);
    for mut client in [curl, lftp] {
        broken(&mut login(&server), "STOR up", &bytes[..200_000]);
        let Some(output) = run(&mut client) else { continue };
        well(&output);
        assert!(server.get("/up").body == bytes);
        // Only what was missing came over the wire.
        let log = server.log();
        let last = log.lines().rfind(|line| line.contains("transfer"));
        assert!(last.is_some_and(|line| line.contains("300000")), "{log}");
        server.put("/up", b"old");
    }
}
