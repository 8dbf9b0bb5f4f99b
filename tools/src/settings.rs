//! Where the members are, and how to reach them.

use std::path::Path;

use filegrid_meta::config;
use filegrid_meta::wire::{Destination, Security};
use serde::{Deserialize, Serialize};

/// The settings as they are written.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    cluster: String,
    members: Vec<String>,
    tls_authority: String,
    tls_certificate: String,
    tls_key: String,
    plain_text: bool,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            cluster: "filegrid".to_owned(),
            members: vec!["1@127.0.0.1:8090".to_owned()],
            tls_authority: String::new(),
            tls_certificate: String::new(),
            tls_key: String::new(),
            plain_text: false,
        }
    }
}

/// The settings, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of the cluster.
    pub cluster: String,
    /// Members that are asked; the others are learned from them.
    pub members: Vec<Destination>,
    /// How connections are kept from others.
    pub security: Security,
}

/// Reads the settings. Files with certificates are named as seen from the directory of `file`.
///
/// # Errors
///
/// A text that names the file, key or variable and what is wrong with it.
pub fn load(
    file: Option<&Path>,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Settings, String> {
    let raw: Raw = filegrid_meta::settings::read(file, variables, "FILEGRIDCTL_")?;
    let members = config::members(&raw.members)?;
    if members.is_empty() {
        return Err("members: at least one".to_owned());
    }
    let directory = file.and_then(Path::parent).unwrap_or(Path::new(""));
    let beside = |name: &str| match name {
        "" => String::new(),
        name => directory.join(name).to_string_lossy().into_owned(),
    };
    let security = config::security(
        &beside(&raw.tls_authority),
        &beside(&raw.tls_certificate),
        &beside(&raw.tls_key),
        raw.plain_text,
    )?;
    Ok(Settings {
        cluster: raw.cluster,
        members,
        security,
    })
}
