//! How callers wait in a [`Queue`]: whoever is dropped leaves it.

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::clock::sleep_until;
use crate::hub::pace::Budget;

use super::queue::{Asker, Busy, Party, Queue, Ticket, Turn, Whose};

/// The queue to one operation.
#[derive(Debug)]
pub struct Turns {
    /// Held for one look, never across an await.
    queue: Mutex<Queue>,
    /// Rings when somebody left or may go earlier.
    moved: Notify,
}

/// For whom a call is: more may come to want it while it waits.
#[derive(Debug, Default)]
pub struct Wanted(Mutex<Whose>);

/// A waiting in the queue; dropping it leaves.
struct Waiting<'a> {
    turns: &'a Turns,
    ticket: Ticket,
    served: bool,
}

impl Turns {
    /// Nobody waits.
    pub fn new(budget: Budget) -> Self {
        Self { queue: Mutex::new(Queue::new(budget)), moved: Notify::new() }
    }

    /// Waits until it is the party's turn, and spends one call. Cancel-safe: what is dropped leaves the queue.
    pub async fn wait(&self, name: Option<&str>, wanted: &Wanted, goes_on: bool) -> Result<(), Busy> {
        let party = Party { name: name.map(Into::into), whose: wanted.0.lock().clone() };
        let ticket = self.queue.lock().enter(party, goes_on)?;
        let mut waiting = Waiting { turns: self, ticket, served: false };
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
                Turn::Now => {
                    waiting.served = true;
                    return Ok(());
                }
                Turn::At(at) => Some(Instant::from_std(at)),
                Turn::Later => None,
            };
            // Both are cancel-safe: a Notify and a timer.
            tokio::select! {
                biased;
                () = moved => {}
                () = sleep_until(until) => {}
            }
        }
    }

    /// One more wants what waits under this.
    pub fn join(&self, wanted: &Wanted, asker: Asker) {
        if wanted.0.lock().join(asker) {
            self.moved.notify_waiters();
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.served {
            self.turns.queue.lock().leave(&self.ticket);
        }
        self.turns.moved.notify_waiters();
    }
}
