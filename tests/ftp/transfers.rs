//! Files in and out.

use std::io::{Read as _, Write as _};

use serde_json::json;

use crate::client::{Ftp, server, server_with};
use crate::support::noise;

#[test]
fn what_goes_in_comes_out_whatever_its_size() {
    let server = server();
    let mut ftp = Ftp::login(&server);
    for size in [
        0,
        1,
        4095,
        16_384,
        16_385,
        131_072,
        131_073,
        135_168,
        135_169,
        1 << 20,
        (5 << 20) + 17,
    ] {
        let bytes = noise(size, size as u64);
        ftp.upload(&format!("STOR {size}"), &bytes);
        assert!(ftp.download(&format!("RETR {size}")) == bytes, "{size}");
        assert!(server.get(&format!("/{size}")).body == bytes, "{size}");
        assert_eq!(
            ftp.expect(&format!("SIZE {size}"), 213),
            format!("213 {size}\r\n")
        );
    }
    let entry = server.call("/api/list/tree", json!({"Params": "/4095"}))[0].clone();
    assert_eq!(entry["protocol"], "FTP");
    server.put("/by-rest", b"from the other side");
    assert_eq!(ftp.download("RETR by-rest"), b"from the other side");
}

#[test]
fn data_connections_are_opened_from_both_sides() {
    let server = server();
    let mut ftp = Ftp::login(&server);
    let listener = ftp.active();
    ftp.expect("STOR a", 150);
    listener.accept().unwrap().0.write_all(b"active").unwrap();
    ftp.expect_reply(226);
    assert_eq!(ftp.download("RETR a"), b"active");
    // PORT is read as EPRT is.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    ftp.expect(&format!("PORT 127,0,0,1,{},{}", port >> 8, port & 255), 200);
    ftp.expect("RETR a", 150);
    let mut text = String::new();
    listener.accept().unwrap().0.read_to_string(&mut text).unwrap();
    assert_eq!(text, "active");
    ftp.expect_reply(226);
    // Nobody listens there any more.
    ftp.expect(&format!("EPRT |1|127.0.0.1|{port}|"), 200);
    drop(listener);
    ftp.expect("RETR a", 425);
    ftp.expect("NOOP", 200);
}

#[test]
fn downloads_and_uploads_go_on_where_they_ended() {
    let server = server();
    let mut ftp = Ftp::login(&server);
    for size in [1000, 500_000] {
        let bytes = noise(size, 7);
        let name = format!("r{size}");
        ftp.upload(&format!("STOR {name}"), &bytes[..size / 2]);
        ftp.expect(&format!("REST {}", size / 2), 350);
        ftp.upload(&format!("STOR {name}"), &bytes[size / 2..]);
        assert!(server.get(&format!("/{name}")).body == bytes);
        ftp.expect(&format!("REST {}", size / 3), 350);
        assert!(ftp.download(&format!("RETR {name}")) == bytes[size / 3..]);
        ftp.expect(&format!("REST {size}"), 350);
        assert_eq!(ftp.download(&format!("RETR {name}")), b"");
        // Into the middle: what was behind is gone.
        ftp.expect(&format!("REST {}", size / 4), 350);
        ftp.upload(&format!("STOR {name}"), b"end");
        let mut cut = bytes[..size / 4].to_vec();
        cut.extend_from_slice(b"end");
        assert!(server.get(&format!("/{name}")).body == cut);
        ftp.upload(&format!("APPE {name}"), b"of it");
        cut.extend_from_slice(b"of it");
        assert!(ftp.download(&format!("RETR {name}")) == cut);
        assert_eq!(
            ftp.expect(&format!("XCRC {name}"), 250),
            format!("250 {:08X}\r\n", crc32fast::hash(&cut))
        );
        ftp.expect(&format!("REST {}", size * 2), 350);
        ftp.passive();
        ftp.expect(&format!("RETR {name}"), 554);
        ftp.expect(&format!("REST {}", size * 2), 350);
        ftp.expect(&format!("STOR {name}"), 554);
    }
    ftp.upload("APPE fresh", b"1");
    ftp.upload("APPE fresh", b"");
    ftp.upload("APPE fresh", b"2");
    assert_eq!(server.get("/fresh").text(), "12");
    // The checksum pass reads over all pieces.
    assert!(ftp.expect("HASH fresh", 213).contains(" 0-2 "));
}

#[test]
fn many_small_appends_stay_one_file() {
    let server = server();
    let mut ftp = Ftp::login(&server);
    let mut expected = String::new();
    for number in 0..300 {
        let line = format!("line {number}\n");
        ftp.upload("APPE log", line.as_bytes());
        expected += &line;
    }
    assert_eq!(server.get("/log").text(), expected);
}

