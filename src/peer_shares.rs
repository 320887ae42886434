//! Shares of a limited resource: no peer takes all of it, however many peers there are.
//!
//! A peer may hold at most [`TIMES`] times the amount that is free. A single peer gets three
//! quarters; each further peer that takes all it can leaves a quarter of the rest. So a new peer
//! always finds some, and the number of peers need not be known beforehand.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::access::principal::Principal;

/// How many times the free amount one peer may hold.
const TIMES: usize = 3;

/// One client: by network address (an IPv4 address, or the 64-bit network that an IPv6 address is
/// in), the user of this machine whose it is, or who it is, where that is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer(PeerKey);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum PeerKey {
    Address(IpAddr),
    User(u32),
    /// By the beginning of the SHA-256 of its name.
    Principal([u8; 16]),
}

/// A limited resource, shared among peers. A cheap clone.
#[derive(Clone, Debug)]
pub struct PeerShares {
    taken: Arc<Mutex<ShareCounts>>,
}

#[derive(Debug)]
struct ShareCounts {
    limit: usize,
    all: usize,
    /// How many each peer holds; only peers that hold some.
    by: HashMap<Peer, usize>,
}

/// Why a peer gets no share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShareRefusal {
    /// The whole limit is taken.
    All,
    /// The peer would hold more than its share.
    Peer,
    /// The peer would hold more than its quota.
    Quota,
}

/// One unit of the resource, held by one peer until dropped.
#[derive(Debug)]
pub struct PeerShare {
    taken: Arc<Mutex<ShareCounts>>,
    peer: Peer,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            PeerKey::Address(address) => address.fmt(f),
            PeerKey::User(uid) => write!(f, "uid:{uid}"),
            PeerKey::Principal(_) => f.write_str("a known caller"),
        }
    }
}

impl Peer {
    /// The peer at an address.
    pub fn at(address: IpAddr) -> Self {
        Self(PeerKey::Address(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => {
                std::net::Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into()
            }
        }))
    }

    /// The user of this machine, by number.
    pub fn user(uid: u32) -> Self {
        Self(PeerKey::User(uid))
    }

    /// The user's number; `None` for other peers.
    pub fn uid(self) -> Option<u32> {
        match self.0 {
            PeerKey::User(uid) => Some(uid),
            PeerKey::Address(_) | PeerKey::Principal(_) => None,
        }
    }

    /// The caller of this name, wherever it is.
    pub fn known(principal: &Principal) -> Self {
        let digest: [u8; 32] = Sha256::digest(principal.to_string().as_bytes()).into();
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        Self(PeerKey::Principal(key))
    }
}

impl PeerShares {
    /// Shares of a resource of `limit` units.
    pub fn of(limit: usize) -> Self {
        Self { taken: Arc::new(Mutex::new(ShareCounts { limit, all: 0, by: HashMap::new() })) }
    }

    /// Takes one more unit for `peer`.
    pub fn take(&self, peer: Peer) -> Result<PeerShare, ShareRefusal> {
        self.take_within(peer, usize::MAX)
    }

    /// The same, for a peer that may hold at most `quota`.
    pub fn take_within(&self, peer: Peer, quota: usize) -> Result<PeerShare, ShareRefusal> {
        let mut taken = self.taken.lock();
        let free = taken.limit.saturating_sub(taken.all);
        let held = taken.by.get(&peer).copied().unwrap_or(0);
        if held >= quota {
            return Err(ShareRefusal::Quota);
        }
        if free == 0 {
            return Err(ShareRefusal::All);
        }
        if held >= free.saturating_mul(TIMES) {
            return Err(ShareRefusal::Peer);
        }
        taken.all += 1;
        *taken.by.entry(peer).or_default() += 1;
        Ok(PeerShare { taken: self.taken.clone(), peer })
    }
}

impl Drop for PeerShare {
    fn drop(&mut self) {
        let mut taken = self.taken.lock();
        taken.all -= 1;
        if let Some(held) = taken.by.get_mut(&self.peer) {
            *held -= 1;
            if *held == 0 {
                taken.by.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn peer(last: u8) -> Peer {
        Peer::at(IpAddr::from([10, 0, 0, last]))
    }

    /// Takes until it is refused, at most `most` units.
    fn greedy(shares: &PeerShares, peer: Peer, most: usize) -> Vec<PeerShare> {
        std::iter::from_fn(|| shares.take(peer).ok()).take(most).collect()
    }

    #[test]
    fn one_peer_gets_three_quarters_and_the_next_finds_a_share_of_the_rest() {
        let shares = PeerShares::of(1_000);
        let first = greedy(&shares, peer(1), 2_000);
        let second = greedy(&shares, peer(2), 2_000);
        let third = greedy(&shares, peer(3), 2_000);
        assert_eq!((first.len(), second.len(), third.len()), (750, 188, 47));
        drop(first);
        assert!(shares.take(peer(2)).is_ok(), "what is given back is for all");
    }

    #[test]
    fn a_small_limit_is_used_up() {
        for limit in 1..4 {
            assert_eq!(greedy(&PeerShares::of(limit), peer(1), limit).len(), limit);
        }
        let full = PeerShares::of(1);
        let _all = full.take(peer(1));
        assert_eq!(full.take(peer(1)).err(), Some(ShareRefusal::All));
    }

    #[test]
    fn a_network_of_ipv6_is_one_peer_and_a_mapped_address_its_own() {
        let of = |text: &str| Peer::at(text.parse().expect("an address"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1:2:3"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), peer(1));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }

    proptest! {
        #[test]
        fn a_newcomer_finds_something_behind_those_who_take_all_they_can(
            limit in 5_000..20_000usize,
            peers in 1..6u8,
        ) {
            let shares = PeerShares::of(limit);
            let mut held: Vec<PeerShare> = vec![];
            for one in 0..peers {
                held.extend(greedy(&shares, peer(one), limit));
                let free = limit - held.len();
                prop_assert!(free > 0);
                prop_assert!(shares.take(peer(99)).is_ok());
            }
            drop(held);
            prop_assert!(shares.taken.lock().by.is_empty());
            prop_assert_eq!(shares.taken.lock().all, 0);
        }
    }
}
