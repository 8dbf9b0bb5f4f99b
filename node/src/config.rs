//! Configuration: options over variables over the file over defaults, then checked once.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use filegrid_meta::wire::{Identity, identities_of};
use serde::{Deserialize, Serialize};

use crate::cluster::Place;
use crate::ftp::state::{Policy, TlsPolicy};
use crate::store::log::{Durability, LogOptions};
use crate::tls::CertificateFiles;
use crate::{ftp, limits, sftp};

/// The configuration as it is written. `node/filegrid.toml` shows every key with its default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Raw {
    /// Where everything is kept.
    pub data: PathBuf,
    /// REST.
    pub listen: String,
    /// REST over TLS.
    pub listen_tls: String,
    /// FTP, with explicit TLS.
    pub ftp: String,
    /// FTP with implicit TLS.
    pub ftps: String,
    /// `off`, `optional` or `required`: TLS on the port of `ftp`.
    pub ftp_tls: String,
    /// Whether TLS data connections have to resume the control connection's session.
    pub ftp_resumption_required: bool,
    /// Whether uploads over TLS have to end with `close_notify`.
    pub ftp_close_notify_required: bool,
    /// Ports for passive data connections, `first-last` or `any`.
    pub ftp_passive_ports: String,
    /// What PASV tells, by the client's network.
    pub ftp_public_addresses: Vec<String>,
    /// Whether data connections are opened to clients.
    pub ftp_active: bool,
    /// Time between two commands.
    pub ftp_idle_timeout_s: u64,
    /// Time from connecting to the login.
    pub ftp_login_timeout_s: u64,
    /// Time for a data connection to be opened.
    pub ftp_data_timeout_s: u64,
    /// SFTP and SCP.
    pub sftp: String,
    /// Host keys; none: they are made.
    pub sftp_host_keys: Vec<PathBuf>,
    /// Time from connecting to the login.
    pub sftp_login_timeout_s: u64,
    /// Time without a request or a reply.
    pub sftp_idle_timeout_s: u64,
    /// Silence after which a client is asked whether it is there.
    pub sftp_keepalive_s: u64,
    /// Whether clients may use what only old ones need.
    pub sftp_old_clients: bool,
    /// How long an upload that broke is kept for its account to go on with, in seconds; 0: not at all.
    pub keep_partial_s: u64,
    /// Certificate chains.
    pub tls_certificates: Vec<PathBuf>,
    /// Their keys.
    pub tls_keys: Vec<PathBuf>,
    /// Time for a TLS handshake.
    pub handshake_timeout_s: u64,
    /// TLS handshakes of a shard at a time; one address has a quarter of them at most.
    pub handshakes_max: u32,
    /// The operator's API.
    pub admin: String,
    /// `/metrics`, `/livez` and `/readyz`.
    pub metrics: String,
    /// Members of the metadata cluster; none: one of our own.
    pub metadata_members: Vec<String>,
    /// Name of that cluster.
    pub metadata_cluster: String,
    /// Certificate of its authority.
    pub metadata_tls_authority: String,
    /// Certificate of this node.
    pub metadata_tls_certificate: String,
    /// Its key.
    pub metadata_tls_key: String,
    /// No TLS, on loopback.
    pub metadata_plain_text: bool,
    /// Where other nodes bring what is meant for this one.
    pub relay: String,
    /// What they are told of that; none: the address that it listens on.
    pub relay_address: String,
    /// Another node that says nothing for so many seconds is given up.
    pub relay_answer_s: u64,
    /// Whether clients of REST are sent to the node that has their files.
    pub redirect: bool,
    /// Where clients reach this node's REST API; none: they are not sent here.
    pub public_url: String,
    /// Changes are refused when the log keeps so much for the cluster.
    pub unshipped_max_mib: u64,
    /// Or when the cluster has not taken some for so long.
    pub unshipped_max_s: u64,
    /// Writes and logins are refused when the cluster was not heard of for so long.
    pub metadata_cut_off_s: u64,
    /// From one comparison of the rows with the cluster's to the next; 0: none, but after losses.
    pub metadata_compare_s: u64,
    /// Shards; 0: one a core.
    pub shards: u32,
    /// `commit` or `relaxed`.
    pub durability: String,
    /// Length of a log segment.
    pub log_segment_mib: u32,
    /// Segments written ahead.
    pub log_ready_segments: u32,
    /// Of those, the ones that uploads may not use.
    pub log_reserve_segments: u32,
    /// Uploads are refused below this much free space.
    pub low_water_mib: u64,
    /// MiB a second that large files are verified at; 0: not at all.
    pub scrub_mib_s: u32,
    /// Lifetime of a token.
    pub token_lifetime_s: u64,
    /// Age at which a signing key is replaced.
    pub key_rotation_days: u64,
    /// Threads that check secrets.
    pub login_threads: u32,
    /// Logins that may wait for those.
    pub logins_waiting_max: u32,
    /// Origins of web pages that may call the API; `*` for all.
    pub cors_origins: Vec<String>,
    /// Connections in all.
    pub connections_max: u32,
    /// Connections of one address.
    pub connections_per_address_max: u32,
    /// Time for a request's head.
    pub head_timeout_s: u64,
    /// Time between two requests.
    pub idle_timeout_s: u64,
    /// Time in which some of a body must move.
    pub stall_timeout_s: u64,
    /// Time for transfers in flight when the node stops.
    pub drain_s: u64,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            data: PathBuf::from("filegrid-data"),
            listen: "127.0.0.1:8080".to_owned(),
            listen_tls: "127.0.0.1:8443".to_owned(),
            admin: "127.0.0.1:8081".to_owned(),
            metrics: "127.0.0.1:9100".to_owned(),
            ftp: "127.0.0.1:2121".to_owned(),
            ftps: "127.0.0.1:2990".to_owned(),
            ftp_tls: "optional".to_owned(),
            ftp_resumption_required: false,
            ftp_close_notify_required: true,
            ftp_passive_ports: "any".to_owned(),
            ftp_public_addresses: Vec::new(),
            ftp_active: true,
            ftp_idle_timeout_s: 300,
            ftp_login_timeout_s: 60,
            ftp_data_timeout_s: 20,
            sftp: "127.0.0.1:2222".to_owned(),
            sftp_host_keys: Vec::new(),
            sftp_login_timeout_s: 60,
            sftp_idle_timeout_s: 600,
            sftp_keepalive_s: 30,
            sftp_old_clients: false,
            keep_partial_s: 86_400,
            tls_certificates: Vec::new(),
            tls_keys: Vec::new(),
            handshake_timeout_s: 10,
            handshakes_max: 1000,
            metadata_members: Vec::new(),
            metadata_cluster: "filegrid".to_owned(),
            metadata_tls_authority: String::new(),
            metadata_tls_certificate: String::new(),
            metadata_tls_key: String::new(),
            metadata_plain_text: false,
            relay: "off".to_owned(),
            relay_address: String::new(),
            relay_answer_s: 120,
            redirect: false,
            public_url: String::new(),
            unshipped_max_mib: 8192,
            unshipped_max_s: 3600,
            metadata_cut_off_s: 600,
            metadata_compare_s: 600,
            shards: 0,
            durability: "commit".to_owned(),
            log_segment_mib: 64,
            log_ready_segments: 3,
            log_reserve_segments: 2,
            low_water_mib: 1024,
            scrub_mib_s: 8,
            token_lifetime_s: 900,
            key_rotation_days: 30,
            login_threads: 2,
            logins_waiting_max: 64,
            cors_origins: Vec::new(),
            connections_max: 100_000,
            connections_per_address_max: 20_000,
            head_timeout_s: 15,
            idle_timeout_s: 75,
            stall_timeout_s: 30,
            drain_s: 30,
        }
    }
}

