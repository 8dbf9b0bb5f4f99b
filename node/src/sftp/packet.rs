//! Requests of SFTP version 3, draft-ietf-secsh-filexfer-02, and the extensions of OpenSSH.

use std::ops::Range;

use super::attributes::Wanted;
use super::fields::{Fields, Short};

/// What a handle of ours is: a place in the table of a session, and how often that was used before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HandleId(pub u64);

/// How a file is opened, §6.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags(pub u32);

impl Flags {
    const WRITE: u32 = 2;
    const APPEND: u32 = 4;
    const CREATE: u32 = 8;
    const TRUNCATE: u32 = 0x10;
    const EXCLUSIVE: u32 = 0x20;

    /// Whether the file may be changed.
    #[must_use]
    pub fn changes(self) -> bool {
        self.0 & (Self::WRITE | Self::APPEND | Self::CREATE | Self::TRUNCATE) != 0
    }

    /// Whether all that is written goes to the end.
    #[must_use]
    pub fn appends(self) -> bool {
        self.0 & Self::APPEND != 0
    }

    /// Whether it is made if it is not there.
    #[must_use]
    pub fn creates(self) -> bool {
        self.0 & Self::CREATE != 0
    }

    /// Whether it is emptied.
    #[must_use]
    pub fn truncates(self) -> bool {
        self.0 & Self::TRUNCATE != 0
    }

    /// Whether it may not be there.
    #[must_use]
    pub fn is_exclusive(self) -> bool {
        self.0 & Self::EXCLUSIVE != 0 && self.creates()
    }
}

/// A request. Paths are as they were sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the draft")]
pub enum Request {
    Open {
        path: String,
        flags: Flags,
    },
    Close(HandleId),
    Read {
        handle: HandleId,
        offset: u64,
        length: u32,
    },
    /// `data` is where the bytes lie in the packet.
    Write {
        handle: HandleId,
        offset: u64,
        data: Range<usize>,
    },
    Fstat(HandleId),
    Fsetstat(HandleId, Wanted),
    Setstat(String, Wanted),
    OpenDir(String),
    ReadDir(HandleId),
    Remove(String),
    MakeDir(String),
    RemoveDir(String),
    RealPath(String),
    /// STAT and LSTAT: there are no links.
    Stat(String),
    Rename {
        from: String,
        to: String,
        replace: bool,
    },
    /// fsync@openssh.com
    Fsync(HandleId),
    /// statvfs@openssh.com and fstatvfs@openssh.com
    Space,
    /// limits@openssh.com
    Limits,
    /// copy-data
    Copy {
        from: HandleId,
        offset: u64,
        length: u64,
        to: HandleId,
        at: u64,
    },
    /// home-directory
    Home,
    /// users-groups-by-id@openssh.com: how many users, how many groups, and which of them are ours.
    Names {
        users: Vec<bool>,
        groups: Vec<bool>,
    },
    /// check-file-name and check-file-handle
    Check {
        what: Checked,
        algorithms: String,
        offset: u64,
        length: u64,
        block: u32,
    },
    /// READLINK, SYMLINK and hardlink@openssh.com
    Link,
    /// What we do not know.
    Unknown,
}

/// What is to be checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// The file of a handle.
    Handle(HandleId),
    /// The file of a path.
    Path(String),
}

/// A packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// INIT, with the client's version.
    Init(u32),
    /// A request with its id.
    Request(u32, Request),
}

/// A packet that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// It cannot even be answered: the session ends.
    Fatal,
    /// Its fields are not what they should be.
    Malformed(u32),
    /// A name in it is not UTF-8.
    NotUtf8(u32),
}

enum Field {
    Short,
    NotUtf8,
}

impl From<Short> for Field {
    fn from(_: Short) -> Self {
        Self::Short
    }
}

impl Packet {
    /// Reads a packet without its length.
    ///
    /// # Errors
    ///
    /// See [`Wrong`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Wrong> {
        let mut fields = Fields::new(bytes);
        let kind = fields.u8().map_err(|Short| Wrong::Fatal)?;
        let id = fields.u32().map_err(|Short| Wrong::Fatal)?;
        if kind == 1 {
            return Ok(Self::Init(id));
        }
        match request(kind, &mut fields) {
            Ok(request) => Ok(Self::Request(id, request)),
            Err(Field::Short) => Err(Wrong::Malformed(id)),
            Err(Field::NotUtf8) => Err(Wrong::NotUtf8(id)),
        }
    }
}

fn request(kind: u8, fields: &mut Fields<'_>) -> Result<Request, Field> {
    Ok(match kind {
        3 => {
            let (path, flags) = (text(fields)?, Flags(fields.u32()?));
            Wanted::read(fields)?;
            Request::Open { path, flags }
        }
        4 => Request::Close(handle(fields)?),
        5 => Request::Read {
            handle: handle(fields)?,
            offset: fields.u64()?,
            length: fields.u32()?,
        },
        6 => Request::Write {
            handle: handle(fields)?,
            offset: fields.u64()?,
            data: fields.range()?,
        },
        7 | 17 => Request::Stat(text(fields)?),
        8 => Request::Fstat(handle(fields)?),
        9 => Request::Setstat(text(fields)?, Wanted::read(fields)?),
        10 => Request::Fsetstat(handle(fields)?, Wanted::read(fields)?),
        11 => Request::OpenDir(text(fields)?),
        12 => Request::ReadDir(handle(fields)?),
        13 => Request::Remove(text(fields)?),
        14 => {
            let path = text(fields)?;
            Wanted::read(fields)?;
            Request::MakeDir(path)
        }
        15 => Request::RemoveDir(text(fields)?),
        16 => Request::RealPath(text(fields)?),
        18 => Request::Rename {
            from: text(fields)?,
            to: text(fields)?,
            replace: false,
        },
        19 | 20 => Request::Link,
        200 => extended(fields)?,
        _ => Request::Unknown,
    })
}

