//! Our record layer against rustls' own client, in memory.

mod forged;

use std::io::{Read as _, Write as _};

use proptest::prelude::*;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConnection, Resumption};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CipherSuite, ClientConfig, DigitallySignedStruct, HandshakeKind, SignatureScheme};

use super::*;
use crate::limits::{TLS_EMPTY_RECORDS_MAX_COUNT, TLS_HANDSHAKE_MAX_BYTES};

/// Trusts everybody.
#[derive(Debug)]
struct Trusting;

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn tls() -> (Arc<Tls>, tempfile::TempDir) {
    let data = tempfile::tempdir().unwrap();
    (Tls::open(&[], data.path()).unwrap(), data)
}

/// A client of one suite.
fn client_config(suite: CipherSuite, tickets: bool) -> Arc<ClientConfig> {
    let mut provider = default_provider();
    provider.cipher_suites.retain(|known| known.suite() == suite);
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting))
        .with_no_client_auth();
    config.enable_secret_extraction = true;
    if !tickets {
        config.resumption = Resumption::in_memory_sessions(8)
            .tls12_resumption(rustls::client::Tls12Resumption::SessionIdOnly);
    }
    Arc::new(config)
}

fn client(config: &Arc<ClientConfig>) -> ClientConnection {
    ClientConnection::new(Arc::clone(config), "localhost".try_into().unwrap()).unwrap()
}

/// Makes the handshake; `early` is sent by the client behind its own last word, in the same flight.
fn shake(client: &mut ClientConnection, config: Arc<ServerConfig>, early: &[u8]) -> (Session, bool) {
    let mut server = Handshake::new(config, b"").unwrap();
    loop {
        while client.wants_write() {
            let mut flight = Vec::new();
            client.write_tls(&mut flight).unwrap();
            // Byte by byte would be slow; in odd pieces every boundary is met.
            for piece in flight.chunks(333) {
                server.room()[..piece.len()].copy_from_slice(piece);
                server.received(piece.len());
            }
        }
        let done = server.advance().unwrap();
        let flight = server.take_outgoing();
        client.read_tls(&mut flight.as_slice()).unwrap();
        client.process_new_packets().unwrap();
        if !client.is_handshaking() && !early.is_empty() && !done {
            client.writer().write_all(early).unwrap();
        }
        if done {
            let resumed = server.is_resumed();
            return (server.finish().unwrap(), resumed);
        }
    }
}

fn to_server(client: &mut ClientConnection, server: &mut Session) {
    while client.wants_write() {
        let mut flight = Vec::new();
        client.write_tls(&mut flight).unwrap();
        let mut rest = flight.as_slice();
        while !rest.is_empty() {
            let room = server.room();
            let n = room.len().min(rest.len());
            room[..n].copy_from_slice(&rest[..n]);
            server.received(n);
            rest = &rest[n..];
        }
    }
}

fn to_client(client: &mut ClientConnection, server: &mut Session) -> Vec<u8> {
    let mut all = Vec::new();
    while !server.outgoing().is_empty() {
        let n = client.read_tls(&mut server.outgoing()).unwrap();
        server.sent(n);
        client.process_new_packets().unwrap();
        let mut piece = vec![0; 1 << 20];
        match client.reader().read(&mut piece) {
            Ok(n) => all.extend_from_slice(&piece[..n]),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
    }
    all
}

fn suites() -> Vec<CipherSuite> {
    let provider = default_provider();
    let suites = provider.cipher_suites.iter().map(|suite| suite.suite());
    // The self-made certificate has no RSA key.
    let suites = suites.filter(|suite| !format!("{suite:?}").contains("ECDHE_RSA"));
    suites.collect()
}

#[test]
fn every_suite_carries_bytes_both_ways_and_ends_well() {
    let (tls, _data) = tls();
    assert_eq!(suites().len(), 6);
    for suite in suites() {
        let config = client_config(suite, true);
        let mut client = client(&config);
        let (mut server, _) = shake(&mut client, tls.http(), b"");
        let bytes: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[0] ^ 0x5a).collect();
        let mut got = Vec::new();
        for (number, piece) in bytes.chunks(40_001).enumerate() {
            client.writer().write_all(piece).unwrap();
            to_server(&mut client, &mut server);
            // Readers with much and with little room.
            let mut room = vec![0; if number % 2 == 0 { 50_000 } else { 777 }];
            loop {
                let n = server.read(&mut room).unwrap();
                if n == 0 {
                    break;
                }
                got.extend_from_slice(&room[..n]);
            }
            server.rest();
        }
        assert!(got == bytes, "{suite:?}");
        let (mut sent, mut back) = (0, Vec::new());
        while sent < bytes.len() {
            sent += server.write(&bytes[sent..]).unwrap();
            back.extend(to_client(&mut client, &mut server));
        }
        assert!(back == bytes, "{suite:?}");
        client.send_close_notify();
        to_server(&mut client, &mut server);
        assert_eq!(server.read(&mut [0; 16]).unwrap(), 0);
        assert!(server.is_closed());
        server.close().unwrap();
        to_client(&mut client, &mut server);
        assert_eq!(
            client.reader().read(&mut [0; 1]).unwrap(),
            0,
            "closed as the protocol wants it"
        );
    }
}

