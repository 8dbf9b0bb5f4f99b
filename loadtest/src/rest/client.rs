//! A client of the REST API: requests that carry the token, and go where the nodes send them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::token::Token;
use crate::failure::Failure;
use crate::http::{self, Answered, Payload, Sink};
use crate::limits::REDIRECTIONS_MAX_COUNT;
use crate::target::{Protocol, Target};
use crate::tls::{self, Trust};

/// A server of the REST API.
#[derive(Debug)]
pub struct Server {
    /// Where it is.
    pub http: Arc<http::Server>,
    /// What requests carry.
    pub token: Arc<Token>,
    /// Whom to trust where it sends clients to.
    pub trust: Trust,
    /// Whether it answers by itself, as far as is known.
    pub answers: AtomicBool,
}

/// A request.
pub struct Request<'a> {
    /// The method.
    pub method: &'a str,
    /// Path and query, in pieces.
    pub route: &'a [&'a str],
    /// Fields of the head, which are whole lines.
    pub fields: &'a str,
    /// Length of the body, if there is one.
    pub length: Option<u64>,
    /// The body, or what is in front of the payload.
    pub front: &'a str,
    /// What is sent behind that.
    pub payload: Option<Payload<'a>>,
}

impl<'a> Request<'a> {
    /// One without a body.
    #[must_use]
    pub fn get(route: &'a [&'a str]) -> Self {
        Self {
            method: "GET",
            route,
            fields: "",
            length: None,
            front: "",
            payload: None,
        }
    }
}

/// Connections to a server, and to those where it sends its clients, made when they are needed.
pub struct Client {
    server: Arc<Server>,
    http: http::Client,
    /// The others by scheme, host and port.
    others: Vec<(String, http::Client)>,
}

impl Client {
    /// To a server.
    #[must_use]
    pub fn new(server: Arc<Server>) -> Self {
        Self {
            http: http::Client::new(Arc::clone(&server.http)),
            server,
            others: Vec::new(),
        }
    }

    /// Connects, unless it is.
    ///
    /// # Errors
    ///
    /// As the system has them.
    pub async fn connect(&mut self) -> Result<(), Failure> {
        self.http.connect().await
    }

    /// A request with JSON.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong, an answer but a 2xx included.
    pub async fn ask(&mut self, route: &str, body: &Value, sink: &mut Sink) -> Result<u64, Failure> {
        let body = body.to_string();
        let request = Request {
            method: "POST",
            route: &[route],
            fields: "Content-Type: application/json\r\n",
            length: Some(body.len() as u64),
            front: &body,
            payload: None,
        };
        self.exchange(&request, sink).await
    }

    /// Sends a request and receives its answer, from wherever it is sent to; the bytes of its body.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong, an answer but a 2xx included.
    pub async fn exchange(&mut self, request: &Request<'_>, sink: &mut Sink) -> Result<u64, Failure> {
        let token = self.server.token.get();
        let answers = self.server.answers.load(Ordering::Relaxed);
        let mut answered = once(&mut self.http, &token, request, !answers, sink).await?;
        let is_sent_away = answered.location.is_some();
        if is_sent_away == answers {
            self.server.answers.store(!is_sent_away, Ordering::Relaxed);
        }
        for _ in 0..REDIRECTIONS_MAX_COUNT {
            let Some(location) = answered.location.take() else {
                return answered.success();
            };
            let (origin, route) = split(&location)
                .ok_or_else(|| Failure::malformed(format!("sent to {location}, which is no URL")))?;
            let there = self.at(origin)?;
            let route = &[route];
            let request = Request { route, ..*request };
            answered = once(there, &token, &request, true, sink).await?;
        }
        Err(Failure::refused(
            "sent around",
            "each node sends the request to another",
        ))
    }

    /// A client of where the server has sent us.
    fn at(&mut self, origin: &str) -> Result<&mut http::Client, Failure> {
        let found = self.others.iter().position(|(other, _)| other == origin);
        let at = match found {
            Some(at) => at,
            None => {
                let unreachable = |why| Failure::refused("sent elsewhere", why);
                let target = Target::parse(Protocol::Rest, origin).map_err(unreachable)?;
                let is_secure = target.tls.then(|| tls::client(&self.server.trust));
                let server = http::Server {
                    address: target.resolve().map_err(unreachable)?,
                    tls: is_secure.transpose().map_err(unreachable)?.map(Arc::new),
                    target,
                };
                self.others
                    .push((origin.to_owned(), http::Client::new(Arc::new(server))));
                self.others.len() - 1
            }
        };
        let (_, client) = self.others.get_mut(at).ok_or_else(Failure::closed)?;
        Ok(client)
    }
}

/// Scheme, host and port of a URL, and the rest of it.
fn split(url: &str) -> Option<(&str, &str)> {
    let host = url.find("://")? + 3;
    let path = host + url.get(host..)?.find('/')?;
    url.split_at_checked(path)
}

/// Sends a request to one server. A payload may wait until that says that it wants it.
async fn once(
    http: &mut http::Client,
    token: &str,
    request: &Request<'_>,
    may_wait: bool,
    sink: &mut Sink,
) -> Result<Answered, Failure> {
    let authorization: &[&str] = match token {
        "" => &[],
        token => &["Authorization: Bearer ", token, "\r\n"],
    };
    let room = request.front.len();
    let head = |fields| http.head(request.method, request.route, fields, request.length, room);
    match request.payload.filter(|_| may_wait) {
        None => {
            let mut head = head(&[authorization, &[request.fields]]);
            head.push_str(request.front);
            http.answered(&head, request.payload, sink).await
        }
        Some(payload) => {
            let head = head(&[authorization, &[request.fields, "Expect: 100-continue\r\n"]]);
            http.answered_if_wanted(&head, request.front, payload, sink).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_split_at_the_path() {
        assert_eq!(
            split("https://a:1/b?c=http://d/"),
            Some(("https://a:1", "/b?c=http://d/"))
        );
        for none in ["", "/b", "https://a", "a/b"] {
            assert_eq!(split(none), None, "{none}");
        }
    }
}
