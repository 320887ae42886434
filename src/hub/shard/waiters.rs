//! The waiters of a shard: what each cursor waits for, and since when. A waiter hangs on the lane
//! whose responses it needs, or stands in the queue for one. Pure.
//!
//! What a decision asks about a lane's waiters is counted as they come and go (`Crowd`), so that
//! deciding walks over no waiters; a response walks only over those that it wakes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::position::ReadPosition;
use super::wakeups::Wakeups;

mod crowd;
mod kept;
mod waiter;

use crowd::Crowd;
pub(super) use crowd::Needs;
use kept::Kept;
#[cfg(test)]
pub(super) use kept::looks;
pub(super) use waiter::WaiterKind;
use waiter::{Counts, Place, Waiter};

#[cfg(test)]
mod tests;

/// What a cursor registers for.
#[derive(Clone, Debug)]
pub(super) struct Registration {
    /// The lane whose responses it needs; `None`: one that is still to be queued for.
    pub lane: Option<u64>,
    pub kind: WaiterKind,
    /// Where it waits; `None` for LATEST.
    pub position: Option<ReadPosition>,
    /// When data arrived for it, if it will take them later.
    pub data_at: Option<Instant>,
}

/// What is known of a registered waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Registered {
    pub kind: WaiterKind,
    /// The lane it hangs on.
    pub lane: Option<u64>,
    /// Only responses to calls made from this moment on count.
    pub since: Instant,
    /// When data arrived for the waiter, if it has not polled since; until it polls, nothing more
    /// is read for it.
    pub data_at: Option<Instant>,
    pub counts: Counts,
}

/// The waiters of one shard.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    all: BTreeMap<u64, Kept<Waiter>>,
    /// The same by lane; under `None` those without one.
    crowds: BTreeMap<Option<u64>, Crowd>,
    /// Waiters without a lane, in the order in which they will get one.
    queue: BTreeMap<u64, u64>,
    tickets: u64,
    ids: u64,
    /// The waiters to be woken since [`Self::take_wakeups`] was last called.
    wakeups: Wakeups,
    /// A waiter left or changed what it waits for: the reader must decide again what to read.
    needs_scheduling: bool,
}

impl Waiters {
    /// The waiters after a fault that lost them all: ids are not used again.
    pub(super) fn after_fault(self) -> Self {
        Self { ids: self.ids, ..Self::default() }
    }

    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// How many wait for a lane.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// The waiter that gets the next lane: its id, what it waits for, and where.
    pub(super) fn first_queued(&self) -> Option<(u64, WaiterKind, Option<ReadPosition>)> {
        let (_, id) = self.queue.first_key_value()?;
        let waiter = self.all.get(id).expect("the queue names waiters");
        Some((*id, waiter.kind, waiter.position.clone()))
    }

    pub(super) fn get(&self, id: Option<u64>) -> Option<Registered> {
        let waiter = self.all.get(&id?)?;
        let crowd = self.crowds.get(&waiter.lane()).expect("it hangs there");
        Some(Registered {
            kind: waiter.kind,
            lane: waiter.lane(),
            since: waiter.since,
            data_at: waiter.data_at,
            counts: waiter.counts(crowd.answers(), crowd.empties()),
        })
    }

    /// The positions of all who wait.
    pub(super) fn positions(&self) -> impl Iterator<Item = &ReadPosition> {
        self.all.values().filter_map(|waiter| waiter.position.as_ref())
    }

    /// What the lane's waiters need of it.
    pub(super) fn needs(&self, lane: u64) -> Needs {
        self.crowds.get(&Some(lane)).map_or_else(Needs::default, Crowd::needs)
    }

    /// Whether any waiter needs the lane. A waiter that has not polled since data arrived stops
    /// counting after `patience`; its lane may be reused.
    pub(super) fn want(&self, lane: u64, patience: Duration, now: Instant) -> bool {
        self.crowds.get(&Some(lane)).is_some_and(|crowd| crowd.wants(patience, now))
    }

    /// Whether the lane holds what a search found and its waiter has yet to take.
    pub(super) fn hold_a_find(&mut self, lane: u64, patience: Duration, now: Instant) -> bool {
        let Some(crowd) = self.crowds.get_mut(&Some(lane)) else { return false };
        while let Some((data_at, id)) = crowd.newest_find() {
            if now.saturating_duration_since(data_at) >= patience {
                return false;
            }
            if self.all.get(&id).is_some_and(|waiter| waiter.searches()) {
                return true;
            }
            // It was at a LATEST, which has become a number.
            crowd.forget_find((data_at, id));
        }
        false
    }

