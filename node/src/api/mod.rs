//! The routes: one file each.
//!
//! A route authenticates, demands its scope, reads its request, and calls ingest or the store. Paths of requests are
//! below the root of the API user, and so are paths of answers.

mod accounts;
mod admin;
mod cors;
mod delete;
mod download;
mod elsewhere;
mod form;
mod list_dirs;
mod list_files;
mod list_tree;
mod login;
mod make_dir;
mod moves;
mod multi;
mod prepare;
mod prepared;
mod probes;
mod request;
mod upload;

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use filegrid_tree::TreePath;

use crate::auth::{Authenticator, Login, Principal, Registrar, Scope};
use crate::cluster::Cluster;
use crate::config::Config;
use crate::error::Error;
use crate::http::exchange::{Exchange, Reply, ReplyHead, Service};
use crate::http::problem;
use crate::metrics;
use crate::relay::Links;
use crate::store::{Receipt, Store};

pub use self::admin::Admin;
pub use self::list_tree::write_entry;
pub use self::prepared::Prepared;
pub use self::probes::Probes;

/// The answer to what was done.
const OK: &[u8] = br#"{"rslt":"OK"}"#;

/// What the routes of a shard work with.
pub struct Api {
    /// The store.
    pub store: Store,
    /// Checks tokens.
    pub authenticator: Authenticator,
    /// Issues tokens.
    pub login: Arc<Login>,
    /// Changes accounts.
    pub registrar: Arc<Registrar>,
    /// Downloads that wait to be fetched, of all shards.
    pub prepared: Arc<Prepared>,
    /// The metadata cluster.
    pub cluster: Arc<Cluster>,
    /// The way to other nodes.
    pub links: Rc<Links>,
    /// The configuration.
    pub config: Arc<Config>,
}

impl Service for Api {
    async fn call(&self, exchange: &mut Exchange) -> Result<(), Error> {
        let answered = match self.route(exchange).await {
            Ok(()) => Ok(()),
            Err(error) => self.tell(exchange, error).await,
        };
        if let Some(status) = exchange.status() {
            metrics::answered(exchange.via(), status);
        }
        answered
    }
}

impl Api {
    async fn route(&self, exchange: &mut Exchange) -> Result<(), Error> {
        let path = exchange.head().path().to_owned();
        let path = path.strip_suffix('/').unwrap_or(&path);
        if exchange.head().method() == "OPTIONS" {
            return self.preflight(exchange).await;
        }
        if let Some(below) = path.strip_prefix("/ftpaccounts") {
            return self.accounts(exchange, below).await;
        }
        let allow = match path {
            "/.well-known/jwks.json" => "GET, HEAD",
            "/api/download/single" | "/api/download/multi" => "GET, HEAD, POST",
            "/apiaccess/auth"
            | "/api/upload"
            | "/api/download/prepare"
            | "/api/list/files"
            | "/api/list/dirs"
            | "/api/list/tree"
            | "/api/mkdir"
            | "/api/move"
            | "/api/delete" => "POST",
            _ => return Err(no_route(exchange)),
        };
        allowed(exchange, allow)?;
        if elsewhere::is_about_files(path)
            && let Some(node) = self.elsewhere(exchange)?
        {
            return self.relay(exchange, node).await;
        }
        match path {
            "/.well-known/jwks.json" => self.jwks(exchange).await,
            "/apiaccess/auth" => self.login(exchange).await,
            "/api/upload" => self.upload(exchange).await,
            "/api/download/single" => self.download(exchange).await,
            "/api/download/prepare" => self.prepare(exchange).await,
            "/api/download/multi" => self.multi(exchange).await,
            "/api/list/files" => self.list_files(exchange).await,
            "/api/list/dirs" => self.list_dirs(exchange).await,
            "/api/list/tree" => self.list_tree(exchange).await,
            "/api/mkdir" => self.make_dir(exchange).await,
            "/api/move" => self.moves(exchange).await,
            _ => self.delete(exchange).await,
        }
    }

    /// Answers with an error, where it can still be told.
    async fn tell(&self, exchange: &mut Exchange, error: Error) -> Result<(), Error> {
        if matches!(error, Error::Damaged(_) | Error::Disk(_) | Error::Internal(_)) {
            tracing::error!(%error, path = exchange.head().path(), "a request failed");
        }
        if exchange.is_started() {
            return Err(error);
        }
        let error = self.below_root(exchange, error);
        match problem::reply(&error) {
            Some(Reply { head, body }) => {
                let head = self.with_cors(exchange, head);
                exchange.reply(Reply { head, body }).await
            }
            None => Err(error),
        }
    }

