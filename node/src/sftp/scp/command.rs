//! What a client runs scp for, and the lines that it sends: the protocol of rcp, of which there is no standard.

use serde::{Deserialize, Serialize};

/// How scp is to be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scp {
    /// Whether files come, or go.
    pub way: Way,
    /// Whether directories are meant, with all that is below.
    pub recursive: bool,
    /// Whether times are kept.
    pub times: bool,
    /// Whether the target has to be a directory.
    pub into_directory: bool,
    /// Paths, as they were sent.
    pub paths: Vec<String>,
}

/// The direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// `-t`: from the client.
    In,
    /// `-f`: to the client.
    Out,
}

impl Scp {
    /// Reads a command line; `None` if it is not scp, or not the part of it that runs on a server.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let mut words = words(std::str::from_utf8(line).ok()?)?.into_iter();
        let program = words.next()?;
        if program.rsplit('/').next() != Some("scp") {
            return None;
        }
        let (mut way, mut options) = (None, true);
        let mut scp = Self {
            way: Way::In,
            recursive: false,
            times: false,
            into_directory: false,
            paths: Vec::new(),
        };
        for word in words {
            match word.strip_prefix('-') {
                Some("-") if options => options = false,
                Some(letters) if options && scp.paths.is_empty() => {
                    for letter in letters.chars() {
                        match letter {
                            't' => way = Some(Way::In),
                            'f' => way = Some(Way::Out),
                            'r' => scp.recursive = true,
                            'p' => scp.times = true,
                            'd' => scp.into_directory = true,
                            'v' | 'q' => {}
                            _ => return None,
                        }
                    }
                }
                _ => scp.paths.push(word),
            }
        }
        scp.way = way?;
        scp.has_paths().then_some(scp)
    }

    fn has_paths(&self) -> bool {
        match self.way {
            Way::In => self.paths.len() == 1,
            Way::Out => !self.paths.is_empty(),
        }
    }

    /// As one node tells it to another.
    #[must_use]
    pub fn write(&self) -> String {
        // Texts always have a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what another node has written; `None` if it is nothing that a client could ask for.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let scp: Self = serde_json::from_str(text).ok()?;
        scp.has_paths().then_some(scp)
    }
}

/// The words of a line as a shell would see them; `None` where a quote is not closed.
fn words(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\\' => word.get_or_insert_default().push(characters.next()?),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next()? {
                        '\'' => break,
                        other => word.push(other),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next()? {
                        '"' => break,
                        '\\' => word.push(characters.next()?),
                        other => word.push(other),
                    }
                }
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Some(words)
}

/// A line that the sending side sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A file of so many bytes follows.
    File {
        /// Bytes.
        size: u64,
        /// Its name.
        name: String,
    },
    /// What follows is in a directory.
    Directory {
        /// Its name.
        name: String,
    },
    /// That directory ends.
    End,
    /// The time of what comes next, Unix seconds.
    Time(u32),
    /// The other side says that something went wrong.
    Trouble {
        /// What.
        text: String,
        /// Whether it goes on.
        fatal: bool,
    },
}

impl Line {
    /// Reads a line without its line feed.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(line).ok()?;
        let mut characters = text.chars();
        let kind = characters.next()?;
        let rest = characters.as_str();
        match kind {
            '\u{1}' | '\u{2}' => Some(Self::Trouble {
                text: rest.to_owned(),
                fatal: kind == '\u{2}',
            }),
            'E' => rest.is_empty().then_some(Self::End),
            'T' => {
                let seconds = rest.split(' ').next()?.parse().ok()?;
                Some(Self::Time(seconds))
            }
            'C' | 'D' => {
                let mut fields = rest.splitn(3, ' ');
                let mode = fields.next()?;
                let octal = mode.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
                let size = fields
                    .next()?
                    .parse()
                    .ok()
                    .filter(|_| octal && !mode.is_empty())?;
                let name = fields.next().filter(|name| is_name(name))?.to_owned();
                Some(if kind == 'C' {
                    Self::File { size, name }
                } else {
                    Self::Directory { name }
                })
            }
            _ => None,
        }
    }

    /// The bytes of the line, with its line feed. A name that holds a control character cannot be sent: `None`.
    #[must_use]
    pub fn bytes(&self) -> Option<Vec<u8>> {
        let line = match self {
            Self::File { size, name } => format!("C0644 {size} {name}\n"),
            Self::Directory { name } => format!("D0755 0 {name}\n"),
            Self::End => "E\n".to_owned(),
            Self::Time(seconds) => format!("T{seconds} 0 {seconds} 0\n"),
            Self::Trouble { text, fatal } => {
                let text: String = text.chars().filter(|character| !character.is_control()).collect();
                let kind = if *fatal { '\u{2}' } else { '\u{1}' };
                return Some(format!("{kind}scp: {text}\n").into_bytes());
            }
        };
        let controls = line.chars().filter(|character| character.is_control()).count();
        (controls == 1).then(|| line.into_bytes())
    }
}

/// Whether it names something in a directory, and nothing elsewhere.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn command_lines_are_read() {
        let scp = Scp::parse(b"scp -v -r -p -t -- '/a b'/c\\ d\"e\\\"f\"").unwrap();
        assert_eq!(scp.paths, ["/a b/c de\"f"]);
        assert!(scp.way == Way::In && scp.recursive && scp.times && !scp.into_directory);
        let scp = Scp::parse(b"/usr/bin/scp -f a b").unwrap();
        assert_eq!((scp.way, scp.paths.len()), (Way::Out, 2));
        for other in [
            "ls",
            "scp",
            "scp -t",
            "scp a",
            "scp -t a b",
            "scp -f 'a",
            "scp -S sh -t a",
            "xscp -t a",
            "scp -f a\\",
        ] {
            assert_eq!(Scp::parse(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn lines_are_read_and_those_that_name_elsewhere_are_not() {
        let file = Line::File {
            size: 12,
            name: "a b".to_owned(),
        };
        assert_eq!(Line::parse(b"C0644 12 a b"), Some(file));
        assert_eq!(Line::parse(b"E"), Some(Line::End));
        assert_eq!(Line::parse(b"T123 0 456 0"), Some(Line::Time(123)));
        for wrong in [
            "",
            "C",
            "C0644",
            "C0644 1",
            "C0644 1 ",
            "C0644 1 ..",
            "C0644 1 a/b",
            "D0755 0 .",
            "C0644 -1 a",
            "C0844 1 a",
            "C 1 a",
            "Ex",
            "Tx",
            "X",
        ] {
            assert_eq!(Line::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(name in "[a-zé .]{1,20}", size in any::<u64>(), time in any::<u32>()) {
            prop_assume!(is_name(&name));
            for line in [
                Line::File { size, name: name.clone() },
                Line::Directory { name },
                Line::Time(time),
                Line::End,
            ] {
                let bytes = line.bytes().unwrap();
                prop_assert_eq!(Line::parse(bytes.strip_suffix(b"\n").unwrap()), Some(line));
            }
        }

        #[test]
        fn any_line_is_read_or_refused(text in "[CDETr0-9 a.'\"\\\\/-]{0,40}") {
            let _ = (Line::parse(text.as_bytes()), Scp::parse(text.as_bytes()));
        }
    }
}
