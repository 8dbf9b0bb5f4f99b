//! What a run does: the options, checked.

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::{
    Cipher, Command, CommonOptions, FtpOptions, FtpTls, Passive, RestOptions, SftpOptions, ThresholdOptions,
    TrustOptions,
};
use crate::clock;
use crate::files::Files;
use crate::limits::{
    CONNECTIONS_MAX_COUNT, PREPARED_DEFAULT_BYTES, PREPARED_DEFAULT_COUNT, PREPARED_MAX_COUNT,
    THREADS_MAX_COUNT, UPLOADED_DEFAULT_BYTES,
};
use crate::profile::{Mix, Profile};
use crate::rest::{Keys, Listing};
use crate::schedule::{Pace, Until};
use crate::target::{Protocol, Target};
use crate::thresholds::Thresholds;
use crate::tls::Trust;

/// How a server is reached.
#[derive(Clone, Debug)]
pub enum Access {
    /// By REST.
    Rest(RestAccess),
    /// By HTTP, of a server of files that is no node.
    Http(HttpAccess),
    /// By FTP.
    Ftp(FtpAccess),
    /// By SFTP.
    Sftp(SftpAccess),
}

/// What opens the REST API.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// Keys, which get a token and another one before that expires.
    Keys(Keys),
    /// A token.
    Token(String),
}

/// How REST is used.
#[derive(Clone, Debug)]
pub struct RestAccess {
    /// What opens it.
    pub credentials: Credentials,
    /// The route that lists.
    pub listing: Listing,
    /// Whom to trust.
    pub trust: Trust,
}

/// A file server that speaks plain HTTP or HTTPS. Anything from 200 to 299 is a success.
#[derive(Clone, Debug)]
pub struct HttpAccess {
    /// How files are stored.
    pub store: Store,
    /// How directories are made.
    pub directories: Directories,
    /// What every request carries: whole lines, each with CRLF at its end.
    pub headers: String,
    /// What is put behind a directory's URL, which ends with a slash, to get it as an archive: `?zip`. None: there are none.
    pub archive: Option<String>,
    /// Whom to trust.
    pub trust: Trust,
}

/// How files are stored.
#[derive(Clone, Debug)]
pub enum Store {
    /// `PUT` to the file's path.
    Put,
    /// `POST` of `multipart/form-data`. A 303 is a success as well.
    Form {
        /// Path and query; `{}` stands for the directory, which begins with a slash and ends without.
        action: String,
        /// Name of the part that holds the file.
        field: String,
        /// Names and values of parts before it.
        fields: Vec<(String, String)>,
    },
}

/// How directories are made.
#[derive(Clone, Debug)]
pub enum Directories {
    /// `MKCOL` (RFC 4918, 9.3).
    Mkcol,
    /// They come with their first file.
    Implied,
    /// `POST` of `multipart/form-data`. A 303 is a success as well.
    Form {
        /// Path and query; `{}` stands for the directory in which it is made, which begins with a slash and ends without
        /// unless it is the root.
        action: String,
        /// Name of the part that holds the new directory's name, without its path.
        field: String,
        /// Names and values of parts before it.
        fields: Vec<(String, String)>,
    },
}

/// How FTP is used.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each is what its name says")]
pub struct FtpAccess {
    pub user: String,
    pub password: String,
    /// None: as the target says.
    pub tls: Option<FtpTls>,
    pub passive: Passive,
    pub trust: Trust,
}

/// How SFTP is used.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each is what its name says")]
pub struct SftpAccess {
    pub user: String,
    pub password: Option<String>,
    pub key: Option<PathBuf>,
    /// Fingerprints of servers; none: any.
    pub host_keys: Option<Vec<String>>,
    /// The only cipher that is offered; none: the usual ones.
    pub cipher: Option<Cipher>,
}

/// A run.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each is what its option is")]
pub struct Plan {
    pub access: Access,
    pub targets: Vec<Target>,
    pub profile: Profile,
    pub mix: Mix,
    pub files: Files,
    pub connections: usize,
    pub threads: usize,
    pub pace: Pace,
    pub until: Until,
    pub warm_up: Duration,
    pub verify: bool,
    /// Nothing is deleted at the end.
    pub keep: bool,
    /// The files to be fetched are there already, as an earlier run of the same files has left them.
    pub is_prepared: bool,
    pub timeout: Duration,
    pub grace: Duration,
    pub seed: u64,
    pub pids: Vec<u32>,
    /// After the last answer it is waited until the servers of [`Plan::pids`] do nothing any more.
    pub settle: bool,
    pub json: Option<PathBuf>,
    pub html: Option<PathBuf>,
    pub quiet: bool,
    pub thresholds: Thresholds,
}

