//! Entries of directories as lines.

use filegrid_tree::RowRef;

use super::reply::printable;
use super::time;

/// What is said of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether it is a directory.
    pub directory: bool,
    /// Bytes.
    pub size: u64,
    /// Unix milliseconds.
    pub modified: i64,
    /// Unix milliseconds.
    pub created: i64,
}

impl<'a> Entry<'a> {
    /// The entry of a row.
    #[must_use]
    pub fn of(name: &'a str, row: &RowRef<'_>) -> Self {
        Self {
            name,
            directory: row.is_dir(),
            size: row.size(),
            modified: row.mtime(),
            created: row.created_at(),
        }
    }
}

/// Facts of MLSD and MLST, RFC 3659 §7.5, in the order that they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// `file`, `dir` or `cdir`.
    Type,
    /// Bytes; of files only.
    Size,
    /// Time of modification.
    Modify,
    /// Time of creation.
    Create,
    /// What the account may do with it.
    Perm,
}

/// The facts that there are.
pub const FACTS: [Fact; 5] = [Fact::Type, Fact::Size, Fact::Modify, Fact::Create, Fact::Perm];

impl Fact {
    fn name(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Size => "size",
            Self::Modify => "modify",
            Self::Create => "create",
            Self::Perm => "perm",
        }
    }
}

/// Facts that a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts(Vec<Fact>);

impl Default for Facts {
    fn default() -> Self {
        Self(FACTS.to_vec())
    }
}

impl Facts {
    /// Those of a list like `type;size;`; what is not known is passed over.
    #[must_use]
    pub fn parse(list: &str) -> Self {
        let wanted: Vec<_> = list
            .split(';')
            .map(|name| name.trim().to_ascii_lowercase())
            .collect();
        let chosen = FACTS
            .into_iter()
            .filter(|fact| wanted.iter().any(|name| name == fact.name()));
        Self(chosen.collect())
    }

    /// As OPTS MLST answers.
    #[must_use]
    pub fn shown(&self) -> String {
        self.0.iter().map(|fact| format!("{};", fact.name())).collect()
    }

    /// As FEAT lists them: a star behind those in use.
    #[must_use]
    pub fn offered(&self) -> String {
        let star = |fact: &Fact| if self.0.contains(fact) { "*" } else { "" };
        FACTS
            .iter()
            .map(|fact| format!("{}{};", fact.name(), star(fact)))
            .collect()
    }

    /// An entry's facts and, behind a space, its name.
    #[must_use]
    pub fn line(&self, entry: &Entry<'_>, writable: bool, kind: &str) -> String {
        let mut line = String::new();
        for fact in &self.0 {
            let value = match fact {
                Fact::Type => kind.to_owned(),
                Fact::Size if entry.directory => continue,
                Fact::Size => entry.size.to_string(),
                Fact::Modify => time::format(entry.modified),
                Fact::Create => time::format(entry.created),
                Fact::Perm => perm(entry.directory, writable).to_owned(),
            };
            line += &format!("{}={value};", fact.name());
        }
        line + " " + &printable(entry.name)
    }
}

/// What may be done, RFC 3659 §7.5.5.
fn perm(directory: bool, writable: bool) -> &'static str {
    match (directory, writable) {
        (true, true) => "cdeflmp",
        (true, false) => "el",
        (false, true) => "adfrw",
        (false, false) => "r",
    }
}

/// The type of an entry of MLSD.
#[must_use]
pub fn kind(entry: &Entry<'_>) -> &'static str {
    if entry.directory { "dir" } else { "file" }
}

/// A line in the form of `ls -l`.
#[must_use]
pub fn long(entry: &Entry<'_>, writable: bool, now_ms: i64) -> String {
    let mode = match (entry.directory, writable) {
        (true, true) => "drwxr-xr-x",
        (true, false) => "dr-xr-xr-x",
        (false, true) => "-rw-r--r--",
        (false, false) => "-r--r--r--",
    };
    format!(
        "{mode}   1 ftp      ftp      {:>12} {} {}",
        entry.size,
        time::listed(entry.modified, now_ms),
        printable(entry.name)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: Entry<'_> = Entry {
        name: "a b\n.txt",
        directory: false,
        size: 1234,
        modified: 1000,
        created: 0,
    };

    #[test]
    fn lines_hold_one_entry_each() {
        assert_eq!(
            long(&ENTRY, true, 1_700_000_000_000),
            "-rw-r--r--   1 ftp      ftp              1234 Jan  1  1970 a b?.txt"
        );
        assert_eq!(
            Facts::default().line(&ENTRY, false, "file"),
            "type=file;size=1234;modify=19700101000001;create=19700101000000;perm=r; a b?.txt"
        );
    }

    #[test]
    fn facts_are_chosen() {
        let facts = Facts::parse("Size;nope;TYPE;");
        assert_eq!(facts.shown(), "type;size;");
        assert_eq!(facts.offered(), "type*;size*;modify;create;perm;");
        assert_eq!(facts.line(&ENTRY, true, "file"), "type=file;size=1234; a b?.txt");
        let directory = Entry {
            directory: true,
            ..ENTRY
        };
        assert_eq!(facts.line(&directory, true, "dir"), "type=dir; a b?.txt");
    }
}
