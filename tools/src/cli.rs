//! The commands and their options.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use filegrid_meta::registry::{Scopes, UserChange};
use filegrid_meta::secret;
use uuid::Uuid;

use crate::authority::Authority;
use crate::init;
use crate::operator::Operator;
use crate::report::Report;
use crate::{backup, settings, user};

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
    /// Write the state of the whole cluster, as it is now, to a file: accounts, tree, how far the nodes are.
    Backup {
        /// Is not replaced.
        file: PathBuf,
    },
    /// Read a backup and say whether it is whole.
    Verify {
        /// The backup.
        file: PathBuf,
    },
    /// Make the data of a member from a backup: the beginning of a new cluster, once the old one is lost.
    Restore {
        /// The backup.
        file: PathBuf,
        /// The data of the member; is not replaced.
        data: PathBuf,
        /// The members of the new cluster, each like 1@10.0.0.1:8090, with commas between them.
        #[arg(long, value_name = "LIST", value_delimiter = ',', required = true)]
        members: Vec<String>,
    },
    /// Have nodes compare their rows with the cluster's now, and say what came of it. Ends with 1 unless all was alike.
    Fsck {
        /// A node, 16 hexadecimal digits; may be given several times [default: all].
        #[arg(long, value_name = "NODE", value_parser = node_number)]
        node: Vec<u64>,
        /// How long to wait for them.
        #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
        wait: u64,
    },
    /// List what nodes have lost and the cluster knows.
    Lost,
    /// Tenants: each has files, API users and FTP accounts of its own.
    #[command(subcommand)]
    Association(Association),
    /// Users of the REST API.
    #[command(subcommand)]
    ApiUser(ApiUser),
    /// Accounts for FTP, FTPS, SFTP and SCP, which the tenants make.
    #[command(subcommand)]
    Account(Account),
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
enum Association {
    /// Make one.
    Create {
        /// What it is called.
        name: String,
        /// Its AssociationKey, to be able to call this again: one that is there by this name stays as it is [default: a new one].
        #[arg(long)]
        key: Option<Uuid>,
        /// The node that its files are on, 16 hexadecimal digits [default: the one that has the fewest].
        #[arg(long, value_name = "NODE", value_parser = node_number)]
        home: Option<u64>,
        /// How long to wait for its node.
        #[arg(long, value_name = "SECONDS", default_value_t = 10)]
        wait: u64,
    },
    /// List all.
    List,
    /// Show one.
    Show {
        /// AssociationKey.
        key: Uuid,
    },
    /// Change what one is called.
    Update {
        /// AssociationKey.
        key: Uuid,
        /// Another name.
        #[arg(long)]
        name: String,
    },
    /// Let its users and accounts in again.
    Enable {
        /// AssociationKey.
        key: Uuid,
    },
    /// Shut its users and accounts out: tokens and sessions end within a second.
    Disable {
        /// AssociationKey.
        key: Uuid,
    },
    /// Delete one that is disabled, with its users, accounts and files.
    Delete {
        /// AssociationKey.
        key: Uuid,
        /// Do not wait for its node, which is lost: if it comes back it keeps files that nobody can reach.
        #[arg(long)]
        force: bool,
        /// How long to wait for its node.
        #[arg(long, value_name = "SECONDS", default_value_t = 10)]
        wait: u64,
    },
}

#[derive(Debug, Subcommand)]
enum ApiUser {
    /// Make one and print its keys; the secret is not shown again.
    Create {
        /// AssociationKey.
        association: Uuid,
        /// What the user may do, such as "file.read file.list"; "all" is everything but edge.
        #[arg(long, value_parser = user::scopes)]
        scopes: Scopes,
        /// Directory that bounds all that the user sees.
        #[arg(long, default_value = "/")]
        root: String,
        /// What you say of the user.
        #[arg(long, default_value = "")]
        description: String,
    },
    /// List all of an association.
    List {
        /// AssociationKey.
        association: Uuid,
    },
    /// Change what one may do and see.
    Update {
        #[command(flatten)]
        user: User,
        /// What the user may do, such as "file.read file.list"; "all" is everything but edge.
        #[arg(long, value_parser = user::scopes)]
        scopes: Option<Scopes>,
        /// Directory that bounds all that the user sees.
        #[arg(long)]
        root: Option<String>,
        /// What you say of the user.
        #[arg(long)]
        description: Option<String>,
    },
    /// Let one in again.
    Enable(User),
    /// Shut one out: its tokens end within a second.
    Disable(User),
    /// Delete one.
    Delete(User),
    /// Give one another secret and print it; the one before and its tokens end within a second.
    Rotate(User),
}

