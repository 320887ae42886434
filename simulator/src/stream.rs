//! One stream: its shards, who is whose child, and how long all of it is there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Millis;
use crate::chance::{Purpose, draw};
use crate::change::{Change, KeyElement, Shown, ViewType};
use crate::number::SequenceNumber;
use crate::settings::{Settings, millis};
use crate::shard::{Birth, Shard};

/// How long a stream is ENABLING, or DISABLING.
const SETTLING: Millis = 2_000;

/// The most open shards: past it none splits.
const MOST_OPEN: usize = 2_000;

/// After so many ends at one time it is looked for what is too old, so that it does not pile up.
const MANY_ENDS: u64 = 1_024;

/// Of the shards that end by age, each so-many-th splits though nothing forces it.
const QUIET_SPLITS: u64 = 4;

/// A stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stream {
    /// Counted over all streams.
    pub(crate) ordinal: u64,
    pub(crate) arn: String,
    pub(crate) label: String,
    pub(crate) table: String,
    pub(crate) view: ViewType,
    pub(crate) keys: Vec<KeyElement>,
    pub(crate) created: Millis,
    pub(crate) disabled: Option<Millis>,
    pub(crate) shards: BTreeMap<u64, Shard>,
    /// The open shards by the first hash that they own.
    open: BTreeMap<u64, u64>,
    /// Shards ever made, and those that ended by age.
    made: u64,
    aged: u64,
    /// The newest number, and how many there were.
    newest: SequenceNumber,
    numbers: u64,
    /// Before this nothing happens by itself.
    next: Millis,
}

/// What a stream begins with.
pub(crate) struct Beginning {
    /// Counted over all streams.
    pub(crate) ordinal: u64,
    pub(crate) arn: String,
    pub(crate) label: String,
    pub(crate) table: String,
    pub(crate) view: ViewType,
    pub(crate) keys: Vec<KeyElement>,
    pub(crate) at: Millis,
}

/// What became of a change.
pub(crate) struct Written {
    pub(crate) number: SequenceNumber,
    pub(crate) bytes: usize,
}

impl Stream {
    /// A new stream.
    pub(crate) fn new(beginning: Beginning, settings: &Settings) -> Self {
        let Beginning { ordinal, arn, label, table, view, keys, at } = beginning;
        let mut stream = Self {
            ordinal,
            arn,
            label,
            table,
            view,
            keys,
            created: at,
            disabled: None,
            shards: BTreeMap::new(),
            open: BTreeMap::new(),
            made: 0,
            aged: 0,
            newest: SequenceNumber::first(&mut draw(settings.seed, Purpose::Numbers, &[ordinal])),
            numbers: 0,
            next: 0,
        };
        let count = u64::from(settings.shards.max(1));
        let width = u64::MAX / count;
        for shard in 0..count {
            let last = if shard + 1 == count { u64::MAX } else { width * (shard + 1) - 1 };
            stream.open_shard(at, (width * shard, last), None, settings);
        }
        stream
    }

