//! A client that sends exactly what it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::support::Server;
use crate::wire::{self, Wire};

pub(crate) const NAME: &str = "anna";
pub(crate) const PASSWORD: &str = "correct horse";

/// A server with the account `anna` on its root, who may write.
pub(crate) fn server() -> Server {
    server_with(&[])
}

pub(crate) fn server_with(settings: &[(&str, &str)]) -> Server {
    let server = Server::start_with(settings);
    account(&server, NAME, "/", "RW");
    server
}

/// Adds an account; its id.
pub(crate) fn account(server: &Server, name: &str, root: &str, rights: &str) -> u64 {
    server.add_account(name, PASSWORD, root, rights)
}

/// A control connection.
pub(crate) struct Ftp {
    reader: BufReader<Wire>,
    /// What TLS trusts and remembers.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    /// Whether data connections are TLS.
    pub(crate) protected: bool,
    host: IpAddr,
}

impl Ftp {
    /// Connects and reads the greeting.
    pub(crate) fn connect(server: &Server) -> Self {
        Self::connect_to((Ipv4Addr::LOCALHOST, server.port_of("ftp")).into())
    }

    pub(crate) fn connect_to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Self {
            reader: BufReader::new(Wire::Plain(stream)),
            tls: None,
            protected: false,
            host: address.ip(),
        };
        assert_eq!(client.reply().0, 220);
        client
    }

    /// Connects and logs in as anna.
    pub(crate) fn login(server: &Server) -> Self {
        Self::login_as(server, NAME)
    }

    #[track_caller]
    pub(crate) fn login_as(server: &Server, name: &str) -> Self {
        let mut client = Self::connect(server);
        assert!(client.try_login(name));
        client
    }

    pub(crate) fn try_login(&mut self, name: &str) -> bool {
        self.expect(&format!("USER {name}"), 331);
        self.ask(&format!("PASS {PASSWORD}")).0 == 230
    }

    /// A TLS session on the control connection, with data connections as asked for.
    pub(crate) fn secure(&mut self, server: &Server) {
        self.expect("AUTH TLS", 234);
        self.shake(server);
        self.expect("PBSZ 0", 200);
        self.expect("PROT P", 200);
        self.protected = true;
    }

    pub(crate) fn shake(&mut self, server: &Server) {
        let pem = std::fs::read(server.data().join("tls/self-made.pem")).unwrap();
        let config = wire::config(&pem);
        let plain = std::mem::replace(&mut self.reader, BufReader::new(Wire::None)).into_inner();
        let Wire::Plain(plain) = plain else {
            panic!("not plain")
        };
        self.reader = BufReader::new(secure(plain, &config));
        self.tls = Some(config);
    }

    /// Sends AUTH TLS and the greeting of TLS in one packet.
    pub(crate) fn shake_at_once(&mut self, server: &Server) {
        let pem = std::fs::read(server.data().join("tls/self-made.pem")).unwrap();
        let config = wire::config(&pem);
        let plain = std::mem::replace(&mut self.reader, BufReader::new(Wire::None)).into_inner();
        let Wire::Plain(mut plain) = plain else {
            panic!("not plain")
        };
        let name = "localhost".try_into().unwrap();
        let mut connection = ClientConnection::new(config, name).unwrap();
        let mut flight = b"AUTH TLS\r\n".to_vec();
        connection.write_tls(&mut flight).unwrap();
        plain.write_all(&flight).unwrap();
        let mut answer = [0; 4];
        plain.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"234 ");
        while answer[0] != b'\n' {
            plain.read_exact(&mut answer[..1]).unwrap();
        }
        let mut stream = StreamOwned::new(connection, plain);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).unwrap();
        }
        self.reader = BufReader::new(Wire::Secure(Box::new(stream)));
    }

    /// Connects to the port of implicit TLS.
    pub(crate) fn implicit(server: &Server) -> Self {
        let address = (Ipv4Addr::LOCALHOST, server.port_of("ftps"));
        let stream = TcpStream::connect(address).unwrap();
        let mut client = Self {
            reader: BufReader::new(Wire::Plain(stream)),
            tls: None,
            protected: true,
            host: Ipv4Addr::LOCALHOST.into(),
        };
        client.shake(server);
        assert_eq!(client.reply().0, 220);
        client
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        // The server may have closed already: its answer counts.
        let _ = self.reader.get_mut().write_all(bytes);
        let _ = self.reader.get_mut().flush();
    }

    /// The next reply, all its lines.
    pub(crate) fn reply(&mut self) -> (u16, String) {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).unwrap_or(0) == 0 {
                return (0, text);
            }
            text += &line;
            if line.len() > 3
                && line.as_bytes()[3] == b' '
                && line.as_bytes()[..3].iter().all(u8::is_ascii_digit)
            {
                return (line[..3].parse().unwrap(), text);
            }
        }
    }

    pub(crate) fn ask(&mut self, line: &str) -> (u16, String) {
        self.send(format!("{line}\r\n").as_bytes());
        self.reply()
    }

    /// Sends a line and demands a code.
    #[track_caller]
    pub(crate) fn expect(&mut self, line: &str, code: u16) -> String {
        let (got, text) = self.ask(line);
        assert_eq!(got, code, "{line}: {text}");
        text
    }

    #[track_caller]
    pub(crate) fn expect_reply(&mut self, code: u16) -> String {
        let (got, text) = self.reply();
        assert_eq!(got, code, "{text}");
        text
    }

    /// The port that the server waits at for a data connection.
    pub(crate) fn passive_port(&mut self) -> u16 {
        let text = self.expect("EPSV", 229);
        let (_, port) = text.split_once("|||").unwrap();
        port.split('|').next().unwrap().parse().unwrap()
    }

    /// A passive data connection, not yet TLS.
    pub(crate) fn passive(&mut self) -> TcpStream {
        let port = self.passive_port();
        let stream = TcpStream::connect((self.host, port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// An active one: the listener, after PORT or EPRT.
    pub(crate) fn active(&mut self) -> TcpListener {
        let listener = TcpListener::bind((self.host, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let family = if self.host.is_ipv4() { 1 } else { 2 };
        self.expect(&format!("EPRT |{family}|{}|{port}|", self.host), 200);
        listener
    }

    /// What data goes through.
    pub(crate) fn wire(&self, stream: TcpStream) -> Wire {
        match &self.tls {
            Some(config) if self.protected => secure(stream, config),
            _ => Wire::Plain(stream),
        }
    }

    /// Begins a transfer; its data connection.
    #[track_caller]
    pub(crate) fn begin(&mut self, line: &str) -> Wire {
        let stream = self.passive();
        self.expect(line, 150);
        self.wire(stream)
    }

    /// Sends a file with a command like `STOR name`.
    #[track_caller]
    pub(crate) fn upload(&mut self, line: &str, bytes: &[u8]) {
        let mut data = self.begin(line);
        data.write_all(bytes).unwrap();
        data.end();
        drop(data);
        self.expect_reply(226);
    }

    /// Receives what a command like `RETR name` sends.
    #[track_caller]
    pub(crate) fn download(&mut self, line: &str) -> Vec<u8> {
        let mut data = self.begin(line);
        let mut bytes = Vec::new();
        data.read_to_end(&mut bytes).unwrap();
        self.expect_reply(226);
        bytes
    }

    #[track_caller]
    pub(crate) fn listing(&mut self, line: &str) -> Vec<String> {
        let text = String::from_utf8(self.download(line)).unwrap();
        assert!(text.is_empty() || text.ends_with("\r\n"));
        text.split_terminator("\r\n").map(str::to_owned).collect()
    }

    /// Whether the server has closed.
    pub(crate) fn is_closed(&mut self) -> bool {
        matches!(self.reader.read(&mut [0]), Ok(0) | Err(_))
    }
}

pub(crate) fn secure(stream: TcpStream, config: &Arc<ClientConfig>) -> Wire {
    let name = "localhost".try_into().unwrap();
    let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, stream);
    // The handshake is made now, so that a failure is the test's.
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).unwrap();
    }
    Wire::Secure(Box::new(stream))
}
