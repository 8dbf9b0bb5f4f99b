//! Keeps a connection to each member that is talked to.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::connection::Connection;
use super::{CallError, Carrier, Destination, Identity, Method, Security, Watch};
use crate::limits::{CONNECT_TIMEOUT_S, RECONNECT_PAUSE_MS};

/// Makes connections when they are needed.
#[derive(Clone)]
pub struct Dialer {
    inner: Arc<Inner>,
}

struct Inner {
    cluster: String,
    us: Identity,
    security: Security,
    ways: Mutex<HashMap<Destination, Arc<tokio::sync::Mutex<Way>>>>,
}

/// What is known of the way to a member.
#[derive(Default)]
struct Way {
    connection: Option<Connection>,
    /// Why the last attempt failed, and when the next may be made.
    failed: Option<(String, Instant)>,
}

impl Dialer {
    /// A dialer that says it is `us`.
    #[must_use]
    pub fn new(cluster: &str, us: Identity, security: Security) -> Self {
        Self {
            inner: Arc::new(Inner {
                cluster: cluster.to_owned(),
                us,
                security,
                ways: Mutex::default(),
            }),
        }
    }

    /// The connection to a member: the one there is, or a new one.
    ///
    /// # Errors
    ///
    /// [`CallError::Unreachable`], also for a short while after an attempt that failed; [`CallError::Refused`].
    pub async fn connection(&self, to: &Destination) -> Result<Connection, CallError> {
        let way = {
            let mut ways = self.inner.ways.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(ways.entry(to.clone()).or_default())
        };
        if let Ok(way) = way.try_lock()
            && let Some(connection) = way.usable()
        {
            return Ok(connection);
        }
        // A task of its own: who asks may have less patience than a connection takes, and the next one finds it made.
        let (inner, to) = (Arc::clone(&self.inner), to.clone());
        let dialing = tokio::spawn(async move { inner.connect(&mut *way.lock().await, &to).await });
        let ended = |error: tokio::task::JoinError| CallError::Unreachable(error.to_string());
        dialing.await.map_err(ended)?
    }

    /// Asks a member for a stream.
    ///
    /// # Errors
    ///
    /// As for [`Self::connection`].
    pub async fn watch(&self, to: &Destination, method: Method, body: Bytes) -> Result<Watch, CallError> {
        self.connection(to).await?.watch(method, body).await
    }
}

impl Way {
    fn usable(&self) -> Option<Connection> {
        self.connection
            .as_ref()
            .filter(|connection| !connection.is_closed())
            .cloned()
    }
}

impl Inner {
    /// The connection that another has made meanwhile, or a new one, unless an attempt has just failed.
    async fn connect(&self, way: &mut Way, to: &Destination) -> Result<Connection, CallError> {
        if let Some(connection) = way.usable() {
            return Ok(connection);
        }
        way.connection = None;
        if let Some((why, _)) = way.failed.as_ref().filter(|(_, until)| Instant::now() < *until) {
            return Err(CallError::Unreachable(why.clone()));
        }
        let dialed = self.dial(to).await;
        match &dialed {
            Ok(connection) => {
                way.failed = None;
                way.connection = Some(connection.clone());
            }
            Err(error) => {
                let until = Instant::now() + Duration::from_millis(RECONNECT_PAUSE_MS);
                way.failed = Some((error.to_string(), until));
            }
        }
        dialed
    }

    async fn dial(&self, to: &Destination) -> Result<Connection, CallError> {
        let unreachable = |error: std::io::Error| CallError::Unreachable(format!("{}: {error}", to.address));
        let attempt = async {
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host(&to.address)
                .await
                .map_err(unreachable)?
                .collect();
            for address in &addresses {
                self.security.allows(address).map_err(CallError::Unreachable)?;
            }
            let stream = TcpStream::connect(&*addresses).await.map_err(unreachable)?;
            super::server::tune(&stream);
            let stream = self.security.connect(stream).await.map_err(unreachable)?;
            Connection::open(stream, &self.cluster, &self.us, to).await
        };
        match tokio::time::timeout(Duration::from_secs(CONNECT_TIMEOUT_S), attempt).await {
            Ok(result) => result,
            Err(_) => Err(CallError::Unreachable(format!("{}: no answer", to.address))),
        }
    }
}

impl Carrier for Dialer {
    fn call(
        &self,
        to: &Destination,
        method: Method,
        body: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, CallError>> {
        let (dialer, to) = (self.clone(), to.clone());
        Box::pin(async move { dialer.connection(&to).await?.call(method, body).await })
    }
}
