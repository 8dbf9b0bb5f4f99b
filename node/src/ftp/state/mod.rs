//! What a session may do next, and what it has said so far. No I/O: a command goes in, an answer or work comes out.

use filegrid_tree::TreePath;

use super::command::{Command, Epsv, Sum};
use super::listing::Facts;
use super::path::Current;
use super::reply::Reply;

/// Whether connections are TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsPolicy {
    /// Never.
    Off,
    /// If the client wants.
    Optional,
    /// Always: nobody logs in and nothing is transferred in the clear.
    Required,
}

/// What the operator has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Whether connections are TLS.
    pub tls: TlsPolicy,
    /// Whether clients may have data connections opened to them.
    pub active: bool,
}

/// Where a session is on its way in.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Login {
    Nobody,
    /// USER was sent.
    Named(String),
    /// PASS was right.
    In {
        writable: bool,
    },
}

/// A session, as the protocol sees it.
#[derive(Debug)]
pub struct State {
    policy: Policy,
    login: Login,
    /// Whether the control connection is TLS.
    secure: bool,
    /// Whether PBSZ was sent.
    sized: bool,
    /// Whether data connections are TLS.
    protected: bool,
    /// Whether only EPSV may set up data connections.
    epsv_all: bool,
    /// Of REST, for the next transfer.
    offset: u64,
    /// Of RNFR, for the next command.
    renamed: Option<TreePath>,
    /// Facts of MLSD and MLST.
    pub facts: Facts,
    /// The sum that HASH tells.
    pub sum: Sum,
    /// The current directory.
    pub current: Current,
}

/// What is left by earlier commands for this one.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// First byte of a transfer.
    pub offset: u64,
    /// What RNTO gives a new name.
    pub renamed: Option<TreePath>,
}

/// What follows from a command.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// The answer.
    Answer(Reply),
    /// Work for those who have files and connections.
    Work(Command, Context),
}

impl State {
    /// A session that has just connected; `secure`: through TLS.
    #[must_use]
    pub fn new(policy: Policy, secure: bool) -> Self {
        Self {
            policy,
            login: Login::Nobody,
            secure,
            // Whoever connects through TLS wants all of it: the draft of implicit FTPS.
            sized: secure,
            protected: secure,
            epsv_all: false,
            offset: 0,
            renamed: None,
            facts: Facts::default(),
            sum: Sum::Sha256,
            current: Current::default(),
        }
    }

    /// The control connection has become TLS: whoever was named before has to be named again.
    pub fn secured(&mut self) {
        self.secure = true;
        self.login = Login::Nobody;
    }

    /// PASS was right.
    pub fn logged_in(&mut self, writable: bool) {
        self.login = Login::In { writable };
        self.current = Current::default();
    }

    /// PASS was wrong.
    pub fn login_failed(&mut self) {
        self.login = Login::Nobody;
    }

    /// RNFR was right.
    pub fn renames(&mut self, from: TreePath) {
        self.renamed = Some(from);
    }

    /// Whether somebody is logged in.
    #[must_use]
    pub fn is_logged_in(&self) -> bool {
        matches!(self.login, Login::In { .. })
    }

