//! The options, as they are given.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::profile::{Mix, Profile};
use crate::rest::Listing;
use crate::sizes::Sizes;
use crate::thresholds::{ErrorLimit, parse_latency};
use crate::units::{parse_bytes, parse_rate, parse_time};

/// Makes load for a file server, and says how fast it answered.
///
/// What it stores goes into a directory of its own, which it deletes at the end. It ends with 0 if all went well, with 1 if
/// a threshold was missed or a request failed, and with 2 if it could not do what it was asked.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version)]
pub struct Cli {
    /// What the server speaks.
    #[command(subcommand)]
    pub command: Command,
}

/// A protocol with its options.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Over the REST API
    Rest(RestOptions),
    /// Over FTP or FTPS
    Ftp(FtpOptions),
    /// Over SFTP
    Sftp(SftpOptions),
}

/// Options of REST.
#[derive(Debug, Args)]
pub struct RestOptions {
    /// The tenant, as the first start of a node prints it
    #[arg(long, env = "LOADTEST_ASSOCIATION_KEY", hide_env_values = true)]
    pub association_key: Option<String>,
    /// The API user
    #[arg(long, env = "LOADTEST_ACCESS_KEY", hide_env_values = true)]
    pub access_key: Option<String>,
    /// Its secret
    #[arg(long, env = "LOADTEST_SECRET_KEY", hide_env_values = true)]
    pub secret_key: Option<String>,
    /// A token instead of the three keys; it is not renewed
    #[arg(long, env = "LOADTEST_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// The route that lists
    #[arg(long, value_enum, default_value = "files")]
    pub listing: Listing,
    /// Whom TLS trusts.
    #[command(flatten)]
    pub trust: TrustOptions,
    /// The rest.
    #[command(flatten)]
    pub common: CommonOptions,
}

/// Options of FTP.
#[derive(Debug, Args)]
pub struct FtpOptions {
    /// Name to log in with
    #[arg(long)]
    pub user: String,
    /// Its password
    #[arg(long, env = "LOADTEST_PASSWORD", hide_env_values = true)]
    pub password: String,
    /// TLS: asked for (explicit), from the first byte on (implicit), or none (off). By default what the target says:
    /// ftps:// is implicit, ftp:// is off
    #[arg(long, value_enum)]
    pub tls: Option<FtpTls>,
    /// How data connections are asked for
    #[arg(long, value_enum, default_value = "epsv")]
    pub passive: Passive,
    /// Whom TLS trusts.
    #[command(flatten)]
    pub trust: TrustOptions,
    /// The rest.
    #[command(flatten)]
    pub common: CommonOptions,
}

/// TLS of FTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FtpTls {
    /// None.
    Off,
    /// `AUTH TLS`.
    Explicit,
    /// From the first byte on.
    Implicit,
}

/// How data connections are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Passive {
    /// By `EPSV` (RFC 2428).
    Epsv,
    /// By `PASV`, to the address of the control connection whatever the server says.
    Pasv,
}

/// Options of SFTP.
#[derive(Debug, Args)]
pub struct SftpOptions {
    /// Name to log in with
    #[arg(long)]
    pub user: String,
    /// Its password, or that of the key
    #[arg(long, env = "LOADTEST_PASSWORD", hide_env_values = true)]
    pub password: Option<String>,
    /// Private key (OpenSSH or PEM)
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Fingerprint of the server's key: SHA256:…; one for each server if they differ
    #[arg(long, value_name = "FINGERPRINT")]
    pub host_key: Vec<String>,
    /// Take any server for the right one
    #[arg(long)]
    pub insecure: bool,
    /// The only cipher that is offered. By default several, ChaCha20 first
    #[arg(long, value_enum)]
    pub cipher: Option<Cipher>,
    /// The rest.
    #[command(flatten)]
    pub common: CommonOptions,
}

/// Ciphers of SSH, by their names there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Cipher {
    /// AES-GCM with a key of 128 bits (RFC 5647).
    #[value(name = "aes128-gcm@openssh.com")]
    Aes128Gcm,
    /// AES-GCM with a key of 256 bits (RFC 5647).
    #[value(name = "aes256-gcm@openssh.com")]
    Aes256Gcm,
    /// ChaCha20 with Poly1305.
    #[value(name = "chacha20-poly1305@openssh.com")]
    Chacha20Poly1305,
}

/// Whom TLS trusts.
#[derive(Debug, Args)]
pub struct TrustOptions {
    /// Certificates to trust (PEM) instead of the system's, such as DATA/tls/self-made.pem of a node
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Take any server for the right one
    #[arg(long, conflicts_with = "ca")]
    pub insecure: bool,
}

