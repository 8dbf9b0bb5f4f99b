//! Changes that are under way while a session goes on with what does not depend on them.

use filegrid_tree::TreePath;
use futures::channel::oneshot;

/// Changes under way, each with the paths that it concerns.
#[derive(Default)]
pub(super) struct Later(Vec<(Vec<TreePath>, oneshot::Receiver<()>)>);

impl Later {
    /// Notes a change; it is over when what is returned is dropped.
    pub(super) fn add(&mut self, paths: Vec<TreePath>) -> oneshot::Sender<()> {
        self.0.retain_mut(|(_, over)| matches!(over.try_recv(), Ok(None)));
        let (sender, over) = oneshot::channel();
        self.0.push((paths, over));
        sender
    }

    /// Waits for all changes at, above or below a path.
    pub(super) async fn over(&mut self, path: &TreePath) {
        let concerns =
            |other: &TreePath| path.strip_prefix(other).is_some() || other.strip_prefix(path).is_some();
        while let Some(at) = self.0.iter().position(|(paths, _)| paths.iter().any(concerns)) {
            let (_, over) = self.0.swap_remove(at);
            let _ = over.await;
        }
    }

    /// Waits for all changes.
    pub(super) async fn all_over(&mut self) {
        for (_, over) in self.0.drain(..) {
            let _ = over.await;
        }
    }
}
