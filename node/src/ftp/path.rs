//! Paths as FTP clients name them: relative to a current directory, with `..`.

use filegrid_tree::{PathError, TreePath};

/// Where a client is, and what it means by a path. The root is the account's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Current {
    directory: TreePath,
}

impl Current {
    /// Path of the directory, below the account's root.
    #[must_use]
    pub fn directory(&self) -> &TreePath {
        &self.directory
    }

    /// Goes to a directory.
    pub fn enter(&mut self, directory: TreePath) {
        self.directory = directory;
    }

    /// What a client means by `text`. `..` goes up, and stays at the root.
    ///
    /// # Errors
    ///
    /// A path that names nothing in any tree.
    pub fn resolve(&self, text: &str) -> Result<TreePath, PathError> {
        let mut names: Vec<&str> = if text.starts_with('/') {
            Vec::new()
        } else {
            self.directory.components().iter().map(String::as_str).collect()
        };
        for name in text.split('/') {
            match name {
                "" | "." => {}
                ".." => {
                    names.pop();
                }
                name => names.push(name),
            }
        }
        TreePath::parse(&names.join("/"))
    }
}

/// Whether a name matches a pattern of `*`, `?` and characters that stand for themselves.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where the last star stood, and what of the name it covers so far.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match (pattern.get(p), name.get(n)) {
            (Some('*'), _) => {
                star = Some((p, n));
                p += 1;
            }
            (Some(wanted), Some(found)) if *wanted == '?' || wanted == found => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, covered)) => {
                    star = Some((at, covered + 1));
                    (p, n) = (at + 1, covered + 1);
                }
                None => return false,
            },
        }
    }
    pattern
        .get(p..)
        .is_none_or(|rest| rest.iter().all(|left| *left == '*'))
}

/// Whether a name is a pattern.
#[must_use]
pub fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_go_down_up_and_no_further() {
        let mut current = Current::default();
        current.enter(TreePath::parse("/a/b").unwrap());
        let shown = |text: &str| current.resolve(text).unwrap().to_string();
        assert_eq!(shown("c"), "/a/b/c");
        assert_eq!(shown("/c"), "/c");
        assert_eq!(shown("../x"), "/a/x");
        assert_eq!(shown("../../../../x"), "/x");
        assert_eq!(shown("."), "/a/b");
        assert_eq!(shown("/../.."), "/");
        assert!(current.resolve(&"x".repeat(256)).is_err());
    }

    #[test]
    fn patterns_match() {
        for (pattern, name, expected) in [
            ("*.txt", "a.txt", true),
            ("*.txt", "a.txt.gz", false),
            ("a*b*c", "aXbYbZc", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*", "", true),
            ("é*", "état", true),
            ("e*", "état", false),
            ("?tat", "état", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn nothing_leaves_the_root(text in "[a./]{0,40}") {
            let mut current = Current::default();
            current.enter(TreePath::parse("/x").unwrap());
            let path = current.resolve(&text).unwrap();
            prop_assert!(!path.components().iter().any(|name| name == ".." || name == "."));
        }

        #[test]
        fn a_name_matches_itself_and_stars_around_it(name in "[a-c]{0,8}") {
            prop_assert!(matches(&name, &name));
            let around = format!("*{name}*");
            prop_assert!(matches(&around, &name));
        }
    }
}