/// What the options on the command line override.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--data`.
    pub data: Option<PathBuf>,
    /// `--listen`.
    pub listen: Option<String>,
    /// `--listen-tls`.
    pub listen_tls: Option<String>,
    /// `--admin`.
    pub admin: Option<String>,
    /// `--metrics`.
    pub metrics: Option<String>,
    /// `--ftp`.
    pub ftp: Option<String>,
    /// `--ftps`.
    pub ftps: Option<String>,
    /// `--sftp`.
    pub sftp: Option<String>,
    /// `--shards`.
    pub shards: Option<u32>,
}

/// Where is listened; `None` for off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Addresses {
    /// REST.
    pub http: Option<SocketAddr>,
    /// REST over TLS.
    pub https: Option<SocketAddr>,
    /// The operator's API.
    pub admin: Option<SocketAddr>,
    /// `/metrics`, `/livez` and `/readyz`.
    pub metrics: Option<SocketAddr>,
    /// FTP with explicit TLS.
    pub ftp: Option<SocketAddr>,
    /// FTP with implicit TLS.
    pub ftps: Option<SocketAddr>,
    /// SFTP and SCP.
    pub sftp: Option<SocketAddr>,
    /// Other nodes.
    pub relay: Option<SocketAddr>,
}

impl Addresses {
    /// Each with its name in `DATA/ports.json`.
    pub fn each(&mut self) -> [(&'static str, &mut Option<SocketAddr>); 8] {
        [
            ("http", &mut self.http),
            ("https", &mut self.https),
            ("admin", &mut self.admin),
            ("metrics", &mut self.metrics),
            ("ftp", &mut self.ftp),
            ("ftps", &mut self.ftps),
            ("sftp", &mut self.sftp),
            ("relay", &mut self.relay),
        ]
    }
}

/// The configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where everything is kept.
    pub data: PathBuf,
    /// Where is listened.
    pub addresses: Addresses,
    /// FTP.
    pub ftp: ftp::Settings,
    /// What PASV tells.
    pub ftp_public: Vec<ftp::Rule>,
    /// SFTP.
    pub sftp: sftp::Settings,
    /// Certificates; none: one is made.
    pub certificates: Vec<CertificateFiles>,
    /// Number of shards, 1 to 127.
    pub shards: u8,
    /// Where the metadata cluster is.
    pub metadata: Place,
    /// Options of every log.
    pub log: LogOptions,
    /// Uploads are refused below this many free bytes.
    pub low_water_bytes: u64,
    /// The rest, in range.
    pub raw: Raw,
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
    let mut raw: Raw = filegrid_meta::settings::read(file, variables, "FILEGRID_")?;
    raw.data = options.data.unwrap_or(raw.data);
    raw.listen = options.listen.unwrap_or(raw.listen);
    raw.listen_tls = options.listen_tls.unwrap_or(raw.listen_tls);
    raw.admin = options.admin.unwrap_or(raw.admin);
    raw.metrics = options.metrics.unwrap_or(raw.metrics);
    raw.ftp = options.ftp.unwrap_or(raw.ftp);
    raw.ftps = options.ftps.unwrap_or(raw.ftps);
    raw.sftp = options.sftp.unwrap_or(raw.sftp);
    raw.shards = options.shards.unwrap_or(raw.shards);
    check(raw)
}

