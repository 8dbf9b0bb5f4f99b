//! Where requests go.

use std::net::{SocketAddr, ToSocketAddrs};

/// What a target speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The REST API.
    Rest,
    /// HTTP of a server of files that is no node.
    Http,
    /// FTP, with or without TLS.
    Ftp,
    /// SFTP.
    Sftp,
}

impl Protocol {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Http => "http",
            Self::Ftp => "ftp",
            Self::Sftp => "sftp",
        }
    }

    /// Schemes of targets that speak it: the scheme, the usual port, and whether TLS comes first.
    fn schemes(self) -> &'static [(&'static str, u16, bool)] {
        match self {
            Self::Rest | Self::Http => &[("http", 80, false), ("https", 443, true)],
            Self::Ftp => &[("ftp", 21, false), ("ftps", 990, true)],
            Self::Sftp => &[("sftp", 22, false)],
        }
    }
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// As it was given.
    pub name: String,
    /// Host without brackets: what TLS checks the certificate for.
    pub host: String,
    /// Host and port as HTTP names them.
    pub authority: String,
    /// The port.
    pub port: u16,
    /// Whether TLS comes before anything else.
    pub tls: bool,
}

impl Target {
    /// Reads `http://127.0.0.1:8080`, `ftp.example.com`, `[::1]:2222`.
    ///
    /// # Errors
    ///
    /// A text that says what is wrong with it.
    pub fn parse(protocol: Protocol, text: &str) -> Result<Self, String> {
        let (scheme, rest) = text
            .split_once("://")
            .map_or((None, text), |(scheme, rest)| (Some(scheme), rest));
        let schemes = protocol.schemes();
        let found = match scheme {
            None => schemes.first(),
            Some(scheme) => schemes.iter().find(|(name, _, _)| *name == scheme),
        };
        let names: Vec<_> = schemes.iter().map(|(name, _, _)| format!("{name}://")).collect();
        let wrong = |why: &str| {
            format!(
                "{text}: {why}; a target of {} is {}HOST:PORT",
                protocol.name(),
                names.join("HOST:PORT or ")
            )
        };
        let (_, usual, tls) = *found.ok_or_else(|| wrong("another protocol"))?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@']) || rest.contains(char::is_whitespace) {
            return Err(wrong("more than a host and a port"));
        }
        let (host, port) = split(rest).ok_or_else(|| wrong("no host"))?;
        let port = match port {
            "" => usual,
            port => port.parse().map_err(|_| wrong("no port"))?,
        };
        let shown = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        Ok(Self {
            name: text.to_owned(),
            host: host.to_owned(),
            authority: format!("{shown}:{port}"),
            port,
            tls,
        })
    }

    /// Its address.
    ///
    /// # Errors
    ///
    /// If the name is not known.
    pub fn resolve(&self) -> Result<SocketAddr, String> {
        let found = (self.host.as_str(), self.port).to_socket_addrs();
        let mut found = found.map_err(|error| format!("{}: {error}", self.name))?;
        found.next().ok_or_else(|| format!("{}: no address", self.name))
    }
}

/// Host and port; the port may be empty.
fn split(text: &str) -> Option<(&str, &str)> {
    let (host, port) = if let Some(text) = text.strip_prefix('[') {
        let (host, rest) = text.split_once(']')?;
        (host, rest.strip_prefix(':').or(rest.is_empty().then_some(""))?)
    } else {
        text.split_once(':').unwrap_or((text, ""))
    };
    (!host.is_empty()).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read() {
        let target = Target::parse(Protocol::Rest, "https://localhost:8443/").unwrap();
        assert_eq!(
            (target.host.as_str(), target.port, target.tls),
            ("localhost", 8443, true)
        );
        let target = Target::parse(Protocol::Ftp, "ftp.example.com").unwrap();
        assert_eq!(
            (target.authority.as_str(), target.tls),
            ("ftp.example.com:21", false)
        );
        let target = Target::parse(Protocol::Sftp, "sftp://[::1]:2222").unwrap();
        assert_eq!(
            (target.host.as_str(), target.authority.as_str()),
            ("::1", "[::1]:2222")
        );
        assert_eq!(
            Target::parse(Protocol::Rest, "127.0.0.1:1")
                .unwrap()
                .resolve()
                .unwrap()
                .port(),
            1
        );
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "",
            "http://",
            "ftp://a",
            "http://a/b",
            "a:port",
            "http://u@a",
            "[::1",
            "[::1]x",
            "a b",
            ":80",
        ] {
            let told = Target::parse(Protocol::Rest, text).unwrap_err();
            assert!(told.contains("http://HOST:PORT"), "{told}");
        }
    }
}
