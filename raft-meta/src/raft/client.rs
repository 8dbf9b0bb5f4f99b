//! The cluster from outside: for nodes and operators.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout};

use super::members::{Change, MembersError};
use super::proposer::{Answered, Batch, ProposeError};
use super::status::Status;
use super::types::Commands;
use crate::limits::{ANSWER_MAX_S, COMMAND_MAX_BYTES, LEADER_PATIENCE_S, MEMBERS_CHANGE_MAX_S};
use crate::wire::{CallError, Carrier, Destination, Dialer, Method, Refusal, Watch};

const ANSWER_MAX: Duration = Duration::from_secs(ANSWER_MAX_S);
/// A new member has to catch up first.
const CHANGE_MAX: Duration = Duration::from_secs(MEMBERS_CHANGE_MAX_S);

/// Talks to whichever member is there, and to the one that leads where that matters.
pub struct Client<C = Dialer> {
    carrier: C,
    known: Mutex<Known>,
}

struct Known {
    members: Vec<Destination>,
    /// Which of them is asked first.
    next: usize,
    leader: Option<Destination>,
}

impl Client {
    /// Asks the member that [`Self::call`] asks now for a stream, and says which that is.
    ///
    /// # Errors
    ///
    /// As for a call; another member is asked next time.
    pub async fn watch(&self, method: Method, body: Bytes) -> Result<(Watch, Destination), CallError> {
        let member = self.any()?;
        match self.carrier.watch(&member, method, body).await {
            Ok(watch) => Ok((watch, member)),
            Err(error) => {
                self.pass_over(&member);
                Err(error)
            }
        }
    }
}

