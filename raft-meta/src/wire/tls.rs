//! Mutual TLS with the cluster's own authority: TLS 1.3, certificates that name a role and who has it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, version};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::Identity;

/// The name that clients ask for: every member's certificate has it besides its own.
pub(super) const ANY_MEMBER: &str = "member.filegrid";

/// Files in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authority's certificate.
    pub authority: PathBuf,
    /// Our certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// How a connection is kept from others.
#[derive(Clone)]
pub enum Security {
    /// Not at all: on this machine only.
    Plain,
    /// By certificates.
    Tls {
        /// For connections that are made to us.
        acceptor: TlsAcceptor,
        /// For those that we make.
        connector: TlsConnector,
    },
}

impl std::fmt::Debug for Security {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain text",
            Self::Tls { .. } => "TLS",
        })
    }
}

/// What is received.
pub type Reader = Box<dyn AsyncRead + Send + Unpin>;
/// What is sent.
pub type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// Both directions of a connection, and who the certificate says is there.
pub(super) struct Stream {
    pub(super) reader: Reader,
    pub(super) writer: Writer,
    pub(super) identities: Option<Vec<Identity>>,
}

impl Security {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// A text that names the file and what is wrong with it.
    pub fn from_files(files: &TlsFiles) -> Result<Self, String> {
        let authority = certificates(&files.authority)?;
        let chain = certificates(&files.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&files.key)
            .map_err(|error| format!("{}: {error}", files.key.display()))?;
        Self::new(&authority, chain, key).map_err(|error| format!("{}: {error}", files.certificate.display()))
    }

    /// Takes certificates and a key.
    ///
    /// # Errors
    ///
    /// If they do not belong together.
    pub fn new(
        authority: &[CertificateDer<'static>],
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        for certificate in authority {
            roots.add(certificate.clone())?;
        }
        let roots = Arc::new(roots);
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key.clone_key())?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        Ok(Self::Tls {
            acceptor: TlsAcceptor::from(Arc::new(server)),
            connector: TlsConnector::from(Arc::new(client)),
        })
    }

    /// Whether a connection to or from an address may be made.
    ///
    /// # Errors
    ///
    /// A text that says why not.
    pub fn allows(&self, address: &SocketAddr) -> Result<(), String> {
        match self {
            Self::Plain if !address.ip().to_canonical().is_loopback() => Err(format!(
                "{address}: plain text is for loopback only, set certificates"
            )),
            _ => Ok(()),
        }
    }

    /// What handshakes need that are made elsewhere, as a server and as a client; `None` without TLS.
    #[must_use]
    pub fn configs(&self) -> Option<(&Arc<ServerConfig>, &Arc<ClientConfig>)> {
        match self {
            Self::Plain => None,
            Self::Tls { acceptor, connector } => Some((acceptor.config(), connector.config())),
        }
    }

    pub(super) async fn accept(&self, stream: TcpStream) -> std::io::Result<Stream> {
        match self {
            Self::Plain => Ok(plain(stream)),
            Self::Tls { acceptor, .. } => {
                let stream = acceptor.accept(stream).await?;
                let identities = identities(stream.get_ref().1.peer_certificates());
                let (reader, writer) = tokio::io::split(stream);
                Ok(Stream {
                    reader: Box::new(reader),
                    writer: Box::new(writer),
                    identities: Some(identities),
                })
            }
        }
    }

    pub(super) async fn connect(&self, stream: TcpStream) -> std::io::Result<Stream> {
        match self {
            Self::Plain => Ok(plain(stream)),
            Self::Tls { connector, .. } => {
                let name = ServerName::try_from(ANY_MEMBER).map_err(std::io::Error::other)?;
                let stream = connector.connect(name, stream).await?;
                let identities = identities(stream.get_ref().1.peer_certificates());
                let (reader, writer) = tokio::io::split(stream);
                Ok(Stream {
                    reader: Box::new(reader),
                    writer: Box::new(writer),
                    identities: Some(identities),
                })
            }
        }
    }

    /// Secures a connection to somebody, whose certificate has to name him.
    ///
    /// # Errors
    ///
    /// It does not, or the connection broke.
    pub async fn connect_to(&self, who: &Identity, stream: TcpStream) -> std::io::Result<(Reader, Writer)> {
        let Self::Tls { connector, .. } = self else {
            let Stream { reader, writer, .. } = plain(stream);
            return Ok((reader, writer));
        };
        let name = who.certificate_names().into_iter().next().unwrap_or_default();
        let name = ServerName::try_from(name).map_err(std::io::Error::other)?;
        let (reader, writer) = tokio::io::split(connector.connect(name, stream).await?);
        Ok((Box::new(reader), Box::new(writer)))
    }
}

fn plain(stream: TcpStream) -> Stream {
    let (reader, writer) = stream.into_split();
    Stream {
        reader: Box::new(reader),
        writer: Box::new(writer),
        identities: None,
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let failed = |error| format!("{}: {error}", path.display());
    let all: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(failed)?
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    if all.is_empty() {
        return Err(format!("{}: holds no certificate", path.display()));
    }
    Ok(all)
}

/// Whom the first certificate of a file names.
///
/// # Errors
///
/// A text that names the file and what is wrong with it.
pub fn identities_of(file: &Path) -> Result<Vec<Identity>, String> {
    Ok(identities(Some(&certificates(file)?)))
}

/// Whom a verified certificate names.
fn identities(chain: Option<&[CertificateDer<'_>]>) -> Vec<Identity> {
    let certificate = chain.and_then(|chain| chain.first());
    certificate.map(Identity::of_certificate).unwrap_or_default()
}
