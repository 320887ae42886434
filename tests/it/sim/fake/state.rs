//! What the fake holds.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use shardstream::model::{SequenceNumber, Shard, ShardId, StreamArn, StreamStatus, Timestamp};
use shardstream::upstream::{Operation, UpstreamTraits};

use super::ShardRef;
use super::behaviour::{Behaviour, Ids, Listing, Numbers};
use super::calls::Call;
use super::entry::{Entry, EntryId};
use super::script::Answer;
use super::truth::StreamTruth;

pub(super) struct State {
    pub seed: u64,
    pub traits: UpstreamTraits,
    /// So far are the clocks of whoever asks ahead of its own.
    pub ours_ahead: Duration,
    pub behaviour: Behaviour,
    pub listing: Listing,
    pub numbers: Numbers,
    pub streams: Vec<StreamState>,
    /// What became of every stream ever made.
    pub fates: Vec<StreamTruth>,
    /// What ids of shards look like.
    pub ids: Ids,
    /// What is written at one time bears one number, if it is not much.
    pub shares: bool,
    pub shards: Vec<ShardState>,
    pub script: HashMap<Operation, VecDeque<Answer>>,
    pub calls: Vec<Call>,
    pub in_flight: HashMap<(Operation, Option<ShardRef>), usize>,
    /// Chance of what is written: apart from that of the answers, so that the same writes give the
    /// same log whoever reads.
    pub writes: fastrand::Rng,
    /// Chance of listings.
    pub chance: fastrand::Rng,
    /// Chance of the form in which pages come.
    pub forms: fastrand::Rng,
    pub nonce: u64,
}

pub(super) struct StreamState {
    pub arn: StreamArn,
    pub status: StreamStatus,
    pub created: Timestamp,
}

pub(super) struct ShardState {
    pub name: ShardRef,
    pub ordinal: u32,
    pub parent: Option<ShardId>,
    pub created: Timestamp,
    pub starting: SequenceNumber,
    pub log: Vec<Entry>,
    /// How many entries are trimmed.
    pub trimmed: usize,
    pub closed: Option<Closed>,
    /// Not in the listing before this time.
    pub listed_from: Duration,
    /// Not in the listing since this time, whether or not it is there.
    pub unlisted: Option<Duration>,
    /// Not in the listing between these times, although it is there.
    pub hidden: Vec<(Duration, Duration)>,
    /// Not to be read although it may be listed.
    pub gone: bool,
    /// Iterators given out before this are expired.
    pub expired_before: Duration,
    pub behaviour: Behaviour,
    pub script: HashMap<Operation, VecDeque<Answer>>,
    pub numbering: Numbering,
    /// Chance of this shard's answers.
    pub chance: fastrand::Rng,
    /// How many empty pages each place is to give and has given.
    pub empties: HashMap<usize, (u8, u8)>,
    /// How old the youngest record was that an empty page hid from who had read up to it: one
    /// empty page does not show the end.
    pub false_tip: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Closed {
    pub at: Duration,
    pub ending: SequenceNumber,
}

/// The prefix that stands for ScyllaDB's numbers, and where their time begins.
const MOMENTS: &str = "S";
/// The least of their chance.
const LEAST: u128 = 0x8080_8080_8080_8080;
const TO_1970: u128 = 122_192_928_000_000_000;

/// The numbers of a shard and its descendants.
#[derive(Clone, Debug)]
pub(super) struct Numbering {
    prefix: &'static str,
    next: u128,
}

impl State {
    pub fn new(seed: u64, traits: UpstreamTraits) -> Self {
        Self {
            seed,
            traits,
            ours_ahead: Duration::ZERO,
            behaviour: Behaviour::default(),
            listing: Listing::default(),
            numbers: [Numbers::Crossing, Numbers::Usual, Numbers::Longest][(seed % 3) as usize],
            streams: Vec::new(),
            fates: Vec::new(),
            ids: Ids::Aws,
            shares: false,
            shards: Vec::new(),
            script: HashMap::new(),
            calls: Vec::new(),
            in_flight: HashMap::new(),
            writes: fastrand::Rng::with_seed(seed),
            chance: fastrand::Rng::with_seed(seed ^ 0x5eed),
            forms: fastrand::Rng::with_seed(seed ^ 0xb0d7),
            nonce: 0,
        }
    }

