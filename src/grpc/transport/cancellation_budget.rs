//! The budget of cancelled calls of each peer, and the pause for exceeding it. Pure.
//!
//! A call cancelled right after it is made costs its client almost nothing and the server almost
//! a whole call. So each peer has a budget of cancellations. A debt outlives the connection it was
//! made on, because an attacker would reconnect.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::peer_shares::Peer;

/// A full budget is the number of cancellations that is restored in this time.
const WHOLE: Duration = Duration::from_secs(2);

/// The most peers remembered; beyond this, the peer that owes least is forgotten.
const PEERS: usize = 4_096;

/// The budgets of all peers.
#[derive(Debug)]
pub struct CancellationBudget {
    /// The time that restores the budget for one cancelled call.
    each: Duration,
    /// The longest pause of a peer.
    longest: Duration,
    /// When the budget of each peer is full again; peers with a full budget are not listed.
    whole: HashMap<Peer, Instant>,
    /// The same as `whole`, ordered by time.
    soonest: BTreeSet<(Instant, Peer)>,
}

impl CancellationBudget {
    /// Budgets that restore `per_second` cancellations and hold as many as [`WHOLE`] restores; a
    /// peer that exceeds its budget pauses for `longest` at most.
    pub fn new(per_second: f64, longest: Duration) -> Self {
        let each = Duration::try_from_secs_f64(per_second.recip()).unwrap_or(Duration::MAX);
        Self { each, longest, whole: HashMap::new(), soonest: BTreeSet::new() }
    }

    /// Charges `peer` for `calls` cancelled calls. Returns the end of its pause; `None` within its
    /// budget.
    pub fn spend(&mut self, peer: Peer, calls: usize, now: Instant) -> Option<Instant> {
        self.forget(now);
        let before = self.whole.remove(&peer);
        if let Some(before) = before {
            self.soonest.remove(&(before, peer));
        }
        let cost = self.each.saturating_mul(u32::try_from(calls).unwrap_or(u32::MAX));
        let owed = before.map_or(Duration::ZERO, |before| before.saturating_duration_since(now));
        let owed = owed.saturating_add(cost).min(WHOLE.saturating_add(self.longest));
        if self.whole.len() >= PEERS
            && let Some((_, least)) = self.soonest.pop_first()
        {
            self.whole.remove(&least);
        }
        self.whole.insert(peer, now + owed);
        self.soonest.insert((now + owed, peer));
        owed.checked_sub(WHOLE).filter(|over| !over.is_zero()).map(|over| now + over)
    }

    /// Forgets peers whose budgets are full again.
    fn forget(&mut self, now: Instant) {
        while let Some(&(whole, peer)) = self.soonest.first()
            && whole <= now
        {
            self.soonest.pop_first();
            self.whole.remove(&peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use proptest::prelude::*;

    use super::*;

    const LONGEST: Duration = Duration::from_secs(3);

    fn peer(number: u32) -> Peer {
        Peer::at(IpAddr::V4(Ipv4Addr::from_bits(number)))
    }

    fn hundred() -> (CancellationBudget, Instant) {
        (CancellationBudget::new(100.0, LONGEST), tokio::time::Instant::now().into_std())
    }

    #[test]
    fn who_cancels_more_than_it_may_pays_and_nobody_else() {
        let (mut all, now) = hundred();
        assert_eq!(all.spend(peer(1), 200, now), None);
        assert_eq!(all.spend(peer(1), 50, now), Some(now + Duration::from_millis(500)));
        assert_eq!(all.spend(peer(2), 200, now), None);
        let later = now + Duration::from_millis(400);
        assert_eq!(all.spend(peer(1), 1, later), Some(later + Duration::from_millis(110)));
        let paid = later + Duration::from_millis(110);
        assert_eq!(all.spend(peer(1), 1, paid + Duration::from_millis(10)), None);
    }

    #[test]
    fn a_budget_is_no_larger_for_having_rested_long_and_no_debt_is_longer_than_the_longest() {
        let (mut all, now) = hundred();
        assert_eq!(all.spend(peer(1), usize::MAX, now), Some(now + LONGEST));
        assert_eq!(all.spend(peer(1), usize::MAX, now), Some(now + LONGEST));
        let rested = now + Duration::from_secs(3_600);
        assert_eq!(all.spend(peer(1), 201, rested), Some(rested + Duration::from_millis(10)));
    }

    #[test]
    fn those_whose_budgets_are_whole_are_forgotten_and_of_too_many_those_who_owe_least() {
        let (mut all, now) = hundred();
        let peers = u32::try_from(PEERS).expect("few");
        all.spend(peer(0), 1_000, now);
        for other in 1..peers * 3 {
            all.spend(peer(other), 1 + other as usize % 7, now);
            assert!(all.whole.len() <= PEERS && all.whole.len() == all.soonest.len());
        }
        assert!(all.spend(peer(0), 1, now).is_some(), "the deepest in debt is known");
        assert_eq!(all.spend(peer(1), 1, now + WHOLE + LONGEST), None);
        assert_eq!((all.whole.len(), all.soonest.len()), (1, 1));
    }

    proptest! {
        #[test]
        fn whoever_waits_as_told_cancels_no_more_than_comes_back(
            bursts in prop::collection::vec((1..60usize, 0..300u64), 1..100),
        ) {
            let (mut all, begun) = hundred();
            let (mut now, mut spent) = (begun, 0);
            for (calls, rest) in bursts {
                spent += calls;
                let until = all.spend(peer(1), calls, now);
                prop_assert!(until.is_none_or(|until| until > now));
                now = until.unwrap_or(now) + Duration::from_millis(rest);
                // What was restored since, plus one full budget; the last burst is paid for by now.
                let comes_back = 100.0 * (now - begun).as_secs_f64() + 200.0;
                prop_assert!(spent as f64 <= comes_back + 0.001, "{spent} of {comes_back}");
            }
        }

        #[test]
        fn who_cancels_less_than_comes_back_never_pays(
            rests in prop::collection::vec(10..1_000u64, 1..200),
        ) {
            let (mut all, mut now) = hundred();
            for rest in rests {
                prop_assert_eq!(all.spend(peer(1), 1, now), None);
                now += Duration::from_millis(rest);
            }
        }
    }
}
