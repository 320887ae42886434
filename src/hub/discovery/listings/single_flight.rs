//! Flights: a call whose result several callers want is made once, for all who came while it was in
//! flight.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt, Shared, WeakShared};
use parking_lot::Mutex;

use super::answers::AskError;
use super::queue::Requester;
use super::queue_wait::{JoinedRequesters, QueuedCalls};

/// The work shared by all callers of a flight.
type Work<T> = BoxFuture<'static, Result<T, AskError>>;

/// Calls in flight, by key. Only their callers drive them: a call that no caller waits for any more
/// is given up.
#[derive(Debug)]
pub(super) struct Flights<K: Eq + Hash + Clone, T: Clone> {
    turns: Arc<QueuedCalls>,
    /// Held for one access, never across an await.
    under_way: Mutex<HashMap<K, Flight<T>>>,
}

#[derive(Debug)]
struct Flight<T: Clone> {
    work: WeakShared<Work<T>>,
    wanted: Arc<JoinedRequesters>,
}

/// A caller of a flight: when it leaves, a call that is finished or given up is forgotten.
struct Passenger<'a, K: Eq + Hash + Clone, T: Clone> {
    flights: &'a Flights<K, T>,
    key: &'a K,
}

impl<K: Eq + Hash + Clone, T: Clone> Flights<K, T> {
    /// No calls in flight; new ones wait in `turns`.
    pub(super) fn new(turns: Arc<QueuedCalls>) -> Self {
        Self { turns, under_way: Mutex::default() }
    }

    /// The result of the call for `key` that is in flight, or of one that begins now. A caller that
    /// joined a call which was refused as busy tries again: the refusal was for the other caller.
    pub(super) async fn join(
        &self,
        key: &K,
        asker: Requester,
        begin: impl Fn(Arc<JoinedRequesters>) -> Work<T>,
    ) -> Result<T, AskError> {
        loop {
            // Dropped after the work: the last caller disposes of the work.
            let _passenger = Passenger { flights: self, key };
            let (work, joined) = self.join_or_start(key, asker, &begin);
            match work.await {
                Err(AskError::Busy(_)) if joined => {}
                done => return done,
            }
        }
    }

    /// The call, and whether another caller began it.
    fn join_or_start(
        &self,
        key: &K,
        asker: Requester,
        begin: impl Fn(Arc<JoinedRequesters>) -> Work<T>,
    ) -> (Shared<Work<T>>, bool) {
        let mut under_way = self.under_way.lock();
        if let Some(flight) = under_way.get(key)
            && let Some(work) = flight.work.upgrade().filter(|work| work.peek().is_none())
        {
            self.turns.join(&flight.wanted, asker);
            return (work, true);
        }
        let wanted = Arc::new(JoinedRequesters::default());
        self.turns.join(&wanted, asker);
        let work = begin(wanted.clone()).shared();
        if let Some(weak) = work.downgrade() {
            under_way.insert(key.clone(), Flight { work: weak, wanted });
        }
        (work, false)
    }
}

impl<K: Eq + Hash + Clone, T: Clone> Drop for Passenger<'_, K, T> {
    fn drop(&mut self) {
        let mut under_way = self.flights.under_way.lock();
        let is_over =
            |flight: &Flight<T>| flight.work.upgrade().is_none_or(|work| work.peek().is_some());
        if under_way.get(self.key).is_some_and(is_over) {
            under_way.remove(self.key);
        }
    }
}
