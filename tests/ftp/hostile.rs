//! Those who wait, stall, guess, and come uninvited.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::json;

use crate::client::{Ftp, account, server, server_with};
use crate::support::noise;

#[test]
fn who_says_nothing_is_let_go() {
    let server = server_with(&[("ftp_login_timeout_s", "1"), ("ftp_idle_timeout_s", "1")]);
    let mut silent = Ftp::connect(&server);
    let mut idle = Ftp::login(&server);
    // Talk without a login is no login.
    let mut talking = Ftp::connect(&server);
    silent.expect_reply(421);
    assert!(silent.is_closed());
    idle.expect_reply(421);
    assert!(idle.is_closed());
    while talking.ask("NOOP").0 == 200 {}
    assert!(talking.is_closed());
}

#[test]
fn a_data_connection_that_nobody_opens_or_that_stalls_is_given_up() {
    let server = server_with(&[("ftp_data_timeout_s", "1"), ("stall_timeout_s", "1")]);
    let mut ftp = Ftp::login(&server);
    ftp.expect("EPSV", 229);
    ftp.expect("LIST", 425);
    let mut data = ftp.begin("STOR stalls");
    data.write_all(b"some").unwrap();
    ftp.expect_reply(426);
    ftp.upload("STOR big", &noise(30 << 20, 1));
    let _unread = ftp.begin("RETR big");
    ftp.expect_reply(426);
    // A handshake that does not come.
    ftp.expect("NOOP", 200);
    assert_eq!(server.tree(), ["/", "/big"]);
}

#[test]
fn a_stranger_gets_no_data_connection() {
    let server = server();
    server.put("/f", b"for anna");
    let mut ftp = Ftp::login(&server);
    let port = ftp.passive_port();
    let mut stranger = from("127.0.0.9", port);
    ftp.send(b"RETR f\r\n");
    let mut got = Vec::new();
    let _ = stranger.read_to_end(&mut got);
    assert!(got.is_empty());
    let mut own = TcpStream::connect(("127.0.0.1", port)).unwrap();
    ftp.expect_reply(150);
    own.read_to_end(&mut got).unwrap();
    assert_eq!(got, b"for anna");
    ftp.expect_reply(226);
}

/// A connection to a port of the server from another of its own addresses.
fn from(address: &str, port: u16) -> TcpStream {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let fd = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&fd, &format!("{address}:0").parse::<SocketAddr>().unwrap()).unwrap();
    connect(&fd, &SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
    fd.into()
}

#[test]
fn guessing_is_slowed_and_refused() {
    let server = server();
    let mut ftp = Ftp::login(&server);
    ftp.expect("QUIT", 221);
    let mut ftp = Ftp::connect(&server);
    for _ in 0..4 {
        ftp.expect("USER anna", 331);
        ftp.expect("PASS wrong", 530);
    }
    ftp.expect("USER anna", 331);
    ftp.expect("PASS wrong", 421);
    assert!(ftp.is_closed());
    let mut ftp = Ftp::connect(&server);
    ftp.expect("USER anna", 331);
    ftp.expect("PASS wrong", 530);
    ftp.expect("USER anna", 331);
    ftp.expect("PASS wrong", 421);
    // Somebody else at this address is not held up.
    account(&server, "bert", "/", "RO");
    Ftp::login_as(&server, "bert").expect("NOOP", 200);
}

#[test]
fn a_change_of_the_account_ends_its_sessions_and_transfers() {
    let server = server();
    let id = account(&server, "bert", "/", "RW");
    let mut ftp = Ftp::login_as(&server, "bert");
    let mut anna = Ftp::login(&server);
    let mut busy = Ftp::login_as(&server, "bert");
    let mut data = busy.begin("STOR f");
    data.write_all(b"half").unwrap();
    let disabled = json!({"Id": id, "Enabled": false}).to_string();
    let kind = [("Content-Type", "application/json")];
    let reply = server.request(&server.token, "PATCH", "/ftpaccounts", &kind, disabled.as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
    ftp.expect_reply(421);
    assert!(ftp.is_closed());
    busy.expect_reply(426);
    busy.expect_reply(421);
    anna.expect("SIZE f", 550);
    assert!(!Ftp::connect(&server).try_login("bert"));
}

#[test]
fn idle_control_connections_cost_little() {
    hold_idle(1000);
}

#[test]
#[ignore = "takes long: for the night"]
fn ten_thousand_idle_control_connections_cost_little() {
    hold_idle(10_000);
}

fn hold_idle(count: u64) {
    let server = server_with(&[("ftp_login_timeout_s", "600")]);
    let _warm: Vec<_> = (0..50).map(|_| Ftp::connect(&server)).collect();
    let before = resident_kib(server.pid());
    let mut idle: Vec<_> = (0..count).map(|_| Ftp::connect(&server)).collect();
    let each = (resident_kib(server.pid()) - before) / count;
    assert!(each < 32, "{each} KiB for each");
    Ftp::login(&server).expect("NOOP", 200);
    // They are all still served.
    for ftp in &mut idle {
        ftp.expect("NOOP", 200);
    }
}

#[test]
fn one_address_does_not_hold_all_handshakes() {
    let server = server_with(&[("handshakes_max", "8")]);
    let port = server.port_of("ftps");
    let mut silent: Vec<_> = (0..40).map(|_| from("127.0.0.9", port)).collect();
    for _ in 0..8 {
        Ftp::implicit(&server).expect("NOOP", 200);
    }
    // All but its share were let go at once. One that is held says nothing either.
    let held = silent.iter_mut().filter(|stream| is_held(stream)).count();
    assert!((1..=2 * 2).contains(&held), "{held} are held");
}

/// Whether the server has left a connection open.
fn is_held(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let mut stream = stream;
    matches!(stream.read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn connections_beyond_the_limit_are_told() {
    let server = server_with(&[("connections_per_address_max", "3")]);
    let mut held = Vec::new();
    let refused = loop {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port_of("ftp"))).unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).unwrap();
        if answer != *b"220 " {
            break answer;
        }
        held.push(stream);
    };
    assert_eq!(&refused, b"421 ");
    assert!(held.len() <= 3);
}