    /// What became of a stream.
    #[track_caller]
    pub fn fate_mut(&mut self, arn: &StreamArn) -> &mut StreamTruth {
        self.fates.iter_mut().find(|fate| fate.arn == *arn).expect("a stream of this fake")
    }

    #[track_caller]
    pub fn stream_mut(&mut self, arn: &StreamArn) -> &mut StreamState {
        self.streams.iter_mut().find(|stream| stream.arn == *arn).expect("a stream of this fake")
    }

    pub fn find(&self, name: &ShardRef) -> Option<&ShardState> {
        self.shards.iter().find(|shard| shard.name == *name)
    }

    #[track_caller]
    pub fn shard(&self, name: &ShardRef) -> &ShardState {
        self.find(name).expect("a shard of this fake")
    }

    #[track_caller]
    pub fn shard_mut(&mut self, name: &ShardRef) -> &mut ShardState {
        self.shards.iter_mut().find(|shard| shard.name == *name).expect("a shard of this fake")
    }

    /// Lets time do its work on every shard: trims, and forgets shards that were closed long ago.
    pub fn age(&mut self, base: Timestamp, now: Duration) {
        for shard in &mut self.shards {
            shard.age(base, now);
        }
    }
}

impl ShardState {
    /// The name of one of its entries.
    pub fn id(&self, index: usize) -> EntryId {
        EntryId { shard: self.ordinal, index: index as u64 }
    }

    /// The first entry numbered `number` or more.
    pub fn first_at(&self, number: &SequenceNumber) -> usize {
        self.log.partition_point(|entry| entry.key < *number)
    }

    /// Marks everything before `index` as trimmed at `at`.
    pub fn trim_to(&mut self, index: usize, at: Duration) {
        for entry in &mut self.log[self.trimmed.min(index)..index] {
            entry.trimmed = Some(at);
        }
        self.trimmed = self.trimmed.max(index);
    }

    /// Trims what is too old by now, each entry at its time.
    pub fn age(&mut self, base: Timestamp, now: Duration) {
        let Some(keep) = self.behaviour.keep else { return };
        let wall = base.plus(now);
        while let Some(entry) = self.log.get(self.trimmed) {
            let until = entry.created_at.plus(keep);
            if wall < until {
                break;
            }
            let index = self.trimmed + 1;
            self.trim_to(index, until.since(base).max(entry.written));
        }
        let over = self.closed.map(|closed| closed.at + keep).filter(|over| now >= *over);
        if let Some(over) = over
            && self.trimmed == self.log.len()
        {
            let last = self.log.last().and_then(|entry| entry.trimmed).unwrap_or_default();
            self.unlisted.get_or_insert(over.max(last));
            self.gone = true;
        }
    }

    pub fn is_listed(&self, now: Duration) -> bool {
        let hidden = self.hidden.iter().any(|(from, to)| (*from..*to).contains(&now));
        self.unlisted.is_none() && !hidden && now >= self.listed_from
    }

    /// Its row in a listing.
    pub fn row(&self) -> Shard {
        Shard {
            id: self.name.shard.clone(),
            parent: self.parent.clone(),
            starting: Some(self.starting),
            ending: self.closed.map(|closed| closed.ending),
        }
    }
}

impl Numbering {
    pub fn new(numbers: Numbers) -> Self {
        match numbers {
            Numbers::Crossing => Self { prefix: "", next: 999_999_999_999_999_990_000 },
            Numbers::Usual => Self { prefix: "", next: 12_345_600_000_000_000_000_000_000 },
            Numbers::Longest => Self { prefix: "91", next: 99_999_999_999_999_999_999 },
            Numbers::Moments => Self { prefix: MOMENTS, next: 0 },
        }
    }

    /// The next number, a random distance above the one before.
    pub fn next(&mut self, chance: &mut fastrand::Rng, now: Timestamp) -> SequenceNumber {
        if self.prefix == MOMENTS {
            let ticks = (self.next + 10).max(now.millis() as u128 * 10_000 + TO_1970);
            self.next = ticks;
            let text = ((ticks << 64) | (LEAST + u128::from(chance.u64(..) >> 3))).to_string();
            return SequenceNumber::parse(&text).expect("at most 39 digits");
        }
        self.next += u128::from(chance.u64(1..3_000));
        let text = if self.prefix.is_empty() {
            self.next.to_string()
        } else {
            format!("{}{:038}", self.prefix, self.next)
        };
        SequenceNumber::parse(&text).expect("at most 40 digits")
    }
}
