//! Connections to other nodes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::{Either, select};

use crate::auth::RegistryFile;
use crate::clock;
use crate::cluster::Cluster;
use crate::error::Error;
use crate::limits::{RELAY_AWAY_MS, RELAY_CONNECT_MS, RELAY_IDLE_MAX_COUNT, RELAY_IDLE_S, RELAY_RETRY_S};
use crate::net::{Inbound, Outbound, Phase, Stream, Sweeper, Timeouts, Watch, greet};
use crate::ring::{self, Socket};
use crate::tls::NodeTls;

/// A connection to another node. Each direction has a watch of its own: one may wait for the client while the other
/// does not.
pub struct Link {
    stream: Rc<Stream>,
    /// Looks after what is received.
    pub receiving: Rc<Watch>,
    /// Looks after what is sent.
    pub sending: Rc<Watch>,
    /// What is received.
    pub inbound: Inbound,
    /// What is sent.
    pub outbound: Outbound,
    idle_since: Instant,
}

/// The connections of a shard to other nodes.
pub struct Links {
    registry: Arc<RegistryFile>,
    cluster: Arc<Cluster>,
    tls: Option<Arc<NodeTls>>,
    sweeper: Rc<Sweeper>,
    idle: RefCell<HashMap<u64, Vec<Link>>>,
    /// Nodes that could not be reached, and until when they are not tried again.
    away: RefCell<HashMap<u64, Instant>>,
}

impl Links {
    /// None yet. Without `tls` they are made in the clear. Other nodes may take `answer` to answer what they have got, and to take
    /// or send more.
    #[must_use]
    pub fn new(
        registry: Arc<RegistryFile>,
        cluster: Arc<Cluster>,
        tls: Option<Arc<NodeTls>>,
        answer: Duration,
    ) -> Rc<Self> {
        let sweeper = Sweeper::new(Timeouts {
            idle: answer,
            handshake: Duration::from_millis(RELAY_CONNECT_MS),
            head: answer,
            stall: answer,
            stall_min_bytes: 1,
        });
        ring::spawn(Sweeper::run(Rc::downgrade(&sweeper)));
        let links = Rc::new(Self {
            registry,
            cluster,
            tls,
            sweeper,
            idle: RefCell::default(),
            away: RefCell::default(),
        });
        ring::spawn(Self::tend(Rc::downgrade(&links)));
        links
    }

    /// Ends connections that nobody has needed for long, as long as there is anybody who might.
    async fn tend(links: Weak<Self>) {
        loop {
            ring::sleep(Duration::from_secs(RELAY_IDLE_S)).await;
            let Some(links) = links.upgrade() else { return };
            links.idle.borrow_mut().retain(|_, links| {
                links.retain(Link::is_fresh);
                !links.is_empty()
            });
        }
    }

    /// A connection to a node that nobody else uses now, and whether it has been used before.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`]: nothing has been sent.
    pub async fn get(&self, node: u64) -> Result<(Link, bool), Error> {
        while let Some(link) = self.take_idle(node) {
            if link.is_fresh() {
                return Ok((link, true));
            }
        }
        self.connect(node).await.map(|link| (link, false))
    }

    /// A connection that has carried nothing yet.
    ///
    /// # Errors
    ///
    /// As for [`Links::get`].
    pub async fn connect(&self, node: u64) -> Result<Link, Error> {
        let now = clock::monotonic();
        if self.away.borrow().get(&node).is_some_and(|until| now < *until) {
            return Err(away(node, "it could not be reached a moment ago"));
        }
        match self.dial(node).await {
            Ok(link) => {
                self.away.borrow_mut().remove(&node);
                Ok(link)
            }
            Err(why) => {
                tracing::info!(node = format!("{node:016x}"), why, "a node cannot be reached");
                let until = clock::monotonic() + Duration::from_millis(RELAY_AWAY_MS);
                self.away.borrow_mut().insert(node, until);
                Err(away(node, "it cannot be reached"))
            }
        }
    }

    /// Keeps a connection on which nothing is under way for whoever needs one next.
    pub fn put(&self, node: u64, mut link: Link) {
        let now = clock::monotonic();
        link.idle_since = now;
        link.receiving.enter(Phase::Idle);
        link.inbound.rest();
        let mut idle = self.idle.borrow_mut();
        let links = idle.entry(node).or_default();
        if links.len() < RELAY_IDLE_MAX_COUNT {
            links.push(link);
        }
    }

    fn take_idle(&self, node: u64) -> Option<Link> {
        self.idle.borrow_mut().get_mut(&node)?.pop()
    }

    async fn dial(&self, node: u64) -> Result<Link, String> {
        let announced = self.registry.current().node(node).map(|node| node.relay.clone());
        let name = announced.filter(|relay| !relay.is_empty());
        let name = name.ok_or("it has not said where its relay is: set relay there")?;
        let dialed = async {
            let address = match name.parse() {
                Ok(address) => address,
                Err(_) => self.cluster.resolve(name.clone()).await?,
            };
            self.open(node, address).await
        };
        let late = ring::sleep(Duration::from_millis(RELAY_CONNECT_MS));
        match select(pin!(dialed), pin!(late)).await {
            Either::Left((dialed, _)) => dialed.map_err(|why| format!("{name}: {why}")),
            Either::Right(_) => Err(format!("{name}: no answer")),
        }
    }

    async fn open(&self, node: u64, address: SocketAddr) -> Result<Link, String> {
        if self.tls.is_none() && !address.ip().to_canonical().is_loopback() {
            return Err("plain text is for loopback only, set certificates".to_owned());
        }
        let local: IpAddr = if address.is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        let socket = Socket::connect(local, address).await;
        let socket = Rc::new(socket.map_err(|error| error.to_string())?);
        socket.notice_loss();
        let (receiving, sending) = (
            self.sweeper.watch(Rc::clone(&socket)),
            self.sweeper.watch(Rc::clone(&socket)),
        );
        let session = match &self.tls {
            None => None,
            Some(tls) => {
                let greeting = tls.greet(node).map_err(|error| error.to_string())?;
                let shaken = greet(greeting, &socket, &receiving).await;
                Some(shaken.map_err(|error| error.to_string())?.session)
            }
        };
        let stream = Stream::new(socket, session);
        sending.enter(Phase::Reply);
        Ok(Link {
            inbound: Inbound::new(Rc::clone(&stream), Rc::clone(&receiving), Vec::new()),
            outbound: Outbound::new(Rc::clone(&stream), Rc::clone(&sending)),
            stream,
            receiving,
            sending,
            idle_since: clock::monotonic(),
        })
    }
}

impl Link {
    /// Whether it can be used again: nobody has ended it, and nothing has come that nobody has asked for.
    fn is_fresh(&self) -> bool {
        let age = clock::monotonic().duration_since(self.idle_since);
        let quiet = matches!(self.stream.try_recv(&mut [0]), Ok(None));
        quiet && self.receiving.expired().is_none() && age < Duration::from_secs(RELAY_IDLE_S)
    }
}

/// The error of what is meant for a node that is not there.
fn away(node: u64, why: &str) -> Error {
    Error::Unavailable {
        detail: format!("the files of this association are on node {node:016x}, and {why}: try again"),
        retry_after: Duration::from_secs(RELAY_RETRY_S),
    }
}
