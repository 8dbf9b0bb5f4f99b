//! An operator, who asks the members.

use std::time::Duration;

use filegrid_meta::operators::REGISTER;
use filegrid_meta::raft::Client;
use filegrid_meta::registry::{Command, Outcome, Refusal as Refused};
use filegrid_meta::store::Reply;
use filegrid_meta::wire::{CallError, Dialer, Identity, Method, Refusal};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::settings::Settings;

/// How long a question is asked again while no member can answer it: some elections.
const PATIENCE_S: u64 = 15;
/// Pause before it is asked again.
const PAUSE_MS: u64 = 200;

/// An operator, who talks to the members.
pub struct Operator {
    pub(crate) client: Client,
    pub(crate) settings: Settings,
}

impl Operator {
    /// One who reaches the members so.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let us = Identity::operator("operator");
        let dialer = Dialer::new(&settings.cluster, us, settings.security.clone());
        Self {
            client: Client::new(dialer, settings.members.clone()),
            settings,
        }
    }

    /// Asks whichever member can answer. For what may be asked twice.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        request: &impl Serialize,
    ) -> Result<T, String> {
        let body = serde_json::to_vec(request).map_err(|error| error.to_string())?;
        let answer = self.insist(method, body, &mut false).await?;
        serde_json::from_slice(&answer).map_err(|error| unreadable(&error))
    }

    /// Asks for a page that follows a key.
    pub(crate) async fn ask_behind<T: DeserializeOwned>(
        &self,
        method: Method,
        after: Vec<u8>,
    ) -> Result<T, String> {
        let answer = self.insist(method, after, &mut false).await?;
        serde_json::from_slice(&answer).map_err(|error| unreadable(&error))
    }

    /// Has the cluster decide a change of the registry. Where the outcome is unknown it is asked for again: what was done
    /// already then counts as done.
    pub(crate) async fn register(&self, command: &Command) -> Result<Outcome, String> {
        let body = serde_json::to_vec(command).map_err(|error| error.to_string())?;
        let mut again = false;
        let answer = self.insist(REGISTER, body, &mut again).await?;
        match Reply::decode(&answer).map_err(|error| unreadable(&error))? {
            Reply::Registry(Ok(done)) => Ok(done.outcome),
            Reply::Registry(Err(refused)) if again && was_done(command, &refused) => Ok(Outcome::Done),
            Reply::Registry(Err(refused)) => Err(refused.to_string()),
            other => Err(format!("an answer to something else: {other:?}")),
        }
    }

    /// Asks until there is an answer, of one member after the other; `again` says whether it may have been done before.
    pub(crate) async fn insist(
        &self,
        method: Method,
        body: Vec<u8>,
        again: &mut bool,
    ) -> Result<Vec<u8>, String> {
        let deadline = Instant::now() + Duration::from_secs(PATIENCE_S);
        loop {
            let call = self.client.call(method, body.clone().into());
            let why = match tokio::time::timeout_at(deadline, call).await {
                Ok(Ok(answer)) => return Ok(answer.to_vec()),
                Ok(Err(CallError::Refused(Refusal::BadRequest(why) | Refusal::Forbidden(why)))) => {
                    return Err(why);
                }
                Ok(Err(error)) => {
                    let undone = matches!(
                        error,
                        CallError::Unreachable(_)
                            | CallError::Refused(Refusal::NotNow(_) | Refusal::NotLeader(_))
                    );
                    *again |= !undone;
                    error.to_string()
                }
                Err(_) => {
                    *again = true;
                    "no member answers".to_owned()
                }
            };
            if Instant::now() >= deadline {
                return Err(if *again {
                    format!("{why}: whether it was done is unknown, see and call it again")
                } else {
                    format!("{why}: nothing was done, try again")
                });
            }
            self.client.turn();
            tokio::time::sleep(Duration::from_millis(PAUSE_MS)).await;
        }
    }
}

/// Whether a refusal shows that an earlier try was done: names of what is made are random.
fn was_done(command: &Command, refused: &Refused) -> bool {
    match command {
        Command::CreateAssociation { .. } | Command::CreateUser { .. } => {
            matches!(refused, Refused::Conflict(_))
        }
        Command::DeleteAssociation { .. }
        | Command::RetireAssociation { .. }
        | Command::DeleteUser { .. } => {
            matches!(refused, Refused::NotFound(_))
        }
        _ => false,
    }
}

pub(crate) fn unreadable(error: &dyn std::fmt::Display) -> String {
    format!("a member's answer cannot be read: {error}")
}
