//! A line of the control connection to a command.

use std::net::SocketAddr;

use super::address::{EprtError, parse_eprt, parse_port};
use super::reply::Reply;
use super::time;

/// Which addresses an EPSV asks for, RFC 2428 §3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epsv {
    /// Of the control connection's family.
    Any,
    /// IPv4.
    V4,
    /// IPv6.
    V6,
    /// None now; from now on no other command may set up data connections.
    All,
}

/// A sum that is known of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sum {
    /// CRC32 (IEEE).
    Crc32,
    /// SHA-256.
    Sha256,
}

impl Sum {
    /// Its name in HASH and OPTS HASH.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Sha256 => "SHA-256",
        }
    }
}

/// A command with its argument. Paths are as they were sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "named as the protocol names them: RFC 959, 2228, 2389, 2428, 3659, 4217, 7151"
)]
pub enum Command {
    User(String),
    Pass(String),
    Acct,
    Rein,
    Quit,
    Noop,
    Syst,
    Feat,
    Help,
    Stat(Option<String>),
    /// Upper case, and what follows.
    Opts(String, String),
    Type(String),
    Mode(String),
    Stru(String),
    Allo,
    Pasv,
    Epsv(Epsv),
    /// PORT and EPRT.
    Active(SocketAddr),
    Retr(String),
    Stor(String),
    Stou,
    Appe(String),
    Rest(u64),
    Abor,
    List(Option<String>),
    Nlst(Option<String>),
    Mlsd(Option<String>),
    Mlst(Option<String>),
    Size(String),
    Mdtm(String),
    /// Unix milliseconds.
    Mfmt(i64, String),
    Cwd(String),
    Cdup,
    Pwd,
    Mkd(String),
    Rmd(String),
    Dele(String),
    Rnfr(String),
    Rnto(String),
    Auth(String),
    Pbsz,
    Prot(String),
    Ccc,
    Hash(String),
    /// XCRC and XSHA256: the bare sum.
    Bare(Sum, String),
    Site(String),
    Clnt,
    Lang(String),
    Host,
    Avbl(Option<String>),
}

impl Command {
    /// Reads a line.
    ///
    /// # Errors
    ///
    /// The reply to a line that is none: 500 to 504. The connection goes on.
    pub fn parse(line: &[u8]) -> Result<Self, Reply> {
        let Ok(line) = std::str::from_utf8(line) else {
            return Err(Reply::new(501, "Send names in UTF-8"));
        };
        if line.contains(['\0', '\r']) {
            return Err(Reply::new(501, "A name may not contain CR or NUL"));
        }
        let (verb, argument) = match line.split_once(' ') {
            Some((verb, argument)) => (verb, Some(argument)),
            None => (line, None),
        };
        let argument = argument.filter(|argument| !argument.is_empty());
        let verb = verb.to_ascii_uppercase();
        let needed = || {
            argument
                .map(str::to_owned)
                .ok_or_else(|| Reply::new(501, format!("{verb} needs an argument")))
        };
        let maybe = || argument.map(str::to_owned);
        let word = || argument.unwrap_or("").trim().to_ascii_uppercase();
        Ok(match verb.as_str() {
            "USER" => Self::User(needed()?),
            // A password may be empty, and the account's own affair.
            "PASS" => Self::Pass(argument.unwrap_or("").to_owned()),
            "ACCT" => Self::Acct,
            "REIN" => Self::Rein,
            "QUIT" => Self::Quit,
            "NOOP" => Self::Noop,
            "SYST" => Self::Syst,
            "FEAT" => Self::Feat,
            "HELP" => Self::Help,
            "STAT" => Self::Stat(maybe()),
            "OPTS" => {
                let text = needed()?;
                let (name, rest) = text.split_once(' ').unwrap_or((text.as_str(), ""));
                Self::Opts(name.to_ascii_uppercase(), rest.to_owned())
            }
            "TYPE" => Self::Type(word()),
            "MODE" => Self::Mode(word()),
            "STRU" => Self::Stru(word()),
            "ALLO" => Self::Allo,
            "PASV" => Self::Pasv,
            "EPSV" => Self::Epsv(epsv(&word())?),
            "PORT" => parse_port(&needed()?)
                .map(|address| Self::Active(address.into()))
                .ok_or_else(|| Reply::new(501, "PORT takes six numbers, like 10,0,0,1,4,1"))?,
            "EPRT" => Self::Active(eprt(&needed()?)?),
            "RETR" => Self::Retr(needed()?),
            "STOR" => Self::Stor(needed()?),
            "STOU" => Self::Stou,
            "APPE" => Self::Appe(needed()?),
            "REST" => Self::Rest(offset(&needed()?)?),
            "ABOR" => Self::Abor,
            "LIST" => Self::List(maybe()),
            "NLST" => Self::Nlst(maybe()),
            "MLSD" => Self::Mlsd(maybe()),
            "MLST" => Self::Mlst(maybe()),
            "SIZE" => Self::Size(needed()?),
            "MDTM" => Self::Mdtm(needed()?),
            "MFMT" => mfmt(&needed()?)?,
            "CWD" | "XCWD" => Self::Cwd(needed()?),
            "CDUP" | "XCUP" => Self::Cdup,
            "PWD" | "XPWD" => Self::Pwd,
            "MKD" | "XMKD" => Self::Mkd(needed()?),
            "RMD" | "XRMD" => Self::Rmd(needed()?),
            "DELE" => Self::Dele(needed()?),
            "RNFR" => Self::Rnfr(needed()?),
            "RNTO" => Self::Rnto(needed()?),
            "AUTH" => Self::Auth(needed()?.trim().to_ascii_uppercase()),
            "PBSZ" => offset(needed()?.trim()).map(|_| Self::Pbsz)?,
            "PROT" => Self::Prot(needed()?.trim().to_ascii_uppercase()),
            "CCC" => Self::Ccc,
            "HASH" => Self::Hash(needed()?),
            "XCRC" => Self::Bare(Sum::Crc32, unquoted(&needed()?)),
            "XSHA256" => Self::Bare(Sum::Sha256, unquoted(&needed()?)),
            "SITE" => Self::Site(needed()?),
            "CLNT" => Self::Clnt,
            "LANG" => Self::Lang(word()),
            "HOST" => needed().map(|_| Self::Host)?,
            "AVBL" => Self::Avbl(maybe()),
            "SMNT" | "ADAT" | "MIC" | "CONF" | "ENC" => {
                return Err(Reply::new(502, format!("{verb} is not offered here")));
            }
            _ => return Err(Reply::new(500, "Unknown command")),
        })
    }
}