#[test]
fn a_request_in_the_last_flight_of_the_handshake_is_kept() {
    let (tls, _data) = tls();
    for suite in [
        CipherSuite::TLS13_AES_256_GCM_SHA384,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    ] {
        let config = client_config(suite, true);
        let mut client = client(&config);
        let (mut server, _) = shake(&mut client, tls.http(), b"GET / HTTP/1.1\r\n");
        let mut room = [0; 64];
        let n = server.read(&mut room).unwrap();
        assert_eq!(&room[..n], b"GET / HTTP/1.1\r\n");
    }
}

#[test]
fn new_keys_are_taken_and_given() {
    let (tls, _data) = tls();
    let config = client_config(CipherSuite::TLS13_AES_128_GCM_SHA256, true);
    let mut client = client(&config);
    let (mut server, _) = shake(&mut client, tls.http(), b"");
    for _ in 0..3 {
        client.refresh_traffic_keys().unwrap();
        client.writer().write_all(b"behind new keys").unwrap();
        to_server(&mut client, &mut server);
        let mut room = [0; 64];
        let n = server.read(&mut room).unwrap();
        assert_eq!(&room[..n], b"behind new keys");
        server.write(b"and back").unwrap();
        assert_eq!(to_client(&mut client, &mut server), b"and back");
    }
}

#[test]
fn requests_for_new_keys_are_answered_once_before_the_next_data() {
    let (tls, _data) = tls();
    let config = client_config(CipherSuite::TLS13_AES_128_GCM_SHA256, true);
    let mut client = client(&config);
    let (mut server, _) = shake(&mut client, tls.http(), b"");
    for _ in 0..2 {
        for _ in 0..TLS_EMPTY_RECORDS_MAX_COUNT {
            client.refresh_traffic_keys().unwrap();
        }
        to_server(&mut client, &mut server);
        assert_eq!(server.read(&mut [0; 64]).unwrap(), 0);
        assert!(server.outgoing().is_empty());
        server.write(b"data").unwrap();
        assert_eq!(server.outgoing().len(), (5 + 5 + 17) + (5 + 4 + 17));
        assert_eq!(to_client(&mut client, &mut server), b"data");
        client.writer().write_all(b"more").unwrap();
        to_server(&mut client, &mut server);
        assert_eq!(server.read(&mut [0; 64]).unwrap(), 4);
    }
    // Nothing is sent behind our last word.
    client.refresh_traffic_keys().unwrap();
    to_server(&mut client, &mut server);
    server.close().unwrap();
    assert_eq!(server.read(&mut [0; 64]).unwrap(), 0);
    server.write(b"late").unwrap_err();
    assert_eq!(server.outgoing().len(), 5 + 2 + 17);
    for _ in 0..TLS_EMPTY_RECORDS_MAX_COUNT {
        client.refresh_traffic_keys().unwrap();
    }
    to_server(&mut client, &mut server);
    assert!(matches!(server.read(&mut [0; 64]), Err(TlsError::Empty)));
}

