//! Replies, and what errors are in replies.

use super::attributes::Told;
use super::fields::{put_string, put_u32, put_u64};
use super::packet::HandleId;
use crate::error::Error;

/// What we are called in the reply to INIT with.
const VERSION: u32 = 3;
/// The extensions that are offered, with their versions.
const EXTENSIONS: [(&str, &str); 13] = [
    ("posix-rename@openssh.com", "1"),
    ("fsync@openssh.com", "1"),
    ("statvfs@openssh.com", "2"),
    ("fstatvfs@openssh.com", "2"),
    ("limits@openssh.com", "1"),
    ("lsetstat@openssh.com", "1"),
    ("expand-path@openssh.com", "1"),
    ("copy-data", "1"),
    ("home-directory", "1"),
    ("users-groups-by-id@openssh.com", "1"),
    ("check-file", "1"),
    ("check-file-name", "1"),
    ("check-file-handle", "1"),
];
/// Where the length of the data stands in a reply to READ, and where the data begins.
pub const DATA_AT: usize = 13;

/// How a request went, §7.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// It is done.
    Ok = 0,
    /// There is no more.
    Eof = 1,
    /// Nothing has that name.
    NoSuchFile = 2,
    /// The account may not.
    PermissionDenied = 3,
    /// Anything else: the text says what.
    Failure = 4,
    /// The packet is none.
    BadMessage = 5,
    /// We do not do that.
    Unsupported = 8,
}

/// Why a request was not done.
#[derive(Debug)]
pub struct Refused {
    /// The code.
    pub code: Code,
    /// For people.
    pub text: String,
}

impl Refused {
    /// A refusal.
    #[must_use]
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }

    /// For accounts that may not change anything.
    #[must_use]
    pub fn read_only() -> Self {
        Self::new(Code::PermissionDenied, "this account is read-only")
    }
}

/// What an error is in a reply; `None`: the connection ends without one, since the outcome is unknown.
#[must_use]
pub fn refused(error: &Error) -> Option<Refused> {
    let code = match error {
        Error::Fenced | Error::Disconnected => return None,
        Error::NotFound(_) => Code::NoSuchFile,
        Error::Forbidden(_) | Error::Unauthorized(_) => Code::PermissionDenied,
        Error::Damaged(_) | Error::Disk(_) | Error::Internal(_) => {
            let text = "the server has failed; it has logged why";
            return Some(Refused::new(Code::Failure, text));
        }
        _ => Code::Failure,
    };
    Some(Refused::new(code, error.to_string()))
}

/// A reply that is being written. Its length comes first and is set at the end.
pub struct Reply(Vec<u8>);

impl Reply {
    fn new(kind: u8, id: u32) -> Self {
        let mut bytes = vec![0, 0, 0, 0, kind];
        put_u32(&mut bytes, id);
        Self(bytes)
    }

    fn done(mut self) -> Vec<u8> {
        let length = u32::try_from(self.0.len().saturating_sub(4)).unwrap_or(u32::MAX);
        if let Some(head) = self.0.first_chunk_mut() {
            *head = length.to_be_bytes();
        }
        self.0
    }

    /// The reply to INIT.
    #[must_use]
    pub fn version() -> Vec<u8> {
        let mut reply = Self::new(2, VERSION);
        for (name, version) in EXTENSIONS {
            put_string(&mut reply.0, name.as_bytes());
            put_string(&mut reply.0, version.as_bytes());
        }
        reply.done()
    }

    /// How a request went.
    #[must_use]
    pub fn status(id: u32, code: Code, text: &str) -> Vec<u8> {
        let mut reply = Self::new(101, id);
        put_u32(&mut reply.0, code as u32);
        put_string(&mut reply.0, text.as_bytes());
        put_string(&mut reply.0, b"en");
        reply.done()
    }

    /// It is done.
    #[must_use]
    pub fn ok(id: u32) -> Vec<u8> {
        Self::status(id, Code::Ok, "done")
    }

    /// There is no more.
    #[must_use]
    pub fn eof(id: u32) -> Vec<u8> {
        Self::status(id, Code::Eof, "that was all")
    }

