//! A network that loses, delays, doubles and reorders, in time that jumps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use filegrid_journal::sim::Random;
use futures::future::BoxFuture;
use tokio::time::sleep;

use crate::wire::{CallError, Carrier, Destination, Identity, Method, Service};

/// Who is there, and who cannot hear whom.
pub(crate) struct Net {
    pub(crate) services: BTreeMap<u64, Arc<dyn Service>>,
    pub(crate) cut: BTreeSet<u64>,
    /// One message in so many is lost; 0 for none.
    pub(crate) lost_one_in: u64,
    /// Messages of another world do not arrive: where all members go back to an older state, no connection lives on.
    pub(crate) world: u64,
    random: Random,
}

/// Clones share the network.
#[derive(Clone)]
pub(crate) struct SharedNet(Arc<Mutex<Net>>);

/// The way from one member, or one node, to all members.
#[derive(Clone)]
pub(crate) struct Way {
    /// Number of whoever asks: that by which it is cut off.
    pub(crate) at: u64,
    pub(crate) us: Identity,
    pub(crate) net: SharedNet,
}

impl SharedNet {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Net {
            services: BTreeMap::new(),
            cut: BTreeSet::new(),
            lost_one_in: 30,
            world: 0,
            random: Random::new(seed),
        })))
    }

    pub(crate) fn get(&self) -> MutexGuard<'_, Net> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Net {
    fn delay(&mut self) -> Duration {
        // Now and then longer than a heartbeat.
        let most = if self.random.one_in(50) { 400_000 } else { 4000 };
        Duration::from_micros(self.random.below(most))
    }

    fn loses(&mut self) -> bool {
        self.lost_one_in > 0 && self.random.one_in(self.lost_one_in)
    }

    fn apart(&self, one: u64, other: u64) -> bool {
        self.cut.contains(&one) || self.cut.contains(&other)
    }
}

impl Way {
    /// Brings a message there after a while, whether anybody still waits for the answer or not.
    fn deliver(&self, to: u64, method: Method, body: Bytes, after: Duration) -> Delivery {
        let (way, world) = (self.clone(), self.net.get().world);
        tokio::spawn(async move {
            sleep(after).await;
            let answer = {
                let net = way.net.get();
                let nobody = || CallError::Unreachable("nobody is there".to_owned());
                let service = net
                    .services
                    .get(&to)
                    .filter(|_| !net.apart(way.at, to) && net.world == world)
                    .ok_or_else(nobody)?;
                service.call(&way.us, method, body)
            };
            Ok(answer.await?)
        })
    }
}

type Delivery = tokio::task::JoinHandle<Result<Bytes, CallError>>;

impl Carrier for Way {
    fn call(
        &self,
        to: &Destination,
        method: Method,
        body: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, CallError>> {
        let (way, to) = (self.clone(), to.member);
        Box::pin(async move {
            let (world, there, again) = {
                let mut net = way.net.get();
                // What a connection would notice after a while.
                let lost = net.loses() || net.apart(way.at, to);
                // Connections do not double what they carry; only Raft's own messages have to stand it. But what was
                // given up as lost may have been on its way all the time.
                let again = match (method < Method::PROPOSE, lost) {
                    (true, _) => net.random.one_in(10).then(|| net.delay()),
                    (false, true) => {
                        let late = Duration::from_millis(net.random.below(3000));
                        net.random.one_in(2).then_some(late)
                    }
                    (false, false) => None,
                };
                (net.world, (!lost).then(|| net.delay()), again)
            };
            let gone = || CallError::Lost("the message was lost".to_owned());
            if let Some(again) = again {
                // Nobody hears the answer.
                drop(way.deliver(to, method, body.clone(), again));
            }
            let Some(there) = there else {
                sleep(Duration::from_millis(500)).await;
                return Err(gone());
            };
            let answer = way.deliver(to, method, body, there).await;
            let back = {
                let mut net = way.net.get();
                let lost = net.loses() || net.apart(way.at, to) || net.world != world;
                (!lost).then(|| net.delay())
            };
            let Some(back) = back else {
                sleep(Duration::from_millis(500)).await;
                return Err(gone());
            };
            sleep(back).await;
            answer.unwrap_or_else(|_| Err(gone()))
        })
    }
}