fn check(raw: Raw) -> Result<Config, String> {
    let addresses = Addresses {
        http: address("listen", &raw.listen)?,
        https: address("listen_tls", &raw.listen_tls)?,
        admin: address("admin", &raw.admin)?,
        metrics: address("metrics", &raw.metrics)?,
        ftp: address("ftp", &raw.ftp)?,
        ftps: address("ftps", &raw.ftps)?,
        sftp: address("sftp", &raw.sftp)?,
        relay: address("relay", &raw.relay)?,
    };
    if raw.tls_certificates.len() != raw.tls_keys.len() {
        return Err("tls_keys: one for each of tls_certificates, in the same order".to_owned());
    }
    let certificates = raw.tls_certificates.iter().zip(&raw.tls_keys);
    let certificates = certificates.map(|(chain, key)| CertificateFiles {
        chain: chain.clone(),
        key: key.clone(),
    });
    let certificates = certificates.collect();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let shards = if raw.shards == 0 {
        u32::try_from(cores).unwrap_or(1).min(127)
    } else {
        raw.shards
    };
    let shards = u8::try_from(shards)
        .ok()
        .filter(|shards| *shards <= 127)
        .ok_or("shards: at most 127")?;
    let durability = match raw.durability.as_str() {
        "commit" => Durability::Commit,
        "relaxed" => Durability::Relaxed,
        other => return Err(format!("durability: {other} is neither commit nor relaxed")),
    };
    if !(8..=1024).contains(&raw.log_segment_mib) {
        return Err("log_segment_mib: 8 to 1024".to_owned());
    }
    if !(1..=600).contains(&raw.metadata_cut_off_s) {
        return Err("metadata_cut_off_s: 1 to 600".to_owned());
    }
    if !(1..=3600).contains(&raw.relay_answer_s) {
        return Err("relay_answer_s: 1 to 3600".to_owned());
    }
    if raw.log_reserve_segments < 2 {
        return Err("log_reserve_segments: at least 2, one for deletes and one for compaction".to_owned());
    }
    if raw.log_ready_segments <= raw.log_reserve_segments {
        return Err("log_ready_segments: must be more than log_reserve_segments".to_owned());
    }
    let log = LogOptions {
        segment_bytes: raw.log_segment_mib << 20,
        batch_bytes: limits::BATCH_TARGET_BYTES,
        reserve_segments: raw.log_reserve_segments as usize,
        ready_segments: raw.log_ready_segments as usize,
        in_flight: 2,
        durability,
    };
    let metadata = metadata(&raw)?;
    check_relay(&raw, addresses.relay, &metadata)?;
    let low_water_bytes = raw.low_water_mib << 20;
    Ok(Config {
        data: raw.data.clone(),
        addresses,
        ftp: ftp_settings(&raw)?,
        ftp_public: raw
            .ftp_public_addresses
            .iter()
            .map(|rule| ftp::Rule::parse(rule).map_err(|error| format!("ftp_public_addresses: {error}")))
            .collect::<Result<_, _>>()?,
        sftp: sftp::Settings {
            login_timeout: Duration::from_secs(raw.sftp_login_timeout_s),
            idle_timeout: Duration::from_secs(raw.sftp_idle_timeout_s),
            keepalive: Duration::from_secs(raw.sftp_keepalive_s),
            old_clients: raw.sftp_old_clients,
            relay_answer: Duration::from_secs(raw.relay_answer_s),
        },
        certificates,
        shards,
        metadata,
        log,
        low_water_bytes,
        raw,
    })
}

