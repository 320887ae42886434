//! How often callers call: each has so many calls at once, which come back at its rate. Pure.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::access::quota::Quota;
use crate::peer_shares::Peer;

/// From how many callers on those are forgotten who have all their calls again.
const MANY: usize = 1_024;

/// What callers have used up.
#[derive(Debug)]
pub(super) struct CallRates {
    /// When a caller has all its calls again.
    whole: HashMap<Peer, Instant>,
    /// At how many callers to look next who can be forgotten.
    look: usize,
}

impl Default for CallRates {
    fn default() -> Self {
        Self { whole: HashMap::new(), look: MANY }
    }
}

impl CallRates {
    /// Takes one call of a caller; otherwise, after how long it has one.
    pub(super) fn spend(
        &mut self,
        caller: Peer,
        quota: &Quota,
        now: Instant,
    ) -> Result<(), Duration> {
        let spent = self.whole.get(&caller).map_or(now, |whole| (*whole).max(now));
        let whole = spent + Duration::from_secs_f64(quota.calls_per_second.recip());
        let room = Duration::from_secs_f64(quota.burst / quota.calls_per_second);
        match (whole - now).checked_sub(room) {
            Some(wait) if !wait.is_zero() => return Err(wait),
            _ => {}
        }
        self.whole.insert(caller, whole);
        if self.whole.len() >= self.look {
            self.whole.retain(|_, whole| *whole > now);
            self.look = MANY.max(2 * self.whole.len());
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn peer(number: u32) -> Peer {
        Peer::at(std::net::Ipv4Addr::from_bits(number).into())
    }

    proptest! {
        #[test]
        fn no_caller_calls_oftener_than_it_may(
            rate in 1u32..50,
            burst in 1u32..20,
            pauses in proptest::collection::vec(0u64..200, 1..200),
        ) {
            let quota = Quota {
                calls_per_second: f64::from(rate),
                burst: f64::from(burst),
                ..Quota::default()
            };
            let (begun, mut rates) = (Instant::now(), CallRates::default());
            let (mut now, mut granted) = (begun, 0u32);
            for pause in pauses {
                now += Duration::from_millis(pause);
                match rates.spend(peer(1), &quota, now) {
                    Ok(()) => granted += 1,
                    Err(wait) => {
                        prop_assert!(wait <= Duration::from_secs_f64(1.001 / f64::from(rate)));
                        let later = now + wait + Duration::from_micros(1);
                        let mut rates = CallRates { whole: rates.whole.clone(), look: MANY };
                        prop_assert!(rates.spend(peer(1), &quota, later).is_ok());
                    }
                }
                let most = f64::from(burst) + (now - begun).as_secs_f64() * f64::from(rate);
                prop_assert!(f64::from(granted) <= most + 0.001, "{granted} of {most}");
            }
        }
    }

    #[test]
    fn callers_who_have_all_their_calls_again_are_forgotten() {
        let (begun, mut rates) = (Instant::now(), CallRates::default());
        for number in 0..100_000 {
            let now = begun + Duration::from_millis(u64::from(number));
            assert!(rates.spend(peer(number), &Quota::default(), now).is_ok());
            assert!(rates.whole.len() <= MANY, "{}", rates.whole.len());
        }
    }
}