impl<C: Carrier> Client<C> {
    /// A client that knows these members; the first that answers is the one it stays with.
    #[must_use]
    pub fn new(carrier: C, members: Vec<Destination>) -> Self {
        Self {
            carrier,
            known: Mutex::new(Known {
                members,
                next: 0,
                leader: None,
            }),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The member that is asked when any will do.
    fn any(&self) -> Result<Destination, CallError> {
        let known = self.known();
        let member = known.members.get(known.next % known.members.len().max(1));
        member
            .cloned()
            .ok_or_else(|| CallError::Unreachable("no member is configured".to_owned()))
    }

    /// Asks another next time: one that has ended a stream, or cannot be reached for one.
    pub fn pass_over(&self, member: &Destination) {
        let mut known = self.known();
        known.leader.take_if(|leader| leader == member);
        if known.members.get(known.next % known.members.len().max(1)) == Some(member) {
            known.next += 1;
        }
    }

    /// Asks another than [`Self::call`] has asked next time: one that answers and cannot do what it is asked for.
    pub fn turn(&self) {
        let mut known = self.known();
        known.next = known.next.wrapping_add(1);
    }

    /// Asks any member; another if one cannot be reached. Not again if the request may have been done.
    ///
    /// # Errors
    ///
    /// As of the last that was asked.
    pub async fn call(&self, method: Method, body: Bytes) -> Result<Bytes, CallError> {
        let attempts = self.known().members.len().max(1);
        let mut last = CallError::Unreachable("no member is configured".to_owned());
        for _ in 0..attempts {
            let member = self.any()?;
            match self.ask(&member, method, body.clone(), ANSWER_MAX).await {
                Err(error @ CallError::Unreachable(_)) => {
                    self.pass_over(&member);
                    last = error;
                }
                other => return other,
            }
        }
        Err(last)
    }

    /// Asks a member. One that does not answer in time stands still: its system takes what is sent, so that the connection
    /// seems to be well. Another is asked next time.
    async fn ask(
        &self,
        member: &Destination,
        method: Method,
        body: Bytes,
        answer_max: Duration,
    ) -> Result<Bytes, CallError> {
        let answer = timeout(answer_max, self.carrier.call(member, method, body)).await;
        answer.unwrap_or_else(|_| {
            self.pass_over(member);
            Err(CallError::Lost(format!(
                "member {} does not answer",
                member.member
            )))
        })
    }

    /// Asks the leader, whoever that is, for as long as an election takes.
    ///
    /// # Errors
    ///
    /// [`CallError::Unreachable`] if none was found in time: nothing was done. Otherwise what the leader said, or that
    /// the outcome is unknown.
    pub async fn call_leader(&self, method: Method, body: Bytes) -> Result<Bytes, CallError> {
        self.ask_leader(method, body, ANSWER_MAX).await
    }

    /// The same where the answer may take so long.
    async fn ask_leader(
        &self,
        method: Method,
        body: Bytes,
        answer_max: Duration,
    ) -> Result<Bytes, CallError> {
        let deadline = Instant::now() + Duration::from_secs(LEADER_PATIENCE_S);
        let mut sent_on = false;
        loop {
            let leader = self.known().leader.clone();
            let member = leader.map_or_else(|| self.any(), Ok)?;
            let why = match self.ask(&member, method, body.clone(), answer_max).await {
                Ok(answer) => {
                    self.known().leader = Some(member);
                    return Ok(answer);
                }
                Err(CallError::Refused(Refusal::NotLeader(Some(leader)))) => {
                    let named = leader.member;
                    self.known().leader = Some(leader);
                    format!("member {named} should lead and does not")
                }
                Err(CallError::Refused(Refusal::NotLeader(None))) => {
                    self.pass_over(&member);
                    "no member leads".to_owned()
                }
                Err(CallError::Unreachable(why) | CallError::Refused(Refusal::NotNow(why))) => {
                    self.pass_over(&member);
                    why
                }
                Err(error) => return Err(error),
            };
            if Instant::now() >= deadline {
                return Err(CallError::Unreachable(why));
            }
            // The first leader that is named is asked at once. Later ones may name each other.
            if std::mem::replace(&mut sent_on, true) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Proposes a command and waits until the leader has applied it.
    ///
    /// # Errors
    ///
    /// [`ProposeError`] says whether it may have been applied.
    pub async fn propose(&self, command: &[u8]) -> Result<Answered, ProposeError> {
        if command.len() > COMMAND_MAX_BYTES {
            return Err(ProposeError::TooLong(command.len()));
        }
        let unknown = |why: &str| ProposeError::Unknown(why.to_owned());
        match self.call_leader(Method::PROPOSE, Commands::one(command).0).await {
            Ok(answer) => {
                let mut batch = Batch::read(answer).ok_or_else(|| unknown("the answer is not readable"))?;
                Ok(Answered {
                    index: batch.index,
                    answer: batch
                        .answers
                        .0
                        .pop()
                        .ok_or_else(|| unknown("there is no answer"))?,
                })
            }
            Err(CallError::Unreachable(why)) => Err(ProposeError::Unavailable(why)),
            Err(error) => Err(unknown(&error.to_string())),
        }
    }

    /// Asks one member and no other.
    ///
    /// # Errors
    ///
    /// If it cannot be asked, or refuses.
    pub async fn call_member(
        &self,
        member: &Destination,
        method: Method,
        body: Bytes,
    ) -> Result<Bytes, CallError> {
        self.carrier.call(member, method, body).await
    }

    /// How a member is.
    ///
    /// # Errors
    ///
    /// If it cannot be asked.
    pub async fn status(&self, member: &Destination) -> Result<Status, CallError> {
        let answer = self.carrier.call(member, Method::STATUS, Bytes::new()).await?;
        Status::read(answer).ok_or_else(|| CallError::Lost("the status is not readable".to_owned()))
    }

    /// Adds a member that follows.
    ///
    /// # Errors
    ///
    /// [`MembersError`].
    pub async fn add_learner(&self, id: u64, address: &str) -> Result<(), MembersError> {
        self.change(Change::AddLearner(id, address.to_owned())).await
    }

    /// Makes a member that follows one that votes, when it has caught up.
    ///
    /// # Errors
    ///
    /// [`MembersError`].
    pub async fn promote(&self, id: u64) -> Result<(), MembersError> {
        self.change(Change::Promote(id)).await
    }

    /// Removes a member.
    ///
    /// # Errors
    ///
    /// [`MembersError`].
    pub async fn remove(&self, id: u64) -> Result<(), MembersError> {
        self.change(Change::Remove(id)).await
    }

    /// Hands leadership over to a member.
    ///
    /// # Errors
    ///
    /// [`MembersError`].
    pub async fn transfer(&self, id: u64) -> Result<(), MembersError> {
        self.change(Change::Transfer(id)).await
    }

    async fn change(&self, change: Change) -> Result<(), MembersError> {
        let answer = self.ask_leader(Method::MEMBERS, change.write(), CHANGE_MAX).await;
        answer.map(drop).map_err(MembersError::from)
    }
}

#[cfg(test)]
mod tests {
    use futures::future::BoxFuture;

    use super::*;

    /// Members of which the first stands still.
    struct Mute;

    impl Carrier for Mute {
        fn call(
            &self,
            to: &Destination,
            method: Method,
            _: Bytes,
        ) -> BoxFuture<'static, Result<Bytes, CallError>> {
            if to.member == 1 {
                return Box::pin(std::future::pending());
            }
            let leads = method != Method::PROPOSE || to.member == 2;
            let elsewhere = Refusal::NotLeader(None);
            Box::pin(async move {
                if leads {
                    Ok(Bytes::new())
                } else {
                    Err(elsewhere.into())
                }
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_that_stands_still_is_left() {
        let to = |member| Destination {
            member,
            address: member.to_string(),
        };
        let client = Client::new(Mute, (1..=3).map(to).collect());
        client.known().leader = Some(to(1));
        let lost = client.propose(b"x").await;
        assert!(
            matches!(lost, Err(ProposeError::Unknown(_))),
            "it may be done: {lost:?}"
        );
        let answered = client.call_leader(Method::PROPOSE, Bytes::new()).await;
        assert_eq!(answered, Ok(Bytes::new()));
        let client = Client::new(Mute, (1..=3).map(to).collect());
        let lost = client.call(Method::APPLICATION, Bytes::new()).await;
        assert!(matches!(lost, Err(CallError::Lost(_))), "{lost:?}");
        assert_eq!(
            client.call(Method::APPLICATION, Bytes::new()).await,
            Ok(Bytes::new())
        );
    }
}
