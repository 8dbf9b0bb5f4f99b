//! Clients of the targets of a plan.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::content::Content;
use crate::failure::Failure;
use crate::files::Files;
use crate::plan::{Access, Credentials, HttpAccess, Plan, RestAccess};
use crate::session::Session;
use crate::target::Target;
use crate::tls::{self, Trust};
use crate::{ftp, http, rest, sftp};

/// Pause after a token could not be renewed.
const RENEWAL_PAUSE: Duration = Duration::from_secs(5);

/// The servers of a plan, ready to be connected to.
pub enum Servers {
    /// Of REST.
    Rest(Vec<Arc<rest::Server>>, RestAccess),
    /// Of HTTP.
    Http(Vec<Arc<http::Server>>, Arc<HttpAccess>),
    /// Of FTP.
    Ftp(Vec<Arc<ftp::Server>>),
    /// Of SFTP.
    Sftp(Vec<Arc<sftp::Server>>),
}

impl Servers {
    /// Looks names up, and reads certificates and keys.
    ///
    /// # Errors
    ///
    /// A text that says what could not be found.
    pub fn find(plan: &Plan) -> Result<Self, String> {
        let found = plan
            .targets
            .iter()
            .map(|target| Ok((target.clone(), target.resolve()?)));
        let found = found.collect::<Result<Vec<(Target, SocketAddr)>, String>>()?;
        match &plan.access {
            Access::Rest(access) => {
                let token = Arc::new(match &access.credentials {
                    Credentials::Keys(_) => rest::Token::default(),
                    Credentials::Token(token) => rest::Token::fixed(token),
                });
                let servers = http_servers(found, &access.trust)?.map(|http| {
                    Arc::new(rest::Server {
                        http,
                        token: Arc::clone(&token),
                        trust: access.trust.clone(),
                        answers: AtomicBool::new(true),
                    })
                });
                Ok(Self::Rest(servers.collect(), access.clone()))
            }
            Access::Http(access) => {
                let servers = http_servers(found, &access.trust)?;
                Ok(Self::Http(servers.collect(), Arc::new(access.clone())))
            }
            Access::Ftp(access) => {
                let servers = found
                    .into_iter()
                    .map(|(target, address)| ftp::Server::new(target, address, access.clone()).map(Arc::new));
                Ok(Self::Ftp(servers.collect::<Result<_, _>>()?))
            }
            Access::Sftp(access) => {
                let login = Arc::new(sftp::Login::read(access)?);
                let servers = found.into_iter().map(|(target, address)| {
                    Arc::new(sftp::Server {
                        name: target.name,
                        address,
                        login: Arc::clone(&login),
                    })
                });
                Ok(Self::Sftp(servers.collect()))
            }
        }
    }

    /// Logs in where that is done once for all connections; when that has to be done again.
    ///
    /// # Errors
    ///
    /// As the server has them.
    pub async fn log_in(&self) -> Result<Option<Duration>, Failure> {
        let Self::Rest(servers, access) = self else {
            return Ok(None);
        };
        let (Some(server), Credentials::Keys(keys)) = (servers.first(), &access.credentials) else {
            return Ok(None);
        };
        let mut client = rest::Client::new(Arc::clone(server));
        let good_for = server.token.renew(&mut client, keys).await?;
        Ok(Some(good_for * 2 / 3))
    }

    /// Keeps the token good. Never ends.
    pub async fn keep_logged_in(&self, first: Option<Duration>) {
        let Some(mut wait) = first else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(wait).await;
            // If this goes on failing, requests fail and are counted: nothing is hidden.
            wait = match self.log_in().await {
                Ok(Some(next)) => next,
                Ok(None) | Err(_) => RENEWAL_PAUSE,
            };
        }
    }

    /// A client of one of the servers.
    #[must_use]
    pub fn session(
        &self,
        target: usize,
        content: &Arc<Content>,
        files: &Arc<Files>,
        verify: bool,
    ) -> Option<Session> {
        let (content, files) = (Arc::clone(content), Arc::clone(files));
        match self {
            Self::Rest(servers, access) => {
                let server = Arc::clone(servers.get(target)?);
                let session = rest::Session::new(server, content, files, access.listing, verify);
                Some(Session::Rest(Box::new(session)))
            }
            Self::Http(servers, access) => {
                let (server, access) = (Arc::clone(servers.get(target)?), Arc::clone(access));
                let session = http::Session::new(server, access, content, files, verify);
                Some(Session::Http(Box::new(session)))
            }
            Self::Ftp(servers) => {
                let server = Arc::clone(servers.get(target)?);
                Some(Session::Ftp(Box::new(ftp::Session::new(
                    server, content, files, verify,
                ))))
            }
            Self::Sftp(servers) => {
                let server = Arc::clone(servers.get(target)?);
                Some(Session::Sftp(Box::new(sftp::Session::new(
                    server, content, files, verify,
                ))))
            }
        }
    }
}

fn http_servers(
    found: Vec<(Target, SocketAddr)>,
    trust: &Trust,
) -> Result<impl Iterator<Item = Arc<http::Server>>, String> {
    let speaks_tls = found.iter().any(|(target, _)| target.tls);
    let tls = speaks_tls.then(|| tls::client(trust).map(Arc::new)).transpose()?;
    Ok(found.into_iter().map(move |(target, address)| {
        Arc::new(http::Server {
            tls: tls.clone().filter(|_| target.tls),
            target,
            address,
        })
    }))
}
