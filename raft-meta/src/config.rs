//! Configuration of a member: options over variables over the file over defaults, then checked once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::raft::{Retention, Timing};
use crate::wire::{Destination, Security, TlsFiles};

/// The configuration as it is written. `raft-meta/filegrid-meta.toml` shows every key with its default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Raw {
    /// Where everything is kept.
    pub data: PathBuf,
    /// Number of this member.
    pub id: u64,
    /// Address for members and nodes.
    pub listen: String,
    /// Address that others use.
    pub advertise: String,
    /// Address for `/livez`, `/readyz` and `/metrics`, or `off`.
    pub metrics: String,
    /// Name of the cluster.
    pub cluster: String,
    /// Members of a new cluster.
    pub members: Vec<String>,
    /// Certificate of the cluster's authority.
    pub tls_authority: String,
    /// Certificate of this member.
    pub tls_certificate: String,
    /// Its key.
    pub tls_key: String,
    /// No TLS, on loopback.
    pub plain_text: bool,
    /// Between two signs of life of a leader.
    pub heartbeat_ms: u64,
    /// Least time of silence before an election, beyond `election_max_ms`.
    pub election_min_ms: u64,
    /// Most of it; also how long a leader is trusted.
    pub election_max_ms: u64,
    /// Entries applied before the state is made durable by itself.
    pub persist_after_entries: u64,
    /// The same in bytes.
    pub persist_after_mib: u64,
    /// The log may take so much of the disk.
    pub log_target_mib: u64,
    /// Entries kept for members that lag.
    pub log_keep_entries: u64,
    /// Bytes of them.
    pub log_keep_mib: u64,
}

impl Default for Raw {
    fn default() -> Self {
        let (timing, retention) = (Timing::default(), Retention::default());
        Self {
            data: PathBuf::from("filegrid-meta-data"),
            id: 1,
            listen: "127.0.0.1:8090".to_owned(),
            advertise: String::new(),
            metrics: "127.0.0.1:9101".to_owned(),
            cluster: "filegrid".to_owned(),
            members: Vec::new(),
            tls_authority: String::new(),
            tls_certificate: String::new(),
            tls_key: String::new(),
            plain_text: false,
            heartbeat_ms: timing.heartbeat_ms,
            election_min_ms: timing.election_min_ms,
            election_max_ms: timing.election_max_ms,
            persist_after_entries: retention.persist_after_entries,
            persist_after_mib: retention.persist_after_bytes >> 20,
            log_target_mib: retention.disk_target_bytes >> 20,
            log_keep_entries: retention.keep_entries,
            log_keep_mib: retention.keep_bytes >> 20,
        }
    }
}

/// What the options on the command line override.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--data`.
    pub data: Option<PathBuf>,
    /// `--id`.
    pub id: Option<u64>,
    /// `--listen`.
    pub listen: Option<String>,
}

/// Where and how a member listens.
#[derive(Debug, Clone)]
pub struct Listen {
    /// The address; port 0 takes a free one.
    pub address: SocketAddr,
    /// Host and port that others use; that of the listener if it is empty.
    pub advertise: String,
    /// How connections are kept from others.
    pub security: Security,
}

/// The configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where everything is kept.
    pub data: PathBuf,
    /// Number of this member.
    pub id: u64,
    /// `None` for a member that is embedded and alone.
    pub listen: Option<Listen>,
    /// Where it tells how it is; `None` for nowhere.
    pub metrics: Option<SocketAddr>,
    /// Name of the cluster.
    pub cluster: String,
    /// The members of a new cluster.
    pub members: Vec<Destination>,
    /// When things happen.
    pub timing: Timing,
    /// When the log is shortened.
    pub retention: Retention,
}

impl Config {
    /// A member that is embedded and alone: no listener, a cluster of one.
    #[must_use]
    pub fn embedded(data: PathBuf) -> Self {
        Self {
            data,
            id: 1,
            listen: None,
            metrics: None,
            cluster: Raw::default().cluster,
            members: vec![Destination {
                member: 1,
                address: String::new(),
            }],
            timing: Timing::default(),
            // Nobody follows who could lag.
            retention: Retention {
                keep_entries: 0,
                keep_bytes: 0,
                ..Retention::default()
            },
        }
    }

    /// The members of a new cluster, as Raft takes them; `None` to wait until a leader adds this one.
    #[must_use]
    pub fn first_members(&self) -> Option<BTreeMap<u64, String>> {
        let members: BTreeMap<_, _> = self
            .members
            .iter()
            .map(|member| (member.member, member.address.clone()))
            .collect();
        (!members.is_empty()).then_some(members)
    }
}

/// Reads the configuration.
///
/// # Errors
///
/// A text that names the file, key or variable and what is wrong with it.
pub fn load(
    file: Option<&Path>,
    variables: impl Iterator<Item = (String, String)>,
    options: Overrides,
) -> Result<Config, String> {
    let mut raw: Raw = crate::settings::read(file, variables, "FILEGRID_META_")?;
    raw.data = options.data.unwrap_or(raw.data);
    raw.id = options.id.unwrap_or(raw.id);
    raw.listen = options.listen.unwrap_or(raw.listen);
    check(raw)
}

