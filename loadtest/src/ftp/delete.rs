//! Deletes directories with all that is below them, which FTP has no command for.

use super::control::Control;
use super::reply::{Entry, entries};
use super::{listing, received};
use crate::failure::Failure;
use crate::limits::PATH_MAX_BYTES;

/// What is found in a directory.
struct Found {
    name: String,
    /// None where the server does not say.
    is_directory: Option<bool>,
}

/// Deletes a directory, from the leaves up.
///
/// # Errors
///
/// Whatever goes wrong.
pub(crate) async fn delete(control: &mut Control, path: &str) -> Result<(), Failure> {
    let mut waiting = vec![(path.to_owned(), false)];
    while let Some((path, is_listed)) = waiting.pop() {
        if is_listed {
            control.ask(&format!("RMD {path}"), &[250]).await?;
            continue;
        }
        if path.len() > PATH_MAX_BYTES {
            return Err(Failure::malformed("directories do not end"));
        }
        waiting.push((path.clone(), true));
        for Found { name, is_directory } in find(control, &path).await? {
            let below = format!("{path}/{name}");
            if is_directory == Some(true) {
                waiting.push((below, false));
                continue;
            }
            match control.ask(&format!("DELE {below}"), &[250]).await {
                // What is no file may be a directory.
                Err(failure) if is_directory.is_none() && !failure.broken => waiting.push((below, false)),
                deleted => drop(deleted?),
            }
        }
    }
    Ok(())
}

/// What is in a directory: by `MLSD`, or by `NLST` where a server does not know that.
async fn find(control: &mut Control, path: &str) -> Result<Vec<Found>, Failure> {
    let found = match listing(control, path).await? {
        Some(listing) => {
            let entries = entries(&listing).map_err(Failure::malformed)?;
            let found = |entry: Entry| Found {
                name: entry.name,
                is_directory: Some(entry.is_directory),
            };
            entries.into_iter().map(found).collect()
        }
        None => names(control, path).await?,
    };
    let is_below =
        |found: &Found| !found.name.contains('/') && !matches!(found.name.as_str(), "" | "." | "..");
    Ok(found.into_iter().filter(is_below).collect())
}

async fn names(control: &mut Control, path: &str) -> Result<Vec<Found>, Failure> {
    let listing = match received(control, &format!("NLST {path}")).await {
        Ok(listing) => listing,
        // This is how some say that a directory is empty (RFC 959, 5.4).
        Err(failure) if matches!(failure.kind.as_str(), "FTP 450" | "FTP 550") => return Ok(Vec::new()),
        Err(failure) => return Err(failure),
    };
    let text = String::from_utf8_lossy(&listing);
    let found = |line: &str| Found {
        // Some say whole paths.
        name: line.rsplit('/').next().unwrap_or_default().to_owned(),
        is_directory: None,
    };
    Ok(text.lines().map(found).collect())
}
