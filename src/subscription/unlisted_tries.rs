//! A subscription's turns to try shards that no listing shows: all subscriptions that try such
//! shards wait for their turn.

use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::hub::{Hub, ResolvedStream};

/// Waits for one turn at a time.
#[derive(Default)]
pub(super) struct UnlistedTries {
    /// The wait for a turn, kept between polls.
    waits: Option<BoxFuture<'static, ()>>,
    /// A turn was granted and is not used yet.
    granted: bool,
}

impl UnlistedTries {
    /// Uses a turn if one is granted and returns true; otherwise begins to wait for one.
    pub(super) fn take(&mut self, hub: &Hub, stream: &ResolvedStream) -> bool {
        if !self.granted {
            let begin = || hub.clone().turn_to_try(stream.clone()).boxed();
            self.granted = self.waits.get_or_insert_with(begin).now_or_never().is_some();
        }
        if self.granted {
            *self = Self::default();
            return true;
        }
        false
    }

    /// Resolves when a turn is granted; never, if none is waited for. Cancel-safe: the wait is
    /// kept.
    pub(super) async fn granted(&mut self) {
        match &mut self.waits {
            Some(waits) if !self.granted => {
                waits.await;
                self.granted = true;
            }
            _ => std::future::pending().await,
        }
    }
}
