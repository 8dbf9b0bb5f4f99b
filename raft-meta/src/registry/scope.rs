//! What a token may do.

/// A right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Scope {
    /// Upload and make directories.
    FileCreate,
    /// Download.
    FileRead,
    /// List.
    FileList,
    /// Move.
    FileRename,
    /// Delete.
    FileDelete,
    /// Make FTP accounts.
    AccountCreate,
    /// Read one FTP account.
    AccountGet,
    /// List FTP accounts.
    AccountList,
    /// Change FTP accounts.
    AccountUpdate,
    /// Delete FTP accounts.
    AccountDelete,
    /// Download single files only.
    Edge,
}

const NAMES: [(Scope, &str); 11] = [
    (Scope::FileCreate, "file.create"),
    (Scope::FileRead, "file.read"),
    (Scope::FileList, "file.list"),
    (Scope::FileRename, "file.rename"),
    (Scope::FileDelete, "file.delete"),
    (Scope::AccountCreate, "ftpaccount.create"),
    (Scope::AccountGet, "ftpaccount.get"),
    (Scope::AccountList, "ftpaccount.list"),
    (Scope::AccountUpdate, "ftpaccount.update"),
    (Scope::AccountDelete, "ftpaccount.delete"),
    (Scope::Edge, "edge"),
];

impl Scope {
    /// As it stands in tokens.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES
            .iter()
            .find(|(scope, _)| *scope == self)
            .map_or("", |(_, name)| name)
    }
}

/// A set of rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u16);

impl Scopes {
    /// All but [`Scope::Edge`], which narrows and does not widen.
    #[must_use]
    pub fn all() -> Self {
        NAMES
            .iter()
            .filter(|(scope, _)| *scope != Scope::Edge)
            .fold(Self(0), |all, (scope, _)| all.with(*scope))
    }

    /// Reads names separated by spaces; a name that is none comes back as the error.
    ///
    /// # Errors
    ///
    /// The first unknown name.
    pub fn parse(text: &str) -> Result<Self, String> {
        text.split_ascii_whitespace().try_fold(Self(0), |set, name| {
            let found = NAMES
                .iter()
                .find(|(_, known)| *known == name)
                .ok_or_else(|| name.to_owned())?;
            Ok(set.with(found.0))
        })
    }

    /// With one more.
    #[must_use]
    pub fn with(self, scope: Scope) -> Self {
        Self(self.0 | 1 << scope as u8)
    }

    /// What both have.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether it has a right.
    #[must_use]
    pub fn has(self, scope: Scope) -> bool {
        self.0 & 1 << scope as u8 != 0
    }
}

impl std::fmt::Display for Scopes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = NAMES
            .iter()
            .filter(|(scope, _)| self.has(*scope))
            .map(|(_, name)| *name)
            .collect();
        f.write_str(&names.join(" "))
    }
}

impl serde::Serialize for Scopes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Scopes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&names).map_err(|name| serde::de::Error::custom(format!("there is no scope {name}")))
    }
}
