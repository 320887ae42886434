//! One shard: a range of key hashes, records in order, and an end.

use std::collections::VecDeque;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use crate::Millis;
use crate::chance::{Purpose, draw};
use crate::iterator::Place;
use crate::number::SequenceNumber;
use crate::settings::{Settings, millis};

/// The most records of a page, and the most bytes.
pub(crate) const PAGE_RECORDS: usize = 1_000;
const PAGE_BYTES: usize = 1 << 20;

/// The time over which writes are counted for a split.
const RATE_WINDOW: Millis = 60_000;

/// The most by which a listing may be late with a child, or with the end of its parent.
const LATE: Millis = 3_000;

/// The most empty pages in a row before data.
const EMPTY_PAGES: u8 = 3;

/// A shard.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Shard {
    pub(crate) id: String,
    /// Counted within its stream.
    pub(crate) ordinal: u64,
    pub(crate) parent: Option<String>,
    /// The first and the last hash that it owns.
    pub(crate) range: (u64, u64),
    pub(crate) created: Millis,
    pub(crate) starting: SequenceNumber,
    pub(crate) end: Option<End>,
    /// From when on listings show it.
    pub(crate) listed: Millis,
    /// When it ends by itself.
    pub(crate) due: Millis,
    /// Its last records come without a page of their own behind them, or with.
    end_alone: bool,
    /// How much later than it happened a listing shows its end.
    end_late: Millis,
    records: VecDeque<Stored>,
    /// The newest record that was trimmed.
    trimmed: Option<SequenceNumber>,
    /// How many records it ever had.
    written: u64,
    /// When the counting of writes began, and how many there were.
    rate: (Millis, u32),
}

/// The end of a shard.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) at: Millis,
    pub(crate) number: SequenceNumber,
    /// From when on listings show it.
    pub(crate) listed: Millis,
}

/// A record as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stored {
    number: SequenceNumber,
    at: Millis,
    json: String,
}

/// What is read at a place.
pub(crate) struct Page {
    /// The records, each in JSON.
    pub(crate) records: Vec<String>,
    /// Where the next page begins; `None`: the shard is over.
    pub(crate) next: Option<Place>,
}

/// Where a new shard comes from.
pub(crate) struct Birth {
    pub(crate) stream: u64,
    pub(crate) ordinal: u64,
    pub(crate) at: Millis,
    pub(crate) range: (u64, u64),
    pub(crate) parent: Option<String>,
    pub(crate) starting: SequenceNumber,
}

impl Shard {
    pub(crate) fn new(birth: Birth, settings: &Settings) -> Self {
        let mut chance = draw(settings.seed, Purpose::Shard, &[birth.stream, birth.ordinal]);
        let Birth { ordinal, at, range, parent, starting, .. } = birth;
        let life = millis(settings.rollover);
        // Half of the children are listed at once.
        let late = if parent.is_some() && chance.bool() { chance.u64(1..=LATE) } else { 0 };
        Self {
            id: format!("shardId-{at:020}-{:08x}", chance.u32(..)),
            ordinal,
            parent,
            range,
            created: at,
            starting,
            end: None,
            listed: at + late,
            due: at + (life - life / 4) + chance.u64(0..=life / 2),
            end_alone: chance.u8(0..3) == 0,
            end_late: if chance.bool() { chance.u64(1..=LATE) } else { 0 },
            records: VecDeque::new(),
            trimmed: None,
            written: 0,
            rate: (at, 0),
        }
    }

    /// Whether a listing shows it, when children are shown so much `late`.
    pub(crate) fn is_listed(&self, now: Millis, late: Millis) -> bool {
        let late = if self.parent.is_some() { late } else { 0 };
        self.listed.saturating_add(late) <= now
    }

    /// Adds a record; whether the shard is written to more than it bears.
    pub(crate) fn push(
        &mut self,
        number: SequenceNumber,
        at: Millis,
        json: String,
        split_rate: u32,
    ) -> bool {
        self.records.push_back(Stored { number, at, json });
        self.written += 1;
        let (since, count) = self.rate;
        let (since, count) =
            if at.saturating_sub(since) > RATE_WINDOW { (at, 0) } else { (since, count) };
        self.rate = (since, count + 1);
        u64::from(count + 1) > u64::from(split_rate) * (RATE_WINDOW / 1_000)
    }