fn check(raw: Raw) -> Result<Config, String> {
    let address: SocketAddr = raw
        .listen
        .parse()
        .map_err(|_| format!("listen: {} is no address like 127.0.0.1:8090", raw.listen))?;
    let metrics = match raw.metrics.as_str() {
        "off" => None,
        text => Some(
            text.parse()
                .map_err(|_| format!("metrics: {text} is no address like 127.0.0.1:9101, and not off"))?,
        ),
    };
    let members = members(&raw.members)?;
    if !members.is_empty() && !members.iter().any(|member| member.member == raw.id) {
        return Err(format!("members: member {} is not among them", raw.id));
    }
    if raw.cluster.is_empty() || raw.cluster.len() > 64 {
        return Err("cluster: 1 to 64 bytes".to_owned());
    }
    let security = security(
        &raw.tls_authority,
        &raw.tls_certificate,
        &raw.tls_key,
        raw.plain_text,
    )?;
    security
        .allows(&address)
        .map_err(|why| format!("listen: {why}"))?;
    let timing = Timing {
        heartbeat_ms: raw.heartbeat_ms,
        election_min_ms: raw.election_min_ms,
        election_max_ms: raw.election_max_ms,
    };
    if !(10..=10_000).contains(&timing.heartbeat_ms) {
        return Err("heartbeat_ms: 10 to 10000".to_owned());
    }
    if timing.election_min_ms < 3 * timing.heartbeat_ms {
        return Err("election_min_ms: at least three times heartbeat_ms".to_owned());
    }
    if timing.election_max_ms <= timing.election_min_ms {
        return Err("election_max_ms: must be more than election_min_ms".to_owned());
    }
    // What the others were told of this member holds for itself.
    let listed = members.iter().find(|member| member.member == raw.id);
    let listed = listed.map(|member| member.address.clone()).unwrap_or_default();
    let advertise = if raw.advertise.is_empty() {
        listed
    } else {
        raw.advertise
    };
    Ok(Config {
        data: raw.data,
        id: raw.id,
        listen: Some(Listen {
            address,
            advertise,
            security,
        }),
        metrics,
        cluster: raw.cluster,
        members,
        timing,
        retention: Retention {
            persist_after_entries: raw.persist_after_entries.max(1),
            persist_after_bytes: raw.persist_after_mib << 20,
            disk_target_bytes: raw.log_target_mib << 20,
            keep_entries: raw.log_keep_entries,
            keep_bytes: raw.log_keep_mib << 20,
        },
    })
}

/// Reads members, each like `1@host:port`.
///
/// # Errors
///
/// A text that names the one that is not like that, or is there twice.
pub fn members(texts: &[String]) -> Result<Vec<Destination>, String> {
    let mut members = Vec::with_capacity(texts.len());
    for text in texts {
        let wrong = || format!("members: {text} is not like 1@10.0.0.1:8090");
        let (id, address) = text.split_once('@').ok_or_else(wrong)?;
        let member: u64 = id.parse().map_err(|_| wrong())?;
        if members.iter().any(|other: &Destination| other.member == member) {
            return Err(format!("members: member {member} is there twice"));
        }
        members.push(Destination {
            member,
            address: address.to_owned(),
        });
    }
    Ok(members)
}

/// How connections are kept from others, by three files in PEM: the authority's certificate, one's own, its key.
///
/// # Errors
///
/// A text that says what is wrong.
pub fn security(
    tls_authority: &str,
    tls_certificate: &str,
    tls_key: &str,
    plain_text: bool,
) -> Result<Security, String> {
    let files = [tls_authority, tls_certificate, tls_key];
    match (files.iter().all(|file| file.is_empty()), plain_text) {
        (true, true) => Ok(Security::Plain),
        (true, false) => Err(
            "set tls_authority, tls_certificate and tls_key; or plain_text = true if all members and nodes are on \
             this machine"
                .to_owned(),
        ),
        (false, true) => Err("plain_text: not with certificates".to_owned()),
        (false, false) => Security::from_files(&TlsFiles {
            authority: PathBuf::from(tls_authority),
            certificate: PathBuf::from(tls_certificate),
            key: PathBuf::from(tls_key),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Result<Config, String> {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        load(None, variables, Overrides::default())
    }

    #[test]
    fn the_shipped_file_shows_the_defaults() {
        let shipped: Raw = toml::from_str(include_str!("../filegrid-meta.toml")).unwrap();
        assert_eq!(shipped, Raw::default());
        let shown: toml::Table = include_str!("../filegrid-meta.toml").parse().unwrap();
        let known = toml::Table::try_from(Raw::default()).unwrap();
        assert_eq!(shown.keys().collect::<Vec<_>>(), known.keys().collect::<Vec<_>>());
    }

    #[test]
    fn members_and_plain_text_are_taken_from_variables() {
        let config = from(&[
            ("FILEGRID_META_PLAIN_TEXT", "true"),
            ("FILEGRID_META_ID", "2"),
            ("FILEGRID_META_MEMBERS", "1@a:1, 2@b:2"),
        ])
        .unwrap();
        assert_eq!(config.first_members().unwrap()[&2], "b:2");
        assert!(matches!(config.listen.unwrap().security, Security::Plain));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let plain = ("FILEGRID_META_PLAIN_TEXT", "true");
        for (name, value, named) in [
            ("FILEGRID_META_LISTEN", "here", "listen"),
            ("FILEGRID_META_LISTEN", "0.0.0.0:8090", "loopback"),
            ("FILEGRID_META_METRICS", "here", "metrics"),
            ("FILEGRID_META_ID", "one", "FILEGRID_META_ID"),
            ("FILEGRID_META_MEMBERS", "1@a:1,1@b:2", "twice"),
            ("FILEGRID_META_MEMBERS", "2@b:2", "member 1"),
            ("FILEGRID_META_MEMBERS", "here", "1@10.0.0.1"),
            ("FILEGRID_META_TLS_KEY", "key.pem", "plain_text"),
            ("FILEGRID_META_PLAIN_TEXT", "maybe", "true or false"),
            ("FILEGRID_META_ELECTION_MIN_MS", "10", "election_min_ms"),
        ] {
            let error = from(&[plain, (name, value)]).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
        assert!(from(&[]).unwrap_err().contains("tls_authority"));
    }
}
