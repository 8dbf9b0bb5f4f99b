//! Records that rustls' client would not send.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::ConnectionTrafficSecrets;

use super::*;
use crate::limits::TLS_BUFFER_MIN_BYTES;

/// Seals what no decent client would, in TLS 1.3.
struct Forger {
    key: LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
}

impl Forger {
    fn new(client: ClientConnection) -> Self {
        let (sequence, secrets) = client.dangerous_extract_secrets().unwrap().tx;
        let ConnectionTrafficSecrets::Aes128Gcm { key, iv } = secrets else {
            panic!("another suite");
        };
        Self {
            key: LessSafeKey::new(UnboundKey::new(&AES_128_GCM, key.as_ref()).unwrap()),
            iv: iv.as_ref().try_into().unwrap(),
            sequence,
        }
    }

    /// A record that shows `kind`, with `inner` as content, type and padding.
    fn seal(&mut self, kind: u8, inner: &[u8]) -> Vec<u8> {
        let number = u128::from(self.sequence).to_be_bytes();
        let nonce = std::array::from_fn(|at| self.iv[at] ^ number[at + 4]);
        self.sequence += 1;
        let mut record = vec![kind, 3, 3];
        record.extend_from_slice(&u16::try_from(inner.len() + 16).unwrap().to_be_bytes());
        let (about, mut sealed) = (Aad::from(record.clone()), inner.to_vec());
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), about, &mut sealed)
            .unwrap();
        record.extend_from_slice(&sealed);
        record
    }
}

/// A session, and what seals as its client.
fn forged(tls: &Tls) -> (Session, Forger) {
    let mut client = client(&client_config(CipherSuite::TLS13_AES_128_GCM_SHA256, true));
    let (mut server, _) = shake(&mut client, tls.http(), b"");
    to_client(&mut client, &mut server);
    (server, Forger::new(client))
}

fn receive(server: &mut Session, bytes: &[u8]) {
    server.room()[..bytes.len()].copy_from_slice(bytes);
    server.received(bytes.len());
}

#[test]
fn records_out_of_order_end_the_connection_for_good() {
    let (tls, _data) = tls();
    let longest = [vec![9; 1 << 14], vec![23]].concat();
    let too_long = [longest.clone(), vec![0]].concat();
    let cases: [(&str, u8, &[u8], u8); 13] = [
        ("nothing at all", 23, &[], 10),
        ("padding alone", 23, &[0; 300], 10),
        ("content and padding beyond the limit", 23, &too_long, 22),
        ("a payload beyond the limit", 23, &[9; (1 << 14) + 241], 22),
        ("a change of ciphers", 23, &[1, 20], 10),
        ("a kind that nobody knows", 23, &[1, 24], 10),
        ("a handshake that shows", 22, &[24, 0, 0, 1, 0, 22], 10),
        ("an alert that shows", 21, &[1, 0, 21], 10),
        ("an empty handshake", 23, &[22], 10),
        ("half a change of keys", 23, &[24, 0, 0, 22], 10),
        (
            "changes of keys in one record",
            23,
            &[24, 0, 0, 1, 0, 24, 0, 0, 1, 0, 22],
            10,
        ),
        ("a greeting", 23, &[1, 0, 0, 1, 0, 22], 10),
        ("half an alert", 23, &[1, 21], 10),
    ];
    for room in [1, 40_000] {
        for (what, kind, inner, alert) in cases {
            let (mut server, mut forger) = forged(&tls);
            receive(&mut server, &forger.seal(23, &[7, 23, 0, 0]));
            let mut out = vec![0; room];
            assert_eq!(server.read(&mut out).unwrap(), 1, "{what}");
            receive(&mut server, &forger.seal(kind, inner));
            let error = server.read(&mut out).err();
            assert_eq!(error.map(|error| error.alert()), Some(alert), "{what}");
            receive(&mut server, &forger.seal(23, &[7, 23]));
            assert!(server.read(&mut out).is_err(), "{what}");
        }
        let (mut server, mut forger) = forged(&tls);
        receive(&mut server, &forger.seal(23, &longest));
        let mut got = 0;
        while got < 1 << 14 {
            got += server.read(&mut vec![0; room]).unwrap();
        }
    }
}

