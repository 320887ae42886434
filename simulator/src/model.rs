//! All streams, and what is asked of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use serde::{Deserialize, Serialize};

use crate::Millis;
use crate::change::{Change, KeyElement, ViewType};
use crate::error::Refusal;
use crate::faults::{About, Effect, Faults, Rule};
use crate::iterator::{Iterator, LIFE, Place};
use crate::limits::{Buckets, Counted};
use crate::number::SequenceNumber;
use crate::settings::Settings;
use crate::shard::{PAGE_RECORDS, Shard};
use crate::stream::{Beginning, Stream};

/// So-many-th of the memory is made free at one time.
const ROOM: usize = 64;

/// DynamoDB Streams: every stream of every table, and what was read of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Model {
    settings: Settings,
    streams: Vec<Stream>,
    /// Streams ever made.
    made: u64,
    /// Bytes of all records.
    bytes: usize,
    /// Records that went before their time, for want of memory.
    #[serde(default)]
    trimmed_early: u64,
    /// The newest time that anything was done at.
    newest: Millis,
    #[serde(skip)]
    buckets: Buckets,
    #[serde(skip)]
    faults: Faults,
}

/// Where GetShardIterator begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Horizon,
    Latest,
    At(SequenceNumber),
    After(SequenceNumber),
    Time(Millis),
}

/// A page of GetRecords.
#[derive(Debug)]
pub(crate) struct Records {
    pub(crate) records: Vec<String>,
    pub(crate) next: Option<String>,
}

/// A page of DescribeStream.
#[derive(Debug)]
pub(crate) struct Listing<'a> {
    pub(crate) stream: &'a Stream,
    pub(crate) shards: Vec<&'a Shard>,
    pub(crate) more: bool,
}

