//! `POST /api/delete`.

use filegrid_tree::{Command, Protocol};

use super::{Api, path_of, request};
use crate::auth::Scope;
use crate::error::Error;
use crate::http::exchange::Exchange;

impl Api {
    pub(super) async fn delete(&self, exchange: &mut Exchange) -> Result<(), Error> {
        let principal = self.principal_at_home(exchange, Scope::FileDelete)?;
        let request: request::FileList = request::read(exchange).await?;
        let paths = request
            .paths
            .iter()
            .map(|path| path_of(&principal, path))
            .collect::<Result<_, _>>()?;
        let command = Command::Delete {
            paths,
            root: principal.root.clone(),
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
