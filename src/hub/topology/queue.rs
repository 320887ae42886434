//! Who is next to make a call of an operation that has one budget for everybody. Pure.
//!
//! Those who keep running subscriptions fresh go first, but take no more than three of four calls while others wait. The others take
//! turns, stream by stream, and whoever asks for a stream that nobody knows shares one turn with all the like. So many may wait, and
//! no more.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::hub::pace::Budget;

/// Callers who may wait in all, and for one stream or for unknown ones together.
const MOST: (usize, usize) = (64, 16);

/// Calls in a row that go to running subscriptions while somebody else waits.
const ROW: usize = 3;

/// For whom a call is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// What is asked for; `None`: something that is not known to exist.
    pub name: Option<Arc<str>>,
    /// It keeps a running subscription fresh.
    pub running: bool,
}

/// A place in the queue.
#[derive(Clone, Debug)]
pub struct Ticket {
    number: u64,
    party: Party,
}

/// What to do with a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Make the call.
    Now,
    /// Come again then.
    At(Instant),
    /// Come again when somebody left.
    Later,
}

/// So many wait that one more would pass the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} callers are waiting for the upstream's listings, which is the limit")]
pub struct Busy(pub usize);

/// Those who wait.
#[derive(Debug)]
pub struct Queue {
    budget: Budget,
    running: Line,
    asking: Line,
    /// Calls in a row that went to running subscriptions while somebody else waited.
    row: usize,
    issued: u64,
}

/// Those who wait, name by name.
#[derive(Debug, Default)]
struct Line {
    /// Whose turn comes when.
    names: VecDeque<Option<Arc<str>>>,
    tickets: HashMap<Option<Arc<str>>, VecDeque<u64>>,
    count: usize,
}

impl Queue {
    /// Nobody waits.
    pub fn new(budget: Budget) -> Self {
        Self { budget, running: Line::default(), asking: Line::default(), row: 0, issued: 0 }
    }

    /// A place at the end. Whoever goes on with what was begun is not refused.
    pub fn enter(&mut self, party: Party, goes_on: bool) -> Result<Ticket, Busy> {
        let line = if party.running { &mut self.running } else { &mut self.asking };
        let waiting = line.tickets.get(&party.name).map_or(0, VecDeque::len);
        if !party.running && !goes_on && (line.count >= MOST.0 || waiting >= MOST.1) {
            return Err(Busy(line.count));
        }
        self.issued += 1;
        line.push(party.name.clone(), self.issued);
        Ok(Ticket { number: self.issued, party })
    }

    /// Whether it is this one's turn; if it is to make its call, its place is gone.
    pub fn take(&mut self, ticket: &Ticket, now: Instant) -> Turn {
        let others = self.running.count == 0 || (self.row >= ROW && self.asking.count > 0);
        let line = if others { &mut self.asking } else { &mut self.running };
        if line.first() != Some(ticket.number) {
            return Turn::Later;
        }
        if !self.budget.spend(now) {
            return Turn::At(self.budget.next(now));
        }
        line.pop();
        self.row = if others || self.asking.count == 0 { 0 } else { self.row + 1 };
        Turn::Now
    }

    /// Gives a place up.
    pub fn leave(&mut self, ticket: &Ticket) {
        let line = if ticket.party.running { &mut self.running } else { &mut self.asking };
        line.remove(&ticket.party.name, ticket.number);
    }

    /// What is waited for keeps a running subscription fresh after all.
    pub fn hasten(&mut self, ticket: &mut Ticket) {
        if !ticket.party.running {
            self.leave(ticket);
            ticket.party.running = true;
            self.running.push(ticket.party.name.clone(), ticket.number);
        }
    }
}

impl Line {
    fn push(&mut self, name: Option<Arc<str>>, number: u64) {
        let tickets = self.tickets.entry(name.clone()).or_default();
        if tickets.is_empty() {
            self.names.push_back(name);
        }
        tickets.push_back(number);
        self.count += 1;
    }

    fn first(&self) -> Option<u64> {
        self.tickets.get(self.names.front()?)?.front().copied()
    }

    /// The first goes, and the next turn is another name's.
    fn pop(&mut self) {
        let Some(name) = self.names.pop_front() else { return };
        if let Some(tickets) = self.tickets.get_mut(&name) {
            tickets.pop_front();
            self.count -= 1;
            if tickets.is_empty() {
                self.tickets.remove(&name);
            } else {
                self.names.push_back(name);
            }
        }
    }

