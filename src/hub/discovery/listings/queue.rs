//! The queue of callers for an operation with one budget for all: which caller may make the next
//! call. Pure.
//!
//! Calls for running subscriptions go first, but take at most three of four calls while others
//! wait. The others take turns, peer by peer and then stream by stream; all that one peer requests
//! of unknown streams shares one of its turns. The number of waiting callers is limited, and no
//! peer can take every place: it may hold as many as are free.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::hub::rate_limit::Budget;
use crate::peer_shares::Peer;

/// The limit of waiting callers in all, and of one peer's for one stream or for unknown streams
/// together.
const MOST: (usize, usize) = (64, 16);

/// Calls in a row for running subscriptions while others wait.
const ROW: usize = 3;

/// On whose behalf a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Requester {
    /// A running subscription, which the call keeps fresh for all followers.
    Running,
    /// A client, by its peer; `None` without a transport.
    Client(Option<Peer>),
}

/// All on whose behalf one call is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Requesters {
    /// The call keeps a running subscription fresh.
    pub running: bool,
    /// The peers of clients that wait for the call, each once.
    pub peers: Vec<Option<Peer>>,
}

/// A waiting call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WaitingCall {
    /// The stream or table it is about; `None`: something not known to exist.
    pub name: Option<Arc<str>>,
    /// On whose behalf it is made.
    pub requesters: Requesters,
}

/// A place in the queue.
#[derive(Clone, Debug)]
pub(super) struct Ticket {
    number: u64,
    call: WaitingCall,
}

/// What to do with a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TicketTurn {
    /// Make the call.
    Now,
    /// Ask again at this time.
    At(Instant),
    /// Ask again when another caller has left the queue.
    Later,
}

/// The limit of waiting callers, or the peer's share of it, is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{waiting} callers are waiting for the upstream's listings, {own} of them from this address: no more are let in"
)]
pub struct Busy {
    /// All waiting callers.
    pub waiting: usize,
    /// The waiting callers of the peer that was refused.
    pub own: usize,
}

/// The waiting calls.
#[derive(Debug)]
pub(super) struct LookupQueue {
    budget: Budget,
    running: NameQueue,
    asking: PeerQueues,
    /// Calls in a row that went to running subscriptions while others waited.
    row: usize,
    issued: u64,
}

/// The waiting calls of clients, by peer. A call that several peers wait for is in the line of
/// each, and goes when the first of them has its turn.
#[derive(Debug, Default)]
struct PeerQueues {
    /// The peers in order of their turns.
    peers: VecDeque<Option<Peer>>,
    of: HashMap<Option<Peer>, NameQueue>,
    /// The numbers of all waiting tickets, each once.
    waiting: HashSet<u64>,
}

/// The waiting calls, by name.
#[derive(Debug, Default)]
struct NameQueue {
    /// The names in order of their turns.
    names: VecDeque<Option<Arc<str>>>,
    tickets: HashMap<Option<Arc<str>>, VecDeque<u64>>,
    count: usize,
}

impl Requesters {
    /// Adds a requester; returns whether that changed anything.
    pub(super) fn join(&mut self, asker: Requester) -> bool {
        match asker {
            Requester::Running => !std::mem::replace(&mut self.running, true),
            Requester::Client(peer) if self.peers.contains(&peer) => false,
            Requester::Client(peer) => {
                self.peers.push(peer);
                true
            }
        }
    }
}

impl LookupQueue {
    /// An empty queue.
    pub(super) fn new(budget: Budget) -> Self {
        Self {
            budget,
            running: NameQueue::default(),
            asking: PeerQueues::default(),
            row: 0,
            issued: 0,
        }
    }

    /// Takes a place at the end of the queue. Of several peers, it is enough that one may have a
    /// place. A call that continues what was begun (`goes_on`) is not refused.
    pub(super) fn enter(&mut self, call: WaitingCall, goes_on: bool) -> Result<Ticket, Busy> {
        let refused = |peer: &Option<Peer>| self.asking.refusal(peer, &call.name);
        let refusals = call.requesters.peers.iter().map(refused);
        if !call.requesters.running
            && !goes_on
            && let Some(busy) = refusals.reduce(Option::and).flatten()
        {
            return Err(busy);
        }
        self.issued += 1;
        let ticket = Ticket { number: self.issued, call };
        self.stand(&ticket, &ticket.call.requesters.peers);
        Ok(ticket)
    }