fn metadata(raw: &Raw) -> Result<Place, String> {
    let named = |error: String| format!("metadata_{error}");
    let members = filegrid_meta::config::members(&raw.metadata_members).map_err(named)?;
    if members.is_empty() {
        return Ok(Place::Embedded(raw.data.join("meta")));
    }
    let security = filegrid_meta::config::security(
        &raw.metadata_tls_authority,
        &raw.metadata_tls_certificate,
        &raw.metadata_tls_key,
        raw.metadata_plain_text,
    );
    let certificate = raw.metadata_tls_certificate.as_str();
    let ours = (!certificate.is_empty()).then(|| identities_of(Path::new(certificate)));
    let ours = ours.transpose().map_err(named)?.unwrap_or_default();
    Ok(Place::Members {
        members,
        node: ours.iter().find_map(Identity::node_id),
        cluster: raw.metadata_cluster.clone(),
        security: security.map_err(named)?,
    })
}

/// The ports that the kernel takes for connections that nobody has chosen one for (ip(7)).
fn ephemeral_ports() -> RangeInclusive<u16> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let range = range.ok().and_then(|range| {
        let mut ports = range
            .split_whitespace()
            .map_while(|port| port.parse::<u16>().ok());
        Some(ports.next()?.max(1024)..=ports.next()?)
    });
    range.filter(|range| !range.is_empty()).unwrap_or(32_768..=60_999)
}

/// Other nodes know each other by the certificates of the metadata cluster, and are told of each other by it.
fn check_relay(raw: &Raw, relay: Option<SocketAddr>, metadata: &Place) -> Result<(), String> {
    let Some(relay) = relay else { return Ok(()) };
    let Place::Members { security, .. } = metadata else {
        return Err("relay: only with metadata_members: other nodes learn of it there".to_owned());
    };
    security.allows(&relay).map_err(|why| format!("relay: {why}"))?;
    if relay.ip().is_unspecified() && raw.relay_address.is_empty() {
        return Err(
            "relay_address: set where other nodes reach this one, since relay listens on all addresses"
                .to_owned(),
        );
    }
    Ok(())
}

fn ftp_settings(raw: &Raw) -> Result<ftp::Settings, String> {
    let tls = match raw.ftp_tls.as_str() {
        "off" => TlsPolicy::Off,
        "optional" => TlsPolicy::Optional,
        "required" => TlsPolicy::Required,
        other => return Err(format!("ftp_tls: {other} is not off, optional or required")),
    };
    let ports = match raw.ftp_passive_ports.as_str() {
        "any" => ephemeral_ports(),
        range => {
            let range = range.split_once('-').and_then(|(first, last)| {
                let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
                (1024 <= first && first <= last).then_some(first..=last)
            });
            range.ok_or("ftp_passive_ports: any, or a range above 1023 like 50000-50999")?
        }
    };
    Ok(ftp::Settings {
        policy: Policy {
            tls,
            active: raw.ftp_active,
        },
        resumption_required: raw.ftp_resumption_required,
        lenient: !raw.ftp_close_notify_required,
        ports,
        data_timeout: Duration::from_secs(raw.ftp_data_timeout_s),
        login_timeout: Duration::from_secs(raw.ftp_login_timeout_s),
        keeps_partials: raw.keep_partial_s > 0,
    })
}

