//! Commands in and out of their order, and arguments that are none: the cases that pyftpdlib's functional tests list and the
//! other files here do not have.

use std::io::Write as _;
use std::net::TcpStream;

use crate::client::{Ftp, PASSWORD, account, server};
use crate::support::poll;

#[test]
fn a_login_goes_by_the_last_user_and_ends_with_the_next() {
    let server = server();
    server.put("/box/f", b"1");
    account(&server, "boxed", "/box", "RO");
    let mut ftp = Ftp::connect(&server);
    ftp.expect(&format!("PASS {PASSWORD}"), 503);
    ftp.expect("USER", 501);
    ftp.expect("USER nobody", 331);
    ftp.expect("PWD", 530);
    assert!(ftp.try_login("anna"));
    ftp.expect(&format!("PASS {PASSWORD}"), 503);
    ftp.expect("CWD box", 250);
    // Neither place, nor rights, nor what was begun goes from one account to the next.
    ftp.expect("RNFR f", 350);
    ftp.expect("USER boxed", 331);
    ftp.expect("PWD", 530);
    assert!(ftp.try_login("boxed"));
    assert!(ftp.expect("PWD", 257).contains("\"/\""));
    ftp.expect("RNTO g", 550);
    ftp.expect("SIZE f", 213);
    ftp.expect("DELE f", 550);
    ftp.expect("REIN", 220);
    ftp.expect("SIZE f", 530);
    ftp.expect(&format!("PASS {PASSWORD}"), 503);
    assert!(ftp.try_login("anna"));
    ftp.expect("RNTO g", 503);
    ftp.expect("DELE box/f", 250);
    ftp.expect("NoOp", 200);
}

#[test]
fn every_command_that_help_names_is_known() {
    let server = server();
    let mut ftp = Ftp::login(&server);
    let help = ftp.expect("HELP", 214);
    let verbs: Vec<_> = help
        .split(|character: char| !character.is_ascii_alphanumeric())
        .filter(|word| word.len() >= 3 && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit()))
        .filter(|word| word.chars().any(|c| c.is_ascii_uppercase()))
        .collect();
    assert!(verbs.len() > 40, "{help}");
    for verb in verbs {
        // These end the session, or make the next wait for a data connection.
        if matches!(verb, "QUIT" | "REIN" | "PASV" | "EPSV") {
            continue;
        }
        let (code, text) = ftp.ask(verb);
        assert!(code != 0 && code != 500 && code != 502, "{verb}: {text}");
    }
    ftp.expect("NOOP", 200);
}

#[test]
fn addresses_that_are_none_are_refused() {
    let server = server();
    let mut ftp = Ftp::login(&server);
    for line in [
        "PORT",
        "PORT a,b,c,d,e,f",
        "PORT 127,0,0,1,1",
        "PORT 127,0,0,1,1,1,1",
        "PORT 127,0,0,1,1.1",
        "PORT 127,0,0,1,256,1",
        "PORT 256,0,0,1,8,1",
        "PORT -1,0,0,1,8,1",
        "EPRT |1|127.0.0.1|",
        "EPRT |1|127.0.0.1|65536|",
        "EPRT |1|127.0.0.1|-1|",
        "EPRT |1|1.2.3.256|2222|",
        "EPRT |1|::1|2222|",
        "EPRT |2|127.0.0.1|2222|",
        "EPRT 127.0.0.1",
    ] {
        ftp.expect(line, 501);
        ftp.expect("LIST", 425);
    }
    ftp.expect("EPRT |3|127.0.0.1|2222|", 522);
    ftp.expect("EPSV 3", 522);
    ftp.expect("EPSV ALL", 200);
    ftp.expect("PORT 127,0,0,1,8,1", 501);
    ftp.expect("EPRT |1|127.0.0.1|2222|", 501);
    assert_eq!(ftp.listing("NLST"), [""; 0]);
}

#[test]
fn a_data_connection_is_for_one_transfer() {
    let server = server();
    let mut ftp = Ftp::login(&server);
    ftp.upload("STOR f", b"1");
    for line in ["RETR f", "STOR g", "APPE f", "STOU", "LIST", "NLST", "MLSD"] {
        ftp.expect(line, 425);
    }
    assert_eq!(ftp.download("RETR f"), b"1");
    ftp.expect("RETR f", 425);
    // One that waits outlives what has nothing to do with it.
    let stream = ftp.passive();
    ftp.expect("NOOP", 200);
    ftp.expect("TYPE I", 200);
    ftp.expect("PWD", 257);
    ftp.expect("STOR g", 150);
    (&stream).write_all(b"2").unwrap();
    drop(stream);
    ftp.expect_reply(226);
    ftp.expect("ABOR", 226);
    ftp.expect("EPSV", 229);
    ftp.expect("ABOR", 226);
    assert_eq!(ftp.download("RETR g"), b"2");
    assert_eq!(server.tree(), ["/", "/f", "/g"]);
}

