//! Everything but transfers.

use serde_json::json;

use crate::client::{Ftp, account, server, server_with};

#[test]
fn sessions_are_counted_by_their_protocol() {
    let server = server();
    let mut ftp = Ftp::login(&server);
    ftp.upload("STOR a", b"12345");
    assert_eq!(ftp.download("RETR a"), b"12345");
    ftp.expect("NONSENSE", 500);
    assert!(!Ftp::connect(&server).try_login("nobody"));
    let scraped = server.probe("/metrics").text();
    for series in [
        "filegrid_connections_open{protocol=\"ftp\"} 1",
        "filegrid_changes_total{protocol=\"ftp\"} 1",
        "filegrid_payload_received_bytes_total{protocol=\"ftp\"} 5",
        "filegrid_payload_sent_bytes_total{protocol=\"ftp\"} 5",
        "filegrid_answers_total{protocol=\"ftp\",class=\"5xx\"} 2",
        "filegrid_logins_total{protocol=\"ftp\",outcome=\"accepted\"} 1",
        "filegrid_logins_total{protocol=\"ftp\",outcome=\"failed\"} 1",
        "filegrid_changes_total{protocol=\"ftps\"} 0",
    ] {
        assert!(
            scraped.lines().any(|line| line == series),
            "{series} is not in\n{scraped}"
        );
    }
}

#[test]
fn a_session_says_what_it_knows() {
    let server = server();
    let mut ftp = Ftp::connect(&server);
    for feature in [
        "AUTH TLS",
        "EPSV",
        "HASH SHA-256*;CRC32",
        "MLST type*;",
        "REST STREAM",
        "TVFS",
        "UTF8",
    ] {
        assert!(ftp.expect("FEAT", 211).contains(feature), "{feature}");
    }
    assert!(ftp.expect("HELP", 214).contains("STOU"));
    ftp.expect("SYST", 215);
    ftp.expect("OPTS UTF8 ON", 200);
    ftp.expect("LIST", 530);
    ftp.expect("HOST ftp.example.com", 220);
    assert!(Ftp::login(&server).expect("STAT", 211).contains("anna"));
    let mut ftp = Ftp::login(&server);
    for (line, code) in [
        ("NOOP", 200),
        ("TYPE A", 200),
        ("TYPE I", 200),
        ("TYPE E", 504),
        ("MODE S", 200),
        ("MODE Z", 504),
        ("STRU F", 200),
        ("STRU R", 504),
        ("ALLO 100", 202),
        ("ACCT x", 202),
        ("CLNT test", 200),
        ("LANG EN", 200),
        ("LANG FR", 504),
        ("SITE HELP", 214),
        ("SITE CHMOD 644 a", 202),
        ("CCC", 533),
        ("AVBL", 213),
        ("SMNT /", 502),
        ("NONSENSE", 500),
        ("HOST x", 503),
        ("REIN", 220),
        ("PWD", 530),
        ("QUIT", 221),
    ] {
        ftp.expect(line, code);
    }
    assert!(ftp.is_closed());
}

#[test]
fn directories_are_made_entered_renamed_and_removed() {
    let server = server();
    let mut ftp = Ftp::login(&server);
    assert!(ftp.expect("MKD a", 257).contains("\"/a\""));
    ftp.expect("MKD a", 550);
    ftp.expect("MKD x/y", 550);
    ftp.expect("CWD a", 250);
    ftp.expect("XMKD b \"c\"", 257);
    assert!(ftp.expect("CWD b \"c\"", 250).contains("\"/a/b \"\"c\"\"\""));
    assert!(ftp.expect("XPWD", 257).contains("\"/a/b \"\"c\"\"\""));
    ftp.expect("CDUP", 250);
    ftp.expect("XCUP", 250);
    ftp.expect("CDUP", 250);
    assert!(ftp.expect("PWD", 257).contains("\"/\""));
    ftp.expect("RMD a", 550);
    ftp.expect("RMD a/b \"c\"", 250);
    ftp.expect("RNFR a", 350);
    ftp.expect("RNTO z", 250);
    ftp.expect("RNFR a", 550);
    ftp.expect("RNTO z", 503);
    ftp.expect("CWD a", 550);
    ftp.expect("XRMD z", 250);
    ftp.expect("RMD z", 550);
    ftp.expect("RMD /", 550);
    ftp.expect("CWD ../../..", 250);
    assert_eq!(server.tree(), ["/"]);
}

