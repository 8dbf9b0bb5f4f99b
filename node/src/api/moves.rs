//! `POST /api/move`.

use filegrid_tree::{Command, Protocol, TreePath};
use serde::Deserialize;

use super::{Api, bounded, path_of, request};
use crate::auth::{Principal, Scope};
use crate::error::Error;
use crate::http::exchange::Exchange;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MoveList {
    #[serde(rename = "Movelist", alias = "Movelist[]")]
    moves: Vec<Move>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Move {
    from: String,
    to: String,
}

impl Api {
    pub(super) async fn moves(&self, exchange: &mut Exchange) -> Result<(), Error> {
        let principal = self.principal_at_home(exchange, Scope::FileRename)?;
        let request: MoveList = request::read(exchange).await?;
        let moves = request
            .moves
            .iter()
            .map(|one| paths(&principal, one))
            .collect::<Result<_, _>>()?;
        let command = Command::Move {
            moves,
            replace: false,
        };
        let done = self.store.commit(
            principal.association,
            Protocol::Api,
            command,
            Vec::new(),
            Vec::new(),
        );
        let receipt = done.await?;
        self.done(exchange, &receipt).await
    }
}

/// From and to. A `to` without a leading `/` is relative to the parent of `from`.
fn paths(principal: &Principal, one: &Move) -> Result<(TreePath, TreePath), Error> {
    let from = path_of(principal, &one.from)?;
    if from == principal.root {
        return Err(Error::Conflict("the root cannot be moved".to_owned()));
    }
    let to = if one.to.starts_with('/') {
        path_of(principal, &one.to)?
    } else {
        let name = TreePath::parse(&one.to).map_err(|error| Error::BadRequest(error.to_string()))?;
        bounded(from.parent().unwrap_or_default().join(&name))?
    };
    Ok((from, to))
}