#[test]
fn a_restart_offset_is_for_the_next_transfer_and_the_last_one_counts() {
    let server = server();
    let mut ftp = Ftp::login(&server);
    ftp.upload("STOR f", b"0123456789");
    ftp.expect("REST 4", 350);
    ftp.expect("TYPE I", 200);
    ftp.expect("NOOP", 200);
    assert_eq!(ftp.download("RETR f"), b"456789");
    ftp.expect("REST 4", 350);
    ftp.expect("REST 0", 350);
    assert_eq!(ftp.download("RETR f"), b"0123456789");
    ftp.expect("REST 4", 350);
    assert_eq!(ftp.listing("NLST"), ["f"]);
    assert_eq!(ftp.download("RETR f"), b"0123456789");
    for line in ["APPE f", "STOU"] {
        ftp.expect("REST 4", 350);
        ftp.expect(line, 554);
    }
    ftp.expect("REST", 501);
    assert_eq!(server.get("/f").text(), "0123456789");
    assert_eq!(server.tree(), ["/", "/f"]);
}

#[test]
fn names_lead_where_they_say_and_no_further() {
    let server = server();
    let mut ftp = Ftp::login(&server);
    ftp.expect("MKD d", 257);
    ftp.expect("MKD d/e", 257);
    ftp.upload("STOR d/f", b"1");
    for path in ["d", "/d", "./d", "//d//", "d/e/..", "d/../d", "../../d"] {
        ftp.expect("CWD /", 250);
        ftp.expect(&format!("CWD {path}"), 250);
        assert!(ftp.expect("PWD", 257).contains("\"/d\""), "{path}");
        ftp.expect("SIZE f", 213);
    }
    ftp.expect("CWD /", 250);
    for line in [
        "CWD d/f",
        "CWD nope",
        "SIZE d",
        "MDTM nope",
        "MFMT 20200101000000 nope",
        "DELE d/e",
        "RMD d/f",
        "RNFR nope",
        "MKD d/f/g",
        "MLST nope",
        "HASH nope",
        "XCRC d",
    ] {
        ftp.expect(line, 550);
    }
    for to in ["d/e/d", "d/e", "nope/d", "/"] {
        ftp.expect("RNFR d", 350);
        ftp.expect(&format!("RNTO {to}"), 550);
    }
    for line in [
        "CWD",
        "MKD",
        "RMD",
        "DELE",
        "RNFR",
        "MFMT 20201301000000 d/f",
        "MFMT 20200230000000 d/f",
    ] {
        ftp.expect(line, 501);
    }
    assert_eq!(server.tree(), ["/", "/d", "/d/e", "/d/f"]);
}

#[test]
fn uploads_of_one_name_do_not_mix_and_others_are_served_meanwhile() {
    let server = server();
    let (mut one, mut two) = (Ftp::login(&server), Ftp::login(&server));
    let mut first = one.begin("STOR f");
    first.write_all(b"fir").unwrap();
    let mut second = two.begin("STOR f");
    second.write_all(b"sec").unwrap();
    let mut other = Ftp::login(&server);
    other.upload("STOR g", b"meanwhile");
    assert_eq!(other.listing("NLST"), ["g"]);
    second.write_all(b"ond").unwrap();
    second.end();
    two.expect_reply(226);
    assert_eq!(server.get("/f").text(), "second");
    first.write_all(b"st").unwrap();
    first.end();
    one.expect_reply(226);
    assert_eq!(server.get("/f").text(), "first");
}

#[test]
fn who_leaves_at_once_leaves_nothing() {
    let server = server();
    let port = server.port_of("ftp");
    for line in [
        &b""[..],
        b"USER an",
        b"USER anna\r\nPASS",
        b"QUIT\r\n",
        b"\r\n\r\n",
    ] {
        for _ in 0..40 {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.write_all(line).unwrap();
        }
    }
    let mut ftp = Ftp::login(&server);
    ftp.upload("STOR empty", b"");
    let listener = ftp.active();
    ftp.expect("RETR empty", 150);
    let mut data = listener.accept().unwrap().0;
    assert_eq!(std::io::Read::read(&mut data, &mut [0]).unwrap(), 0);
    ftp.expect_reply(226);
    // All but this one are gone from the count as soon as the server has seen them leave.
    let open = "filegrid_connections_open{protocol=\"ftp\"} 1";
    poll(|| server.probe("/metrics").text().lines().any(|line| line == open));
}