impl Plan {
    /// Checks the options.
    ///
    /// # Errors
    ///
    /// A text that says what to change.
    pub fn new(command: Command) -> Result<Self, String> {
        match command {
            Command::Rest(options) => {
                let access = Access::Rest(rest(&options)?);
                Self::with(Protocol::Rest, access, options.common)
            }
            Command::Ftp(options) => {
                let access = Access::Ftp(ftp(&options));
                Self::with(Protocol::Ftp, access, options.common)
            }
            Command::Sftp(options) => {
                let access = Access::Sftp(sftp(&options)?);
                Self::with(Protocol::Sftp, access, options.common)
            }
        }
    }

    fn with(protocol: Protocol, access: Access, options: CommonOptions) -> Result<Self, String> {
        if options.profile == Profile::Archive && protocol != Protocol::Rest {
            return Err("archives are REST's alone: loadtest rest --profile archive".to_owned());
        }
        let targets = options.target.iter().map(|text| Target::parse(protocol, text));
        let targets = targets.collect::<Result<Vec<_>, _>>()?;
        let connections = within("--connections", options.connections, CONNECTIONS_MAX_COUNT)?;
        if connections < targets.len() {
            return Err(format!("{} targets need as many --connections", targets.len()));
        }
        let threads = options.threads.unwrap_or_else(usual_threads);
        let threads = within("--threads", threads, THREADS_MAX_COUNT)?.min(connections);
        let pace = match options.rate {
            None => Pace::Closed,
            Some(per_second) if per_second > 0.0 && per_second <= 1e7 => Pace::Open { per_second },
            Some(_) => return Err("--rate is above 0 and up to 10,000,000/s".to_owned()),
        };
        let until = match options.requests {
            Some(requests) => Until::Requests(requests),
            None => Until::Time(options.duration),
        };
        if matches!(until, Until::Requests(0) | Until::Time(Duration::ZERO)) {
            return Err("--duration or --requests of 0 leaves nothing to measure".to_owned());
        }
        let usual_warm_up = Duration::from_secs(u64::from(options.requests.is_none()));
        // Short enough to be typed again.
        let seed = options
            .seed
            .unwrap_or_else(|| clock::unix_nanoseconds() % 1_000_000_000);
        Ok(Self {
            access,
            files: files(&options, connections, seed)?,
            targets,
            profile: options.profile,
            mix: options.mix,
            connections,
            threads,
            pace,
            until,
            warm_up: options.warm_up.unwrap_or(usual_warm_up),
            verify: options.verify,
            keep: options.keep,
            is_prepared: false,
            timeout: options.timeout,
            grace: options.grace,
            seed,
            pids: options.pid,
            settle: options.settle,
            json: options.json,
            html: options.html,
            quiet: options.quiet,
            thresholds: thresholds(options.thresholds),
        })
    }

    /// What the targets speak.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        match self.access {
            Access::Rest(_) => Protocol::Rest,
            Access::Http(_) => Protocol::Http,
            Access::Ftp(_) => Protocol::Ftp,
            Access::Sftp(_) => Protocol::Sftp,
        }
    }
}

fn within(option: &str, count: usize, most: usize) -> Result<usize, String> {
    if (1..=most).contains(&count) {
        Ok(count)
    } else {
        Err(format!("{option} is from 1 to {most}"))
    }
}

/// The other half is left to the server, which is on the same machine as often as not.
fn usual_threads() -> usize {
    std::thread::available_parallelism()
        .map_or(1, |cores| cores.get() / 2)
        .clamp(1, THREADS_MAX_COUNT)
}

fn files(options: &CommonOptions, connections: usize, seed: u64) -> Result<Files, String> {
    let average = options.size.average(seed);
    let prepared = match options.files {
        _ if !options.profile.is_prepared() => 0,
        Some(0) => return Err("--files of 0 leaves nothing to fetch".to_owned()),
        Some(count) if count > PREPARED_MAX_COUNT => {
            return Err(format!("--files is at most {PREPARED_MAX_COUNT}"));
        }
        Some(count) => count,
        None => (PREPARED_DEFAULT_BYTES / average).clamp(1, PREPARED_DEFAULT_COUNT),
    };
    let connections = connections as u64;
    let names = match options.files {
        Some(count) if options.profile == Profile::Upload => count,
        _ => UPLOADED_DEFAULT_BYTES / average,
    };
    let directory = options.directory.trim_end_matches('/');
    if !(directory.is_empty() || directory.starts_with('/')) || !is_plain(directory) {
        return Err("--directory is a path like /a/b, of letters, digits, and .-_".to_owned());
    }
    Ok(Files {
        root: format!(
            "{directory}/loadtest-{:x}-{:x}",
            clock::unix_nanoseconds(),
            std::process::id()
        ),
        sizes: options.size.clone(),
        seed,
        prepared,
        slots: names.div_ceil(connections).max(1),
        connections,
    })
}

/// Whether a path needs no quoting, in any protocol.
fn is_plain(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/.-_".contains(&byte);
    path.bytes().all(plain) && !path.split('/').any(|name| name == "..")
}

