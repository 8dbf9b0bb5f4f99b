//! What a test's client speaks through: TCP, or TLS that trusts one certificate.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// A connection.
pub(crate) enum Wire {
    Plain(TcpStream),
    Secure(Box<StreamOwned<ClientConnection, TcpStream>>),
    /// Between two others.
    #[allow(dead_code, reason = "only some protocols change over")]
    None,
}

impl Wire {
    /// Says that nothing more is sent.
    #[allow(dead_code, reason = "only some protocols say so")]
    pub(crate) fn end(&mut self) {
        let socket = match self {
            Self::Plain(socket) => &*socket,
            Self::Secure(stream) => {
                stream.conn.send_close_notify();
                let _ = stream.flush();
                &stream.sock
            }
            Self::None => return,
        };
        let _ = socket.shutdown(std::net::Shutdown::Write);
    }

    /// TLS with a server that has this certificate; sessions resume.
    pub(crate) fn secure(stream: TcpStream, certificate: &Path) -> Self {
        static LAST: Mutex<Option<(Vec<u8>, Arc<ClientConfig>)>> = Mutex::new(None);
        let pem = std::fs::read(certificate).unwrap();
        let mut last = LAST.lock().unwrap();
        let config = match &*last {
            Some((known, config)) if *known == pem => Arc::clone(config),
            _ => config(&pem),
        };
        *last = Some((pem, Arc::clone(&config)));
        let connection = ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
        Self::Secure(Box::new(StreamOwned::new(connection, stream)))
    }
}

/// A client that trusts this certificate alone.
pub(crate) fn config(pem: &[u8]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

impl Read for Wire {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(out),
            Self::Secure(stream) => stream.read(out),
            Self::None => Ok(0),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Secure(stream) => stream.write(bytes),
            Self::None => Ok(0),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Secure(stream) => stream.flush(),
            Self::None => Ok(()),
        }
    }
}