impl Model {
    /// A DynamoDB without streams.
    pub fn new(settings: Settings) -> Self {
        let (buckets, faults) = (Buckets::default(), Faults::default());
        Self {
            settings,
            streams: Vec::new(),
            made: 0,
            bytes: 0,
            trimmed_early: 0,
            newest: 0,
            buckets,
            faults,
        }
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Goes on with other settings; what has been decided stays.
    pub fn set(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Lets calls fail by these rules from here on, and by no others.
    pub fn set_faults(&mut self, rules: Vec<Rule>) {
        self.faults = Faults::new(rules);
    }

    /// Begins a stream of `table`; its ARN. One that was enabled ends.
    pub fn enable(
        &mut self,
        table: &str,
        view: ViewType,
        keys: Vec<KeyElement>,
        now: Millis,
    ) -> String {
        self.disable(table, now);
        let mut at = now;
        let mut arn = self.arn(table, at);
        while self.streams.iter().any(|stream| stream.arn == arn.0) {
            at += 1;
            arn = self.arn(table, at);
        }
        let ordinal = self.made;
        self.made += 1;
        let (table, (arn, label)) = (table.to_owned(), arn);
        let beginning = Beginning { ordinal, arn, label, table, view, keys, at: now };
        let stream = Stream::new(beginning, &self.settings);
        let arn = stream.arn.clone();
        self.streams.push(stream);
        arn
    }

    /// Ends the stream of `table`, as when it is disabled or its table deleted. What it holds can
    /// be read for as long as ever.
    pub fn disable(&mut self, table: &str, now: Millis) {
        self.tick(now);
        if let Some(at) = self.enabled_index(table) {
            self.streams[at].disable(now, &self.settings);
        }
    }

    /// Records a change; its number, unless nothing changed or the table has no stream.
    pub fn change(&mut self, change: &Change, now: Millis) -> Option<SequenceNumber> {
        self.tick(now);
        let at = self.enabled_index(&change.table)?;
        let stream = &mut self.streams[at];
        let written = stream.write(change, now, &self.settings)?;
        self.bytes += written.bytes;
        if self.bytes > self.settings.max_bytes {
            self.make_room((at, written.number), now);
        }
        Some(written.number)
    }

    /// The stream of `table` that is enabled: its ARN, its label and its view type.
    pub fn enabled(&self, table: &str) -> Option<(&str, &str, ViewType)> {
        let stream = &self.streams[self.enabled_index(table)?];
        Some((&stream.arn, &stream.label, stream.view))
    }

    /// The newest stream of `table`, enabled or not: its ARN and its label.
    pub fn latest(&self, table: &str) -> Option<(&str, &str)> {
        let stream = self.streams.iter().rev().find(|stream| stream.table == table)?;
        Some((&stream.arn, &stream.label))
    }

    /// The tables whose streams are enabled.
    pub fn tables(&self) -> impl std::iter::Iterator<Item = &str> {
        let enabled = self.streams.iter().filter(|stream| stream.disabled.is_none());
        enabled.map(|stream| stream.table.as_str())
    }

    /// Bytes of all records.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Records that were trimmed before their time, for want of memory.
    pub fn trimmed_early(&self) -> u64 {
        self.trimmed_early
    }

    /// Open shards of all streams.
    pub fn open_shards(&self) -> usize {
        self.streams.iter().map(Stream::open_shards).sum()
    }

    /// Shards of all streams, open and closed.
    pub fn all_shards(&self) -> usize {
        self.streams.iter().map(|stream| stream.shards.len()).sum()
    }

    /// What there is, for people and tests.
    pub fn summary(&self, now: Millis) -> serde_json::Value {
        let streams = self.streams.iter().map(|stream| {
            serde_json::json!({
                "arn": stream.arn, "table": stream.table, "status": stream.status(now),
                "open_shards": stream.open_shards(), "shards": stream.shards.len(),
                "records": stream.shards.values().map(Shard::count).sum::<usize>(),
            })
        });
        let streams: Vec<_> = streams.collect();
        serde_json::json!({
            "now": now, "bytes": self.bytes, "trimmed_early": self.trimmed_early,
            "streams": streams,
        })
    }

    /// The newest time that anything was done at.
    pub fn newest(&self) -> Millis {
        self.newest
    }

    /// Lets happen what is due by `now`.
    pub fn tick(&mut self, now: Millis) {
        self.newest = self.newest.max(now);
        for stream in &mut self.streams {
            self.bytes -= stream.tick(now, &self.settings);
        }
        let settings = &self.settings;
        let forgotten = |stream: &Stream| stream.is_forgotten(now, settings);
        if self.streams.iter().any(forgotten) {
            let (gone, kept) = std::mem::take(&mut self.streams).into_iter().partition(forgotten);
            self.streams = kept;
            let gone: Vec<Stream> = gone;
            let left = gone.into_iter().flat_map(|stream| stream.shards.into_values());
            self.bytes -= left.map(|mut shard| shard.trim_before(Millis::MAX)).sum::<usize>();
        }
    }

    /// Trims the oldest records of all, so that a reader of a child that begins at its horizon
    /// misses nothing unless its parents' are gone and that was told. What no listing shows yet
    /// stays, and so does `newest`, the record that asks for room: of those there are a few
    /// seconds' worth. Some more than needed goes, so that not every write has to look for it.
    fn make_room(&mut self, newest: (usize, SequenceNumber), now: Millis) {
        let enough = self.settings.max_bytes - self.settings.max_bytes / ROOM;
        let mut oldest = BinaryHeap::new();
        for (at, stream) in self.streams.iter().enumerate() {
            let shown = stream.listed(now, 0, self.settings.seed);
            let places = shown.iter().filter_map(|shard| Some((shard.front()?, at, shard.ordinal)));
            oldest.extend(places.map(Reverse));
        }
        while self.bytes > enough
            && let Some(Reverse(((_, number), at, ordinal))) = oldest.pop()
        {
            let Some(shard) = self.streams[at].shards.get_mut(&ordinal) else { continue };
            if (at, number) == newest {
                continue;
            }
            self.bytes -= shard.trim_oldest();
            self.trimmed_early += 1;
            oldest.extend(shard.front().map(|front| Reverse((front, at, ordinal))));
        }
    }

    pub(crate) fn list_streams(
        &mut self,
        table: Option<&str>,
        start: Option<&str>,
        limit: usize,
        now: Millis,
    ) -> Result<(Vec<&Stream>, bool), Refusal> {
        self.tick(now);
        let rate = self.settings.limits.as_ref().map(|limits| limits.list);
        self.spend(Counted::List, rate, now).map_err(|()| Refusal::Throttling)?;
        let of_table = |stream: &&Stream| table.is_none_or(|table| stream.table == table);
        let mut streams: Vec<_> = self.streams.iter().filter(of_table).collect();
        streams.sort_by(|one, other| one.arn.cmp(&other.arn));
        streams.retain(|stream| start.is_none_or(|start| stream.arn.as_str() > start));
        let more = streams.len() > limit;
        streams.truncate(limit);
        Ok((streams, more))
    }

    pub(crate) fn describe(
        &mut self,
        arn: &str,
        (start, parent): (Option<&str>, Option<&str>),
        limit: usize,
        (now, late): (Millis, Millis),
    ) -> Result<Listing<'_>, Refusal> {
        self.tick(now);
        let rate = self.settings.limits.as_ref().map(|limits| limits.describe);
        self.spend(Counted::Describe, rate, now).map_err(|()| Refusal::Throttling)?;
        let seed = self.settings.seed;
        let stream = self.stream(arn)?;
        let mut shards = stream.listed(now, late, seed);
        if let Some(parent) = parent {
            stream.shard(parent).ok_or_else(Refusal::shard)?;
            shards.retain(|shard| shard.parent.as_deref() == Some(parent));
        }
        if let Some(start) = start {
            let start = stream.shard(start).ok_or_else(Refusal::shard)?.ordinal;
            let start = stream.listing_order(start, seed);
            shards.retain(|shard| stream.listing_order(shard.ordinal, seed) > start);
        }
        let more = shards.len() > limit;
        shards.truncate(limit);
        Ok(Listing { stream, shards, more })
    }

    pub(crate) fn shard_iterator(
        &mut self,
        arn: &str,
        shard: &str,
        start: Start,
        now: Millis,
    ) -> Result<String, Refusal> {
        self.tick(now);
        let stream = self.stream(arn)?;
        let shard = stream.shard(shard).ok_or_else(Refusal::shard)?;
        let trimmed = |number| shard.is_trimmed(number).then_some(Refusal::Trimmed);
        let place = match start {
            Start::Horizon => Place::Horizon,
            Start::Latest => shard.latest(),
            Start::At(number) => trimmed(number).map_or(Ok(Place::At(number)), Err)?,
            Start::After(number) => trimmed(number).map_or(Ok(Place::After(number)), Err)?,
            Start::Time(time) if time > now => {
                return Err(Refusal::Validation("Timestamp is in the future".into()));
            }
            Start::Time(time) => match shard.at_time(time) {
                // Older than all there is means the horizon, which is never refused.
                Some(place) if shard.oldest().is_some_and(|oldest| oldest < time) => place,
                Some(_) => Place::Horizon,
                None => shard.latest(),
            },
        };
        let iterator = Iterator {
            stream: stream.arn.clone(),
            shard: shard.ordinal,
            place,
            issued: now,
            empties: Some(0),
        };
        Ok(iterator.encode())
    }

    pub(crate) fn records(
        &mut self,
        iterator: &str,
        limit: usize,
        now: Millis,
    ) -> Result<Records, Refusal> {
        self.tick(now);
        let malformed = || Refusal::Validation("Invalid ShardIterator".into());
        let iterator = Iterator::decode(iterator).ok_or_else(malformed)?;
        if now > iterator.issued + LIFE {
            return Err(Refusal::ExpiredIterator);
        }
        self.stream(&iterator.stream)?;
        self.spend_on_shard(&iterator, now)?;
        let seed = self.settings.seed;
        let stream = self.stream(&iterator.stream)?;
        let shard = stream.shards.get(&iterator.shard).ok_or_else(Refusal::shard)?;
        if shard.is_lost(iterator.place) {
            return Err(Refusal::Trimmed);
        }
        let next = |place: Place, empties: Option<u8>| {
            Iterator { place, issued: now, empties, ..iterator.clone() }.encode()
        };
        if let Some(given) = iterator.empties
            && given < shard.empties(iterator.place, stream.ordinal, seed)
        {
            let next = Some(next(iterator.place, Some(given + 1)));
            return Ok(Records { records: vec![], next });
        }
        let page = shard.page(iterator.place, limit.min(PAGE_RECORDS));
        let next = page.next.map(|place| next(place, None));
        let bytes = page.records.iter().map(String::len).sum();
        if let Some(limits) = &self.settings.limits {
            let what = Counted::Bytes(iterator.stream.clone(), iterator.shard);
            self.buckets.take(what, limits.bytes_per_shard, bytes, now);
        }
        Ok(Records { records: page.records, next })
    }

    pub(crate) fn effect(&mut self, about: &About) -> Option<Effect> {
        if self.faults.is_empty() {
            return None;
        }
        self.faults.effect(about, self.settings.seed)
    }

    pub(crate) fn shard_id(&self, arn: &str, shard: u64) -> Option<String> {
        self.stream(arn).ok()?.shards.get(&shard).map(|shard| shard.id.clone())
    }

    /// The ARN and the label of a stream of `table` that begins then.
    fn arn(&self, table: &str, at: Millis) -> (String, String) {
        let time = i64::try_from(at).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
        let label = time.unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%S.%3f").to_string();
        let Settings { region, account, .. } = &self.settings;
        (format!("arn:aws:dynamodb:{region}:{account}:table/{table}/stream/{label}"), label)
    }

    fn enabled_index(&self, table: &str) -> Option<usize> {
        self.streams.iter().position(|stream| stream.table == table && stream.disabled.is_none())
    }

    fn stream(&self, arn: &str) -> Result<&Stream, Refusal> {
        let found = self.streams.iter().find(|stream| stream.arn == arn);
        found.ok_or_else(|| Refusal::stream(arn))
    }

    fn spend_on_shard(&mut self, iterator: &Iterator, now: Millis) -> Result<(), Refusal> {
        let Some(limits) = self.settings.limits.clone() else { return Ok(()) };
        let (stream, shard) = (iterator.stream.clone(), iterator.shard);
        let bytes = Counted::Bytes(stream.clone(), shard);
        let too_many = || Refusal::LimitExceeded("Rate exceeded for shard".into());
        if !self.buckets.is_open(&bytes, limits.bytes_per_shard, now) {
            return Err(too_many());
        }
        let calls = Counted::Records(stream, shard);
        self.spend(calls, Some(limits.records_per_shard), now).map_err(|()| too_many())
    }

    fn spend(&mut self, what: Counted, rate: Option<u32>, now: Millis) -> Result<(), ()> {
        let Some(rate) = rate else { return Ok(()) };
        if !self.buckets.is_open(&what, rate, now) {
            return Err(());
        }
        self.buckets.take(what, rate, 1, now);
        Ok(())
    }
}
