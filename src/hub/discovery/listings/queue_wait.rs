//! How callers wait in a [`LookupQueue`]: a dropped caller leaves it.

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::clock::sleep_until;
use crate::hub::rate_limit::Budget;

use super::queue::{Busy, LookupQueue, Requester, Requesters, Ticket, TicketTurn, WaitingCall};

/// The queue of one operation.
#[derive(Debug)]
pub(super) struct QueuedCalls {
    /// Held for one access, never across an await.
    queue: Mutex<LookupQueue>,
    /// Notified when a caller left or may go earlier.
    moved: Notify,
}

/// On requesters behalf a call is made: more requesters may join while it waits.
#[derive(Debug, Default)]
pub(super) struct JoinedRequesters(Mutex<Requesters>);

/// A caller's place in the queue; dropping it leaves the queue.
struct TicketGuard<'a> {
    turns: &'a QueuedCalls,
    ticket: Ticket,
    served: bool,
}

impl QueuedCalls {
    /// An empty queue.
    pub(super) fn new(budget: Budget) -> Self {
        Self { queue: Mutex::new(LookupQueue::new(budget)), moved: Notify::new() }
    }

    /// Waits for the call's turn, and takes it from the budget. Cancel-safe: dropping it leaves the
    /// queue.
    pub(super) async fn wait(
        &self,
        name: Option<&str>,
        wanted: &JoinedRequesters,
        goes_on: bool,
    ) -> Result<(), Busy> {
        let call = WaitingCall { name: name.map(Into::into), requesters: wanted.0.lock().clone() };
        let ticket = self.queue.lock().enter(call, goes_on)?;
        let mut waiting = TicketGuard { turns: self, ticket, served: false };
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            let turn = {
                let mut queue = self.queue.lock();
                queue.widen(&mut waiting.ticket, &wanted.0.lock());
                queue.take(&waiting.ticket, Instant::now().into_std())
            };
            let until = match turn {
                TicketTurn::Now => {
                    waiting.served = true;
                    return Ok(());
                }
                TicketTurn::At(at) => Some(Instant::from_std(at)),
                TicketTurn::Later => None,
            };
            // Both are cancel-safe: a Notify and a timer.
            tokio::select! {
                biased;
                () = moved => {}
                () = sleep_until(until) => {}
            }
        }
    }

    /// Adds a requester to a waiting call.
    pub(super) fn join(&self, wanted: &JoinedRequesters, asker: Requester) {
        if wanted.0.lock().join(asker) {
            self.moved.notify_waiters();
        }
    }
}

impl Drop for TicketGuard<'_> {
    fn drop(&mut self) {
        if !self.served {
            self.turns.queue.lock().leave(&self.ticket);
        }
        self.turns.moved.notify_waiters();
    }
}