#[test]
fn a_file_is_renamed_over_another_and_removed_as_a_file_only() {
    let server = server();
    let mut ftp = Ftp::login(&server);
    // A camera's habit.
    ftp.upload("STOR shot.tmp", b"new");
    ftp.upload("STOR shot.jpg", b"old");
    ftp.expect("RNFR shot.tmp", 350);
    ftp.expect("RNTO shot.jpg", 250);
    assert_eq!(server.get("/shot.jpg").text(), "new");
    ftp.expect("MKD d", 257);
    ftp.expect("DELE d", 550);
    ftp.expect("RMD shot.jpg", 550);
    ftp.expect("DELE shot.jpg", 250);
    ftp.expect("DELE shot.jpg", 550);
    assert_eq!(server.tree(), ["/", "/d"]);
}

#[test]
fn sizes_times_and_sums_are_told() {
    let server = server();
    let mut ftp = Ftp::login(&server);
    ftp.upload("STOR a b", b"123456789");
    assert_eq!(ftp.expect("SIZE a b", 213), "213 9\r\n");
    ftp.expect("SIZE /", 550);
    assert_eq!(
        ftp.expect("MFMT 20200229123456 a b", 213),
        "213 Modify=20200229123456; a b\r\n"
    );
    assert_eq!(ftp.expect("MDTM a b", 213), "213 20200229123456\r\n");
    ftp.expect("MDTM 20210101000000 a b", 213);
    assert_eq!(ftp.expect("MDTM a b", 213), "213 20210101000000\r\n");
    assert_eq!(ftp.expect("XCRC a b", 250), "250 CBF43926\r\n");
    let sum = "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225";
    assert_eq!(
        ftp.expect("HASH a b", 213),
        format!("213 SHA-256 0-9 {sum} a b\r\n")
    );
    assert_eq!(
        ftp.expect("XSHA256 \"a b\"", 250),
        format!("250 {}\r\n", sum.to_uppercase())
    );
    ftp.expect("OPTS HASH MD5", 504);
    ftp.expect("OPTS HASH CRC32", 200);
    assert_eq!(ftp.expect("HASH a b", 213), "213 CRC32 0-9 cbf43926 a b\r\n");
    let facts = ftp.expect("MLST a b", 250);
    assert!(
        facts.contains(" type=file;size=9;modify=20210101000000;"),
        "{facts}"
    );
    ftp.expect("OPTS MLST size;", 200);
    assert!(ftp.expect("MLST a b", 250).contains(" size=9; /a b\r\n"));
    ftp.expect("MLST nope", 550);
}

#[test]
fn listings_have_their_forms() {
    let server = server();
    server.put("/d/one.txt", b"1");
    server.put("/d/two.bin", b"22");
    server.put("/d/new", b"3");
    server.call(
        "/api/move",
        json!({"Movelist": [{"from": "/d/new", "to": "/d/new\nline"}]}),
    );
    server.call("/api/mkdir", json!({"Params": "/d/sub"}));
    let mut ftp = Ftp::login(&server);
    let long = ftp.listing("LIST -la d");
    assert_eq!(long.len(), 4);
    assert!(
        long[0].starts_with("-rw-r--r--   1 ftp      ftp                 1 ")
            && long[0].ends_with(" new?line")
    );
    assert!(long[2].starts_with("drwxr-xr-x"), "{long:?}");
    assert_eq!(ftp.listing("NLST d"), ["new?line", "one.txt", "sub", "two.bin"]);
    assert_eq!(ftp.listing("NLST d/*.txt"), ["d/one.txt"]);
    ftp.expect("CWD d", 250);
    assert_eq!(ftp.listing("NLST t?o*"), ["two.bin"]);
    assert_eq!(ftp.listing("LIST one.txt").len(), 1);
    let facts = ftp.listing("MLSD");
    assert!(facts[1].starts_with("type=file;size=1;modify="), "{facts:?}");
    assert!(facts[1].ends_with(";perm=adfrw; one.txt"));
    assert!(facts[2].starts_with("type=dir;modify="));
    let stat = ftp.expect("STAT .", 213);
    assert_eq!(stat.lines().count(), 6);
    assert!(stat.lines().nth(2).unwrap().starts_with(" -rw"), "{stat}");
    ftp.passive();
    ftp.expect("LIST nope", 550);
    ftp.expect("MLSD one.txt", 501);
    ftp.expect("MLSD nope", 550);
    ftp.expect("LIST", 425);
    ftp.expect("CWD /", 250);
    ftp.expect("RMD d", 550);
}