    /// What DescribeStream says of it.
    pub(crate) fn status(&self, now: Millis) -> &'static str {
        match self.disabled {
            Some(at) if now < at + SETTLING => "DISABLING",
            Some(_) => "DISABLED",
            None if now < self.created + SETTLING => "ENABLING",
            None => "ENABLED",
        }
    }

    /// Whether nothing is left of it.
    pub(crate) fn is_forgotten(&self, now: Millis, settings: &Settings) -> bool {
        self.disabled.is_some_and(|at| at + millis(settings.retention) < now)
    }

    /// Lets happen what is due up to `now`; how many bytes were trimmed.
    pub(crate) fn tick(&mut self, now: Millis, settings: &Settings) -> usize {
        if now < self.next {
            return 0;
        }
        let mut bytes = 0;
        // One after the other, in the order of their times: children may be due, too.
        while let Some((due, ordinal)) = self.first_due().filter(|(due, _)| *due <= now) {
            self.aged += 1;
            let splits = (self.aged + self.ordinal).is_multiple_of(QUIET_SPLITS)
                && self.open.len() < 2 * (settings.shards.max(1) as usize);
            self.end(ordinal, due, splits, settings);
            if self.aged.is_multiple_of(MANY_ENDS) {
                bytes += self.forget(due, settings);
            }
        }
        bytes += self.forget(now, settings);
        self.next = self.next_event(settings);
        bytes
    }

    /// Drops what is too old at that time; how many bytes that were.
    fn forget(&mut self, now: Millis, settings: &Settings) -> usize {
        let horizon = now.saturating_sub(millis(settings.retention));
        let bytes = self.shards.values_mut().map(|shard| shard.trim_before(horizon)).sum();
        self.shards.retain(|_, shard| !shard.is_forgotten(horizon));
        bytes
    }

    /// Records a change; `None`: it is none, or the stream is disabled.
    pub(crate) fn write(
        &mut self,
        change: &Change,
        now: Millis,
        settings: &Settings,
    ) -> Option<Written> {
        let operation = change.operation().filter(|_| self.disabled.is_none())?;
        let hash = change.hash(&self.keys);
        let (_, ordinal) = self.open.range(..=hash).next_back()?;
        let ordinal = *ordinal;
        let number = self.next_number(settings);
        let shown = Shown { view: self.view, number, at: now, region: &settings.region };
        let json = change.record(operation, shown);
        let bytes = json.len();
        let shard = self.shards.get_mut(&ordinal).expect("what is open is there");
        let hot = shard.push(number, now, json, settings.split_rate);
        // What lies in the shard now is trimmed in its time, which may be the first thing to come.
        self.next = self.next.min(now + millis(settings.retention) + 1);
        if hot {
            self.end(ordinal, now, true, settings);
        }
        Some(Written { number, bytes })
    }

    /// Ends all shards, without children.
    pub(crate) fn disable(&mut self, at: Millis, settings: &Settings) {
        self.disabled = Some(at);
        for ordinal in std::mem::take(&mut self.open).into_values() {
            let number = self.next_number(settings);
            self.shards.get_mut(&ordinal).expect("what is open is there").close(at, number);
        }
        self.next = 0;
    }

    pub(crate) fn open_shards(&self) -> usize {
        self.open.len()
    }

    /// The shards that a listing shows, children so much `late`, in an order that says nothing.
    pub(crate) fn listed(&self, now: Millis, late: Millis, seed: u64) -> Vec<&Shard> {
        if self.status(now) == "ENABLING" {
            return vec![];
        }
        let mut listed: Vec<_> =
            self.shards.values().filter(|shard| shard.is_listed(now, late)).collect();
        listed.sort_by_cached_key(|shard| self.listing_order(shard.ordinal, seed));
        listed
    }

    /// The place of a shard in listings, whether it is there or not.
    pub(crate) fn listing_order(&self, shard: u64, seed: u64) -> u64 {
        draw(seed, Purpose::Listing, &[self.ordinal, shard]).u64(..)
    }

    pub(crate) fn shard(&self, id: &str) -> Option<&Shard> {
        self.shards.values().find(|shard| shard.id == id)
    }

    fn first_due(&self) -> Option<(Millis, u64)> {
        self.open.values().map(|ordinal| (self.shards[ordinal].due, *ordinal)).min()
    }

    fn next_event(&self, settings: &Settings) -> Millis {
        let retention = millis(settings.retention) + 1;
        let trims = self.shards.values().filter_map(Shard::oldest).map(|at| at + retention);
        let ends = self.shards.values().filter_map(|shard| shard.end);
        let forgotten = ends.map(|end| end.at + retention);
        let due = self.first_due().map(|(due, _)| due);
        trims.chain(forgotten).chain(due).min().unwrap_or(Millis::MAX)
    }

    /// Ends a shard; one child goes on, or two share what it owned.
    fn end(&mut self, ordinal: u64, at: Millis, splits: bool, settings: &Settings) {
        let number = self.next_number(settings);
        let shard = self.shards.get_mut(&ordinal).expect("what is open is there");
        shard.close(at, number);
        let (id, (first, last)) = (shard.id.clone(), shard.range);
        self.open.remove(&first);
        let middle = first + (last - first) / 2;
        if splits && first < last && self.open.len() + 2 <= MOST_OPEN {
            self.open_shard(at, (first, middle), Some(&id), settings);
            self.open_shard(at, (middle + 1, last), Some(&id), settings);
        } else {
            self.open_shard(at, (first, last), Some(&id), settings);
        }
    }

    fn open_shard(
        &mut self,
        at: Millis,
        range: (u64, u64),
        parent: Option<&str>,
        settings: &Settings,
    ) {
        let ordinal = self.made;
        self.made += 1;
        let starting = self.next_number(settings);
        let birth = Birth {
            stream: self.ordinal,
            ordinal,
            at,
            range,
            parent: parent.map(str::to_owned),
            starting,
        };
        let shard = Shard::new(birth, settings);
        self.next = self.next.min(shard.due);
        self.open.insert(range.0, ordinal);
        self.shards.insert(ordinal, shard);
    }

    fn next_number(&mut self, settings: &Settings) -> SequenceNumber {
        self.numbers += 1;
        let about = [self.ordinal, self.numbers];
        self.newest = self.newest.next(&mut draw(settings.seed, Purpose::Step, &about));
        self.newest
    }
}
