//! What a lane has read: the newest of its batches, and from where on they are all there is. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use crate::encode::{Batch, Entry, LogOffset, Stand};
use crate::model::{SequenceNumber, Timestamp};

/// How much older a record can be than the stamps of its neighbours say: stamps are rounded down to
/// the second.
const STAMP_MARGIN: Duration = Duration::from_secs(2);

/// What a lane has at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Located {
    /// An entry: the index of its batch, and its index in that batch.
    Entry(usize, usize),
    /// Nothing yet: the position is the end of the lane.
    End,
}

/// The entries that a lane read and keeps.
#[derive(Debug)]
pub(super) struct Log {
    batches: VecDeque<Batch>,
    /// The memory that they use, in bytes.
    cost: usize,
    /// The order of the newest entry read, even if it was not kept; before the first one, the order
    /// after which reading began.
    tail: LogOffset,
    /// The position of the iterator: before the tail while entries from before a renewal come
    /// again.
    stands: Stand,
    /// Every entry after this order is kept. `None`: unknown, but no entry is missing while
    /// nothing was evicted.
    floor: Option<LogOffset>,
    /// What was evicted; `None`: nothing.
    evicted: Option<Evicted>,
}

/// The entries that a lane no longer keeps.
#[derive(Clone, Copy, Debug)]
struct Evicted {
    /// The newest of their creation times.
    newest: Option<Timestamp>,
}

impl Log {
    /// Nothing yet, after `start` if that is known.
    pub(super) fn new(start: Option<LogOffset>) -> Self {
        let tail = start.unwrap_or((None, 0));
        Self {
            batches: VecDeque::new(),
            cost: 0,
            tail,
            stands: Stand::behind(tail),
            floor: start,
            evicted: None,
        }
    }

