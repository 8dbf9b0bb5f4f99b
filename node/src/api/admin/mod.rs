//! `/admin`: what an operator does, on a listener of its own, with the operator's token.

mod associations;
mod lost;
mod users;

use std::borrow::Cow;
use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use super::{OK, allowed, no_route, request};
use crate::auth::Registrar;
use crate::cluster::Cluster;
use crate::error::Error;
use crate::http::exchange::{Exchange, Reply, ReplyHead, Service};
use crate::http::problem;
use crate::store::Store;

/// What the operator's routes of a shard work with.
pub struct Admin {
    /// The store.
    pub store: Store,
    /// Changes the registry.
    pub registrar: Arc<Registrar>,
    /// The metadata cluster.
    pub cluster: Arc<Cluster>,
}

impl Service for Admin {
    async fn call(&self, exchange: &mut Exchange) -> Result<(), Error> {
        let Err(error) = self.route(exchange).await else {
            return Ok(());
        };
        if matches!(error, Error::Damaged(_) | Error::Disk(_) | Error::Internal(_)) {
            tracing::error!(%error, path = exchange.head().path(), "a request of the operator failed");
        }
        problem::tell(exchange, error).await
    }
}

impl Admin {
    async fn route(&self, exchange: &mut Exchange) -> Result<(), Error> {
        self.registrar
            .check_operator(exchange.head().header("authorization"))?;
        let path = exchange.head().path().to_owned();
        let path = path.strip_suffix('/').unwrap_or(&path);
        let parts: Vec<_> = path.split('/').skip(1).collect();
        match parts.as_slice() {
            ["admin", "associations"] => match allowed(exchange, "GET, HEAD, POST")? {
                "POST" => self.create_association(exchange).await,
                _ => self.list_associations(exchange).await,
            },
            ["admin", "associations", key] => {
                let key = association_key(key)?;
                match allowed(exchange, "GET, HEAD, PATCH, DELETE")? {
                    "PATCH" => self.update_association(exchange, key).await,
                    "DELETE" => self.delete_association(exchange, key).await,
                    _ => self.get_association(exchange, key).await,
                }
            }
            ["admin", "associations", key, "users"] => {
                let key = association_key(key)?;
                match allowed(exchange, "GET, HEAD, POST")? {
                    "POST" => self.create_user(exchange, key).await,
                    _ => self.list_users(exchange, key).await,
                }
            }
            ["admin", "associations", key, "users", access_key] => {
                let key = association_key(key)?;
                match allowed(exchange, "GET, HEAD, PATCH, DELETE")? {
                    "PATCH" => self.update_user(exchange, key, access_key).await,
                    "DELETE" => self.delete_user(exchange, key, access_key).await,
                    _ => self.get_user(exchange, key, access_key).await,
                }
            }
            ["admin", "associations", key, "users", access_key, "rotate"] => {
                let key = association_key(key)?;
                allowed(exchange, "POST")?;
                self.rotate_secret(exchange, key, access_key).await
            }
            ["admin", "lost"] => {
                allowed(exchange, "GET, HEAD")?;
                self.list_lost(exchange).await
            }
            _ => Err(no_route(exchange)),
        }
    }

    async fn answer(&self, exchange: &mut Exchange, answer: &impl Serialize) -> Result<(), Error> {
        let body = serde_json::to_vec(answer).map_err(|error| Error::Internal(error.to_string()))?;
        self.json(exchange, body.into()).await
    }

    async fn done(&self, exchange: &mut Exchange) -> Result<(), Error> {
        self.json(exchange, Cow::Borrowed(OK)).await
    }

    async fn json(&self, exchange: &mut Exchange, body: Cow<'static, [u8]>) -> Result<(), Error> {
        let head = ReplyHead::new(200).field("Content-Type", "application/json");
        exchange.reply(Reply { head, body }).await
    }
}

fn association_key(text: &str) -> Result<Uuid, Error> {
    Uuid::try_parse(text).map_err(|_| Error::BadRequest(format!("{text} is no AssociationKey: it is a UUID")))
}
