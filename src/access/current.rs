//! What is asked of callers and allowed them at the moment: it may change while calls run.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::Access;

/// The access in force. A cheap clone; all clones are one.
#[derive(Clone, Debug)]
pub struct CurrentAccess {
    access: Arc<ArcSwap<Access>>,
    /// Sent whenever something else is in force.
    changes: watch::Sender<()>,
}

impl CurrentAccess {
    /// This is in force from now on.
    pub fn new(access: Access) -> Self {
        Self { access: Arc::new(ArcSwap::from_pointee(access)), changes: watch::Sender::new(()) }
    }

    /// What is in force now.
    pub fn load(&self) -> Arc<Access> {
        self.access.load_full()
    }

    /// Puts something else in force.
    pub fn store(&self, access: Access) {
        self.access.store(Arc::new(access));
        self.changes.send_replace(());
    }

    /// Resolves with every change from now on.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }
}
