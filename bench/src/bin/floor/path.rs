//! Paths of requests in the directory that is served.

use std::path::{Path, PathBuf};

/// The file that a target names, or `None` if it would lead out of the directory or names nothing in it.
pub(crate) fn resolve(directory: &Path, target: &str) -> Option<PathBuf> {
    let target = target.strip_prefix('/')?.trim_end_matches('/');
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    target.split('/').all(plain).then(|| directory.join(target))
}
