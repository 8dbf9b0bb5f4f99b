//! `POST /apiaccess/auth` and `GET /.well-known/jwks.json`.

use super::{Api, request};
use crate::error::Error;
use crate::http::exchange::Exchange;
use crate::limits::LOGIN_BODY_MAX_BYTES;
use crate::metrics;

impl Api {
    pub(super) async fn login(&self, exchange: &mut Exchange) -> Result<(), Error> {
        let credentials = request::object(exchange, LOGIN_BODY_MAX_BYTES).await?;
        let peer = exchange.peer().ip();
        let token = self.login.login(&credentials, peer).await;
        metrics::logged_in(exchange.via(), &token);
        self.json(exchange, token?).await
    }

    pub(super) async fn jwks(&self, exchange: &mut Exchange) -> Result<(), Error> {
        let keys = self.login.jwks()?;
        self.json(exchange, keys).await
    }
}
