//! What one caller uses of the hub at a time, by all its calls and by whatever connections it
//! comes, and how much of it that may be. Pure.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::held_bytes::HeldBytes;

use super::stream_names::ShardKey;

/// The most that a caller may use at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UseQuota {
    /// Shards that are read for it; one that several of its calls read counts once.
    pub shards: usize,
    /// Its positions behind the windows of shards that wait for a lane.
    pub places: usize,
    /// Bytes of answers that it has not taken.
    pub unread_bytes: usize,
}

/// What one caller uses.
#[derive(Debug)]
pub struct CallerUse {
    most_shards: AtomicUsize,
    most_places: AtomicUsize,
    /// By how many cursors each shard is read.
    shards: Mutex<HashMap<ShardKey, usize>>,
    places: AtomicUsize,
    unread: HeldBytes,
}

/// The caller would read more shards than it may; how many that are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ShardQuotaReached(pub(super) usize);

/// One cursor's part of what its caller uses: its shard, and its place while it waits for a lane.
#[derive(Debug)]
pub(super) struct CursorUse {
    of: Arc<CallerUse>,
    key: ShardKey,
    has_place: bool,
}

impl CallerUse {
    /// Nothing yet.
    pub fn new(quota: UseQuota) -> Self {
        Self {
            most_shards: AtomicUsize::new(quota.shards),
            most_places: AtomicUsize::new(quota.places),
            shards: Mutex::default(),
            places: AtomicUsize::new(0),
            unread: HeldBytes::of_one_caller(quota.unread_bytes),
        }
    }

    /// From now on the caller may use so much. What it uses already, it keeps.
    pub fn set_quota(&self, quota: UseQuota) {
        self.most_shards.store(quota.shards, Ordering::Release);
        self.most_places.store(quota.places, Ordering::Release);
        self.unread.set_limit(quota.unread_bytes);
    }

    /// The bytes of answers that it has not taken.
    pub fn unread(&self) -> &HeldBytes {
        &self.unread
    }

    /// One more cursor in a shard.
    pub(super) fn read(self: &Arc<Self>, key: &ShardKey) -> Result<CursorUse, ShardQuotaReached> {
        let mut shards = self.shards.lock();
        let most = self.most_shards.load(Ordering::Acquire);
        if !shards.contains_key(key) && shards.len() >= most {
            return Err(ShardQuotaReached(most));
        }
        *shards.entry(key.clone()).or_default() += 1;
        Ok(CursorUse { of: self.clone(), key: key.clone(), has_place: false })
    }
}

impl CursorUse {
    /// Whether the cursor may wait as it does: `queued` says whether for a lane.
    pub(super) fn may_wait(&mut self, queued: bool) -> bool {
        if self.has_place && !queued {
            self.of.places.fetch_sub(1, Ordering::AcqRel);
            self.has_place = false;
        } else if queued && !self.has_place {
            let most = self.of.most_places.load(Ordering::Acquire);
            let one_more = |places: usize| (places < most).then_some(places + 1);
            let places = &self.of.places;
            self.has_place =
                places.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_ok();
        }
        self.has_place == queued
    }
}

impl Drop for CursorUse {
    fn drop(&mut self) {
        self.may_wait(false);
        let mut shards = self.of.shards.lock();
        if let Some(cursors) = shards.get_mut(&self.key) {
            *cursors -= 1;
            if *cursors == 0 {
                shards.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{ShardId, StreamArn};

    use super::*;

    fn key(number: usize) -> ShardKey {
        let stream = "arn:aws:dynamodb:us-east-1:1:table/orders/stream/label";
        let shard = ShardId::parse(&format!("shardId-0000000000000000000{number}-00000000"));
        ShardKey::of(StreamArn::parse(stream).expect("an ARN"), shard.expect("an id"))
    }

    fn of(shards: usize, places: usize) -> Arc<CallerUse> {
        Arc::new(CallerUse::new(UseQuota { shards, places, unread_bytes: 1 << 20 }))
    }

    #[test]
    fn a_shard_counts_once_and_until_its_last_cursor_is_gone() {
        let caller = of(2, 9);
        let first = caller.read(&key(1)).expect("room");
        let again = caller.read(&key(1)).expect("the same shard");
        let _second = caller.read(&key(2)).expect("room");
        assert_eq!(caller.read(&key(3)).err(), Some(ShardQuotaReached(2)));
        drop(first);
        assert!(caller.read(&key(3)).is_err(), "it is read still");
        drop(again);
        assert!(caller.read(&key(3)).is_ok());
        assert_eq!(caller.shards.lock().len(), 1);
    }

    #[test]
    fn a_place_is_held_while_a_cursor_waits_for_a_lane() {
        let caller = of(9, 1);
        let mut one = caller.read(&key(1)).expect("room");
        let mut other = caller.read(&key(1)).expect("room");
        assert!(one.may_wait(true) && one.may_wait(true), "it has a place");
        assert!(!other.may_wait(true) && other.may_wait(false));
        assert!(one.may_wait(false), "on a lane by now");
        assert!(other.may_wait(true) && !one.may_wait(true));
        drop(other);
        assert!(one.may_wait(true));
        drop(one);
        assert_eq!(caller.places.load(Ordering::Acquire), 0);
    }

    #[test]
    fn another_quota_is_for_what_comes() {
        let caller = of(1, 1);
        let _one = caller.read(&key(1)).expect("room");
        caller.set_quota(UseQuota { shards: 2, places: 0, unread_bytes: 1 });
        let mut two = caller.read(&key(2)).expect("room");
        assert!(!two.may_wait(true));
        caller.set_quota(UseQuota { shards: 0, places: 1, unread_bytes: 1 });
        assert!(caller.read(&key(3)).is_err() && two.may_wait(true));
        assert!(caller.read(&key(2)).is_ok(), "what it reads already, it reads on");
    }
}
