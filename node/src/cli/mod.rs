//! The command line.

mod sftp_stdio;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use filegrid_meta::secret::new_user;
use uuid::Uuid;

use crate::auth::{self, First, Scopes, UserKeys};
use crate::config::{self, Config, Overrides};

pub use self::sftp_stdio::{SftpStdio, sftp_stdio};

/// A file exchange: upload by one protocol, fetch by another.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Cli {
    /// Configuration file; node/filegrid.toml shows every key.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where everything is kept [default: filegrid-data].
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<PathBuf>,
    /// Address of the REST API [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Address of the REST API over TLS; "off": none [default: 127.0.0.1:8443].
    #[arg(long, value_name = "ADDR")]
    listen_tls: Option<String>,
    /// Address of the operator's API [default: 127.0.0.1:8081].
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// Address of /metrics, /livez and /readyz; "off": none [default: 127.0.0.1:9100].
    #[arg(long, value_name = "ADDR")]
    metrics: Option<String>,
    /// Address of FTP, with TLS for those who ask; "off": none [default: 127.0.0.1:2121].
    #[arg(long, value_name = "ADDR")]
    ftp: Option<String>,
    /// Address of FTP through TLS; "off": none [default: 127.0.0.1:2990].
    #[arg(long, value_name = "ADDR")]
    ftps: Option<String>,
    /// Address of SFTP and SCP; "off": none [default: 127.0.0.1:2222].
    #[arg(long, value_name = "ADDR")]
    sftp: Option<String>,
    /// Threads that serve; 0: one a core [default: 0].
    #[arg(long, value_name = "N")]
    shards: Option<u32>,
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do instead of serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Adds an API user and prints its keys. A running node knows it within a second.
    AddUser(AddUser),
    /// Makes another operator's token and prints it; the one before ends. A running node knows it within a second.
    OperatorToken,
    /// Serves a session of SFTP on standard input and output, by the node that runs on this machine: for Subsystem of OpenSSH's sshd.
    SftpStdio(SftpStdio),
}

/// Options of `add-user`.
#[derive(Debug, Args)]
pub struct AddUser {
    /// What the user may do, such as "file.read file.list".
    #[arg(long)]
    scopes: String,
    /// Directory that bounds all that the user sees.
    #[arg(long, default_value = "/")]
    root: String,
    /// AssociationKey, if there are several.
    #[arg(long)]
    association: Option<Uuid>,
}

impl Cli {
    /// The configuration: options over variables over the file over defaults.
    ///
    /// # Errors
    ///
    /// A text that says what is wrong.
    pub fn config(&self) -> Result<Config, String> {
        let options = Overrides {
            data: self.data.clone(),
            listen: self.listen.clone(),
            listen_tls: self.listen_tls.clone(),
            admin: self.admin.clone(),
            metrics: self.metrics.clone(),
            ftp: self.ftp.clone(),
            ftps: self.ftps.clone(),
            sftp: self.sftp.clone(),
            shards: self.shards,
        };
        config::load(self.config.as_deref(), std::env::vars(), options)
    }
}

/// Adds a user to the registry of a `DATA`.
///
/// # Errors
///
/// A text that says what is wrong.
pub fn add_user(config: &Config, user: &AddUser) -> Result<(), String> {
    let scopes = Scopes::parse(&user.scopes).map_err(|scope| format!("there is no scope {scope}"))?;
    filegrid_tree::TreePath::parse_chroot(&user.root)
        .map_err(|error| format!("--root {}: {error}", user.root))?;
    let registry = auth::read_data(&config.data)?;
    let mut tenants = registry.tenants().map(|tenant| tenant.association().key);
    let association = match (user.association, tenants.next(), tenants.next()) {
        (Some(named), _, _) => named,
        (None, Some(only), None) => only,
        _ => return Err("there is not one association: name it with --association".to_owned()),
    };
    let (command, keys) = new_user(association, scopes, &user.root, "")?;
    let asked = auth::ask(&config.data, &command).map_err(|error| error.to_string())?;
    print_keys(&keys);
    tell(asked);
    Ok(())
}

/// Puts another operator's token into the registry of a `DATA`.
///
/// # Errors
///
/// A text that says what is wrong.
pub fn new_operator_token(config: &Config) -> Result<(), String> {
    auth::read_data(&config.data)?;
    let (command, token) = auth::new_operator_token()?;
    let asked = auth::ask(&config.data, &command).map_err(|error| error.to_string())?;
    print_operator_token(&token);
    tell(asked);
    Ok(())
}

#[allow(clippy::print_stderr, reason = "this is for who looks at what was asked for")]
fn tell(asked: auth::Asked) {
    if asked == auth::Asked::Waits {
        eprintln!("This is in force when the node runs and the metadata cluster has taken it.");
    }
}

/// Prints what a first start made.
pub fn print_first(first: &First) {
    print_keys(&first.keys);
    if let Some(token) = &first.operator_token {
        print_operator_token(token);
    }
}

#[allow(clippy::print_stdout, reason = "this is what was asked for")]
fn print_operator_token(token: &str) {
    println!("OperatorToken: {token}");
}

/// Prints the keys of a new user, each on a line of its own.
#[allow(clippy::print_stdout, reason = "this is what was asked for")]
fn print_keys(keys: &UserKeys) {
    println!("AssociationKey: {}", keys.association);
    println!("AccessKey: {}", keys.access_key);
    println!("SecretKey: {}", keys.secret_key);
}

/// Prints a line that uploads, ready to paste.
#[allow(clippy::print_stdout, reason = "this is what was asked for")]
pub fn print_first_upload(keys: &UserKeys, http: std::net::SocketAddr) {
    println!(
        "curl -sS http://{http}/api/upload -H \"Authorization: Bearer $(curl -sS http://{http}/apiaccess/auth \
         --json '{{\"AssociationKey\":\"{}\",\"AccessKey\":\"{}\",\"SecretKey\":\"{}\"}}' | sed \
         's/.*\"token\":\"\\([^\"]*\\)\".*/\\1/')\" -F 'f1=@README.md'",
        keys.association, keys.access_key, keys.secret_key
    );
}