    /// When the next waiter that has not polled since data arrived gives up its lane.
    pub(super) fn next_to_give_up(&self, patience: Duration, now: Instant) -> Option<Instant> {
        self.crowds.values().filter_map(|crowd| crowd.next_to_give_up(patience, now)).min()
    }

    /// Registers a waiter. One that is already registered keeps its counts as long as its lane and
    /// kind stay the same.
    pub(super) fn register(&mut self, waiter: &mut Option<u64>, entry: Registration, now: Instant) {
        let Registration { lane, kind, position, data_at } = entry;
        let id = *waiter.get_or_insert_with(|| {
            self.ids += 1;
            self.ids
        });
        let is_new = !self.all.contains_key(&id);
        if is_new {
            self.add(id, kind, now);
        }
        let place = self.place_at(lane, self.all.get(&id).map(|waiter| waiter.place));
        let old = self.detach(id).expect("it was added");
        let from = old.lane();
        let moves = from != lane || old.kind != kind;
        if moves {
            (old.counted_from, old.before) = (None, Counts::default());
        }
        let again = is_new || moves || old.data_at.is_some();
        (old.position, old.place, old.kind, old.data_at) = (position, place, kind, data_at);
        self.attach(id);
        self.disband(from);
        self.needs_scheduling |= again;
    }

    fn add(&mut self, id: u64, kind: WaiterKind, now: Instant) {
        let fresh = Waiter {
            position: None,
            place: Place::Nowhere,
            wake_id: None,
            kind,
            since: now,
            data_at: None,
            counted_from: None,
            before: Counts::default(),
        };
        self.all.insert(id, Kept::new(fresh));
        self.attach(id);
    }

    /// The place on the lane, or in the queue: there one that already has a place keeps it.
    fn place_at(&mut self, lane: Option<u64>, old: Option<Place>) -> Place {
        match (lane, old) {
            (Some(lane), _) => Place::Lane(lane),
            (None, Some(Place::Queue(ticket))) => Place::Queue(ticket),
            (None, _) => {
                self.tickets += 1;
                Place::Queue(self.tickets)
            }
        }
    }

    /// Removes a waiter.
    pub(super) fn leave(&mut self, waiter: &mut Option<u64>) {
        let Some(id) = waiter.take() else { return };
        if self.detach(id).is_some()
            && let Some(waiter) = self.all.remove(&id)
        {
            self.disband(waiter.lane());
        }
        // The lane may be unused now.
        self.needs_scheduling |= !self.queue.is_empty();
    }

    /// The queued waiter gets a lane.
    pub(super) fn seat(&mut self, id: u64, lane: u64) {
        self.move_to(id, Place::Lane(lane));
    }

    /// A queued waiter waits for something else than it came for.
    pub(super) fn wait_for(&mut self, id: u64, kind: WaiterKind) {
        let Some(waiter) = self.detach(id) else { return };
        waiter.kind = kind;
        self.attach(id);
    }

    /// The lanes have ended: their waiters are queued again, but for those that have yet to take
    /// what came.
    pub(super) fn lose(&mut self, lanes: &[u64]) {
        let crowds = lanes.iter().filter_map(|lane| self.crowds.get(&Some(*lane)));
        let mut ids: Vec<u64> = crowds.flat_map(Crowd::ids).collect();
        ids.sort_unstable();
        for id in ids {
            let has_data = self.all.get(&id).is_some_and(|waiter| waiter.data_at.is_some());
            let place = if has_data { Place::Nowhere } else { self.place_at(None, None) };
            self.move_to(id, place);
        }
    }

    /// Another lane takes over the waiters of one, which are at the tip from now on.
    pub(super) fn join(&mut self, from: u64, to: u64) {
        self.wake_lane(from);
        let ids: Vec<u64> = self.crowds.get(&Some(from)).into_iter().flat_map(Crowd::ids).collect();
        for id in ids {
            self.move_to(id, Place::Lane(to));
        }
    }