    /// Whether it is this ticket's turn; with [`TicketTurn::Now`] its place is gone.
    pub(super) fn take(&mut self, ticket: &Ticket, now: Instant) -> TicketTurn {
        let others =
            self.running.count == 0 || (self.row >= ROW && !self.asking.waiting.is_empty());
        let first = if others { self.asking.first() } else { self.running.first() };
        if first != Some(ticket.number) {
            return TicketTurn::Later;
        }
        if !self.budget.spend(now) {
            return TicketTurn::At(self.budget.next(now));
        }
        if others {
            self.asking.pop();
        } else {
            self.running.pop();
        }
        self.leave(ticket);
        self.row = if others || self.asking.waiting.is_empty() { 0 } else { self.row + 1 };
        TicketTurn::Now
    }

    /// Gives up a ticket's place.
    pub(super) fn leave(&mut self, ticket: &Ticket) {
        let Ticket { number, call: WaitingCall { name, requesters } } = ticket;
        if requesters.running {
            self.running.remove(name, *number);
        } else {
            self.asking.remove(&requesters.peers, name, *number);
        }
    }

    /// Updates on whose behalf the call is made: it goes as early as the best placed of them may.
    pub(super) fn widen(&mut self, ticket: &mut Ticket, requesters: &Requesters) {
        if ticket.call.requesters == *requesters || ticket.call.requesters.running {
            return;
        }
        if requesters.running {
            self.leave(ticket);
        }
        // Peers already in the queue keep their places; the ticket joins the new peers' lines at
        // the end.
        let known = std::mem::replace(&mut ticket.call.requesters, requesters.clone()).peers;
        let more: Vec<_> =
            requesters.peers.iter().filter(|peer| !known.contains(peer)).copied().collect();
        self.stand(ticket, &more);
    }

    /// Puts the ticket at the end of the running line, or of the lines of `peers`.
    fn stand(&mut self, ticket: &Ticket, peers: &[Option<Peer>]) {
        let Ticket { number, call: WaitingCall { name, requesters } } = ticket;
        if requesters.running {
            self.running.push(name.clone(), *number);
        } else {
            self.asking.push(peers, name, *number);
        }
    }
}

impl PeerQueues {
    /// Why the peer may not have one more place; `None` if it may.
    fn refusal(&self, peer: &Option<Peer>, name: &Option<Arc<str>>) -> Option<Busy> {
        let waiting = self.waiting.len();
        let line = self.of.get(peer);
        let own = line.map_or(0, |line| line.count);
        let alike = line.and_then(|line| line.tickets.get(name)).map_or(0, VecDeque::len);
        let free = MOST.0.saturating_sub(waiting);
        (own >= free || alike >= MOST.1).then_some(Busy { waiting, own })
    }

    fn push(&mut self, peers: &[Option<Peer>], name: &Option<Arc<str>>, number: u64) {
        self.waiting.insert(number);
        for peer in peers {
            let line = self.of.entry(*peer).or_default();
            if line.count == 0 {
                self.peers.push_back(*peer);
            }
            line.push(name.clone(), number);
        }
    }

    fn first(&self) -> Option<u64> {
        self.of.get(self.peers.front()?)?.first()
    }

    /// Removes the first ticket; the next turn is another peer's.
    fn pop(&mut self) {
        let Some(peer) = self.peers.pop_front() else { return };
        if let Some(line) = self.of.get_mut(&peer) {
            line.pop();
            if line.count == 0 {
                self.of.remove(&peer);
            } else {
                self.peers.push_back(peer);
            }
        }
    }

    fn remove(&mut self, peers: &[Option<Peer>], name: &Option<Arc<str>>, number: u64) {
        self.waiting.remove(&number);
        for peer in peers {
            let Some(line) = self.of.get_mut(peer) else { continue };
            line.remove(name, number);
            if line.count == 0 {
                self.of.remove(peer);
                self.peers.retain(|known| known != peer);
            }
        }
    }
}

