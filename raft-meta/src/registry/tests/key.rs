//! Signing keys.

use super::*;
use crate::limits::{KEY_AHEAD_S, KEY_SKEW_S};

fn signing(kid: &str, signs_from: u64) -> SigningKey {
    SigningKey {
        kid: kid.to_owned(),
        public: String::new(),
        pkcs8: String::new(),
        signs_from,
    }
}

fn publish(kid: &str, signs_from: u64, now_s: u64) -> Command {
    Command::PublishKey {
        key: signing(kid, signs_from),
        now_s,
    }
}

#[test]
fn a_key_signs_once_it_has_been_published_long_enough() {
    let mut registry = Registry::default();
    registry.apply(&publish("a", 100, 100)).unwrap();
    conflict(&mut registry, &publish("a", 5000, 200));
    conflict(&mut registry, &publish("b", 200 + KEY_AHEAD_S - 1, 200));
    registry.apply(&publish("b", 200 + KEY_AHEAD_S, 200)).unwrap();
    let signs = |now_s| registry.signing_key(now_s).unwrap().kid.as_str();
    assert_eq!(
        [
            signs(0),
            signs(200 + KEY_AHEAD_S - 1),
            signs(200 + KEY_AHEAD_S),
            signs(u64::MAX)
        ],
        ["a", "a", "b", "b"]
    );
    // A clock that went back does not put a key before one that was published earlier.
    assert!(registry.next_key_signs_from(0) > 200 + KEY_AHEAD_S);
}

#[test]
fn a_key_is_kept_as_long_as_a_token_of_it_may_live() {
    let mut registry = Registry::default();
    registry.apply(&publish("a", 0, 0)).unwrap();
    registry.apply(&publish("b", 1000, 0)).unwrap();
    let forget = |now_s| Command::ForgetKeys { now_s, token_s: 900 };
    let applied = registry.apply(&forget(1900 + KEY_SKEW_S - 1)).unwrap();
    assert!(applied.rows.is_empty());
    registry.apply(&forget(1900 + KEY_SKEW_S)).unwrap();
    let kids: Vec<_> = registry.keys().iter().map(|key| key.kid.as_str()).collect();
    assert_eq!(kids, ["b"]);
    registry.apply(&forget(u64::MAX)).unwrap();
    assert_eq!(registry.keys().len(), 1, "the last one stays");
}
