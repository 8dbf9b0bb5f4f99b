//! What members and nodes say to each other, and how it gets there.
//!
//! A connection carries requests of many at once: each has a number, and answers come in any order. What is asked is a
//! [`Method`] and bytes; this module knows of neither more than that.

mod connection;
mod dialer;
mod frame;
mod server;
#[cfg(test)]
mod tests;
mod text;
mod tls;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::future::BoxFuture;
use rustls::pki_types::CertificateDer;

pub use self::connection::{Connection, Watch};
pub use self::dialer::Dialer;
pub use self::frame::{Decoder, Frame, FrameError, HEADER_BYTES, Kind};
pub use self::server::{Listener, Push};
pub(crate) use self::text::{get_text, put_text};
pub use self::tls::{Reader, Security, TlsFiles, Writer, identities_of};

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Method(pub u16);

impl Method {
    /// A candidate asks for a vote.
    pub const VOTE: Self = Self(1);
    /// A leader sends entries.
    pub const APPEND: Self = Self(2);
    /// A leader begins to send a snapshot.
    pub const SNAPSHOT_BEGIN: Self = Self(3);
    /// Rows of a snapshot.
    pub const SNAPSHOT_ROWS: Self = Self(4);
    /// The end of a snapshot.
    pub const SNAPSHOT_END: Self = Self(5);
    /// How far a member must have applied to read what is known to be committed.
    pub const READ_INDEX: Self = Self(6);
    /// Stand for election now.
    pub const ELECT: Self = Self(7);
    /// Commands to be proposed.
    pub const PROPOSE: Self = Self(16);
    /// How a member is.
    pub const STATUS: Self = Self(17);
    /// Change the members, or the leader.
    pub const MEMBERS: Self = Self(18);
    /// The first method that is the application's.
    pub const APPLICATION: Self = Self(256);
}

/// What somebody is to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// A member of the metadata cluster; its name is its number.
    Member = 1,
    /// A storage node.
    Node = 2,
    /// An operator.
    Operator = 3,
}

/// Who is at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// What it is.
    pub role: Role,
    /// Which one.
    pub name: String,
}

impl Role {
    const ALL: [(Self, &'static str); 3] = [
        (Self::Member, "member"),
        (Self::Node, "node"),
        (Self::Operator, "operator"),
    ];

    fn of(number: u8) -> Option<Self> {
        let mut all = Self::ALL.into_iter().map(|(role, _)| role);
        all.find(|role| *role as u8 == number)
    }

    fn word(self) -> &'static str {
        let found = Self::ALL.into_iter().find(|(role, _)| *role == self);
        found.map_or("", |(_, word)| word)
    }
}

impl Identity {
    /// A member.
    #[must_use]
    pub fn member(id: u64) -> Self {
        Self {
            role: Role::Member,
            name: id.to_string(),
        }
    }

    /// A node.
    #[must_use]
    pub fn node(name: &str) -> Self {
        Self {
            role: Role::Node,
            name: name.to_owned(),
        }
    }

    /// An operator.
    #[must_use]
    pub fn operator(name: &str) -> Self {
        Self {
            role: Role::Operator,
            name: name.to_owned(),
        }
    }

    /// The number of a member.
    #[must_use]
    pub fn member_id(&self) -> Option<u64> {
        (self.role == Role::Member)
            .then(|| self.name.parse().ok())
            .flatten()
    }

    /// The number that a storage node's name stands for: 16 hexadecimal digits.
    #[must_use]
    pub fn node_id(&self) -> Option<u64> {
        (self.role == Role::Node)
            .then(|| u64::from_str_radix(&self.name, 16).ok())
            .flatten()
    }

    /// The names for its certificate, as DNS names (RFC 5280 §4.2.1.6): `ROLE.NAME.filegrid`, and for a member
    /// `member.filegrid` too, which is what clients ask TLS for.
    #[must_use]
    pub fn certificate_names(&self) -> Vec<String> {
        let own = format!("{}.{}.filegrid", self.role.word(), self.name);
        match self.role {
            Role::Member => vec![own, tls::ANY_MEMBER.to_owned()],
            Role::Node | Role::Operator => vec![own],
        }
    }

