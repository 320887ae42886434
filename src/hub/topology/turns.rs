//! How callers wait in a [`Queue`]: whoever is dropped leaves it.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::clock::sleep_until;
use crate::hub::pace::Budget;

use super::queue::{Busy, Party, Queue, Ticket, Turn};

/// The queue to one operation.
#[derive(Debug)]
pub struct Turns {
    /// Held for one look, never across an await.
    queue: Mutex<Queue>,
    /// Rings when somebody left or is to go first.
    moved: Notify,
}

/// Whether something is for a running subscription: that may become so while it waits.
#[derive(Debug, Default)]
pub struct Haste(AtomicBool);

/// A place in the queue; dropping it leaves.
struct Place<'a> {
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
    pub async fn wait(&self, name: Option<&str>, haste: &Haste, goes_on: bool) -> Result<(), Busy> {
        let party = Party { name: name.map(Into::into), running: haste.is_on() };
        let ticket = self.queue.lock().enter(party, goes_on)?;
        let mut place = Place { turns: self, ticket, served: false };
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            let turn = {
                let mut queue = self.queue.lock();
                if haste.is_on() {
                    queue.hasten(&mut place.ticket);
                }
                queue.take(&place.ticket, Instant::now().into_std())
            };
            let until = match turn {
                Turn::Now => {
                    place.served = true;
                    return Ok(());
                }
                Turn::At(at) => Some(Instant::from_std(at)),
                Turn::Later => None,
            };
            // Both are cancel-safe: a bell and a timer.
            tokio::select! {
                biased;
                () = moved => {}
                () = sleep_until(until) => {}
            }
        }
    }

    /// What waits under this haste goes first from now on.
    pub fn hurry(&self, haste: &Haste) {
        if !haste.0.swap(true, Ordering::AcqRel) {
            self.moved.notify_waiters();
        }
    }
}

impl Haste {
    fn is_on(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.served {
            self.turns.queue.lock().leave(&self.ticket);
        }
        self.turns.moved.notify_waiters();
    }
}
