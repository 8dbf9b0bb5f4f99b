//! A client of the REST API: requests that carry the token.

use std::sync::Arc;

use serde_json::Value;

use super::token::Token;
use crate::failure::Failure;
use crate::http::{self, Payload, Sink};

/// A server of the REST API.
#[derive(Debug)]
pub struct Server {
    /// Where it is.
    pub http: Arc<http::Server>,
    /// What requests carry.
    pub token: Arc<Token>,
}

/// A connection to a server, made when it is needed.
pub struct Client {
    /// What it speaks through.
    pub http: http::Client,
    token: Arc<Token>,
}

impl Client {
    /// To a server.
    #[must_use]
    pub fn new(server: &Server) -> Self {
        Self {
            http: http::Client::new(Arc::clone(&server.http)),
            token: Arc::clone(&server.token),
        }
    }

    /// The head of a request with these fields, which are whole lines.
    #[must_use]
    pub fn head(&self, method: &str, route: &str, fields: &str) -> String {
        let token = self.token.get();
        match &*token {
            "" => self.http.head(method, route, &[fields]),
            token => self
                .http
                .head(method, route, &["Authorization: Bearer ", token, "\r\n", fields]),
        }
    }

    /// A request with JSON.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong, an answer but a 2xx included.
    pub async fn ask(&mut self, route: &str, body: &Value, sink: &mut Sink) -> Result<u64, Failure> {
        let body = body.to_string();
        let fields = format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        );
        let head = self.head("POST", route, &fields) + &body;
        self.exchange(&head, None, sink).await
    }

    /// Sends a request and receives its answer; the bytes of its body.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong, an answer but a 2xx included.
    pub async fn exchange(
        &mut self,
        head: &str,
        payload: Option<Payload<'_>>,
        sink: &mut Sink,
    ) -> Result<u64, Failure> {
        self.http.exchange(head, payload, sink).await
    }
}
