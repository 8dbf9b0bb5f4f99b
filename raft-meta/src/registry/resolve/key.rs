//! Rules of signing keys: published before their first use, kept as long as a token of theirs may live.

use super::{Applied, done};
use crate::limits::{KEY_AHEAD_S, KEY_SKEW_S, KEYS_MAX_COUNT};
use crate::registry::{Refusal, Registry, Row, RowChange, RowKey, SigningKey};

impl Registry {
    /// When a key that is published now may first sign, in Unix seconds: at once if it is the first.
    #[must_use]
    pub fn next_key_signs_from(&self, now_s: u64) -> u64 {
        self.keys().last().map_or(now_s, |newest| {
            now_s.saturating_add(KEY_AHEAD_S).max(newest.signs_from + 1)
        })
    }

    pub(super) fn publish_key(&self, key: &SigningKey, now_s: u64) -> Result<Applied, Refusal> {
        if self.keys().iter().any(|known| known.kid == key.kid) {
            return Err(Refusal::Conflict(format!(
                "there is a signing key {} already",
                key.kid
            )));
        }
        if self.keys().len() >= KEYS_MAX_COUNT {
            return Err(Refusal::Conflict(format!(
                "there are {KEYS_MAX_COUNT} signing keys, the most there may be"
            )));
        }
        let earliest = self.next_key_signs_from(now_s);
        if key.signs_from < earliest {
            return Err(Refusal::Conflict(format!(
                "a signing key published now may not sign before {earliest}"
            )));
        }
        Ok(done(vec![RowChange::Put(Row::Key(key.clone()))]))
    }

    pub(super) fn forget_keys(&self, now_s: u64, token_s: u64) -> Applied {
        // A key stops signing when its successor starts; its last tokens live on for their time and the skew.
        let pairs = self.keys().iter().zip(self.keys().iter().skip(1));
        let over = pairs.filter(|(_, next)| {
            let end = next.signs_from.saturating_add(token_s).saturating_add(KEY_SKEW_S);
            end <= now_s
        });
        done(
            over.map(|(key, _)| RowChange::Remove(RowKey::Key(key.kid.clone())))
                .collect(),
        )
    }
}
