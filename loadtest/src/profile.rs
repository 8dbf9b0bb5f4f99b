//! What is done: one kind of operation, or several in turn.

use std::str::FromStr;

use clap::ValueEnum;
use serde::Serialize;

use crate::noise;

/// One request, as somebody sees it who waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// A file is stored.
    Upload,
    /// A file is fetched.
    Download,
    /// A directory is listed.
    List,
    /// All prepared files are fetched as one archive.
    Archive,
}

impl Operation {
    /// All, in the order of reports.
    pub const ALL: [Self; 4] = [Self::Upload, Self::Download, Self::List, Self::Archive];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Download => "download",
            Self::List => "list",
            Self::Archive => "archive",
        }
    }
}

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Stores files.
    Upload,
    /// Fetches files that were prepared.
    Download,
    /// All but archives, in shares.
    Mixed,
    /// Lists a directory of files that were prepared.
    List,
    /// Fetches all files that were prepared as one ZIP (REST only).
    Archive,
}

impl Profile {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Download => "download",
            Self::Mixed => "mixed",
            Self::List => "list",
            Self::Archive => "archive",
        }
    }

    /// Whether it needs files that are there before it begins.
    #[must_use]
    pub fn is_prepared(self) -> bool {
        self != Self::Upload
    }

    /// Whether it stores files while it runs.
    #[must_use]
    pub fn uploads(self) -> bool {
        matches!(self, Self::Upload | Self::Mixed)
    }
}

/// Shares of operations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mix {
    upload: u32,
    download: u32,
    list: u32,
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            upload: 20,
            download: 75,
            list: 5,
        }
    }
}

impl Mix {
    /// The operation of a request with that hash.
    #[must_use]
    pub fn of(self, profile: Profile, hash: u64) -> Operation {
        match profile {
            Profile::Upload => Operation::Upload,
            Profile::Download => Operation::Download,
            Profile::List => Operation::List,
            Profile::Archive => Operation::Archive,
            Profile::Mixed => {
                let all = u64::from(self.upload) + u64::from(self.download) + u64::from(self.list);
                let drawn = noise::below(hash, all);
                if drawn < u64::from(self.upload) {
                    Operation::Upload
                } else if drawn < u64::from(self.upload) + u64::from(self.download) {
                    Operation::Download
                } else {
                    Operation::List
                }
            }
        }
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut mix = Self {
            upload: 0,
            download: 0,
            list: 0,
        };
        for share in text.split(',') {
            let (name, weight) = share
                .split_once('=')
                .ok_or("a mix is written as upload=20,download=75,list=5")?;
            let weight: u32 = weight.parse().map_err(|_| format!("{weight} is no share"))?;
            match name.trim() {
                "upload" => mix.upload = weight,
                "download" => mix.download = weight,
                "list" => mix.list = weight,
                other => return Err(format!("{other} cannot be mixed: upload, download, list")),
            }
        }
        if (mix.upload, mix.download, mix.list) == (0, 0, 0) {
            return Err("all shares are 0".to_owned());
        }
        Ok(mix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_kept() {
        let mix: Mix = "upload=1,download=3".parse().unwrap();
        let drawn = (0..10_000).map(|number| mix.of(Profile::Mixed, noise::hash(3, number)));
        let drawn: Vec<_> = drawn.collect();
        let uploads = drawn.iter().filter(|one| **one == Operation::Upload).count();
        assert!((2300..2700).contains(&uploads), "{uploads}");
        assert!(!drawn.contains(&Operation::List));
        assert_eq!(mix.of(Profile::List, 0), Operation::List);
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in ["", "upload", "upload=x", "archive=1", "upload=0,list=0"] {
            assert!(text.parse::<Mix>().is_err(), "{text}");
        }
    }
}
