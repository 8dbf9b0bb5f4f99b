//! What comes over the wire to a member.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use futures::future::BoxFuture;

use super::member::Member;
use super::members::{Change, MembersError};
use super::proposer::ProposeError;
use super::types::Commands;
use crate::wire::{Identity, Method, Push, Refusal, Role, Service};

/// Answers members, nodes and operators: what is Raft's here, the rest by the application.
pub struct MemberService {
    member: Member,
    application: Arc<dyn Service>,
}

impl MemberService {
    /// A service for a member; `application` answers the methods from [`Method::APPLICATION`] on.
    #[must_use]
    pub fn new(member: Member, application: Arc<dyn Service>) -> Self {
        Self { member, application }
    }
}

/// Whether somebody may ask this.
fn may(from: &Identity, method: Method) -> bool {
    match method {
        Method::STATUS | Method::READ_INDEX => true,
        // A node tells the cluster what it has done; what it may tell is the state machine's matter.
        Method::PROPOSE => matches!(from.role, Role::Member | Role::Node),
        Method::MEMBERS => matches!(from.role, Role::Member | Role::Operator),
        _ => from.role == Role::Member,
    }
}

impl Service for MemberService {
    fn call(
        &self,
        from: &Identity,
        method: Method,
        body: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, Refusal>> {
        if method >= Method::APPLICATION {
            return self.application.call(from, method, body);
        }
        let allowed = may(from, method);
        let member = self.member.clone();
        Box::pin(async move {
            if !allowed {
                return Err(Refusal::Forbidden(format!("method {}", method.0)));
            }
            match method {
                Method::PROPOSE => propose(&member, body).await,
                Method::STATUS => Ok(member.status().write()),
                Method::READ_INDEX => read_index(&member).await,
                Method::MEMBERS => change(&member, body).await,
                Method::ELECT => member
                    .elect()
                    .await
                    .map(|()| Bytes::new())
                    .map_err(Refusal::Failed),
                raft => member.rpc().call(raft, body).await,
            }
        })
    }

    fn watch(
        &self,
        from: &Identity,
        method: Method,
        body: Bytes,
        to: Push,
    ) -> BoxFuture<'static, Result<(), Refusal>> {
        if method >= Method::APPLICATION {
            return self.application.watch(from, method, body, to);
        }
        Box::pin(async move { Err(Refusal::BadRequest(format!("method {} is no stream", method.0))) })
    }
}

async fn propose(member: &Member, body: Bytes) -> Result<Bytes, Refusal> {
    let commands = Commands(body);
    if !commands.is_sound() {
        return Err(Refusal::BadRequest("these are no commands".to_owned()));
    }
    member.leads().map_err(Refusal::NotLeader)?;
    match member.propose_here(commands).await {
        Ok(batch) => Ok(batch.write()),
        Err(error @ ProposeError::TooLong(_)) => Err(Refusal::BadRequest(error.to_string())),
        Err(ProposeError::Unavailable(_)) => Err(Refusal::NotLeader(member.leads().err().flatten())),
        Err(ProposeError::Unknown(why)) => Err(Refusal::Unknown(why)),
    }
}

async fn read_index(member: &Member) -> Result<Bytes, Refusal> {
    match member.read_here().await {
        Ok(entries) => {
            let mut answer = BytesMut::with_capacity(8);
            answer.put_u64_le(entries);
            Ok(answer.freeze())
        }
        Err((_, Some(leader))) => Err(Refusal::NotLeader(Some(leader))),
        Err((why, None)) => Err(Refusal::NotNow(why)),
    }
}

async fn change(member: &Member, body: Bytes) -> Result<Bytes, Refusal> {
    let unreadable = || Refusal::BadRequest("this is no change of the members".to_owned());
    let change = Change::read(body).ok_or_else(unreadable)?;
    member.leads().map_err(Refusal::NotLeader)?;
    match member.change_here(change).await {
        Ok(()) => Ok(Bytes::new()),
        Err(MembersError::Refused(why)) => Err(Refusal::BadRequest(why)),
        Err(MembersError::NotNow(why)) => Err(Refusal::NotNow(why)),
        Err(MembersError::Unknown(why)) => Err(Refusal::Unknown(why)),
    }
}
