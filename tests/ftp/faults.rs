//! Nine faults that were found in another FTP server: each would be seen here.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::client::{Ftp, server, server_with};
use crate::support::noise;

#[test]
fn fault_1_required_tls_is_not_bypassed_by_any_data_connection() {
    let server = server_with(&[("ftp_tls", "required")]);
    server.put("/f", b"1");
    let mut ftp = Ftp::connect(&server);
    ftp.expect("USER anna", 530);
    ftp.expect("PASS x", 530);
    ftp.expect("AUTH TLS", 234);
    ftp.shake(&server);
    assert!(ftp.try_login("anna"));
    for line in ["RETR f", "STOR g", "APPE f", "STOU", "LIST", "NLST", "MLSD"] {
        ftp.passive();
        ftp.expect(line, 521);
        ftp.expect("PASV", 227);
        ftp.expect(line, 521);
        let _listener = ftp.active();
        ftp.expect(line, 521);
    }
    ftp.expect("PBSZ 0", 200);
    ftp.expect("PROT C", 534);
    ftp.expect("PROT P", 200);
    ftp.protected = true;
    assert_eq!(ftp.download("RETR f"), b"1");
    assert_eq!(server.tree(), ["/", "/f"]);
}

#[test]
fn fault_2_a_restart_offset_does_not_reach_the_transfer_after_next() {
    let server = server();
    let mut ftp = Ftp::login(&server);
    ftp.upload("STOR a", b"0123456789");
    ftp.expect("REST 4", 350);
    assert_eq!(ftp.download("RETR a"), b"456789");
    ftp.upload("STOR b", b"whole");
    ftp.expect("REST 4", 350);
    ftp.passive();
    ftp.expect("RETR nope", 550);
    ftp.upload("STOR a", b"whole");
    ftp.expect("REST 4", 350);
    ftp.expect("CWD /", 250);
    ftp.upload("STOR c", b"whole");
    for name in ["a", "b", "c"] {
        assert_eq!(server.get(&format!("/{name}")).text(), "whole");
    }
}

#[test]
fn fault_3_thousands_of_upgrades_to_tls_all_succeed() {
    // Short form; the nightly one sets more.
    let rounds: usize = std::env::var("FILEGRID_HANDSHAKES").map_or(100, |rounds| rounds.parse().unwrap());
    let server = server();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let server = &server;
            scope.spawn(move || {
                for round in 0..rounds {
                    let mut ftp = Ftp::connect(server);
                    if (worker + round) % 2 == 0 {
                        ftp.expect("AUTH TLS", 234);
                        ftp.shake(server);
                    } else {
                        // The greeting of TLS in the same packet as the command.
                        ftp.shake_at_once(server);
                    }
                    ftp.expect("NOOP", 200);
                }
            });
        }
    });
}

#[test]
fn fault_3_nothing_that_came_in_the_clear_is_taken_for_tls() {
    let server = server();
    let mut ftp = Ftp::connect(&server);
    ftp.send(b"AUTH TLS\r\nUSER injected\r\n");
    ftp.expect_reply(234);
    ftp.expect_reply(421);
    assert!(ftp.is_closed());
}

#[test]
fn fault_4_abor_ends_a_transfer() {
    let server = server();
    let mut ftp = Ftp::login(&server);
    ftp.upload("STOR big", &noise(8 << 20, 1));
    for _ in 0..5 {
        let _data = ftp.begin("RETR big");
        ftp.send(b"ABOR\r\n");
        assert!(matches!(ftp.reply().0, 426 | 226));
        ftp.expect_reply(226);
        let _data = ftp.begin("STOR other");
        ftp.send(b"ABOR\r\n");
        ftp.expect_reply(426);
        ftp.expect_reply(226);
    }
    // Before the data connection is there.
    ftp.expect("EPSV", 229);
    ftp.send(b"RETR big\r\nABOR\r\n");
    ftp.expect_reply(426);
    ftp.expect_reply(226);
    assert_eq!(server.tree(), ["/", "/big"]);
}

#[test]
fn fault_5_a_command_that_is_not_understood_costs_no_connection() {
    let server = server();
    let mut ftp = Ftp::login(&server);
    for line in [
        "RETR",
        "REST x",
        "PORT 1",
        "EPRT |1|",
        "MFMT x y",
        "OPTS nothing",
        "TYPE",
        "",
        "\u{7f}",
        "PBSZ x",
    ] {
        let (code, text) = ftp.ask(line);
        assert!((500..=504).contains(&code), "{line}: {text}");
    }
    ftp.expect("NOOP", 200);
}

#[test]
fn fault_6_a_control_line_has_an_end() {
    let server = server();
    let mut ftp = Ftp::connect(&server);
    let long = format!("USER {}", "x".repeat(6000));
    ftp.expect(&long, 500);
    ftp.expect("NOOP", 200);
    ftp.send(&vec![b'x'; 100_000]);
    ftp.expect_reply(421);
    assert!(ftp.is_closed());
}

#[test]
fn fault_7_a_failed_handshake_on_a_data_connection_is_told() {
    let server = server();
    let mut ftp = Ftp::connect(&server);
    ftp.secure(&server);
    assert!(ftp.try_login("anna"));
    ftp.upload("STOR a", b"1");
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0x16, 3, 1, 0, 4, 1, 0, 0, 0],
        &[0x16],
        b"",
    ] {
        for line in ["RETR a", "STOR b", "LIST"] {
            let mut stream = ftp.passive();
            ftp.expect(line, 150);
            stream.write_all(garbage).unwrap();
            drop(stream);
            ftp.expect_reply(425);
        }
    }
    assert_eq!(ftp.download("RETR a"), b"1");
    assert_eq!(server.tree(), ["/", "/a"]);
}

#[test]
fn fault_8_an_upload_ends_with_its_control_connection() {
    let server = server();
    let mut other = Ftp::login(&server);
    for round in 0..5 {
        let mut ftp = Ftp::login(&server);
        let mut data = ftp.begin("STOR f");
        data.write_all(&noise(50_000 * (round + 1), 1)).unwrap();
        drop(ftp);
        // The server shuts the data connection.
        let ended = match &mut data {
            crate::wire::Wire::Plain(stream) => stream.read(&mut [0]),
            _ => panic!(),
        };
        assert!(matches!(ended, Ok(0) | Err(_)));
        data.end();
        other.passive();
        other.expect("RETR f", 550);
    }
    assert_eq!(server.tree(), ["/"]);
}

#[test]
fn fault_9_port_does_not_reach_third_parties_or_system_ports() {
    let server = server();
    let mut ftp = Ftp::login(&server);
    let listener = std::net::TcpListener::bind("127.0.0.2:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    for line in [
        format!("PORT 127,0,0,2,{},{}", port >> 8, port & 255),
        format!("EPRT |1|127.0.0.2|{port}|"),
        format!("EPRT |2|::1|{port}|"),
        "PORT 127,0,0,1,0,22".to_owned(),
        "EPRT |1|127.0.0.1|80|".to_owned(),
        "PORT 8,8,8,8,0,53".to_owned(),
    ] {
        ftp.expect(&line, 501);
        ftp.expect("LIST", 425);
    }
    assert!(listener.accept().is_err());
    // An open and a closed port of one's own are not told apart by more than what one knows.
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    ftp.expect(&format!("EPRT |1|127.0.0.1|{closed}|"), 200);
    assert!(!ftp.expect("LIST", 425).to_lowercase().contains("refused"));
    assert!(TcpStream::connect(("127.0.0.1", server.port_of("ftp"))).is_ok());
}
