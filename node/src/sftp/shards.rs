//! What the SFTP sessions of a shard share, and how they come there.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc;

use super::flow::{Flow, Outlet};
use super::queue::Queued;
use super::scp::command::Scp;
use super::session;
use crate::auth::{AccountPrincipal, RegistryFile};
use crate::mailbox::Mailbox;
use crate::net::Drain;
use crate::ring;
use crate::store::Store;

/// What a session speaks.
pub(super) enum Speaks {
    /// SFTP, of which each request comes by itself.
    Sftp,
    /// SCP, of which the bytes come as they are.
    Scp(Scp),
}

/// Whose session it is.
pub(super) struct Client {
    pub(super) account: AccountPrincipal,
    pub(super) peer: IpAddr,
    /// Whether another node has passed it on: it is not passed on again.
    pub(super) has_arrived: bool,
}

/// A session that begins on a connection.
pub struct Start {
    pub(super) speaks: Speaks,
    pub(super) client: Client,
    pub(super) requests: mpsc::UnboundedReceiver<Queued>,
    pub(super) outlet: Outlet,
    pub(super) flow: Arc<Flow>,
}

/// What the SFTP sessions of a shard share.
pub struct Sftp {
    /// Files.
    pub store: Store,
    /// Where the files of an association are.
    pub registry: Arc<RegistryFile>,
    /// The way to a stop.
    pub drain: Rc<Drain>,
    /// What a stop leaves sessions to finish.
    pub drain_time: Duration,
    /// Whether uploads that break are kept to be gone on with.
    pub keeps_partials: bool,
}

impl Sftp {
    /// Serves the sessions that come, until nobody sends any more.
    pub async fn serve(self: Rc<Self>, mut starts: Mailbox<Start>) {
        while let Some(start) = starts.next().await {
            ring::spawn(session::serve(Rc::clone(&self), start));
        }
    }
}
