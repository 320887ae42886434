//! What each known caller uses, found by who it is for as long as it has calls.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::access::quota::Quota;
use crate::hub::{CallerUse, UseQuota};
use crate::peer_shares::Peer;

/// From how many callers on those are forgotten who have no calls.
const MANY: usize = 256;

/// What callers use, by caller.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    by_caller: Mutex<HashMap<Peer, Account>>,
}

#[derive(Debug)]
struct Account {
    used: Weak<CallerUse>,
    quota: UseQuota,
}

impl Accounts {
    /// What a caller uses, who may use so much from now on.
    pub(super) fn of(&self, caller: Peer, quota: &Quota) -> Arc<CallerUse> {
        let Quota { shards, places, unread_bytes, .. } = *quota;
        let quota = UseQuota { shards, places, unread_bytes };
        let mut by_caller = self.by_caller.lock();
        if let Some(account) = by_caller.get_mut(&caller)
            && let Some(used) = account.used.upgrade()
        {
            if account.quota != quota {
                used.set_quota(quota);
                account.quota = quota;
            }
            return used;
        }
        if by_caller.len() >= MANY && by_caller.len() == by_caller.capacity() {
            by_caller.retain(|_, account| account.used.strong_count() > 0);
        }
        let used = Arc::new(CallerUse::new(quota));
        by_caller.insert(caller, Account { used: Arc::downgrade(&used), quota });
        used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u32) -> Peer {
        Peer::at(std::net::Ipv4Addr::from_bits(number).into())
    }

    #[test]
    fn a_caller_has_one_account_while_it_has_calls_and_then_none() {
        let (accounts, quota) = (Accounts::default(), Quota::default());
        let first = accounts.of(peer(1), &quota);
        assert!(Arc::ptr_eq(&first, &accounts.of(peer(1), &quota)));
        assert!(!Arc::ptr_eq(&first, &accounts.of(peer(2), &quota)));
        for number in 0..100_000 {
            drop(accounts.of(peer(number), &quota));
        }
        assert!(Arc::ptr_eq(&first, &accounts.of(peer(1), &quota)), "it has a call still");
        assert!(accounts.by_caller.lock().len() <= 4 * MANY);
    }
}
