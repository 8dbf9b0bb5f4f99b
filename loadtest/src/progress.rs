//! A line that shows how far a run is. On a terminal only.

use std::io::{IsTerminal, Write};

/// Letters of the bar.
const BAR: usize = 24;

/// The line.
pub struct Progress {
    is_shown: bool,
    is_dirty: bool,
}

impl Progress {
    /// One that is shown if there is somebody to see it.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        Self {
            is_shown: !quiet && std::io::stderr().is_terminal(),
            is_dirty: false,
        }
    }

    /// Shows how far it is, 0 to 1 if that is known, and what is said about it.
    pub fn show(&mut self, title: &str, part: Option<f64>, text: &str) {
        if self.is_shown {
            self.is_dirty = true;
            // Nothing depends on it.
            let _ = write!(std::io::stderr(), "\r\x1b[K{}", line(title, part, text));
        }
    }

    /// Takes the line away.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.is_dirty) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }

    /// Says something that stays, whether it is a terminal or not.
    pub fn say(&mut self, text: &str) {
        self.clear();
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "letters of a short bar"
)]
fn line(title: &str, part: Option<f64>, text: &str) -> String {
    let Some(part) = part else {
        return format!("{title}  {text}");
    };
    let full = ((part.clamp(0.0, 1.0) * BAR as f64) as usize).min(BAR);
    format!("{title} [{}{}] {text}", "#".repeat(full), "-".repeat(BAR - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_full_as_it_is_far() {
        assert_eq!(
            line("a", Some(0.5), "b"),
            format!("a [{}{}] b", "#".repeat(12), "-".repeat(12))
        );
        assert_eq!(line("a", Some(7.0), ""), format!("a [{}] ", "#".repeat(24)));
        assert_eq!(line("a", None, "b"), "a  b");
    }
}
