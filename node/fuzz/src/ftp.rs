use std::net::SocketAddr;

use filegrid::ftp::address::{parse_eprt, parse_port, six_numbers};
use filegrid::ftp::command::Command;
use filegrid::ftp::line::{Event, Lines};
use filegrid::ftp::path::{Current, matches};
use filegrid::ftp::state::{Policy, State, Step, TlsPolicy};
use filegrid::ftp::time;
use filegrid::limits::FTP_LINE_MAX_BYTES;

use super::{STRIDES, first_line};

/// What a control connection sends. Lines are the same however the bytes arrive and are those of a plain reading;
/// commands go through a session that demands TLS and does nothing without it; and the first line is an argument of
/// PORT, EPRT and MFMT, which are read back from how they are written.
pub fn ftp(data: &[u8]) {
    let events = lines(data, usize::MAX);
    for stride in STRIDES {
        assert_eq!(lines(data, stride), events);
    }
    if !data.contains(&0xff) && !data.contains(&0) {
        plainly(data, &events);
    }
    session(&events);
    if let Ok(argument) = std::str::from_utf8(first_line(data).0) {
        arguments(argument);
    }
}

fn lines(data: &[u8], stride: usize) -> Vec<Event> {
    let mut lines = Lines::default();
    let mut events = Vec::new();
    for mut piece in data.chunks(stride.min(data.len().max(1))) {
        while !piece.is_empty() {
            let (taken, event) = lines.take(piece);
            assert!(taken > 0 && taken <= piece.len());
            piece = &piece[taken..];
            events.extend(event);
        }
    }
    events
}

/// Without telnet and NUL, lines are what stands between line feeds, but for a CR at the end.
fn plainly(data: &[u8], events: &[Event]) {
    let ended = data.split_inclusive(|byte| *byte == b'\n');
    let ended = ended.filter_map(|line| line.strip_suffix(b"\n"));
    for (line, event) in ended.zip(events) {
        match event {
            Event::Line(got) => assert_eq!(got, line.strip_suffix(b"\r").unwrap_or(line)),
            Event::TooLong => assert!(line.len() > FTP_LINE_MAX_BYTES),
            Event::Endless => return,
        }
    }
}

fn session(events: &[Event]) {
    let policy = Policy {
        tls: TlsPolicy::Required,
        active: true,
    };
    let mut state = State::new(policy, false);
    for event in events {
        let Event::Line(line) = event else { continue };
        let command = match Command::parse(line) {
            Ok(command) => command,
            Err(reply) => {
                assert!((500..=522).contains(&reply.code()));
                continue;
            }
        };
        let (inside, protected) = (state.is_logged_in(), state.is_protected());
        let Step::Work(command, context) = state.take(command) else {
            continue;
        };
        match command {
            Command::Auth(_) => state.secured(),
            Command::Pass(_) => {
                assert!(state.is_secure(), "a password in the clear");
                state.logged_in(line.len() % 2 == 0);
            }
            Command::Quit => {}
            Command::Rnfr(path) => {
                if let Ok(path) = state.current.resolve(&path) {
                    state.renames(path);
                }
            }
            Command::Rnto(_) => assert!(inside && context.renamed.is_some()),
            Command::Retr(_) | Command::List(_) | Command::Nlst(_) | Command::Mlsd(_) => {
                assert!(inside && protected);
            }
            Command::Stor(_) | Command::Stou | Command::Appe(_) => {
                assert!(inside && protected && state.is_writable());
                assert!(context.offset == 0 || matches!(command, Command::Stor(_)));
            }
            _ => assert!(inside),
        }
    }
}

fn arguments(text: &str) {
    if let Some(address) = parse_port(text) {
        let again = six_numbers(*address.ip(), address.port());
        assert_eq!(parse_port(&again), Some(address));
    }
    if let Ok(address) = parse_eprt(text) {
        let (family, ip) = match address {
            SocketAddr::V4(address) => (1, address.ip().to_string()),
            SocketAddr::V6(address) => (2, address.ip().to_string()),
        };
        assert_eq!(
            parse_eprt(&format!("|{family}|{ip}|{}|", address.port())),
            Ok(address)
        );
    }
    if let Some(at) = time::parse(text) {
        assert_eq!(time::parse(&time::format(at)), Some(at));
    }
    let mut current = Current::default();
    if let Ok(path) = current.resolve(text) {
        assert!(
            path.components()
                .iter()
                .all(|name| !matches!(name.as_str(), "" | "." | ".."))
        );
        current.enter(path.clone());
        assert_eq!(current.resolve(".").unwrap(), path);
    }
    // A pattern of one star matches all; a name without wildcards matches itself alone.
    assert!(matches("*", text));
    if !text.contains(['*', '?']) {
        assert!(matches(text, text) && !matches(text, &format!("{text}x")));
    }
}