#[derive(Debug, Args)]
struct User {
    /// AssociationKey.
    association: Uuid,
    /// AccessKey.
    access_key: String,
}

#[derive(Debug, Subcommand)]
enum Account {
    /// List all of an association.
    List {
        /// AssociationKey.
        association: Uuid,
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
    /// Say who leads, how each member is, and how far the nodes are.
    Status,
    /// List changes of nodes that the cluster has rejected, with the reasons.
    Rejected,
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
        /// Where others reach it: then it gets a configuration, too.
        address: Option<String>,
    },
    /// For a storage node.
    Node {
        /// What `init` has made.
        directory: PathBuf,
        /// Its id, 16 hexadecimal digits: what the events of one that has run begin with [default: a new one].
        id: Option<String>,
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
            Topic::Backup { file } => self.ask(async |operator| operator.backup(file).await),
            Topic::Verify { file } => backup::verify(file),
            Topic::Restore { file, data, members } => backup::restore(file, data, members),
            Topic::Fsck { node, wait } => {
                let patience = Duration::from_secs(*wait);
                self.ask(async |operator| operator.fsck(node, patience).await)
            }
            Topic::Lost => self.ask(async |operator| operator.lost().await),
            Topic::Association(command) => self.ask(async |operator| association(operator, command).await),
            Topic::ApiUser(command) => self.ask(async |operator| api_user(operator, command).await),
            Topic::Account(Account::List { association }) => {
                self.ask(async |operator| operator.list_accounts(*association).await)
            }
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
            Cluster::Certificate(Certificate::Member {
                directory,
                id,
                address,
            }) => init::member(&Authority::open(directory)?, directory, *id, address.as_deref()),
            Cluster::Certificate(Certificate::Node { directory, id }) => {
                let id = match id {
                    Some(id) => node_id(id)?,
                    None => format!("{:016x}", secret::random_node()?),
                };
                init::node(&Authority::open(directory)?, directory, &id)
            }
            Cluster::Rejected => self.ask(async |operator| operator.rejected().await),
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

async fn association(operator: &Operator, command: &Association) -> Result<Report, String> {
    match command {
        Association::Create {
            name,
            key,
            home,
            wait,
        } => {
            let patience = Duration::from_secs(*wait);
            operator.create_association(name, *key, *home, patience).await
        }
        Association::List => operator.list_associations().await,
        Association::Show { key } => operator.show_association(*key).await,
        Association::Update { key, name } => operator.update_association(*key, Some(name), None).await,
        Association::Enable { key } => operator.update_association(*key, None, Some(true)).await,
        Association::Disable { key } => operator.update_association(*key, None, Some(false)).await,
        Association::Delete { key, force, wait } => {
            let patience = Duration::from_secs(*wait);
            operator.delete_association(*key, *force, patience).await
        }
    }
}

async fn api_user(operator: &Operator, command: &ApiUser) -> Result<Report, String> {
    let change = async |of: &User, change| operator.update_user(of.association, &of.access_key, change).await;
    let enabled = |enabled| UserChange {
        enabled: Some(enabled),
        ..UserChange::default()
    };
    match command {
        ApiUser::Create {
            association,
            scopes,
            root,
            description,
        } => {
            let made = operator.create_user(*association, *scopes, root, description);
            made.await
        }
        ApiUser::List { association } => operator.list_users(*association).await,
        ApiUser::Update {
            user,
            scopes,
            root,
            description,
        } => {
            let wanted = UserChange {
                scopes: *scopes,
                root: root.clone(),
                description: description.clone(),
                ..UserChange::default()
            };
            change(user, wanted).await
        }
        ApiUser::Enable(user) => change(user, enabled(true)).await,
        ApiUser::Disable(user) => change(user, enabled(false)).await,
        ApiUser::Delete(user) => operator.delete_user(user.association, &user.access_key).await,
        ApiUser::Rotate(user) => operator.rotate_user(user.association, &user.access_key).await,
    }
}

/// The id of a node, as the registry has it.
fn node_number(text: &str) -> Result<u64, String> {
    u64::from_str_radix(&node_id(text)?, 16).map_err(|error| error.to_string())
}

/// The id of a node, as its certificate has it.
fn node_id(text: &str) -> Result<String, String> {
    let is_id = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let wrong = || format!("{text} is not like 00c0ffee00c0ffee, which the events of a node begin with");
    is_id.then(|| text.to_ascii_lowercase()).ok_or_else(wrong)
}