impl NameQueue {
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

    /// Removes the first ticket; the next turn is another name's.
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

    fn peer(number: u8) -> Option<Peer> {
        Some(Peer::at([127, 0, 0, number].into()))
    }

    /// A call for a running subscription, or for the first peer.
    fn call(name: u8, running: bool) -> WaitingCall {
        of(if running { &[] } else { &[1] }, name, running)
    }

    fn of(peers: &[u8], name: u8, running: bool) -> WaitingCall {
        let requesters = Requesters { running, peers: peers.iter().copied().map(peer).collect() };
        WaitingCall { name: (name > 0).then(|| Arc::from(format!("s{name}"))), requesters }
    }

    fn hasten(queue: &mut LookupQueue, ticket: &mut Ticket, asker: Requester) {
        let mut requesters = ticket.call.requesters.clone();
        requesters.join(asker);
        queue.widen(ticket, &requesters);
    }

    /// Takes as many places as a peer gets, for streams of these names in turn.
    fn greedy(queue: &mut LookupQueue, peers: u8, names: &[u8]) -> Vec<Ticket> {
        let mut names = names.iter().cycle();
        std::iter::from_fn(|| queue.enter(of(&[peers], *names.next()?, false), false).ok())
            .collect()
    }

    /// Lets one caller after the other go, and returns them in that order.
    fn served(
        queue: &mut LookupQueue,
        waiting: &mut Vec<Ticket>,
        mut now: Instant,
    ) -> Vec<WaitingCall> {
        let mut served = vec![];
        while !waiting.is_empty() {
            match waiting.iter().position(|ticket| queue.take(ticket, now) == TicketTurn::Now) {
                Some(at) => served.push(waiting.remove(at).call),
                None => now += Duration::from_millis(10),
            }
        }
        served
    }

    proptest! {
        #[test]
        fn whoever_stays_is_served_and_nobody_twice(
            steps in proptest::collection::vec((0u8..6, 0u8..8, 0u8..8), 1..160),
        ) {
            let mut queue = LookupQueue::new(Budget::new(5.0));
            let mut waiting: Vec<Ticket> = vec![];
            for (name, who, does) in steps {
                let asker =
                    if who == 0 { Requester::Running } else { Requester::Client(peer(who)) };
                let at = usize::from(name) * 7 % waiting.len().max(1);
                match does {
                    0 if !waiting.is_empty() => queue.leave(&waiting.remove(at)),
                    1 | 2 => {
                        if let Some(ticket) = waiting.get_mut(at) {
                            hasten(&mut queue, ticket, asker);
                        }
                    }
                    _ => {
                        let mut requesters = Requesters::default();
                        requesters.join(asker);
                        let WaitingCall { name, .. } = call(name, false);
                        waiting.extend(queue.enter(WaitingCall { name, requesters }, false));
                    }
                }
                let asking =
                    waiting.iter().filter(|ticket| !ticket.call.requesters.running).count();
                prop_assert!(asking <= MOST.0 && queue.asking.waiting.len() == asking);
                prop_assert_eq!(queue.running.count, waiting.len() - asking);
            }
            let count = waiting.len();
            prop_assert_eq!(served(&mut queue, &mut waiting, Instant::now()).len(), count);
            prop_assert!(queue.running.names.is_empty() && queue.running.tickets.is_empty());
            prop_assert!(queue.asking.peers.is_empty() && queue.asking.of.is_empty());
        }

        /// However many peers hold as many places as they could get, and whatever they request.
        #[test]
        fn whoever_comes_anew_finds_a_place_and_waits_for_one_turn_of_each(
            greed in proptest::collection::vec(proptest::collection::vec(0u8..6, 1..6), 0..4),
            name in 0u8..6,
        ) {
            let mut queue = LookupQueue::new(Budget::new(5.0));
            let mut waiting = vec![];
            for (at, names) in (1..).zip(&greed) {
                waiting.extend(greedy(&mut queue, at, names));
            }
            let ticket = queue.enter(of(&[99], name, false), false);
            waiting.push(ticket.expect("room for who has nothing"));
            let order = served(&mut queue, &mut waiting, Instant::now());
            let turn = order.iter().position(|call| call.requesters.peers == [peer(99)]);
            prop_assert!(turn.is_some_and(|turn| turn <= greed.len()), "{turn:?} behind {}", greed.len());
        }
    }