fn thresholds(options: ThresholdOptions) -> Thresholds {
    let named = [
        (50.0, options.max_p50),
        (95.0, options.max_p95),
        (99.0, options.max_p99),
    ];
    let named = named
        .into_iter()
        .filter_map(|(percentile, limit)| Some((percentile, limit?)));
    #[allow(clippy::cast_precision_loss, reason = "compared with a measured rate")]
    let min_throughput_mib = options
        .min_throughput
        .map(|bytes| bytes as f64 / f64::from(1 << 20));
    Thresholds {
        latencies: named.chain(options.max_latency).collect(),
        min_rate: options.min_rate,
        min_throughput_mib,
        max_errors: options.max_errors,
    }
}

fn rest(options: &RestOptions) -> Result<RestAccess, String> {
    let keys = (&options.association_key, &options.access_key, &options.secret_key);
    let credentials = match (keys, &options.token) {
        ((Some(association), Some(access), Some(secret)), _) => Credentials::Keys(Keys {
            association: association.trim().to_owned(),
            access: access.trim().to_owned(),
            secret: secret.trim().to_owned(),
        }),
        (_, Some(token)) if token.trim().bytes().all(|byte| byte.is_ascii_graphic()) => {
            Credentials::Token(token.trim().to_owned())
        }
        (_, Some(_)) => return Err("--token has letters that no token has".to_owned()),
        ((None, None, None), None) => {
            return Err(
                "give --association-key, --access-key and --secret-key, which the first start of a node \
                        prints, or --token"
                    .to_owned(),
            );
        }
        (_, None) => return Err("--association-key, --access-key and --secret-key go together".to_owned()),
    };
    Ok(RestAccess {
        credentials,
        listing: options.listing,
        trust: trust(&options.trust),
    })
}

fn ftp(options: &FtpOptions) -> FtpAccess {
    FtpAccess {
        user: options.user.clone(),
        password: options.password.clone(),
        tls: options.tls,
        passive: options.passive,
        trust: trust(&options.trust),
    }
}

fn sftp(options: &SftpOptions) -> Result<SftpAccess, String> {
    if options.password.is_none() && options.key.is_none() {
        return Err("give --password or --key".to_owned());
    }
    Ok(SftpAccess {
        user: options.user.clone(),
        password: options.password.clone(),
        key: options.key.clone(),
        cipher: options.cipher,
        host_keys: (!options.insecure).then(|| options.host_key.clone()),
    })
}

fn trust(options: &TrustOptions) -> Trust {
    match &options.ca {
        _ if options.insecure => Trust::Anybody,
        Some(path) => Trust::File(path.clone()),
        None => Trust::System,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    fn read(options: &str) -> Result<Plan, String> {
        let all = format!("loadtest {options}");
        let cli = Cli::try_parse_from(all.split_whitespace()).map_err(|error| error.to_string())?;
        Plan::new(cli.command)
    }

    const REST: &str = "rest --target http://127.0.0.1:1 --token t";

    #[test]
    fn what_is_left_out_is_bounded() {
        let plan = read(&format!("{REST} --profile download --size 1GiB")).unwrap();
        assert_eq!(plan.files.prepared, 1);
        let plan = read(&format!("{REST} --profile upload --size 1GiB --connections 2")).unwrap();
        assert_eq!((plan.files.prepared, plan.files.slots), (0, 4));
        let plan = read(&format!("{REST} --profile list --size 1")).unwrap();
        assert_eq!(plan.files.prepared, PREPARED_DEFAULT_COUNT);
        assert_eq!(plan.warm_up, Duration::from_secs(1));
        let plan = read(&format!("{REST} --profile list --requests 5")).unwrap();
        assert_eq!(plan.warm_up, Duration::ZERO);
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for (options, named) in [
            ("rest --target http://a --profile list", "--association-key"),
            (
                "rest --target http://a --profile list --access-key a",
                "go together",
            ),
            (
                "rest --target ftp://a --profile list --token t",
                "http://HOST:PORT",
            ),
            (
                "rest --target http://a --target http://b --connections 1 --profile list --token t",
                "2 targets",
            ),
            (
                "rest --target http://a --profile list --token t --threads 0",
                "--threads",
            ),
            (
                "rest --target http://a --profile list --token t --rate 0",
                "--rate",
            ),
            (
                "rest --target http://a --profile list --token t --duration 0",
                "nothing to measure",
            ),
            (
                "rest --target http://a --profile list --token t --files 0",
                "--files",
            ),
            (
                "rest --target http://a --profile list --token t --directory a",
                "--directory",
            ),
            (
                "rest --target http://a --profile list --token t --directory /a/../b",
                "--directory",
            ),
            (
                "rest --target http://a --profile list --token t --duration 1s --requests 1",
                "cannot be used",
            ),
            (
                "ftp --target ftp://a --profile archive --user u --password p",
                "REST's alone",
            ),
            (
                "sftp --target sftp://a --profile list --user u",
                "--password or --key",
            ),
        ] {
            let told = read(options).unwrap_err();
            assert!(told.contains(named), "{options}: {told}");
        }
    }
}