#[test]
fn keys_that_are_used_up_are_replaced_or_the_connection_ends() {
    let (tls, _data) = tls();
    for suite in suites() {
        let config = client_config(suite, true);
        let mut client = client(&config);
        let (mut server, _) = shake(&mut client, tls.http(), b"");
        server.limit_records(4);
        let is_new = format!("{suite:?}").starts_with("TLS13");
        for number in 0..20 {
            match server.write(b"x") {
                Ok(_) => assert_eq!(to_client(&mut client, &mut server), b"x"),
                Err(error) => {
                    // Its Finished was the first record.
                    assert!(matches!(error, TlsError::KeysUsedUp) && !is_new && number == 3);
                    break;
                }
            }
            assert!(is_new || number < 3);
        }
    }
}

#[test]
fn small_records_leave_room_for_large_ones() {
    let (tls, _data) = tls();
    let check = |suite| {
        let config = client_config(suite, true);
        let mut client = client(&config);
        let (mut server, _) = shake(&mut client, tls.http(), b"");
        server.write(b"x").unwrap();
        assert_eq!(server.write(&[7; 40_000]).unwrap(), 40_000, "{suite:?}");
        assert_eq!(to_client(&mut client, &mut server).len(), 40_001);
    };
    for suite in suites() {
        // A thread of its own has no spare buffers.
        std::thread::scope(|scope| scope.spawn(|| check(suite)).join().unwrap());
    }
}

#[test]
fn an_endless_greeting_is_cut_short() {
    let (tls, _data) = tls();
    let mut handshake = Handshake::new(tls.http(), b"").unwrap();
    // A client hello of 65,000 bytes, in records of 1,000.
    let mut hello = vec![0; 65_000];
    hello[..4].copy_from_slice(&[1, 0, 0xfd, 0xe4]);
    let records: Vec<_> = hello
        .chunks(1000)
        .map(|piece| [&[22, 3, 1, 3, 0xe8], piece].concat())
        .collect();
    let bytes = records.concat();
    let mut rest = bytes.as_slice();
    let error = loop {
        let room = handshake.room();
        assert!(!room.is_empty(), "it is refused before there is no room");
        let n = room.len().min(rest.len());
        room[..n].copy_from_slice(&rest[..n]);
        handshake.received(n);
        rest = &rest[n..];
        match handshake.advance() {
            Ok(done) => assert!(!done),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, TlsError::HandshakeTooLong(_)), "{error}");
    assert_eq!(bytes.len() - rest.len(), TLS_HANDSHAKE_MAX_BYTES);
}

#[test]
fn sessions_resume_by_ticket_and_by_id() {
    let (tls, _data) = tls();
    for (suite, tickets) in [
        (CipherSuite::TLS13_AES_128_GCM_SHA256, true),
        (CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, true),
        (CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, false),
    ] {
        let config = client_config(suite, tickets);
        for round in 0..3 {
            let mut client = client(&config);
            let (mut server, resumed) = shake(&mut client, tls.http(), b"");
            assert_eq!(resumed, round > 0, "{suite:?} {tickets}");
            assert_eq!(client.handshake_kind() == Some(HandshakeKind::Resumed), resumed);
            server.write(b"x").unwrap();
            assert_eq!(to_client(&mut client, &mut server), b"x");
        }
    }
}

#[test]
fn data_connections_resume_only_their_own_control_connection() {
    let (tls, _data) = tls();
    for (suite, tickets) in [
        (CipherSuite::TLS13_CHACHA20_POLY1305_SHA256, true),
        (CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, true),
        (CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, false),
    ] {
        let (own, other) = (tls.ftp().unwrap(), tls.ftp().unwrap());
        let config = client_config(suite, tickets);
        let resumes = |server: &Arc<ServerConfig>| shake(&mut client(&config), Arc::clone(server), b"").1;
        assert!(!resumes(&own.control));
        assert!(resumes(&own.outward));
        assert!(resumes(&own.outward));
        let config = client_config(suite, tickets);
        let resumes = |server: &Arc<ServerConfig>| shake(&mut client(&config), Arc::clone(server), b"").1;
        assert!(!resumes(&other.control));
        assert!(!resumes(&own.outward), "with what another connection gave");
        // Who comes again, whether its session is taken or not, has its data connections resume.
        let third = tls.ftp().unwrap();
        assert_eq!(resumes(&third.control), tickets);
        assert!(resumes(&third.outward), "{suite:?} {tickets}");
    }
}