    /// An error as who asks may see it: the tree's errors begin with a path, which may be of the user's root.
    fn below_root(&self, exchange: &Exchange, error: Error) -> Error {
        let authorization = exchange.head().header("authorization");
        let Ok(principal) = self.authenticator.authenticate(authorization) else {
            return error;
        };
        let root = prefix(&principal);
        let seen = |text: String| match text.strip_prefix(&root) {
            Some(below) if below.starts_with(' ') => format!("/{below}"),
            Some(below) => below.to_owned(),
            None if text.starts_with('/') => "the root of this API user is not a directory".to_owned(),
            None => text,
        };
        match error {
            Error::NotFound(text) => Error::NotFound(seen(text)),
            Error::Conflict(text) => Error::Conflict(seen(text)),
            other => other,
        }
    }

    fn principal(&self, exchange: &Exchange, scope: Scope) -> Result<Rc<Principal>, Error> {
        let principal = self
            .authenticator
            .authenticate(exchange.head().header("authorization"))?;
        principal.require(scope)?;
        Ok(principal)
    }

    /// As [`Self::principal`], for what is asked of files that have to be on this node.
    fn principal_at_home(&self, exchange: &Exchange, scope: Scope) -> Result<Rc<Principal>, Error> {
        let principal = self.principal(exchange, scope)?;
        self.registrar.check_home(&principal.association)?;
        Ok(principal)
    }

    /// The head of an answer.
    fn head(&self, exchange: &Exchange, status: u16) -> ReplyHead {
        self.with_cors(exchange, ReplyHead::new(status))
    }

    async fn json_of(&self, exchange: &mut Exchange, answer: &impl serde::Serialize) -> Result<(), Error> {
        let body = serde_json::to_vec(answer).map_err(|error| Error::Internal(error.to_string()))?;
        self.json(exchange, body).await
    }

    async fn json(&self, exchange: &mut Exchange, body: Vec<u8>) -> Result<(), Error> {
        let head = self.head(exchange, 200).field("Content-Type", "application/json");
        exchange
            .reply(Reply {
                head,
                body: Cow::Owned(body),
            })
            .await
    }

    /// The answer to a change.
    async fn done(&self, exchange: &mut Exchange, receipt: &Receipt) -> Result<(), Error> {
        metrics::mine().via(exchange.via()).changes.add(1);
        let head = self
            .head(exchange, 200)
            .field("Content-Type", "application/json")
            .field("Filegrid-Event", &receipt.to_string());
        exchange
            .reply(Reply {
                head,
                body: Cow::Borrowed(OK),
            })
            .await
    }
}

fn no_route(exchange: &Exchange) -> Error {
    Error::NotFound(format!("there is no route {}", exchange.head().path()))
}

/// The method of a request, if it is one of `allow`.
fn allowed(exchange: &Exchange, allow: &'static str) -> Result<&'static str, Error> {
    let method = exchange.head().method();
    let known = allow.split(", ").find(|known| *known == method);
    known.ok_or(Error::MethodNotAllowed { allow })
}

/// Reads a path of a request, below the root of who asks.
fn path_of(principal: &Principal, text: &str) -> Result<TreePath, Error> {
    let path = TreePath::parse(text).map_err(|error| Error::BadRequest(error.to_string()))?;
    bounded(principal.root.join(&path))
}

/// Refuses a path that came out too long. The root's length counts too, so that every path of the tree can be named
/// by someone.
fn bounded(path: TreePath) -> Result<TreePath, Error> {
    if path.text_bytes() > crate::limits::PATH_MAX_BYTES {
        return Err(Error::BadRequest(filegrid_tree::PathError::TooLong.to_string()));
    }
    Ok(path)
}

/// A path of the tree as who asks sees it.
fn shown<'p>(root: &str, path: &'p str) -> &'p str {
    match path.strip_prefix(root) {
        Some("") => "/",
        Some(rest) => rest,
        None => path,
    }
}

/// The root of who asks, as a prefix of paths: empty for the root of the association.
fn prefix(principal: &Principal) -> String {
    if principal.root.is_root() {
        String::new()
    } else {
        principal.root.to_string()
    }
}
