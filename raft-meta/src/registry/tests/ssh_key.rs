//! Public keys, made by `ssh-keygen` and by hand.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::ED25519;
use crate::registry::SshKey;

const NISTP256: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBFbYAi5uQNLkVNtC8ns\
                        jGVR/eRN0PSJZzUUoTkVpFhBiLNNlZM1NHuTLAdqELXRCGe1Na5TVxENE67yMvmudKUU=";
const NISTP384: &str = "ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBIp9GAE3JR7H9R/jW9zQ\
                        IfE798nsx1y1LdvvCzUJ+UafMtaVJFCBkHAfwxDLCxv2HvdHhoOHaKDb/o7/twldmb/6j+J/mcEIpVO6alzya1Cs6CAD\
                        /x6A2PYgc5Muy4NNrQ== root@vm";

fn line(kind: &str, fields: &[&[u8]]) -> String {
    let mut blob = Vec::new();
    for field in [kind.as_bytes()].iter().chain(fields) {
        blob.extend(u32::try_from(field.len()).unwrap().to_be_bytes());
        blob.extend_from_slice(field);
    }
    format!("{kind} {}", STANDARD.encode(blob))
}

/// An odd number of so many bits, as an `mpint`.
fn number(bits: usize) -> Vec<u8> {
    let mut number = vec![0xff; bits.div_ceil(8)];
    number[0] >>= (8 - bits % 8) % 8;
    if number[0] & 0x80 != 0 {
        number.insert(0, 0);
    }
    number
}

fn rsa(bits: usize) -> String {
    line("ssh-rsa", &[&[1, 0, 1], &number(bits)])
}

#[test]
fn the_three_types_are_accepted() {
    let key = SshKey::parse(ED25519).unwrap();
    assert_eq!(&key.blob()[4..15], b"ssh-ed25519");
    assert_eq!(
        SshKey::parse(&format!("\n {ED25519} and more \r\n")).unwrap(),
        key
    );
    for line in [NISTP256, &rsa(2048), &rsa(3071), &rsa(16_384)] {
        SshKey::parse(line).unwrap();
    }
}

#[test]
fn anything_else_is_refused_with_a_reason() {
    let point = [&[4][..], &[7; 64]].concat();
    let private = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----";
    let options = format!("no-pty {ED25519}");
    for (wrong, named) in [
        ("", "must be an OpenSSH public key"),
        (NISTP384, "must be an OpenSSH public key"),
        (&options, "must be an OpenSSH public key"),
        (private, "one line"),
        ("ssh-ed25519", "missing"),
        ("ssh-ed25519 ####", "Base64"),
        (&ED25519.replacen("ssh-ed25519", "ssh-rsa", 1), "not of the type"),
        (&line("ssh-ed25519", &[&[7; 31]]), "cut short"),
        (&line("ssh-ed25519", &[&[7; 32], b"x"]), "longer"),
        (&line("ecdsa-sha2-nistp256", &[b"nistp384", &point]), "point"),
        (
            &line("ecdsa-sha2-nistp256", &[b"nistp256", &point[..64]]),
            "point",
        ),
        (&line("ssh-rsa", &[&[1, 0, 1]]), "cut short"),
        (&line("ssh-rsa", &[&[1], &number(2048)]), "no RSA key"),
        (&line("ssh-rsa", &[&[2], &number(2048)]), "no RSA key"),
        (&line("ssh-rsa", &[&[1, 0, 1], &[0xff; 256]]), "cut short"),
        (&rsa(2047), "2047 bits"),
        (&rsa(16_385), "16385 bits"),
        (&"x".repeat(8193), "8192 bytes"),
    ] {
        let error = SshKey::parse(wrong).unwrap_err();
        assert!(error.contains(named), "{wrong}: {error}");
    }
}

proptest! {
    #[test]
    fn no_line_makes_it_panic(kind in "ssh-(ed25519|rsa)|ecdsa-sha2-nistp256", body in "[A-Za-z0-9+/]{0,200}") {
        let _ = SshKey::parse(&format!("{kind} {body}"));
    }

    #[test]
    fn no_blob_makes_it_panic(
        kind in "ssh-(ed25519|rsa)|ecdsa-sha2-nistp256",
        fields in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..4),
    ) {
        let fields: Vec<_> = fields.iter().map(Vec::as_slice).collect();
        let _ = SshKey::parse(&line(&kind, &fields));
    }
}
