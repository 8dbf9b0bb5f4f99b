//! The address that PASV tells: ours, or one that the client reaches us by through NAT.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

/// How often names are looked up.
const LOOK_UP_INTERVAL: Duration = Duration::from_secs(60);

/// What clients of a network are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    network: IpAddr,
    prefix_bits: u32,
    target: Target,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    /// The address that the control connection has come to.
    Own,
    Address(Ipv4Addr),
    Name(String),
}

impl Rule {
    /// Reads `NETWORK/BITS=ADDRESS`, where the address may be a host name or `own`.
    ///
    /// # Errors
    ///
    /// A text that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text} is not like 10.0.0.0/8=192.0.2.1");
        let (network, target) = text.split_once('=').ok_or_else(wrong)?;
        let (network, bits) = network.trim().split_once('/').ok_or_else(wrong)?;
        let network: IpAddr = network.parse().map_err(|_| wrong())?;
        let bits: u32 = bits.parse().map_err(|_| wrong())?;
        if bits > if network.is_ipv4() { 32 } else { 128 } {
            return Err(wrong());
        }
        let target = match target.trim() {
            "" => return Err(wrong()),
            "own" => Target::Own,
            other => other
                .parse()
                .map_or_else(|_| Target::Name(other.to_owned()), Target::Address),
        };
        Ok(Self {
            network,
            prefix_bits: bits,
            target,
        })
    }

    fn covers(&self, client: IpAddr) -> bool {
        match (self.network, client) {
            (IpAddr::V4(network), IpAddr::V4(client)) => {
                let differing = u32::from(network) ^ u32::from(client);
                differing.leading_zeros() >= self.prefix_bits
            }
            (IpAddr::V6(network), IpAddr::V6(client)) => {
                let differing = u128::from(network) ^ u128::from(client);
                differing.leading_zeros() >= self.prefix_bits
            }
            _ => false,
        }
    }
}

/// The rules, and what the names in them stand for at the moment.
#[derive(Debug)]
pub struct PublicAddresses {
    rules: Vec<Rule>,
    known: ArcSwap<HashMap<String, Ipv4Addr>>,
}

impl PublicAddresses {
    /// Looks the names up now and then, in a thread of its own, if there are any.
    ///
    /// # Errors
    ///
    /// If no thread can be started.
    #[allow(clippy::disallowed_methods, reason = "a plain thread, which may sleep")]
    pub fn start(rules: Vec<Rule>) -> std::io::Result<Arc<Self>> {
        let addresses = Arc::new(Self {
            rules,
            known: ArcSwap::default(),
        });
        if addresses.names().next().is_none() {
            return Ok(addresses);
        }
        let weak = Arc::downgrade(&addresses);
        let look_up = move || {
            while let Some(addresses) = weak.upgrade() {
                addresses.look_up();
                drop(addresses);
                std::thread::sleep(LOOK_UP_INTERVAL);
            }
        };
        std::thread::Builder::new()
            .name("public-names".into())
            .spawn(look_up)?;
        Ok(addresses)
    }

    /// What a client is told; `None`: the address that it has come to.
    #[must_use]
    pub fn told(&self, client: IpAddr) -> Option<Ipv4Addr> {
        match &self.rules.iter().find(|rule| rule.covers(client))?.target {
            Target::Own => None,
            Target::Address(address) => Some(*address),
            Target::Name(name) => self.known.load().get(name).copied(),
        }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().filter_map(|rule| match &rule.target {
            Target::Name(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// A name that cannot be looked up now keeps what it stood for.
    fn look_up(&self) {
        let mut known = HashMap::clone(&self.known.load());
        for name in self.names() {
            let found = (name, 0).to_socket_addrs().ok().and_then(|mut found| {
                found.find_map(|address| match address {
                    SocketAddr::V4(address) => Some(*address.ip()),
                    SocketAddr::V6(_) => None,
                })
            });
            match found {
                Some(address) => drop(known.insert(name.to_owned(), address)),
                None => tracing::warn!(name, "the public address of FTP cannot be looked up"),
            }
        }
        self.known.store(Arc::new(known));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_covers_a_client_counts() {
        let rules =
            ["10.0.0.0/8=own", "::/0=own", "0.0.0.0/0=192.0.2.1"].map(|text| Rule::parse(text).unwrap());
        let addresses = PublicAddresses::start(rules.to_vec()).unwrap();
        assert_eq!(addresses.told("10.9.9.9".parse().unwrap()), None);
        assert_eq!(
            addresses.told("11.0.0.1".parse().unwrap()),
            Some("192.0.2.1".parse().unwrap())
        );
        assert_eq!(addresses.told("::1".parse().unwrap()), None);
        for bad in [
            "",
            "10.0.0.0=1.2.3.4",
            "10.0.0.0/33=1.2.3.4",
            "x/8=1.2.3.4",
            "10.0.0.0/8=",
        ] {
            assert!(Rule::parse(bad).is_err(), "{bad}");
        }
        let named = Rule::parse("0.0.0.0/0=localhost").unwrap();
        let addresses = PublicAddresses {
            rules: vec![named],
            known: ArcSwap::default(),
        };
        addresses.look_up();
        assert_eq!(
            addresses.told("11.0.0.1".parse().unwrap()),
            Some(Ipv4Addr::LOCALHOST)
        );
    }
}
