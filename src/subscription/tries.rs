//! A subscription's turns to try shards that no listing shows: it waits for them among all who do.

use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::hub::Hub;
use crate::model::StreamArn;

/// Waits for one turn at a time.
#[derive(Default)]
pub(super) struct Tries {
    /// The waiting, kept between polls.
    waits: Option<BoxFuture<'static, ()>>,
    /// A turn that came and was not used yet.
    granted: bool,
}

impl Tries {
    /// Uses a turn if there is one; else it waits for one from now on.
    pub(super) fn take(&mut self, hub: &Hub, stream: &StreamArn) -> bool {
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

    /// Resolves when a turn came; never, if none is waited for. Cancel-safe: the waiting is kept.
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
