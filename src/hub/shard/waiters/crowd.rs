//! The waiters that hang on one lane, counted by what they need of it. Pure.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};
use std::time::{Duration, Instant};

use super::super::poll::WaitFor;
use super::waiter::{Waiter, WaiterKind};

/// What the waiters of a lane need, for whom no data arrived yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::hub::shard) struct Needs {
    /// Some of them need pages.
    pub pages: bool,
    /// Some of them need no more than an iterator.
    pub iterator: bool,
    /// Some need a response to a call made from this moment on, as soon as possible.
    pub response_since: Option<Instant>,
}

/// The waiters of one lane.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    /// Those for whom no response counted yet, by when they were registered.
    fresh: BTreeSet<(Instant, u64)>,
    /// All others.
    counted: BTreeSet<u64>,
    /// Those to be woken at every response.
    every_response: BTreeSet<u64>,
    /// How many need pages, and how many only an iterator: without those for whom data arrived.
    pages: usize,
    iterators: usize,
    /// Of the former those that need a response soon, by when they were registered.
    soon: BTreeSet<(Instant, u64)>,
    /// Those for whom data arrived, by when it did.
    met: BTreeSet<(Instant, u64)>,
    /// Of them those that searched.
    finds: BTreeSet<(Instant, u64)>,
    /// Responses of the lane while anybody was here.
    answers: u32,
    /// Consecutive empty ones.
    empties: u32,
}

impl Crowd {
    pub(super) fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.counted.is_empty()
    }

    pub(super) fn answers(&self) -> u32 {
        self.answers
    }

    pub(super) fn empties(&self) -> u32 {
        self.empties
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = u64> {
        self.counted().chain(self.fresh.iter().map(|(_, id)| *id))
    }

    /// Those for whom some response counted.
    pub(super) fn counted(&self) -> impl Iterator<Item = u64> {
        self.counted.iter().copied()
    }

    /// Of them those that are to be woken at every response.
    pub(super) fn counted_for_every_response(&self) -> impl Iterator<Item = u64> {
        self.every_response.intersection(&self.counted).copied()
    }

    pub(super) fn needs(&self) -> Needs {
        Needs {
            pages: self.pages > 0,
            iterator: self.iterators > 0,
            response_since: self.soon.last().map(|(since, _)| *since),
        }
    }

    /// Whether somebody needs the lane; who has not polled for `patience` since data arrived does
    /// not.
    pub(super) fn wants(&self, patience: Duration, now: Instant) -> bool {
        let newest = self.met.last();
        self.pages + self.iterators > 0
            || newest.is_some_and(|(at, _)| now.saturating_duration_since(*at) < patience)
    }

    pub(super) fn next_to_give_up(&self, patience: Duration, now: Instant) -> Option<Instant> {
        let first = match now.checked_sub(patience) {
            Some(before) => self.met.range((Excluded((before, u64::MAX)), Unbounded)).next(),
            None => self.met.first(),
        };
        first.map(|(at, _)| *at + patience)
    }

    pub(super) fn newest_find(&self) -> Option<(Instant, u64)> {
        self.finds.last().copied()
    }

    pub(super) fn forget_find(&mut self, find: (Instant, u64)) {
        self.finds.remove(&find);
    }

    /// Counts a response; returns how many there were before.
    pub(super) fn count(&mut self, is_empty: bool) -> u32 {
        self.empties = if is_empty { self.empties + 1 } else { 0 };
        self.answers += 1;
        self.answers - 1
    }

    /// The next for whom a response to a call made at `asked` is the first that counts. From now on
    /// it is one of those counted.
    pub(super) fn next_fresh(&mut self, asked: Instant) -> Option<u64> {
        let (since, id) = *self.fresh.first()?;
        if since > asked {
            return None;
        }
        self.fresh.pop_first();
        self.counted.insert(id);
        Some(id)
    }

    pub(super) fn attach(&mut self, id: u64, waiter: &Waiter) {
        match waiter.counted_from {
            Some(_) => _ = self.counted.insert(id),
            None => _ = self.fresh.insert((waiter.since, id)),
        }
        if waiter.kind == WaiterKind::Poll(WaitFor::EveryResponse) {
            self.every_response.insert(id);
        }
        if let Some(at) = waiter.data_at {
            self.met.insert((at, id));
            if waiter.searches() {
                self.finds.insert((at, id));
            }
            return;
        }
        *self.count_of(waiter.kind) += 1;
        if needs_soon(waiter.kind) {
            self.soon.insert((waiter.since, id));
        }
    }

    pub(super) fn detach(&mut self, id: u64, waiter: &Waiter) {
        match waiter.counted_from {
            Some(_) => _ = self.counted.remove(&id),
            None => _ = self.fresh.remove(&(waiter.since, id)),
        }
        self.every_response.remove(&id);
        if let Some(at) = waiter.data_at {
            self.met.remove(&(at, id));
            self.finds.remove(&(at, id));
            return;
        }
        *self.count_of(waiter.kind) -= 1;
        self.soon.remove(&(waiter.since, id));
    }

    fn count_of(&mut self, kind: WaiterKind) -> &mut usize {
        match kind {
            WaiterKind::Latest | WaiterKind::Poll(WaitFor::Iterator) => &mut self.iterators,
            WaiterKind::Tip
            | WaiterKind::Poll(WaitFor::Data | WaitFor::EveryResponse | WaitFor::FreshResponse) => {
                &mut self.pages
            }
        }
    }
}

fn needs_soon(kind: WaiterKind) -> bool {
    matches!(kind, WaiterKind::Tip | WaiterKind::Poll(WaitFor::FreshResponse))
}