    #[test]
    fn streams_take_turns_and_unknown_ones_share_theirs() {
        let mut queue = LookupQueue::new(Budget::new(5.0));
        let names = [0, 0, 0, 0, 1, 1, 2];
        let mut waiting: Vec<_> =
            names.iter().filter_map(|name| queue.enter(call(*name, false), false).ok()).collect();
        let order: Vec<_> = served(&mut queue, &mut waiting, Instant::now())
            .into_iter()
            .map(|call| call.name)
            .collect();
        let expected = [0, 1, 2, 0, 1, 0, 0].map(|name| call(name, false).name);
        assert_eq!(order, expected);
    }

    #[test]
    fn running_subscriptions_go_first_and_leave_something_for_others() {
        let mut queue = LookupQueue::new(Budget::new(5.0));
        let mut waiting = vec![];
        for name in 1..=8 {
            waiting.push(queue.enter(call(0, false), false).expect("room"));
            waiting.push(queue.enter(call(name, true), false).expect("room"));
        }
        let order: Vec<_> = served(&mut queue, &mut waiting, Instant::now())
            .iter()
            .map(|call| call.requesters.running)
            .collect();
        assert_eq!(order[..8], [true, true, true, false, true, true, true, false]);
    }

    #[test]
    fn turns_come_no_faster_than_the_budget_lets_them() {
        let mut queue = LookupQueue::new(Budget::new(5.0));
        let mut waiting = greedy(&mut queue, 1, &[1]);
        let now = Instant::now();
        while queue.take(&waiting[0], now) == TicketTurn::Now {
            waiting.remove(0);
        }
        assert_eq!(waiting.len(), MOST.1 - 5, "so many in one second");
        let TicketTurn::At(next) = queue.take(&waiting[0], now) else {
            panic!("it is the first one's turn")
        };
        assert!(next > now && queue.take(&waiting[1], next) == TicketTurn::Later);
        assert_eq!(queue.take(&waiting[0], next), TicketTurn::Now);
    }

    #[test]
    fn too_many_are_refused_and_those_who_go_on_are_not() {
        let mut queue = LookupQueue::new(Budget::new(5.0));
        let enter = |queue: &mut LookupQueue, name, goes_on| {
            queue.enter(call(name, false), goes_on).is_ok()
        };
        assert_eq!(greedy(&mut queue, 1, &[0]).len(), MOST.1, "unknown streams together");
        assert!(enter(&mut queue, 1, false), "they keep no other stream out");
        while (2..20).any(|name| enter(&mut queue, name, false)) {}
        assert_eq!(queue.asking.waiting.len(), MOST.0 / 2, "one peer leaves as much as it has");
        assert!(enter(&mut queue, 1, true), "who goes on");
        assert!(queue.enter(of(&[1], 0, true), false).is_ok(), "what keeps a subscription fresh");
        for (peer, gets) in [(2, 16), (3, 8), (4, 4), (5, 2), (6, 1), (7, 0)] {
            let got = greedy(&mut queue, peer, &[1, 2, 3]).len();
            assert!(got.abs_diff(gets) <= 1, "{got} for peer {peer}");
        }
    }

    #[test]
    fn what_several_peers_wait_for_goes_with_the_first_turn_that_any_of_them_has() {
        let mut queue = LookupQueue::new(Budget::new(5.0));
        let mut waiting = greedy(&mut queue, 1, &[0]);
        let busy = queue.enter(of(&[1], 0, false), false);
        assert_eq!(busy.err(), Some(Busy { waiting: 16, own: 16 }));
        hasten(&mut queue, waiting.last_mut().expect("some"), Requester::Client(peer(2)));
        waiting.push(queue.enter(of(&[1, 3], 0, false), false).expect("the other peer has room"));
        let order = served(&mut queue, &mut waiting, Instant::now());
        let shared: Vec<_> = order.iter().take(3).map(|call| call.requesters.peers.len()).collect();
        assert_eq!((order.len(), shared), (17, vec![1, 2, 2]));
    }
}
