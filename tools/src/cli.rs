//! The commands and their options.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use filegrid_meta::wire::{Identity, Role};

use crate::authority::Authority;
use crate::cluster::Operator;
use crate::init;
use crate::report::Report;
use crate::settings;

/// Looks after a cluster of filegrid.
#[derive(Debug, Parser)]
#[command(name = "filegridctl", version)]
pub struct Cli {
    /// Where the members are and how to reach them; `cluster init` makes one. FILEGRIDCTL_<KEY> variables override it.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Print JSON instead of text, errors too.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    topic: Topic,
}

#[derive(Debug, Subcommand)]
enum Topic {
    /// The metadata cluster.
    #[command(subcommand)]
    Cluster(Cluster),
    /// The storage nodes.
    #[command(subcommand)]
    Node(Node),
}

#[derive(Debug, Subcommand)]
enum Node {
    /// Say where each node is, how many associations are at home there, and when it was last heard of.
    List,
    /// Send clients of a node elsewhere: /readyz says so to balancers, and it gets no more associations. What is at home there
    /// is served on.
    Drain {
        /// Its id: 16 hexadecimal digits.
        id: String,
    },
    /// Let a node that was drained take part again.
    Undrain {
        /// Its id: 16 hexadecimal digits.
        id: String,
    },
}

#[derive(Debug, Subcommand)]
enum Cluster {
    /// Make the authority of a new cluster, and for each member and the operator a directory with all they need.
    Init {
        /// Made if it is not there. Keep it safe: whoever has authority.key can be anybody in the cluster.
        directory: PathBuf,
        /// The members, each like 1@10.0.0.1:8090, with commas between them.
        #[arg(long, value_name = "LIST", value_delimiter = ',', required = true)]
        members: Vec<String>,
        /// Name of the cluster.
        #[arg(long, value_name = "NAME", default_value = "filegrid")]
        cluster: String,
    },
    /// Make one more certificate, with an authority that `init` has made.
    #[command(subcommand)]
    Certificate(Certificate),
    /// Say who leads, and how each member is.
    Status,
    /// Add a member that runs and waits to be added, and let it vote when it has caught up.
    Add {
        /// Its number.
        id: u64,
        /// Host and port where the others reach it.
        address: String,
    },
    /// Remove a member.
    Remove {
        /// Its number.
        id: u64,
    },
    /// Let another member lead.
    Transfer {
        /// Its number.
        id: u64,
    },
}

#[derive(Debug, Subcommand)]
enum Certificate {
    /// For a member.
    Member {
        /// What `init` has made.
        directory: PathBuf,
        /// Its number.
        id: u64,
    },
    /// For a storage node.
    Node {
        /// What `init` has made.
        directory: PathBuf,
        /// What its events begin with: 16 hexadecimal digits.
        id: String,
    },
}

impl Cli {
    /// Does what was asked.
    ///
    /// # Errors
    ///
    /// A text that says what is wrong.
    pub fn run(&self) -> Result<Report, String> {
        match &self.topic {
            Topic::Cluster(command) => self.cluster(command),
            Topic::Node(command) => self.node(command),
        }
    }

    fn node(&self, command: &Node) -> Result<Report, String> {
        match command {
            Node::List => self.ask(async |operator| operator.nodes().await),
            Node::Drain { id } => {
                let node = node_number(id)?;
                self.ask(async |operator| operator.drain(node, true).await)
            }
            Node::Undrain { id } => {
                let node = node_number(id)?;
                self.ask(async |operator| operator.drain(node, false).await)
            }
        }
    }

    fn cluster(&self, command: &Cluster) -> Result<Report, String> {
        match command {
            Cluster::Init {
                directory,
                members,
                cluster,
            } => init::init(directory, members, cluster),
            Cluster::Certificate(Certificate::Member { directory, id }) => {
                init::certificate(&Authority::open(directory)?, &Identity::member(*id))
            }
            Cluster::Certificate(Certificate::Node { directory, id }) => {
                let node = Identity {
                    role: Role::Node,
                    name: node_id(id)?,
                };
                init::certificate(&Authority::open(directory)?, &node)
            }
            Cluster::Status => self.ask(async |operator| operator.status().await),
            Cluster::Add { id, address } => self.ask(async |operator| operator.add(*id, address).await),
            Cluster::Remove { id } => self.ask(async |operator| operator.remove(*id).await),
            Cluster::Transfer { id } => self.ask(async |operator| operator.transfer(*id).await),
        }
    }

    /// Talks to the members.
    fn ask(&self, what: impl AsyncFnOnce(&Operator) -> Result<Report, String>) -> Result<Report, String> {
        let settings = settings::load(self.config.as_deref(), std::env::vars())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("cannot start a runtime: {error}"))?;
        runtime.block_on(async { what(&Operator::new(settings)).await })
    }
}

/// The id of a node, as the registry has it.
fn node_number(text: &str) -> Result<u64, String> {
    let id = node_id(text)?;
    u64::from_str_radix(&id, 16).map_err(|error| format!("{text}: {error}"))
}

/// The id of a node, as its certificate has it.
fn node_id(text: &str) -> Result<String, String> {
    let is_id = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let wrong = || format!("{text} is not like 00c0ffee00c0ffee, which the events of a node begin with");
    is_id.then(|| text.to_ascii_lowercase()).ok_or_else(wrong)
}
