//! Failed logins, told to the other nodes and heard from them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use filegrid_meta::limits::GUESSES_TOLD_MAX_COUNT;
use filegrid_meta::nodes::{GUESSES, Guesses};
use filegrid_meta::wire::CallError;
use tokio::time::{MissedTickBehavior, interval};

use super::session::Session;
use super::way::Way;
use crate::limits::{GUESSES_BOARDS_MAX_COUNT, GUESSES_INTERVAL_MS};

impl Session {
    /// Exchanges with the other nodes what logins have failed, for ever. Where members are away each node counts by itself.
    pub(super) async fn share_guesses(self: Arc<Self>) {
        let Way::There(client) = self.way() else {
            // There are no others.
            return;
        };
        let here = &self.us().guesses;
        here.share();
        let mut tick = interval(Duration::from_millis(GUESSES_INTERVAL_MS));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // A member that leads anew has a board of its own, and the one before may lead again.
        let mut places: BTreeMap<u64, u64> = BTreeMap::new();
        let mut board = 0;
        let mut waiting = Vec::new();
        loop {
            tick.tick().await;
            waiting.append(&mut here.untold());
            let first = waiting.len().saturating_sub(GUESSES_TOLD_MAX_COUNT);
            let said = Guesses {
                board,
                place: places.get(&board).copied().unwrap_or(0),
                guesses: waiting.split_off(first),
            };
            // Older ones than can be told at once are too many to matter.
            waiting.clear();
            let answer = match client.call_leader(GUESSES, said.write()).await {
                Ok(answer) => answer,
                Err(CallError::Unreachable(_) | CallError::Refused(_)) => {
                    waiting = said.guesses;
                    continue;
                }
                // It may have been done, and what is told twice counts twice.
                Err(CallError::Lost(_)) => continue,
            };
            let Some(heard) = Guesses::read(answer) else {
                continue;
            };
            let known = places.get(&heard.board).copied();
            if heard.board != board && known.is_some() {
                // It has told from the beginning: the next answer goes on where it was left.
                board = heard.board;
                continue;
            }
            heard.guesses.iter().for_each(|guess| here.told(guess));
            board = heard.board;
            if places.len() == GUESSES_BOARDS_MAX_COUNT {
                places.clear();
            }
            places.insert(board, heard.place);
        }
    }
}
