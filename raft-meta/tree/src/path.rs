//! Paths as clients send them.

use crate::PathError;

/// Longest name of a file or directory.
pub const NAME_MAX_BYTES: usize = 255;
/// Longest path.
pub const PATH_MAX_BYTES: usize = 4096;

/// A path below the root of an association: any number of names, none empty, `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TreePath {
    names: Vec<String>,
}

impl TreePath {
    /// The root.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// Reads a path: `//` and `.` are folded, a missing leading `/` is supplied.
    ///
    /// # Errors
    ///
    /// `..`, NUL, and what is too long.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if text.len() > PATH_MAX_BYTES {
            return Err(PathError::TooLong);
        }
        Self::parse_walked(text)
    }

    /// As [`TreePath::parse`], for a path that a walk has shown: of any length, since moves can take directories
    /// deeper than any path that may be sent.
    ///
    /// # Errors
    ///
    /// `..`, NUL, and a name that is too long.
    pub fn parse_walked(text: &str) -> Result<Self, PathError> {
        if text.contains('\0') {
            return Err(PathError::Nul);
        }
        let mut names = Vec::new();
        for name in text.split('/').filter(|name| !name.is_empty() && *name != ".") {
            if name == ".." {
                return Err(PathError::Parent);
            }
            if name.len() > NAME_MAX_BYTES {
                return Err(PathError::NameTooLong);
            }
            names.push(name.to_owned());
        }
        Ok(Self { names })
    }

    /// As [`TreePath::parse`], for a path that bounds what an account sees.
    ///
    /// # Errors
    ///
    /// Also a backslash.
    pub fn parse_chroot(text: &str) -> Result<Self, PathError> {
        if text.contains('\\') {
            return Err(PathError::Backslash);
        }
        Self::parse(text)
    }

    /// The path of an entry as [`crate::walk`] shows it, whatever its length: moving directories into each other makes
    /// paths that no client can send.
    #[must_use]
    pub fn found(shown: &str) -> Self {
        let names = shown.split('/').filter(|name| !name.is_empty());
        Self {
            names: names.map(str::to_owned).collect(),
        }
    }

    /// The names, from the root down.
    #[must_use]
    pub fn components(&self) -> &[String] {
        &self.names
    }

    /// Length of the path in text.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        self.names.iter().map(|name| 1 + name.len()).sum::<usize>().max(1)
    }

    /// Whether it is the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.names.is_empty()
    }

    /// The last name; `None` for the root.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.names.last().map(String::as_str)
    }

    /// The directory above; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (_, above) = self.names.split_last()?;
        Some(Self {
            names: above.to_vec(),
        })
    }

    /// `below` seen from here.
    #[must_use]
    pub fn join(&self, below: &Self) -> Self {
        Self {
            names: self.names.iter().chain(&below.names).cloned().collect(),
        }
    }

    /// What follows `prefix`, if this begins with it.
    #[must_use]
    pub fn strip_prefix(&self, prefix: &Self) -> Option<Self> {
        let rest = self.names.strip_prefix(prefix.names.as_slice())?;
        Some(Self { names: rest.to_vec() })
    }
}

impl std::fmt::Display for TreePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.names.is_empty() {
            return f.write_str("/");
        }
        self.names.iter().try_for_each(|name| write!(f, "/{name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_length_is_that_of_the_text() {
        for text in ["/", "/a", "/a/bcd/é"] {
            assert_eq!(TreePath::parse(text).unwrap().text_bytes(), text.len());
        }
    }

    #[test]
    fn folds_and_refuses() {
        let shown = |text: &str| TreePath::parse(text).map(|path| path.to_string());
        assert_eq!(shown("").unwrap(), "/");
        assert_eq!(shown("a//b/./c/").unwrap(), "/a/b/c");
        assert_eq!(shown("/ with space/…").unwrap(), "/ with space/…");
        assert_eq!(shown("/a/../b"), Err(PathError::Parent));
        assert_eq!(shown("..."), Ok("/...".to_owned()));
        assert_eq!(shown("/a\0"), Err(PathError::Nul));
        assert_eq!(shown(&"x".repeat(256)), Err(PathError::NameTooLong));
        assert_eq!(shown(&"x".repeat(255)).unwrap().len(), 256);
        assert_eq!(shown(&"x/".repeat(2049)), Err(PathError::TooLong));
        let walked = "/x".repeat(2049);
        assert_eq!(TreePath::parse_walked(&walked).unwrap().to_string(), walked);
        assert_eq!(TreePath::parse_chroot("a\\b"), Err(PathError::Backslash));
    }

    proptest! {
        #[test]
        fn a_path_reads_back_as_it_is_shown(text in "[a-c./ é]{0,40}") {
            if let Ok(path) = TreePath::parse(&text) {
                prop_assert_eq!(TreePath::parse(&path.to_string()).unwrap(), path);
            }
        }
    }
}