    /// A handle.
    #[must_use]
    pub fn handle(id: u32, handle: HandleId) -> Vec<u8> {
        let mut reply = Self::new(102, id);
        put_string(&mut reply.0, &handle.0.to_be_bytes());
        reply.done()
    }

    /// A reply to READ with room for `length` bytes from [`DATA_AT`] on.
    #[must_use]
    pub fn data(id: u32, length: usize) -> Vec<u8> {
        let mut reply = Self::new(103, id);
        put_u32(&mut reply.0, u32::try_from(length).unwrap_or(u32::MAX));
        reply.0.resize(DATA_AT + length, 0);
        reply.done()
    }

    /// One name, of which nothing else is said.
    #[must_use]
    pub fn name(id: u32, name: &str) -> Vec<u8> {
        let mut reply = Self::new(104, id);
        put_u32(&mut reply.0, 1);
        put_string(&mut reply.0, name.as_bytes());
        put_string(&mut reply.0, name.as_bytes());
        put_u32(&mut reply.0, 0);
        reply.done()
    }

    /// Attributes.
    #[must_use]
    pub fn attributes(id: u32, told: &Told, writable: bool) -> Vec<u8> {
        let mut reply = Self::new(105, id);
        told.write(writable, &mut reply.0);
        reply.done()
    }

    /// The reply to an extension.
    #[must_use]
    pub fn extended(id: u32, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut reply = Self::new(201, id);
        write(&mut reply.0);
        reply.done()
    }
}

/// Names of a directory, as many as one reply takes.
pub struct Names {
    reply: Reply,
    count: u32,
}

impl Names {
    /// None yet.
    #[must_use]
    pub fn new(id: u32) -> Self {
        let mut reply = Reply::new(104, id);
        put_u32(&mut reply.0, 0);
        Self { reply, count: 0 }
    }

    /// Adds one; how long the reply is by now.
    pub fn add(&mut self, name: &str, long: &str, told: &Told, writable: bool) -> usize {
        let out = &mut self.reply.0;
        put_string(out, name.as_bytes());
        put_string(out, long.as_bytes());
        told.write(writable, out);
        self.count += 1;
        out.len()
    }

    /// The reply; `None` without names.
    #[must_use]
    pub fn done(mut self) -> Option<Vec<u8>> {
        if let Some(count) = self.reply.0.get_mut(9..13) {
            count.copy_from_slice(&self.count.to_be_bytes());
        }
        (self.count > 0).then(|| self.reply.done())
    }
}

/// What statvfs@openssh.com says: blocks of 4 KiB.
pub fn space(out: &mut Vec<u8>, total: u64, free: u64, writable: bool) {
    const BLOCK: u64 = 4096;
    const FILES: u64 = 1 << 32;
    let read_only = u64::from(!writable);
    for number in [
        BLOCK,
        BLOCK,
        total / BLOCK,
        free / BLOCK,
        free / BLOCK,
        FILES,
        FILES,
        FILES,
        0,
        read_only,
        crate::limits::NAME_MAX_BYTES as u64,
    ] {
        put_u64(out, number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sftp::fields::Fields;

    #[test]
    fn replies_say_how_long_they_are() {
        let told = Told {
            directory: false,
            size: 1,
            mtime: 0,
        };
        let mut names = Names::new(3);
        names.add("a", "-rw a", &told, true);
        for reply in [
            Reply::version(),
            Reply::ok(1),
            Reply::eof(1),
            Reply::handle(1, HandleId(4)),
            Reply::data(1, 100),
            Reply::name(1, "/a"),
            Reply::attributes(1, &told, true),
            names.done().unwrap(),
        ] {
            let length = u32::from_be_bytes(*reply.first_chunk().unwrap());
            assert_eq!(length as usize, reply.len() - 4);
        }
        assert!(Names::new(3).done().is_none());
        let reply = Reply::data(7, 3);
        let mut fields = Fields::new(&reply[4..]);
        assert_eq!((fields.u8(), fields.u32()), (Ok(103), Ok(7)));
        assert_eq!(fields.string(), Ok([0, 0, 0].as_slice()));
        assert_eq!(DATA_AT, reply.len() - 3);
    }
}