#[test]
fn altered_records_end_the_connection() {
    let (tls, _data) = tls();
    for suite in suites() {
        let config = client_config(suite, true);
        for at in [0, 1, 3, 7, 20, 200] {
            let mut client = client(&config);
            let (mut server, _) = shake(&mut client, tls.http(), b"");
            client.writer().write_all(&[7; 300]).unwrap();
            let mut flight = Vec::new();
            client.write_tls(&mut flight).unwrap();
            flight[at] ^= 1;
            server.room()[..flight.len()].copy_from_slice(&flight);
            server.received(flight.len());
            match server.read(&mut [0; 1000]) {
                Err(error) => server.fail(&error),
                // A length beyond what is there is waited for.
                Ok(n) => assert!(n == 0 && at == 3, "{suite:?} {at}"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_upset_a_handshake(bytes in proptest::collection::vec(any::<u8>(), 0..2000), kind in 20_u8..25) {
        static TLS: std::sync::OnceLock<(Arc<Tls>, tempfile::TempDir)> = std::sync::OnceLock::new();
        let (tls, _) = TLS.get_or_init(tls);
        let mut handshake = Handshake::new(tls.http(), b"").unwrap();
        // Each of three records may be continued by the next.
        for bytes in bytes.chunks(700) {
            let mut record = vec![kind, 3, 3];
            record.extend_from_slice(&u16::try_from(bytes.len()).unwrap().to_be_bytes());
            record.extend_from_slice(bytes);
            handshake.room()[..record.len()].copy_from_slice(&record);
            handshake.received(record.len());
            match handshake.advance() {
                Ok(done) => prop_assert!(!done),
                Err(_) => break,
            }
        }
    }
}

#[test]
fn the_certificate_is_chosen_by_name_and_read_again() {
    let data = tempfile::tempdir().unwrap();
    let file = |name: &str| data.path().join(name);
    let make = |name: &str, host: &str| {
        let made = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
        std::fs::write(file(&format!("{name}.pem")), made.cert.pem()).unwrap();
        std::fs::write(file(&format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
        made.cert.der().to_vec()
    };
    let (a, b) = (make("a", "a.example"), make("b", "*.b.example"));
    let files: Vec<_> = ["a", "b"]
        .map(|name| CertificateFiles {
            chain: file(&format!("{name}.pem")),
            key: file(&format!("{name}.key")),
        })
        .to_vec();
    let tls = Tls::open(&files, data.path()).unwrap();
    let config = client_config(CipherSuite::TLS13_AES_128_GCM_SHA256, true);
    let shown = |host: &'static str| {
        let mut client = ClientConnection::new(Arc::clone(&config), host.try_into().unwrap()).unwrap();
        shake(&mut client, tls.http(), b"");
        client.peer_certificates().unwrap()[0].to_vec()
    };
    assert_eq!(shown("a.example"), a);
    assert_eq!(shown("x.b.example"), b);
    assert_eq!(shown("unknown.example"), a);
    std::fs::write(file("a.key"), "no key").unwrap();
    assert!(tls.certificates().reload().unwrap_err().contains("a.key"));
    let fresh = make("a", "a.example");
    tls.certificates().reload().unwrap();
    let config = client_config(CipherSuite::TLS13_AES_256_GCM_SHA384, true);
    let mut client = ClientConnection::new(config, "a.example".try_into().unwrap()).unwrap();
    shake(&mut client, tls.http(), b"");
    assert_eq!(client.peer_certificates().unwrap()[0].to_vec(), fresh);
    let missing = [CertificateFiles {
        chain: file("none.pem"),
        key: file("a.key"),
    }];
    let refused = Tls::open(&missing, data.path()).err().unwrap();
    assert!(refused.contains("none.pem"), "{refused}");
}

#[test]
fn the_self_made_certificate_is_kept_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let (tls, data) = tls();
    let again = Tls::open(&[], data.path()).unwrap();
    assert_eq!(
        tls.certificates().fingerprint(),
        again.certificates().fingerprint()
    );
    assert_eq!(tls.certificates().fingerprint().len(), 95);
    let key = std::fs::metadata(data.path().join("tls/self-made.key")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
}