#[test]
fn appends_at_the_same_time_are_all_there() {
    let server = server();
    Ftp::login(&server).upload("APPE shared", b"");
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let server = &server;
            scope.spawn(move || {
                let mut ftp = Ftp::login(server);
                for _ in 0..10 {
                    ftp.upload("APPE shared", format!("{worker}\n").as_bytes());
                }
            });
        }
    });
    let text = server.get("/shared").text();
    for worker in 0..4 {
        assert_eq!(
            text.lines().filter(|line| *line == worker.to_string()).count(),
            10
        );
    }
}

#[test]
fn unique_names_are_told() {
    let server = server();
    let mut ftp = Ftp::login(&server);
    let stream = ftp.passive();
    let intro = ftp.expect("STOU", 150);
    let name = intro.trim_end().strip_prefix("150 FILE: ").unwrap().to_owned();
    (&stream).write_all(b"unique").unwrap();
    drop(stream);
    ftp.expect_reply(226);
    assert_eq!(server.get(&format!("/{name}")).text(), "unique");
}

#[test]
fn a_file_appears_when_it_is_whole_and_the_old_one_stays_until_then() {
    let server = server();
    let mut ftp = Ftp::login(&server);
    ftp.upload("STOR f", b"old");
    let mut data = ftp.begin("STOR f");
    data.write_all(&noise(300_000, 1)).unwrap();
    assert_eq!(server.get("/f").text(), "old");
    ftp.send(b"ABOR\r\n");
    ftp.expect_reply(426);
    ftp.expect_reply(226);
    assert_eq!(server.get("/f").text(), "old");
    // A connection that breaks is no end of a file.
    let data = ftp.passive();
    ftp.expect("STOR f", 150);
    (&data).write_all(&noise(1000, 1)).unwrap();
    reset(data);
    ftp.expect_reply(426);
    assert_eq!(server.get("/f").text(), "old");
    let mut data = ftp.begin("STOR f");
    data.write_all(b"new").unwrap();
    data.end();
    ftp.expect_reply(226);
    assert_eq!(server.get("/f").text(), "new");
    for line in [
        "STOR nope/f",
        "STOR f/g",
        "STOR /",
        "APPE /",
        "RETR nope",
        "RETR /",
    ] {
        ftp.passive();
        ftp.expect(line, 550);
    }
}

/// Closes a connection with RST instead of FIN.
fn reset(stream: std::net::TcpStream) {
    rustix::net::sockopt::set_socket_linger(&stream, Some(std::time::Duration::ZERO)).unwrap();
    drop(stream);
}

#[test]
fn a_transfer_can_be_asked_after_and_aborted() {
    let server = server();
    let mut ftp = Ftp::login(&server);
    ftp.upload("STOR big", &noise(20 << 20, 3));
    let mut data = ftp.begin("RETR big");
    ftp.expect("STAT", 213);
    // As old clients abort: telnet, the last byte urgent.
    ftp.send(b"\xff\xf4\xff\xf2ABOR\r\n");
    ftp.expect_reply(426);
    ftp.expect_reply(226);
    let mut rest = Vec::new();
    let _ = data.read_to_end(&mut rest);
    assert!(rest.len() < 20 << 20);
    assert_eq!(ftp.download("RETR big").len(), 20 << 20);
    // What is sent ahead is answered in its turn; QUIT lets the transfer end.
    let stream = ftp.passive();
    ftp.send(b"RETR big\r\nNOOP\r\nQUIT\r\n");
    ftp.expect_reply(150);
    let mut bytes = Vec::new();
    (&stream).read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len(), 20 << 20);
    for code in [226, 200, 221] {
        ftp.expect_reply(code);
    }
}

#[test]
fn a_transfer_in_flight_finishes_before_the_stop_and_idle_sessions_end() {
    let mut server = server();
    let mut idle = Ftp::login(&server);
    let mut anonymous = Ftp::connect(&server);
    let mut ftp = Ftp::login(&server);
    let mut data = ftp.begin("STOR late");
    data.write_all(b"first ").unwrap();
    server.terminate();
    idle.expect_reply(421);
    assert!(idle.is_closed());
    anonymous.expect_reply(421);
    data.write_all(b"and last").unwrap();
    data.end();
    ftp.expect_reply(226);
    ftp.expect_reply(421);
    assert!(server.wait_for_end().success());
    server.restart();
    assert_eq!(server.get("/late").text(), "first and last");
}

#[test]
fn type_a_changes_nothing() {
    let server = server_with(&[("ftp_active", "false")]);
    let mut ftp = Ftp::login(&server);
    ftp.expect("TYPE A", 200);
    ftp.upload("STOR text", b"a\nb\r\nc");
    assert_eq!(ftp.download("RETR text"), b"a\nb\r\nc");
    assert_eq!(ftp.expect("SIZE text", 213), "213 6\r\n");
    ftp.expect("PORT 127,0,0,1,100,1", 502);
}