#[test]
fn a_large_directory_is_listed_whole() {
    let server = server();
    let names: Vec<String> = (0..5000)
        .map(|number| format!("entry-{number:05}-{}", "x".repeat(60)))
        .collect();
    for names in names.chunks(1000) {
        let files: Vec<_> = names
            .iter()
            .map(|name| ("f", name.as_str(), b"".as_slice()))
            .collect();
        assert_eq!(server.upload(&files, None).status, 200);
    }
    let mut ftp = Ftp::login(&server);
    assert_eq!(ftp.listing("NLST"), names);
    assert_eq!(ftp.listing("MLSD").len(), 5000);
    assert_eq!(ftp.expect("STAT /", 213).lines().count(), 5002);
}

#[test]
fn an_account_is_bounded_by_its_root_and_its_rights() {
    let server = server();
    server.put("/secret", b"1");
    account(&server, "boxed", "/box", "RW");
    account(&server, "reader", "/box", "RO");
    let mut ftp = Ftp::login_as(&server, "boxed");
    // The root need not be there.
    assert_eq!(ftp.listing("LIST"), [""; 0]);
    ftp.expect("CWD ..", 250);
    ftp.expect("MLST /", 250);
    ftp.upload("STOR mine", b"2");
    ftp.expect("SIZE /secret", 550);
    ftp.expect("SIZE ../secret", 550);
    ftp.expect("RNFR mine", 350);
    ftp.expect("RNTO ../../renamed", 250);
    assert_eq!(server.tree(), ["/", "/box", "/box/renamed", "/secret"]);
    let bare = Ftp::login_as(&server, &format!("boxed@{}", server.association())).expect("PWD", 257);
    assert!(bare.contains("\"/\""));
    let mut ftp = Ftp::login_as(&server, "reader");
    assert_eq!(ftp.download("RETR renamed"), b"2");
    assert!(ftp.listing("LIST")[0].starts_with("-r--r--r--"));
    assert!(ftp.listing("MLSD")[0].contains("perm=r;"));
    for line in [
        "STOR a",
        "APPE renamed",
        "STOU",
        "DELE renamed",
        "MKD d",
        "RMD d",
        "RNFR renamed",
        "MFMT 20200101000000 renamed",
        "MDTM 20200101000000 renamed",
    ] {
        ftp.expect(line, 550);
    }
    assert_eq!(server.get("/box/renamed").text(), "2");
}

#[test]
fn commands_come_pipelined_and_with_telnet_in_them() {
    let server = server();
    let mut ftp = Ftp::login(&server);
    ftp.send(b"NOOP\r\nPWD\r\n\xff\xfb\x01SYST\r\n\xff\xf4\xff\xf2ABOR\r\nMKD \xc3\xa9t\xc3\xa9\n");
    for code in [200, 257, 215, 226, 257] {
        assert_eq!(ftp.reply().0, code);
    }
    assert_eq!(server.tree(), ["/", "/été"]);
    ftp.expect("MKD a\0b", 501);
    ftp.send(b"MKD \xff\xfe\r\n");
    assert_eq!(ftp.reply().0, 501);
}

#[test]
fn passive_addresses_follow_the_rules_and_ports_the_range() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let range = format!("{port}-{port}");
    let settings = [
        ("ftp_public_addresses", "10.0.0.0/8=own,127.0.0.0/8=192.0.2.7"),
        ("ftp_passive_ports", range.as_str()),
    ];
    let mut server = server_with(&settings);
    server.announce("no port for a data connection");
    let mut ftp = Ftp::login(&server);
    let numbers = format!("(192,0,2,7,{},{})", port >> 8, port & 255);
    assert!(ftp.expect("PASV", 227).contains(&numbers));
    let mut other = Ftp::login(&server);
    other.expect("EPSV", 425);
    // A new one takes the place of the old.
    ftp.expect("EPSV", 229);
    ftp.expect("QUIT", 221);
    assert!(ftp.is_closed());
    other.upload("STOR again", b"1");
    // A port whose last connection was closed by this side a moment ago is free.
    for _ in 0..5 {
        assert_eq!(other.download("RETR again"), b"1");
    }
    other.expect("EPSV 2", 522);
    other.expect("EPSV ALL", 200);
    other.expect("PASV", 501);
}

#[test]
fn everything_works_over_ipv6() {
    let server = server_with(&[("ftp", "[::1]:0")]);
    let address = (std::net::Ipv6Addr::LOCALHOST, server.port_of("ftp")).into();
    let mut ftp = Ftp::connect_to(address);
    assert!(ftp.try_login("anna"));
    ftp.upload("STOR six", b"6");
    ftp.expect("PASV", 425);
    ftp.expect("EPSV 1", 522);
    let listener = ftp.active();
    ftp.expect("RETR six", 150);
    let mut text = String::new();
    std::io::Read::read_to_string(&mut listener.accept().unwrap().0, &mut text).unwrap();
    ftp.expect_reply(226);
    assert_eq!(text, "6");
}