    /// The lane got a page that was requested at `asked`: empty, or with `data` for its waiters.
    pub(super) fn answered(&mut self, lane: u64, asked: Instant, page: CountedPage, now: Instant) {
        let Some(crowd) = self.crowds.get_mut(&Some(lane)) else { return };
        if page == CountedPage::Empty && crowd.empties() == 0 {
            // The first empty response shows that the upstream was read.
            for id in crowd.counted() {
                self.wakeups.add(self.all.get(&id).and_then(|waiter| waiter.wake_id));
            }
        }
        let from = crowd.count(page == CountedPage::Empty);
        while let Some(id) = crowd.next_fresh(asked) {
            let waiter = self.all.get_mut(&id).expect("it hangs there");
            waiter.counted_from = Some(from);
            if page == CountedPage::Empty && waiter.before.empties == 0 {
                self.wakeups.add(waiter.wake_id);
            }
        }
        for id in crowd.counted_for_every_response() {
            self.wakeups.add(self.all.get(&id).and_then(|waiter| waiter.wake_id));
        }
        if page == CountedPage::Data {
            let counted: Vec<u64> = crowd.counted().collect();
            counted.into_iter().for_each(|id| self.data_arrived(id, now));
        }
    }

    fn data_arrived(&mut self, id: u64, now: Instant) {
        let waits = |waiter: &&Kept<Waiter>| {
            waiter.data_at.is_none() && matches!(waiter.kind, WaiterKind::Poll(_))
        };
        if self.all.get(&id).filter(waits).is_some()
            && let Some(waiter) = self.detach(id)
        {
            waiter.data_at = Some(now);
            self.attach(id);
        }
    }

    /// Sets the wake handle of a waiter.
    pub(super) fn set_wakeup(&mut self, waiter: Option<u64>, wake_id: Option<u64>) {
        if let Some(waiter) = waiter.and_then(|id| self.all.get_mut(&id)) {
            waiter.wake_id = wake_id;
        }
    }

    pub(super) fn wake_all(&mut self) {
        self.wakeups = Wakeups::All;
    }

    /// Wakes the waiters of a lane.
    pub(super) fn wake_lane(&mut self, lane: u64) {
        self.wake_where(|other| other == Some(lane));
    }

    /// Wakes the waiters without a lane and those of all lanes but `ahead`.
    pub(super) fn wake_all_but(&mut self, ahead: &[u64]) {
        self.wake_where(|lane| lane.is_none_or(|lane| !ahead.contains(&lane)));
    }

    fn wake_where(&mut self, concerns: impl Fn(Option<u64>) -> bool) {
        let concerned = self.crowds.iter().filter(|(lane, _)| concerns(**lane));
        for id in concerned.flat_map(|(_, crowd)| crowd.ids()) {
            self.wakeups.add(self.all.get(&id).and_then(|waiter| waiter.wake_id));
        }
    }

    /// Takes the waiters to wake because of what happened since the last call, each once.
    pub(super) fn take_wakeups(&mut self) -> Wakeups {
        std::mem::take(&mut self.wakeups).each_once()
    }

    /// Whether a waiter changed or left since the last call, so that there may be more to read.
    pub(super) fn take_needs_scheduling(&mut self) -> bool {
        std::mem::take(&mut self.needs_scheduling)
    }

    /// Moves a waiter, which keeps its counts.
    fn move_to(&mut self, id: u64, place: Place) {
        let counts = self.get(Some(id)).map_or_else(Counts::default, |waiter| waiter.counts);
        let Some(waiter) = self.detach(id) else { return };
        let from = waiter.lane();
        (waiter.place, waiter.before, waiter.counted_from) = (place, counts, None);
        self.attach(id);
        self.disband(from);
    }

    /// Takes the waiter out of its crowd and the queue, so that it can be changed.
    fn detach(&mut self, id: u64) -> Option<&mut Waiter> {
        let waiter = self.all.get_mut(&id)?;
        self.crowds.get_mut(&waiter.lane()).expect("it hangs there").detach(id, waiter);
        if let Place::Queue(ticket) = waiter.place {
            self.queue.remove(&ticket);
        }
        Some(waiter)
    }

    fn attach(&mut self, id: u64) {
        let waiter = self.all.get(&id).expect("it was detached");
        self.crowds.entry(waiter.lane()).or_default().attach(id, waiter);
        if let Place::Queue(ticket) = waiter.place {
            self.queue.insert(ticket, id);
        }
    }

    /// Forgets a crowd that nobody is in.
    fn disband(&mut self, lane: Option<u64>) {
        if self.crowds.get(&lane).is_some_and(Crowd::is_empty) {
            self.crowds.remove(&lane);
        }
    }
}

/// What a page was for the waiters of its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CountedPage {
    /// Nothing at all.
    Empty,
    /// Entries that were all dropped.
    Dropped,
    /// Entries that they may take.
    Data,
}