    pub(crate) fn close(&mut self, at: Millis, number: SequenceNumber) {
        self.end = Some(End { at, number, listed: at + self.end_late });
    }

    /// Drops what was created before `horizon`; how many bytes that were.
    pub(crate) fn trim_before(&mut self, horizon: Millis) -> usize {
        let mut bytes = 0;
        while self.records.front().is_some_and(|record| record.at < horizon) {
            bytes += self.trim_oldest();
        }
        bytes
    }

    /// Drops the oldest record; how many bytes that were.
    pub(crate) fn trim_oldest(&mut self) -> usize {
        let Some(record) = self.records.pop_front() else { return 0 };
        self.trimmed = Some(record.number);
        record.json.len()
    }

    /// When the oldest record was created.
    pub(crate) fn oldest(&self) -> Option<Millis> {
        self.records.front().map(|record| record.at)
    }

    /// When the oldest record was created, and its number.
    pub(crate) fn front(&self) -> Option<(Millis, SequenceNumber)> {
        self.records.front().map(|record| (record.at, record.number))
    }

    pub(crate) fn count(&self) -> usize {
        self.records.len()
    }

    /// Whether it and all that is known of it is past `horizon`.
    pub(crate) fn is_forgotten(&self, horizon: Millis) -> bool {
        self.records.is_empty() && self.end.is_some_and(|end| end.at < horizon)
    }

    /// Whether the place before or behind `number` was trimmed.
    pub(crate) fn is_trimmed(&self, number: SequenceNumber) -> bool {
        self.trimmed.is_some_and(|trimmed| number <= trimmed)
    }

    /// Behind the newest record.
    pub(crate) fn latest(&self) -> Place {
        let newest = self.records.back().map(|record| record.number).or(self.trimmed);
        newest.map_or(Place::At(self.starting), Place::After)
    }

    /// Before the first record that was created at that time or later; `None`: there is none.
    pub(crate) fn at_time(&self, time: Millis) -> Option<Place> {
        let first = self.records.iter().find(|record| record.at >= time)?;
        Some(Place::At(first.number))
    }

    /// Whether what is read next at `place` was trimmed.
    pub(crate) fn is_lost(&self, place: Place) -> bool {
        match (place, self.trimmed) {
            (Place::Horizon, _) | (_, None) => false,
            (Place::At(number), Some(trimmed)) => number <= trimmed,
            (Place::After(number), Some(trimmed)) => number < trimmed,
        }
    }

    /// The records from `place` on, `limit` at most.
    pub(crate) fn page(&self, place: Place, limit: usize) -> Page {
        let first = self.index(place);
        let mut bytes = 0;
        let page = self.records.range(first..).take(limit.min(PAGE_RECORDS));
        let page: Vec<&Stored> = page
            .take_while(|record| {
                let alone = bytes == 0;
                bytes += record.json.len();
                alone || bytes <= PAGE_BYTES
            })
            .collect();
        let over = self.end.is_some()
            && first + page.len() == self.records.len()
            && (page.is_empty() || !self.end_alone);
        let behind = page.last().map_or(place, |record| Place::After(record.number));
        Page {
            records: page.iter().map(|record| record.json.clone()).collect(),
            next: (!over).then_some(behind),
        }
    }

    /// How many empty pages a new iterator at `place` gives before its data.
    pub(crate) fn empties(&self, place: Place, stream: u64, seed: u64) -> u8 {
        let Some(next) = self.records.get(self.index(place)) else { return 0 };
        let index = self.written - (self.records.len() as u64) + self.index(place) as u64;
        let about = [stream, self.ordinal, index, next.at];
        let mut chance: Rng = draw(seed, Purpose::Empties, &about);
        if chance.u8(0..4) == 0 { chance.u8(1..=EMPTY_PAGES) } else { 0 }
    }

    fn index(&self, place: Place) -> usize {
        match place {
            Place::Horizon => 0,
            Place::At(number) => self.records.partition_point(|record| record.number < number),
            Place::After(number) => self.records.partition_point(|record| record.number <= number),
        }
    }
}