    /// Whom a certificate names. It has to be verified before that means anything.
    #[must_use]
    pub fn of_certificate(certificate: &CertificateDer<'_>) -> Vec<Self> {
        let Ok(certificate) = webpki::EndEntityCert::try_from(certificate) else {
            return Vec::new();
        };
        let names = certificate.valid_dns_names();
        names.filter_map(Self::of_certificate_name).collect()
    }

    /// The identity in a name of a certificate.
    fn of_certificate_name(name: &str) -> Option<Self> {
        let (word, rest) = name.strip_suffix(".filegrid")?.split_once('.')?;
        let (role, _) = Role::ALL.into_iter().find(|(_, of)| *of == word)?;
        Some(Self {
            role,
            name: rest.to_owned(),
        })
    }
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Destination {
    /// The member that must be there.
    pub member: u64,
    /// Host and port.
    pub address: String,
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request is none, or not one for this member. Another try changes nothing.
    #[error("bad request: {0}")]
    BadRequest(String),
    /// The one who asks may not.
    #[error("not allowed: {0}")]
    Forbidden(String),
    /// Another member leads, if one is known. Nothing was done.
    #[error("another member leads")]
    NotLeader(Option<Destination>),
    /// Nothing was done; another try later may do.
    #[error("not now: {0}")]
    NotNow(String),
    /// It was begun, and whether it was done is unknown.
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// The member cannot go on.
    #[error("failed: {0}")]
    Failed(String),
}

impl Refusal {
    /// # Layout
    ///
    /// Code (1), then a text; for [`Refusal::NotLeader`] the member (8) and its address, or nothing.
    fn write(&self) -> Bytes {
        let mut to = BytesMut::new();
        let (code, text) = match self {
            Self::BadRequest(text) => (1, text.as_str()),
            Self::Forbidden(text) => (2, text.as_str()),
            Self::NotLeader(leader) => {
                to.put_u8(3);
                if let Some(leader) = leader {
                    to.put_u64_le(leader.member);
                    to.put_slice(leader.address.as_bytes());
                }
                return to.freeze();
            }
            Self::NotNow(text) => (4, text.as_str()),
            Self::Unknown(text) => (5, text.as_str()),
            Self::Failed(text) => (6, text.as_str()),
        };
        to.put_u8(code);
        to.put_slice(text.as_bytes());
        to.freeze()
    }

    fn read(mut from: Bytes) -> Self {
        let code = from.try_get_u8().unwrap_or(0);
        if code == 3 {
            let leader = from.try_get_u64_le().ok().map(|member| Destination {
                member,
                address: String::from_utf8_lossy(&from).into_owned(),
            });
            return Self::NotLeader(leader);
        }
        let text = String::from_utf8_lossy(&from).into_owned();
        match code {
            1 => Self::BadRequest(text),
            2 => Self::Forbidden(text),
            4 => Self::NotNow(text),
            5 => Self::Unknown(text),
            // One of a later version: no promise about what was done.
            _ => Self::Failed(text),
        }
    }
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It was not sent.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// It was sent, and what became of it is unknown.
    #[error("connection lost: {0}")]
    Lost(String),
    /// The other has refused it.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Carries requests to members.
pub trait Carrier: Send + Sync + 'static {
    /// Asks. A call that is dropped is given up; whether it was done is unknown then.
    fn call(
        &self,
        to: &Destination,
        method: Method,
        body: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, CallError>>;
}

/// Answers requests.
pub trait Service: Send + Sync + 'static {
    /// Answers one.
    fn call(
        &self,
        from: &Identity,
        method: Method,
        body: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, Refusal>>;

    /// Answers one with a stream of items, until it ends it or the other goes away.
    fn watch(
        &self,
        from: &Identity,
        method: Method,
        body: Bytes,
        to: Push,
    ) -> BoxFuture<'static, Result<(), Refusal>>;
}