fn address(key: &str, text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "off" {
        return Ok(None);
    }
    let parsed = text.parse();
    parsed
        .map(Some)
        .map_err(|_| format!("{key}: {text} is no address like 127.0.0.1:8080"))
}

impl Config {
    /// Deadlines of FTP connections.
    #[must_use]
    pub fn ftp_timeouts(&self) -> crate::net::Timeouts {
        crate::net::Timeouts {
            idle: Duration::from_secs(self.raw.ftp_idle_timeout_s),
            head: Duration::from_secs(self.raw.ftp_login_timeout_s),
            ..self.timeouts()
        }
    }

    /// Deadlines of connections.
    #[must_use]
    pub fn timeouts(&self) -> crate::net::Timeouts {
        crate::net::Timeouts {
            idle: Duration::from_secs(self.raw.idle_timeout_s),
            handshake: Duration::from_secs(self.raw.handshake_timeout_s),
            head: Duration::from_secs(self.raw.head_timeout_s),
            stall: Duration::from_secs(self.raw.stall_timeout_s),
            stall_min_bytes: limits::STALL_MIN_BYTES,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)], options: Overrides) -> Result<Config, String> {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        load(None, variables, options)
    }

    #[test]
    fn the_shipped_file_shows_the_defaults() {
        let shipped: Raw = toml::from_str(include_str!("../filegrid.toml")).unwrap();
        assert_eq!(shipped, Raw::default());
        let shown: toml::Table = include_str!("../filegrid.toml").parse().unwrap();
        let known = toml::Table::try_from(Raw::default()).unwrap();
        assert_eq!(shown.keys().collect::<Vec<_>>(), known.keys().collect::<Vec<_>>());
    }

    #[test]
    fn options_beat_variables() {
        let options = Overrides {
            listen: Some("127.0.0.1:1".to_owned()),
            ..Overrides::default()
        };
        let config = from(
            &[("FILEGRID_LISTEN", "127.0.0.1:2"), ("FILEGRID_SHARDS", "3")],
            options,
        )
        .unwrap();
        assert_eq!(config.addresses.http.unwrap().port(), 1);
        assert_eq!(config.shards, 3);
        let config = from(
            &[("FILEGRID_CORS_ORIGINS", "https://a, https://b")],
            Overrides::default(),
        )
        .unwrap();
        assert_eq!(config.raw.cors_origins, ["https://a", "https://b"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (name, value, named) in [
            ("FILEGRID_LISTEN", "here", "listen"),
            ("FILEGRID_SHARDS", "many", "FILEGRID_SHARDS"),
            ("FILEGRID_DURABILITY", "maybe", "durability"),
            ("FILEGRID_LOG_SEGMENT_MIB", "1", "log_segment_mib"),
            ("FILEGRID_METADATA_CUT_OFF_S", "601", "metadata_cut_off_s"),
            ("FILEGRID_RELAY_ANSWER_S", "0", "relay_answer_s"),
            ("FILEGRID_FTP_TLS", "maybe", "ftp_tls"),
            ("FILEGRID_FTP_ACTIVE", "maybe", "FILEGRID_FTP_ACTIVE"),
            ("FILEGRID_FTP_PASSIVE_PORTS", "80-90", "ftp_passive_ports"),
            ("FILEGRID_FTP_PUBLIC_ADDRESSES", "1.2.3.4", "ftp_public_addresses"),
            ("FILEGRID_TLS_KEYS", "a.key", "tls_keys"),
            ("FILEGRID_RELAY", "127.0.0.1:0", "metadata_members"),
            ("FILEGRID_SFTP", "here", "sftp"),
            ("FILEGRID_SFTP_OLD_CLIENTS", "maybe", "FILEGRID_SFTP_OLD_CLIENTS"),
        ] {
            let error = from(&[(name, value)], Overrides::default()).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }
}
