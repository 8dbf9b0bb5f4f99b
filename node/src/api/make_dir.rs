//! `POST /api/mkdir`.

use filegrid_tree::{Command, Protocol};

use super::{Api, path_of, request};
use crate::auth::Scope;
use crate::error::Error;
use crate::http::exchange::Exchange;

impl Api {
    pub(super) async fn make_dir(&self, exchange: &mut Exchange) -> Result<(), Error> {
        let principal = self.principal_at_home(exchange, Scope::FileCreate)?;
        let request: request::Params = request::read(exchange).await?;
        let path = path_of(&principal, request.path.as_deref().unwrap_or("/"))?;
        let command = Command::MakeDir {
            path,
            parents: true,
            existing_ok: true,
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