fn epsv(word: &str) -> Result<Epsv, Reply> {
    match word {
        "" => Ok(Epsv::Any),
        "1" => Ok(Epsv::V4),
        "2" => Ok(Epsv::V6),
        "ALL" => Ok(Epsv::All),
        _ => Err(Reply::new(522, "Network protocol not supported, use (1,2)")),
    }
}

fn eprt(text: &str) -> Result<SocketAddr, Reply> {
    parse_eprt(text).map_err(|error| match error {
        EprtError::Family => Reply::new(522, "Network protocol not supported, use (1,2)"),
        EprtError::Malformed => Reply::new(501, "EPRT takes |1|address|port| or |2|address|port|"),
    })
}

fn offset(text: &str) -> Result<u64, Reply> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number.ok_or_else(|| Reply::new(501, "A number of bytes is needed"))
}

fn mfmt(text: &str) -> Result<Command, Reply> {
    let (time, path) = text.split_once(' ').unwrap_or((text, ""));
    match time::parse(time).filter(|_| !path.is_empty()) {
        Some(time) => Ok(Command::Mfmt(time, path.to_owned())),
        None => Err(Reply::new(501, "MFMT takes YYYYMMDDHHMMSS and a path")),
    }
}

/// Clients quote the path of XCRC and its kin, or do not.
fn unquoted(text: &str) -> String {
    let inner = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .filter(|inner| !inner.is_empty());
    inner.unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(line: &str) -> u16 {
        Command::parse(line.as_bytes()).unwrap_err().code()
    }

    #[test]
    fn commands_are_read_in_any_case_and_names_as_they_are() {
        let read = |line: &str| Command::parse(line.as_bytes()).unwrap();
        assert_eq!(read("retr  a b "), Command::Retr(" a b ".to_owned()));
        assert_eq!(read("XCUP"), Command::Cdup);
        assert_eq!(read("epsv all"), Command::Epsv(Epsv::All));
        assert_eq!(read("EPSV"), Command::Epsv(Epsv::Any));
        assert_eq!(
            read("PORT 10,0,0,1,4,1"),
            Command::Active("10.0.0.1:1025".parse().unwrap())
        );
        assert_eq!(
            read("EPRT |2|::1|1025|"),
            Command::Active("[::1]:1025".parse().unwrap())
        );
        assert_eq!(
            read("MFMT 19700101000001 a b"),
            Command::Mfmt(1000, "a b".to_owned())
        );
        assert_eq!(
            read("Opts utf8 on"),
            Command::Opts("UTF8".to_owned(), "on".to_owned())
        );
        assert_eq!(read("PASS "), Command::Pass(String::new()));
        assert_eq!(read("XCRC \"a b\""), Command::Bare(Sum::Crc32, "a b".to_owned()));
        assert_eq!(read("LIST"), Command::List(None));
    }

    #[test]
    fn what_is_no_command_has_its_code() {
        for (line, code) in [
            ("", 500),
            ("FOO", 500),
            ("RETR", 501),
            ("RETR ", 501),
            ("REST -1", 501),
            ("REST 1x", 501),
            ("REST 99999999999999999999", 501),
            ("PORT 1,2", 501),
            ("EPRT |9|a|1|", 522),
            ("EPSV 7", 522),
            ("MFMT 2020 a", 501),
            ("MFMT 20200101000000", 501),
            ("SMNT a", 502),
            ("CWD a\rb", 501),
        ] {
            assert_eq!(refused(line), code, "{line}");
        }
        assert_eq!(Command::parse(b"CWD \xff").unwrap_err().code(), 501);
    }

    proptest! {
        #[test]
        fn no_line_upsets_the_parser(line in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Err(reply) = Command::parse(&line) {
                prop_assert!((500..=522).contains(&reply.code()));
            }
        }
    }
}
