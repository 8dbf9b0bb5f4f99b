//! The rules of a session, step by step.

use super::*;
use proptest::prelude::*;

const OPTIONAL: Policy = Policy {
    tls: TlsPolicy::Optional,
    active: true,
};

fn code(state: &mut State, line: &str) -> u16 {
    match state.take(Command::parse(line.as_bytes()).unwrap()) {
        Step::Answer(reply) => reply.code(),
        Step::Work(..) => 0,
    }
}

fn offset(state: &mut State, line: &str) -> u64 {
    match state.take(Command::parse(line.as_bytes()).unwrap()) {
        Step::Work(_, context) => context.offset,
        Step::Answer(reply) => panic!("{reply:?}"),
    }
}

fn inside(writable: bool) -> State {
    let mut state = State::new(OPTIONAL, false);
    state.logged_in(writable);
    state
}

#[test]
fn nothing_but_the_login_goes_before_the_login() {
    let mut state = State::new(OPTIONAL, false);
    assert_eq!(code(&mut state, "LIST"), 530);
    assert_eq!(code(&mut state, "PASS x"), 503);
    assert_eq!(code(&mut state, "USER a"), 331);
    assert_eq!(state.named(), Some("a"));
    assert_eq!(code(&mut state, "PASS x"), 0);
    state.logged_in(false);
    assert_eq!(code(&mut state, "LIST"), 0);
    assert_eq!(code(&mut state, "STOR a"), 550);
    assert_eq!(code(&mut state, "REIN"), 220);
    assert_eq!(code(&mut state, "LIST"), 530);
}

#[test]
fn a_restart_offset_serves_one_transfer_and_is_forgotten() {
    let mut state = inside(true);
    for (between, expected) in [
        ("PASV", 5),
        ("EPSV", 5),
        ("PORT 10,0,0,1,4,1", 5),
        ("TYPE I", 5),
        ("CWD /", 0),
        ("SIZE a", 0),
        ("LIST", 0),
        ("RETR b", 0),
        ("STAT", 0),
        ("USER a", 0),
    ] {
        assert_eq!(code(&mut state, "REST 5"), 350);
        code(&mut state, between);
        state.logged_in(true);
        assert_eq!(offset(&mut state, "STOR a"), expected, "{between}");
    }
    assert_eq!(code(&mut state, "REST 5"), 350);
    assert_eq!(code(&mut state, "APPE a"), 554);
    assert_eq!(code(&mut state, "APPE a"), 0);
}

#[test]
fn required_tls_holds_on_every_kind_of_data_connection() {
    let policy = Policy {
        tls: TlsPolicy::Required,
        active: true,
    };
    let mut state = State::new(policy, false);
    assert_eq!(code(&mut state, "USER a"), 530);
    assert_eq!(code(&mut state, "AUTH TLS"), 0);
    state.secured();
    assert_eq!(code(&mut state, "USER a"), 331);
    state.logged_in(true);
    for setup in ["PASV", "EPSV", "PORT 10,0,0,1,4,1", "EPRT |1|10.0.0.1|1025|"] {
        assert_eq!(code(&mut state, setup), 0);
        for transfer in ["RETR a", "STOR a", "STOU", "APPE a", "LIST", "NLST", "MLSD"] {
            assert_eq!(code(&mut state, transfer), 521, "{setup} {transfer}");
        }
    }
    assert_eq!(code(&mut state, "PROT P"), 503);
    assert_eq!(code(&mut state, "PBSZ 0"), 200);
    assert_eq!(code(&mut state, "PROT C"), 534);
    assert_eq!(code(&mut state, "PROT P"), 200);
    assert_eq!(code(&mut state, "LIST"), 0);
    assert_eq!(code(&mut state, "CCC"), 533);
    assert_eq!(code(&mut state, "AUTH TLS"), 503);
}

#[test]
fn tls_forgets_who_was_named_in_the_clear() {
    let mut state = State::new(OPTIONAL, false);
    code(&mut state, "USER a");
    state.secured();
    assert_eq!(code(&mut state, "PASS x"), 503);
    let mut state = State::new(OPTIONAL, true);
    assert!(state.is_protected());
    assert_eq!(code(&mut state, "PROT C"), 200);
    assert!(!state.is_protected());
}

#[test]
fn epsv_all_and_switched_off_things_stay_so() {
    let mut state = inside(true);
    assert_eq!(code(&mut state, "EPSV ALL"), 200);
    for refused in ["PASV", "PORT 10,0,0,1,4,1", "EPRT |1|10.0.0.1|1025|"] {
        assert_eq!(code(&mut state, refused), 501);
    }
    assert_eq!(code(&mut state, "EPSV"), 0);
    let policy = Policy {
        tls: TlsPolicy::Off,
        active: false,
    };
    let mut state = State::new(policy, false);
    assert_eq!(code(&mut state, "AUTH TLS"), 502);
    state.logged_in(true);
    assert_eq!(code(&mut state, "PORT 10,0,0,1,4,1"), 502);
}

#[test]
fn a_rename_is_two_commands_in_a_row() {
    let mut state = inside(true);
    assert_eq!(code(&mut state, "RNTO b"), 503);
    state.renames(TreePath::root());
    assert_eq!(code(&mut state, "RNTO b"), 0);
    state.renames(TreePath::root());
    code(&mut state, "NOOP");
    assert_eq!(code(&mut state, "RNTO b"), 503);
}

const LINES: [&str; 24] = [
    "USER a",
    "PASS b",
    "REIN",
    "AUTH TLS",
    "PBSZ 0",
    "PROT P",
    "PROT C",
    "PASV",
    "EPSV",
    "EPSV ALL",
    "PORT 10,0,0,1,4,1",
    "REST 7",
    "RETR a",
    "STOR a",
    "APPE a",
    "LIST",
    "NLST",
    "MLSD",
    "RNFR a",
    "RNTO b",
    "CWD /",
    "DELE a",
    "CCC",
    "NOOP",
];

proptest! {
    #[test]
    fn no_order_of_commands_transfers_in_the_clear_or_without_a_login(order in proptest::collection::vec(0..LINES.len(), 0..60)) {
        let policy = Policy { tls: TlsPolicy::Required, active: true };
        let mut state = State::new(policy, false);
        for at in order {
            let line = LINES[at];
            let (logged_in, protected) = (state.is_logged_in(), state.is_protected());
            let Step::Work(command, _) = state.take(Command::parse(line.as_bytes()).unwrap()) else { continue };
            match command {
                Command::Auth(_) => state.secured(),
                Command::Pass(_) => state.logged_in(true),
                command => {
                    prop_assert!(logged_in && state.is_secure());
                    prop_assert!(protected || !has_data_connection(&command));
                }
            }
        }
    }
}