    /// Whether the account may write.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        matches!(self.login, Login::In { writable: true })
    }

    /// The name of USER, as long as PASS has not followed.
    #[must_use]
    pub fn named(&self) -> Option<&str> {
        match &self.login {
            Login::Named(name) => Some(name),
            _ => None,
        }
    }

    /// Whether the control connection is TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Whether data connections are TLS.
    #[must_use]
    pub fn is_protected(&self) -> bool {
        self.protected
    }

    /// Whether a command moves bytes over a data connection.
    #[must_use]
    pub fn has_data_connection(&self, command: &Command) -> bool {
        has_data_connection(command)
    }

    /// Why nothing may be transferred as things are.
    #[must_use]
    pub fn bars(&self, command: &Command) -> Option<Reply> {
        let in_the_clear = self.policy.tls == TlsPolicy::Required && !self.protected;
        (in_the_clear && has_data_connection(command)).then(|| {
            Reply::new(
                521,
                "This server transfers nothing in the clear: send PROT P first",
            )
        })
    }

    /// Takes the next command.
    pub fn take(&mut self, command: Command) -> Step {
        let context = self.context(&command);
        match self.refusal(&command, &context).or_else(|| self.answer(&command)) {
            Some(reply) => Step::Answer(reply),
            None => Step::Work(command, context),
        }
    }

    /// What was left for the command. A restart offset lasts over what sets up a data connection and no further, and
    /// no transfer sees it twice; RNFR lasts for one command.
    fn context(&mut self, command: &Command) -> Context {
        let keeps = matches!(
            command,
            Command::Pasv | Command::Epsv(_) | Command::Active(_) | Command::Type(_) | Command::Noop
        );
        Context {
            offset: if keeps {
                0
            } else {
                std::mem::take(&mut self.offset)
            },
            renamed: self.renamed.take(),
        }
    }

    /// Why a command is not taken here and now.
    fn refusal(&self, command: &Command, context: &Context) -> Option<Reply> {
        let reply = |code, text: &str| Some(Reply::new(code, text));
        let required = self.policy.tls == TlsPolicy::Required;
        if required && !self.secure && matches!(command, Command::User(_) | Command::Pass(_)) {
            return reply(
                530,
                "This server takes no login in the clear: send AUTH TLS first",
            );
        }
        if !self.is_logged_in() && needs_login(command) {
            return reply(530, "Log in with USER and PASS");
        }
        if !self.is_writable() && writes(command) && self.is_logged_in() {
            return reply(550, "This account is read-only");
        }
        if self.epsv_all && matches!(command, Command::Pasv | Command::Active(_)) {
            return reply(501, "EPSV ALL was sent: only EPSV is taken now");
        }
        if !self.policy.active && matches!(command, Command::Active(_)) {
            return reply(
                502,
                "This server opens no connections to clients: use EPSV or PASV",
            );
        }
        if let Some(barred) = self.bars(command) {
            return Some(barred);
        }
        match command {
            Command::Pass(_) if self.named().is_none() => reply(503, "Send USER first"),
            Command::Host if self.is_logged_in() => reply(503, "HOST goes before the login"),
            Command::Rnto(_) if context.renamed.is_none() => reply(503, "Send RNFR first"),
            Command::Stou | Command::Appe(_) if context.offset > 0 => {
                reply(554, "REST goes with RETR and STOR: APPE continues at the end")
            }
            _ => self.tls_refusal(command),
        }
    }

    fn tls_refusal(&self, command: &Command) -> Option<Reply> {
        let reply = |code, text: &str| Some(Reply::new(code, text));
        match command {
            Command::Auth(_) | Command::Pbsz | Command::Prot(_) if self.policy.tls == TlsPolicy::Off => {
                reply(502, "TLS is switched off here")
            }
            Command::Auth(_) if self.secure => reply(503, "This connection is TLS already"),
            Command::Auth(mechanism) if !matches!(mechanism.as_str(), "TLS" | "TLS-C" | "SSL" | "TLS-P") => {
                reply(504, "AUTH knows TLS")
            }
            Command::Pbsz | Command::Prot(_) if !self.secure => reply(503, "Send AUTH TLS first"),
            Command::Prot(_) if !self.sized => reply(503, "Send PBSZ first"),
            Command::Prot(level) => match level.as_str() {
                "P" => None,
                "C" if self.policy.tls == TlsPolicy::Required => {
                    reply(534, "This server transfers nothing in the clear")
                }
                "C" => None,
                "S" | "E" => reply(536, "TLS protects everything or nothing: PROT P or PROT C"),
                _ => reply(504, "PROT P or PROT C"),
            },
            Command::Ccc => reply(533, "The control connection stays protected"),
            _ => None,
        }
    }

    /// Answers what needs neither files nor connections.
    fn answer(&mut self, command: &Command) -> Option<Reply> {
        let reply = |code, text: &str| Some(Reply::new(code, text));
        match command {
            Command::User(name) => {
                self.login = Login::Named(name.clone());
                reply(331, "Send the password")
            }
            Command::Acct => reply(202, "Accounts are not used here"),
            Command::Rein => {
                self.login = Login::Nobody;
                self.current = Current::default();
                reply(220, "Log in with USER and PASS")
            }
            Command::Noop => reply(200, "OK"),
            Command::Syst => reply(215, "UNIX Type: L8"),
            Command::Feat => Some(self.features()),
            Command::Help => Some(help()),
            Command::Opts(name, value) => Some(self.options(name, value)),
            Command::Type(word) => match word.as_str() {
                "I" | "L 8" => reply(200, "Bytes go as they are"),
                "A" | "A N" => reply(200, "Taken, but bytes go as they are in either type"),
                _ => reply(504, "TYPE I or TYPE A"),
            },
            Command::Mode(word) if word == "S" => reply(200, "Stream"),
            Command::Mode(_) => reply(504, "MODE S"),
            Command::Stru(word) if word == "F" => reply(200, "File"),
            Command::Stru(_) => reply(504, "STRU F"),
            Command::Allo => reply(202, "Space is found as bytes come"),
            Command::Epsv(Epsv::All) => {
                self.epsv_all = true;
                reply(200, "Only EPSV is taken now")
            }
            Command::Rest(offset) => {
                self.offset = *offset;
                Some(Reply::new(
                    350,
                    format!("The next transfer begins at byte {offset}"),
                ))
            }
            Command::Abor => reply(226, "No transfer is under way"),
            Command::Pbsz => {
                self.sized = true;
                reply(200, "PBSZ=0")
            }
            Command::Prot(level) => {
                self.protected = level == "P";
                reply(
                    200,
                    if self.protected {
                        "Data connections are TLS"
                    } else {
                        "Data connections are plain"
                    },
                )
            }
            Command::Clnt => reply(200, "OK"),
            Command::Host => reply(220, "Every host name leads here"),
            Command::Lang(word) if word.is_empty() || word.starts_with("EN") => reply(200, "English"),
            Command::Lang(_) => reply(504, "LANG EN"),
            Command::Site(text) => Some(site(text)),
            _ => None,
        }
    }

    fn features(&self) -> Reply {
        let mut lines = vec!["Features:".to_owned()];
        if self.policy.tls != TlsPolicy::Off {
            lines.extend(["AUTH TLS", "PBSZ", "PROT"].map(str::to_owned));
        }
        let star = |sum: Sum| if sum == self.sum { "*" } else { "" };
        let (sha256, crc32) = (star(Sum::Sha256), star(Sum::Crc32));
        lines.extend(["AVBL", "CLNT", "EPRT", "EPSV"].map(str::to_owned));
        lines.push(format!("HASH SHA-256{sha256};CRC32{crc32}"));
        lines.extend(["HOST", "LANG EN*", "MDTM", "MFMT"].map(str::to_owned));
        lines.push(format!("MLST {}", self.facts.offered()));
        lines.extend(["REST STREAM", "SIZE", "TVFS", "UTF8", "XCRC", "XSHA256", "End"].map(str::to_owned));
        Reply::lines(211, lines)
    }

    fn options(&mut self, name: &str, value: &str) -> Reply {
        match name {
            "UTF8" | "UTF-8" => match value.trim().to_ascii_uppercase().as_str() {
                "" | "ON" | "NLST" => Reply::new(200, "Names are UTF-8"),
                _ => Reply::new(504, "Names are UTF-8 and nothing else"),
            },
            "MLST" => {
                self.facts = Facts::parse(value);
                Reply::new(200, format!("MLST OPTS {}", self.facts.shown()))
            }
            "HASH" => match value.trim().to_ascii_uppercase().as_str() {
                "" => Reply::new(200, self.sum.name()),
                "SHA-256" => self.sums(Sum::Sha256),
                "CRC32" => self.sums(Sum::Crc32),
                _ => Reply::new(504, "HASH knows SHA-256 and CRC32"),
            },
            _ => Reply::new(501, "OPTS knows UTF8, MLST and HASH"),
        }
    }

    fn sums(&mut self, sum: Sum) -> Reply {
        self.sum = sum;
        Reply::new(200, sum.name())
    }
}

