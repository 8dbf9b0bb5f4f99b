//! `DATA/epoch`: the number of the last start of this node of which the cluster had what the node had.
//!
//! A start whose number is not the one behind that has to compare its rows: the cluster knows another start, or has
//! forgotten one, so this `DATA` or the cluster's state is an older copy and the same sequence may stand for other changes;
//! or the start before has ended before it had done so.

use std::path::{Path, PathBuf};

use crate::private;

/// The number that is noted; 0 if none is.
pub(super) fn last(data: &Path) -> u64 {
    let noted = std::fs::read_to_string(path(data)).ok();
    noted
        .and_then(|text| text.trim_end().parse().ok())
        .unwrap_or_default()
}

/// Notes the number of this start.
pub(super) fn note(data: &Path, epoch: u64) {
    let path = path(data);
    if let Err(error) = private::replace(&path, format!("{epoch}\n").as_bytes()) {
        // The next start compares its rows once more than it needs to.
        tracing::warn!(path = %path.display(), %error, "the number of this start cannot be noted");
    }
}

fn path(data: &Path) -> PathBuf {
    data.join("epoch")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path();
        assert_eq!(last(data), 0);
        for epoch in [7, 1, u64::MAX] {
            note(data, epoch);
            assert_eq!(last(data), epoch);
        }
        std::fs::write(path(data), "nothing").unwrap();
        assert_eq!(last(data), 0);
    }
}