/// Options of all protocols.
#[derive(Debug, Args)]
pub struct CommonOptions {
    /// The server: http://HOST:PORT, https://, ftp://, ftps://, sftp://. Given several times: nodes of one cluster, which
    /// share the connections
    #[arg(long, required = true)]
    pub target: Vec<String>,
    /// What is done
    #[arg(long, value_enum)]
    pub profile: Profile,
    /// Shares of the profile mixed
    #[arg(long, default_value = "upload=20,download=75,list=5")]
    pub mix: Mix,
    /// Size of files: 4KiB, uniform:1KiB..1MiB, lognormal:64KiB,2 (median, deviation), 4KiB=70,64KiB=25,1MiB=5 (weights)
    #[arg(long, default_value = "64KiB")]
    pub size: Sizes,
    /// Files that are made first, to be fetched or listed; for uploads: names that are used in turn. By default as many as
    /// make 1 GiB, at most 1,000; for uploads as many as make 8 GiB
    #[arg(long)]
    pub files: Option<u64>,
    /// Connections, of all targets together
    #[arg(long, default_value_t = 16)]
    pub connections: usize,
    /// Threads that make requests. By default half the cores
    #[arg(long)]
    pub threads: Option<usize>,
    /// How long, without the warm-up
    #[arg(long, value_parser = parse_time, default_value = "10s")]
    pub duration: Duration,
    /// How many requests, instead of how long
    #[arg(long, conflicts_with = "duration")]
    pub requests: Option<u64>,
    /// Open loop: so many requests are begun a second whatever the server does, such as 5000/s. Without it each connection
    /// makes the next request when the last one is answered
    #[arg(long, value_parser = parse_rate)]
    pub rate: Option<f64>,
    /// How long requests are made before they count. By default 1s, or 0s with --requests
    #[arg(long, value_parser = parse_time)]
    pub warm_up: Option<Duration>,
    /// Compare what is fetched and listed, and read back what was uploaded
    #[arg(long)]
    pub verify: bool,
    /// Delete nothing at the end; the report says where everything is
    #[arg(long)]
    pub keep: bool,
    /// Time after which a request has failed; it gets another second for each MiB
    #[arg(long, value_parser = parse_time, default_value = "60s")]
    pub timeout: Duration,
    /// How long requests may go on at the end before they are given up
    #[arg(long, value_parser = parse_time, default_value = "10s")]
    pub grace: Duration,
    /// Where the directory of the run is made
    #[arg(long, default_value = "/")]
    pub directory: String,
    /// What sizes and content follow from. By default another one each time
    #[arg(long)]
    pub seed: Option<u64>,
    /// Process of a server on this machine, to show its CPU and memory, with all that it starts; any number of them
    #[arg(long)]
    pub pid: Vec<u32>,
    /// Wait after the last answer until the server does nothing any more, to show what it had left for later
    #[arg(long, requires = "pid")]
    pub settle: bool,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the report as a page with plots
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// No progress
    #[arg(long)]
    pub quiet: bool,
    /// What must be reached.
    #[command(flatten)]
    pub thresholds: ThresholdOptions,
}

/// What must be reached.
#[derive(Debug, Args)]
#[command(next_help_heading = "Thresholds")]
pub struct ThresholdOptions {
    /// Median latency
    #[arg(long, value_parser = parse_time)]
    pub max_p50: Option<Duration>,
    /// Latency that 95 % of the requests must not exceed
    #[arg(long, value_parser = parse_time)]
    pub max_p95: Option<Duration>,
    /// Latency that 99 % of the requests must not exceed
    #[arg(long, value_parser = parse_time)]
    pub max_p99: Option<Duration>,
    /// Any other percentile: 99.9=50ms, 100=1s. Any number of them
    #[arg(long, value_parser = parse_latency, value_name = "PERCENTILE=TIME")]
    pub max_latency: Vec<(f64, Duration)>,
    /// Requests a second that must succeed
    #[arg(long, value_parser = parse_rate)]
    pub min_rate: Option<f64>,
    /// Bytes a second, such as 100MiB/s
    #[arg(long, value_parser = parse_throughput)]
    pub min_throughput: Option<u64>,
    /// Errors that are let pass: 10, or 0.1%
    #[arg(long, default_value = "0")]
    pub max_errors: ErrorLimit,
}

fn parse_throughput(text: &str) -> Result<u64, String> {
    parse_bytes(text.strip_suffix("/s").unwrap_or(text))
}