fn help() -> Reply {
    let lines = [
        "Commands:",
        "USER PASS ACCT REIN QUIT AUTH PBSZ PROT CCC HOST CLNT LANG",
        "CWD CDUP PWD XCWD XCUP XPWD MKD RMD XMKD XRMD DELE RNFR RNTO",
        "PASV EPSV PORT EPRT TYPE MODE STRU ALLO REST ABOR",
        "RETR STOR STOU APPE LIST NLST MLSD MLST STAT",
        "SIZE MDTM MFMT HASH XCRC XSHA256 AVBL SITE SYST FEAT OPTS HELP NOOP",
        "End",
    ];
    Reply::lines(214, lines.map(str::to_owned).to_vec())
}

fn site(text: &str) -> Reply {
    let verb = text.split(' ').next().unwrap_or("").to_ascii_uppercase();
    match verb.as_str() {
        "HELP" => Reply::new(214, "SITE knows HELP; CHMOD and UMASK change nothing"),
        "CHMOD" | "UMASK" => Reply::new(202, "Files have no modes here"),
        _ => Reply::new(504, "SITE knows HELP"),
    }
}

fn needs_login(command: &Command) -> bool {
    !matches!(
        command,
        Command::User(_)
            | Command::Pass(_)
            | Command::Acct
            | Command::Rein
            | Command::Quit
            | Command::Noop
            | Command::Syst
            | Command::Feat
            | Command::Help
            | Command::Opts(..)
            | Command::Auth(_)
            | Command::Pbsz
            | Command::Prot(_)
            | Command::Ccc
            | Command::Host
            | Command::Clnt
            | Command::Lang(_)
    )
}

fn writes(command: &Command) -> bool {
    matches!(
        command,
        Command::Stor(_)
            | Command::Stou
            | Command::Appe(_)
            | Command::Mkd(_)
            | Command::Rmd(_)
            | Command::Dele(_)
            | Command::Rnfr(_)
            | Command::Rnto(_)
            | Command::Mfmt(..)
    )
}

/// Whether a command moves bytes over a data connection, of whatever kind.
fn has_data_connection(command: &Command) -> bool {
    matches!(
        command,
        Command::Retr(_)
            | Command::Stor(_)
            | Command::Stou
            | Command::Appe(_)
            | Command::List(_)
            | Command::Nlst(_)
            | Command::Mlsd(_)
    )
}

#[cfg(test)]
mod tests;