    /// The memory that its batches use, in bytes.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    pub(super) fn batches(&self) -> &VecDeque<Batch> {
        &self.batches
    }

    pub(super) fn tail(&self) -> LogOffset {
        self.tail
    }

    pub(super) fn stands(&self) -> &Stand {
        &self.stands
    }

    /// Nothing was evicted: it keeps all that its lane read and did not drop.
    pub(super) fn is_intact(&self) -> bool {
        self.evicted.is_none()
    }

    /// No entry was read, not even a dropped one: the tail is where the lane began.
    pub(super) fn is_bare(&self) -> bool {
        self.is_intact() && self.tail == (None, 0) && self.batches.is_empty()
    }

    /// It keeps nothing and lost nothing, and does not know from where on.
    pub(super) fn has_found_nothing(&self) -> bool {
        self.is_intact() && self.batches.is_empty() && self.floor.is_none()
    }

    /// It keeps nothing and lost nothing, and everything after its tail will be kept.
    pub(super) fn begins_at_its_tail(&self) -> bool {
        self.is_intact() && self.batches.is_empty() && self.floor == Some(self.tail)
    }

    /// The iterator is renewed: it begins at the newest number itself if further records may share
    /// it (`shared`), else after it; entries up to the tail come again and are dropped.
    pub(super) fn reopened(&mut self, shared: bool) {
        self.stands = match self.tail.0 {
            Some(number) if shared => Stand::at(number),
            _ => Stand::behind((self.tail.0, 0)),
        };
    }

    /// Begins after `passed` instead, having read nothing.
    pub(super) fn begin_behind(&mut self, passed: LogOffset) {
        (self.tail, self.stands) = (passed, Stand::behind(passed));
    }

    /// From now on everything after the tail is kept.
    pub(super) fn keep_from_tail(&mut self) {
        self.floor = Some(self.tail);
    }

    /// Appends a page, after which the iterator stands.
    pub(super) fn append(&mut self, batch: Batch, stands: Stand) {
        self.tail = self.tail.max(stands.order);
        self.stands = stands;
        if !batch.entries().is_empty() {
            self.cost += batch.cost();
            self.batches.push_back(batch);
        }
    }

    /// Evicts the oldest batch.
    pub(super) fn evict(&mut self) {
        let Some(batch) = self.batches.pop_front() else {
            return;
        };
        let last = batch.entries().last().expect("empty batches are not kept").order;
        self.floor = last.0.is_some().then_some(last);
        let newest = batch.entries().iter().filter_map(|entry| entry.created_at).max();
        self.evicted =
            Some(Evicted { newest: newest.max(self.evicted.and_then(|old| old.newest)) });
        self.cost -= batch.cost();
    }

    /// Notes that another lane read without a break from `below` up to the first entry here: this
    /// one now reaches down to `below`.
    pub(super) fn reach_down_to(&mut self, below: LogOffset) {
        let first = self.first_numbered();
        if below.0.is_some()
            && first.is_some_and(|first| below < first)
            && self.floor.is_none_or(|floor| below < floor)
        {
            self.floor = Some(below);
        }
    }

    /// The oldest entry kept.
    pub(super) fn first(&self) -> Option<&Entry> {
        self.batches.front().and_then(|batch| batch.entries().first())
    }

    /// The newest entry kept.
    pub(super) fn last(&self) -> Option<&Entry> {
        self.batches.back().and_then(|batch| batch.entries().last())
    }

    /// The order of the oldest kept entry that has a number. An entry without a number, first in a
    /// lane, may come after many others in the shard.
    pub(super) fn first_numbered(&self) -> Option<LogOffset> {
        let mut orders = self.batches.iter().flat_map(Batch::entries).map(|entry| entry.order);
        orders.find(|order| order.0.is_some())
    }

    /// The order of the newest kept entry strictly before `order`.
    pub(super) fn last_before(&self, order: LogOffset) -> Option<LogOffset> {
        let entries = self.batches.iter().rev().flat_map(|batch| batch.entries().iter().rev());
        entries.map(|entry| entry.order).find(|&found| found < order)
    }

    /// Whether it keeps everything from after `order` up to its own tail.
    pub(super) fn reaches(&self, order: LogOffset) -> bool {
        self.keeps_behind(order) && order <= self.tail
    }

    fn keeps_behind(&self, order: LogOffset) -> bool {
        self.floor.is_some_and(|floor| floor <= order)
            || self.first_numbered().is_some_and(|first| first <= order)
    }

    /// What comes after `order`; `None`: not known here.
    pub(super) fn find_behind(&self, order: LogOffset) -> Option<Located> {
        // The position is at a further entry of the newest number: the lane will read up to it.
        let leads_there = order.0 == self.tail.0 && self.keeps_behind(order);
        (leads_there || self.reaches(order)).then(|| self.first_not(|entry| entry.order <= order))
    }

    /// What comes from the record with this number on; `None`: not known here.
    pub(super) fn find_at(&self, number: SequenceNumber) -> Option<Located> {
        let order = (Some(number), 0);
        let reaches = self.floor.is_some_and(|floor| floor < order)
            || self.first_numbered().is_some_and(|first| first <= order);
        (reaches && order <= self.tail).then(|| self.first_not(|entry| entry.order < order))
    }

    /// The batch, index and order of the first entry created at `time` or later. An entry without a
    /// time counts as old as the dated one after it; without any dated entry the result is `None`.
    pub(super) fn first_since(&self, time: Timestamp) -> Option<(usize, usize, LogOffset)> {
        let (mut found, mut dated) = (None, false);
        let entries = self.batches.iter().enumerate();
        let entries = entries.flat_map(|(at, batch)| {
            batch.entries().iter().enumerate().map(move |entry| (at, entry))
        });
        // Stamps may regress within a second: not a binary search.
        for (at, (index, entry)) in entries {
            let here = (at, index, entry.order);
            match entry.created_at {
                Some(created) if created >= time => return found.or(Some(here)),
                Some(_) => (found, dated) = (None, true),
                None => _ = found.get_or_insert(here),
            }
        }
        found.filter(|_| dated)
    }

    /// Whether entries were read so much older than `time` that everything created since lies
    /// after them.
    pub(super) fn has_older_than(&self, time: Timestamp) -> bool {
        let gone = self.evicted.and_then(|gone| gone.newest);
        let oldest = gone.or(self.first().and_then(|entry| entry.created_at));
        oldest.is_some_and(|oldest| oldest.plus(STAMP_MARGIN) <= time)
    }

    /// The first entry that is not `passed`; entries passed come before entries not passed.
    pub(super) fn first_not(&self, passed: impl Fn(&Entry) -> bool) -> Located {
        let batch =
            self.batches.partition_point(|batch| batch.entries().last().is_some_and(&passed));
        match self.batches.get(batch) {
            Some(found) => Located::Entry(batch, found.entries().partition_point(passed)),
            None => Located::End,
        }
    }
}