    fn remove(&mut self, name: &Option<Arc<str>>, number: u64) {
        let Some(tickets) = self.tickets.get_mut(name) else { return };
        let before = tickets.len();
        tickets.retain(|ticket| *ticket != number);
        self.count -= before - tickets.len();
        if tickets.is_empty() {
            self.tickets.remove(name);
            self.names.retain(|known| known != name);
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn party(name: u8, running: bool) -> Party {
        Party { name: (name > 0).then(|| Arc::from(format!("s{name}"))), running }
    }

    /// Lets one caller after the other go, and returns them in that order.
    fn served(queue: &mut Queue, waiting: &mut Vec<Ticket>, mut now: Instant) -> Vec<Party> {
        let mut served = vec![];
        while !waiting.is_empty() {
            match waiting.iter().position(|ticket| queue.take(ticket, now) == Turn::Now) {
                Some(at) => served.push(waiting.remove(at).party),
                None => now += Duration::from_millis(10),
            }
        }
        served
    }

    proptest! {
        #[test]
        fn whoever_stays_is_served_and_nobody_twice(
            steps in proptest::collection::vec((0u8..6, any::<bool>(), 0u8..8), 1..120),
        ) {
            let mut queue = Queue::new(Budget::new(5.0));
            let mut waiting: Vec<Ticket> = vec![];
            for (name, running, does) in steps {
                match does {
                    0 if !waiting.is_empty() => queue.leave(&waiting.remove(usize::from(name) % waiting.len())),
                    1 => {
                        if let Some(ticket) = waiting.first_mut() {
                            queue.hasten(ticket);
                        }
                    }
                    _ => waiting.extend(queue.enter(party(name, running), false)),
                }
                let asking = waiting.iter().filter(|ticket| !ticket.party.running).count();
                prop_assert!(asking <= MOST.0 && queue.asking.count == asking);
                prop_assert_eq!(queue.running.count, waiting.len() - asking);
            }
            let count = waiting.len();
            prop_assert_eq!(served(&mut queue, &mut waiting, Instant::now()).len(), count);
            prop_assert!(queue.running.names.is_empty() && queue.asking.tickets.is_empty());
        }
    }

    #[test]
    fn streams_take_turns_and_unknown_ones_share_theirs() {
        let mut queue = Queue::new(Budget::new(5.0));
        let names = [0, 0, 0, 0, 1, 1, 2];
        let mut waiting: Vec<_> =
            names.iter().filter_map(|name| queue.enter(party(*name, false), false).ok()).collect();
        let order: Vec<_> =
            served(&mut queue, &mut waiting, Instant::now()).into_iter().map(|party| party.name).collect();
        let expected = [0, 1, 2, 0, 1, 0, 0].map(|name| party(name, false).name);
        assert_eq!(order, expected);
    }

    #[test]
    fn running_subscriptions_go_first_and_leave_something_for_others() {
        let mut queue = Queue::new(Budget::new(5.0));
        let mut waiting = vec![];
        for name in 1..=8 {
            waiting.push(queue.enter(party(0, false), false).expect("room"));
            waiting.push(queue.enter(party(name, true), false).expect("room"));
        }
        let order: Vec<_> =
            served(&mut queue, &mut waiting, Instant::now()).iter().map(|party| party.running).collect();
        assert_eq!(order[..8], [true, true, true, false, true, true, true, false]);
    }

    #[test]
    fn too_many_are_refused_and_those_who_go_on_are_not() {
        let mut queue = Queue::new(Budget::new(5.0));
        let enter = |queue: &mut Queue, name, goes_on| queue.enter(party(name, false), goes_on).is_ok();
        let mut taken = 0;
        while enter(&mut queue, 0, false) {
            taken += 1;
        }
        assert_eq!(taken, MOST.1, "unknown streams together");
        assert!(enter(&mut queue, 1, false), "they keep nobody else out");
        while (2..20).any(|name| enter(&mut queue, name, false)) {}
        assert_eq!(queue.asking.count, MOST.0);
        assert!(enter(&mut queue, 1, true) && queue.enter(party(1, true), false).is_ok());
    }
}