fn extended(fields: &mut Fields<'_>) -> Result<Request, Field> {
    Ok(match fields.string()? {
        b"posix-rename@openssh.com" => Request::Rename {
            from: text(fields)?,
            to: text(fields)?,
            replace: true,
        },
        b"fsync@openssh.com" => Request::Fsync(handle(fields)?),
        b"statvfs@openssh.com" | b"fstatvfs@openssh.com" => Request::Space,
        b"limits@openssh.com" => Request::Limits,
        b"lsetstat@openssh.com" => Request::Setstat(text(fields)?, Wanted::read(fields)?),
        b"expand-path@openssh.com" => Request::RealPath(expanded(text(fields)?)),
        b"home-directory" => Request::Home,
        b"hardlink@openssh.com" => Request::Link,
        b"copy-data" => Request::Copy {
            from: handle(fields)?,
            offset: fields.u64()?,
            length: fields.u64()?,
            to: handle(fields)?,
            at: fields.u64()?,
        },
        b"users-groups-by-id@openssh.com" => Request::Names {
            users: ids(fields.string()?)?,
            groups: ids(fields.string()?)?,
        },
        b"check-file-name" => check(fields, |fields| Ok(Checked::Path(text(fields)?)))?,
        b"check-file" | b"check-file-handle" => check(fields, |fields| Ok(Checked::Handle(handle(fields)?)))?,
        _ => Request::Unknown,
    })
}

fn check(
    fields: &mut Fields<'_>,
    what: impl FnOnce(&mut Fields<'_>) -> Result<Checked, Field>,
) -> Result<Request, Field> {
    Ok(Request::Check {
        what: what(fields)?,
        algorithms: text(fields)?,
        offset: fields.u64()?,
        length: fields.u64()?,
        block: fields.u32()?,
    })
}

/// Which of a list of numbers are the one that all files belong to.
fn ids(list: &[u8]) -> Result<Vec<bool>, Short> {
    let (mut fields, mut ours) = (Fields::new(list), Vec::new());
    while !fields.is_empty() {
        ours.push(fields.u32()? == super::attributes::OWNER_ID);
    }
    Ok(ours)
}

/// `~` and `~/x` are below the account's root, which is where relative paths begin as well.
fn expanded(path: String) -> String {
    match path.strip_prefix('~') {
        Some("") => "/".to_owned(),
        Some(rest) if rest.starts_with('/') => rest.to_owned(),
        _ => path,
    }
}

fn text(fields: &mut Fields<'_>) -> Result<String, Field> {
    let bytes = fields.string()?;
    String::from_utf8(bytes.to_vec()).map_err(|_| Field::NotUtf8)
}

/// What is no handle of ours becomes one that nothing has.
fn handle(fields: &mut Fields<'_>) -> Result<HandleId, Short> {
    let bytes = fields.string()?;
    Ok(HandleId(bytes.try_into().map_or(u64::MAX, u64::from_be_bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sftp::fields::{put_string, put_u32, put_u64};
    use proptest::prelude::*;

    #[test]
    fn requests_are_read() {
        let mut open = vec![3];
        put_u32(&mut open, 9);
        put_string(&mut open, "/é".as_bytes());
        put_u32(&mut open, 0x1a);
        put_u32(&mut open, 0);
        let Ok(Packet::Request(9, Request::Open { path, flags })) = Packet::parse(&open) else {
            panic!("not read")
        };
        assert_eq!(path, "/é");
        assert!(flags.changes() && flags.creates() && flags.truncates());
        assert!(!flags.is_exclusive() && !flags.appends());
        for cut in 5..open.len() {
            assert_eq!(Packet::parse(&open[..cut]), Err(Wrong::Malformed(9)), "{cut}");
        }
        for cut in 0..5 {
            assert_eq!(Packet::parse(&open[..cut]), Err(Wrong::Fatal));
        }
        let mut write = vec![6];
        put_u32(&mut write, 1);
        put_string(&mut write, &7_u64.to_be_bytes());
        put_u64(&mut write, 5);
        put_string(&mut write, b"abc");
        let request = Request::Write {
            handle: HandleId(7),
            offset: 5,
            data: 29..32,
        };
        assert_eq!(Packet::parse(&write), Ok(Packet::Request(1, request)));
        assert_eq!(&write[29..32], b"abc");
        assert_eq!(Packet::parse(&[1, 0, 0, 0, 3]), Ok(Packet::Init(3)));
        let mut stat = vec![17, 0, 0, 0, 4];
        put_string(&mut stat, b"\xff");
        assert_eq!(Packet::parse(&stat), Err(Wrong::NotUtf8(4)));
    }

    #[test]
    fn the_home_of_an_account_is_its_root() {
        for (path, expected) in [("~", "/"), ("~/a", "/a"), ("~joe/a", "~joe/a"), ("a", "a")] {
            assert_eq!(expanded(path.to_owned()), expected);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = Packet::parse(&bytes);
        }

        #[test]
        fn any_fields_are_read_or_refused(kind in any::<u8>(), rest in proptest::collection::vec(0..24_u8, 0..80)) {
            let mut bytes = vec![kind, 0, 0, 0, 1];
            bytes.extend_from_slice(&rest);
            if let Ok(Packet::Request(_, Request::Write { data, .. })) = Packet::parse(&bytes) {
                prop_assert!(data.end <= bytes.len());
            }
        }
    }
}