#[test]
fn records_without_data_are_borne_for_a_while() {
    let (tls, _data) = tls();
    let cases: [(&[u8], usize); 5] = [
        (&[23], 1),
        (&[23, 0, 0], 1),
        (&[23, 0, 0], 100),
        (&[1, 90, 21], 1),
        (&[1, 90, 21], 100),
    ];
    for (empty, room) in cases {
        let (mut server, mut forger) = forged(&tls);
        let mut out = vec![0; room];
        for _ in 0..2 {
            for _ in 0..TLS_EMPTY_RECORDS_MAX_COUNT {
                receive(&mut server, &forger.seal(23, empty));
                assert_eq!(server.read(&mut out).unwrap(), 0);
            }
            receive(&mut server, &forger.seal(23, b"x\x17"));
            assert_eq!(server.read(&mut out).unwrap(), 1);
        }
        for _ in 0..TLS_EMPTY_RECORDS_MAX_COUNT {
            receive(&mut server, &forger.seal(23, empty));
            assert_eq!(server.read(&mut out).unwrap(), 0);
        }
        receive(&mut server, &forger.seal(23, empty));
        assert!(matches!(server.read(&mut out), Err(TlsError::Empty)));
    }
}

#[test]
fn nothing_is_read_behind_the_last_word() {
    let (tls, _data) = tls();
    let (mut server, mut forger) = forged(&tls);
    let flight = [
        forger.seal(23, b"last\x17"),
        forger.seal(23, &[1, 0, 21]),
        vec![0xff; 99],
    ]
    .concat();
    receive(&mut server, &flight);
    assert_eq!(server.read(&mut [0; 64]).unwrap(), 4);
    assert!(server.is_closed());
    assert_eq!(server.read(&mut [0; 64]).unwrap(), 0);
}

#[test]
fn half_a_record_takes_no_more_than_the_least_buffer() {
    let (tls, _data) = tls();
    let (mut server, mut forger) = forged(&tls);
    let record = forger.seal(23, &[vec![7; 1 << 14], vec![23]].concat());
    let (all_but_one, last) = record.split_at(record.len() - 1);
    for piece in all_but_one.chunks(1000) {
        receive(&mut server, piece);
        assert_eq!(server.read(&mut [0; 1 << 14]).unwrap(), 0);
        assert_eq!(server.unopened() + server.room().len(), TLS_BUFFER_MIN_BYTES);
    }
    receive(&mut server, last);
    assert_eq!(server.read(&mut [0; 1 << 15]).unwrap(), 1 << 14);
}

#[test]
fn an_alert_is_not_answered_with_another() {
    let (tls, _data) = tls();
    let (mut server, mut forger) = forged(&tls);
    receive(&mut server, &forger.seal(23, &[2, 40, 21]));
    let error = server.read(&mut [0; 64]).unwrap_err();
    assert!(matches!(error, TlsError::Alert(40)));
    server.fail(&error);
    assert!(server.outgoing().is_empty());
}

/// Content, and how much padding is behind it.
fn records() -> impl Strategy<Value = Vec<(usize, usize)>> {
    let content = prop_oneof![Just(0_usize), 1..40_usize, 1000..16_000_usize];
    proptest::collection::vec((content, prop_oneof![Just(0_usize), 0..300_usize]), 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_the_room_and_the_pieces_the_bytes_are_the_same(
        records in records(),
        pieces in proptest::collection::vec(prop_oneof![1..50_usize, 1000..30_000_usize], 1..20),
        rooms in proptest::collection::vec(prop_oneof![1..50_usize, 1000..40_000_usize], 1..20),
    ) {
        static TLS: std::sync::OnceLock<(Arc<Tls>, tempfile::TempDir)> = std::sync::OnceLock::new();
        let (tls, _) = TLS.get_or_init(tls);
        let (mut server, mut forger) = forged(tls);
        let (mut sent, mut wire) = (Vec::new(), Vec::new());
        for (length, padding) in records {
            let content: Vec<u8> = (0..length).map(|at| (sent.len() + at).to_le_bytes()[0]).collect();
            wire.extend(forger.seal(23, &[content.as_slice(), &[23], &vec![0; padding]].concat()));
            sent.extend(content);
        }
        let (mut got, mut rest) = (Vec::new(), wire.as_slice());
        let (mut pieces, mut rooms) = (pieces.iter().cycle(), rooms.iter().cycle());
        while !rest.is_empty() {
            let room = server.room();
            prop_assert!(!room.is_empty());
            let n = room.len().min(rest.len()).min(*pieces.next().unwrap());
            room[..n].copy_from_slice(&rest[..n]);
            server.received(n);
            rest = &rest[n..];
            loop {
                let mut room = vec![0; *rooms.next().unwrap()];
                let n = server.read(&mut room).unwrap();
                got.extend_from_slice(&room[..n]);
                if n < room.len() {
                    break;
                }
            }
            server.rest();
        }
        prop_assert!(got == sent);
        prop_assert_eq!(server.unopened(), 0);
    }
}
