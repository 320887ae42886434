//! How the fake answers: plain data, changed at any time.

use std::time::Duration;

use shardstream::model::{PageEntry, Timestamp};

/// How one shard answers GetShardIterator and GetRecords.
#[derive(Clone, Debug, PartialEq)]
pub struct Behaviour {
    /// Records of one page at most, whatever was asked for.
    pub page_records: usize,
    /// Bytes of one page at most; one record always fits.
    pub page_bytes: usize,
    /// Pages hold [`Self::page_records`] though fewer were asked for: some emulators do not know
    /// the limit.
    pub over_limit: bool,
    /// Empty pages although records follow.
    pub empties: Empties,
    /// The end of a closed shard comes as an empty page of its own instead of with the last
    /// records.
    pub end_alone: bool,
    /// The least and the most a call takes. The answer is made somewhere in between, so that
    /// records written while the question travels are in it, and records written while the answer
    /// travels are not.
    pub latency: (Duration, Duration),
    /// Faults by chance.
    pub faults: Rates,
    /// How long records are kept; `None`: for good.
    pub keep: Option<Duration>,
    /// Numbers outside the shard's range are refused as malformed instead of meaning the nearest
    /// end.
    pub strict_numbers: bool,
    /// Answers bear a `Date`.
    pub dated: bool,
    /// What becomes of records that bear one number.
    pub shared: Shared,
    /// Nothing is refused as trimmed: what is gone is passed over.
    pub silent_trims: bool,
    /// That `Date` is so far ahead.
    pub date_ahead: Duration,
    /// Records are stamped with their time rounded down to so many seconds; 0: they bear no time.
    pub grain: u64,
}

/// Whether a page may end between two records that bear one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shared {
    /// It ends anywhere.
    Cut,
    /// They come together, though there be more of them than were asked for.
    Whole,
    /// The same, but none of them comes to whom asks for fewer: ScyllaDB's Alternator.
    Blocking,
}

/// How old a record can be that one empty page hides from who was at the tip just before it:
/// whoever reads what is older is not there, and needs more of them.
pub const HIDDEN: Duration = Duration::from_secs(20);

/// Empty pages in a row before data. At one place in the log never more than `most` are given in
/// all, to all readers together: five in a row mean that nothing is there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Empties {
    /// How likely a place has some before its data.
    pub chance: f64,
    /// How many at most, up to 4.
    pub most: u8,
    /// Between records too, not only on the way from a fresh iterator to its first record.
    pub between: bool,
}

/// How ListStreams and DescribeStream answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    /// Shards of one page.
    pub page_shards: usize,
    /// ListStreams answers with every stream at once, whatever page is asked for.
    pub all_streams: bool,
    /// How likely a page behind the first is empty and ends where the one before it did, of 1.
    pub hollow: f64,
    /// Rows of the first page that cannot be understood.
    pub unreadable: usize,
    /// The last page claims that another follows.
    pub endless: bool,
    /// The order of the shards.
    pub order: ListingOrder,
    /// What CHILD_SHARDS does.
    pub children: ChildShards,
    /// Every shard bears an ending number, also an open one.
    pub all_end: bool,
    /// The `Date` of what DescribeStream answers is so far ahead.
    pub date_ahead: Duration,
    /// The least and the most a call takes.
    pub latency: (Duration, Duration),
    /// Faults by chance.
    pub faults: Rates,
}

/// In which order DescribeStream lists shards; AWS promises none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListingOrder {
    /// Oldest first.
    ById,
    /// Newest first: children before their parents.
    Reversed,
    /// Mixed, the same in every call.
    Mixed,
    /// Mixed within each page, and otherwise in every call.
    Shuffled,
}

/// What an upstream makes of the filter CHILD_SHARDS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildShards {
    /// The children, nothing else.
    Known,
    /// All shards, page by page.
    Ignored,
    /// The children and the shard itself.
    Itself,
    /// One of the children.
    Half,
    /// Nothing, whatever there is.
    Nothing,
}

/// How likely each fault is, of 1.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Rates {
    /// [`Fault::Throttle`].
    pub throttle: f64,
    /// [`Fault::Unavailable`].
    pub unavailable: f64,
    /// [`Fault::Denied`].
    pub denied: f64,
    /// [`Fault::Timeout`] after half a minute.
    pub hang: f64,
    /// [`Fault::NotFound`], in passing.
    pub not_found: f64,
}

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Too many calls.
    Throttle,
    /// Too many calls, with a time to wait.
    ThrottleFor(Duration),
    /// A 5xx.
    Unavailable,
    /// Credentials.
    Denied,
    /// The iterator is too old, whatever its age.
    Expired,
    /// The place is trimmed, whatever is there.
    Trimmed,
    /// No such stream or shard.
    NotFound,
    /// A malformed request.
    Invalid,
    /// No answer, ever.
    Hang,
    /// No answer for this long, then as a transport's timeout.
    Timeout(Duration),
}

/// What sequence numbers look like. All are compared as numbers, and as text they are in another
/// order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// 21 digits that become 22 after a few records.
    Crossing,
    /// 26 digits, as AWS gives today.
    Usual,
    /// 40 digits.
    Longest,
    /// A moment and chance, as ScyllaDB has them.
    Moments,
}

/// What ids of shards look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// They begin with the time of creation.
    Aws,
    /// They say nothing, sort by nothing, and begin anew in each stream.
    Emulator,
    /// A blank in them, and a time in hex digits. Streams added from now on have such names, too.
    Alternator,
}

impl Behaviour {
    /// The `Date` of an answer.
    pub(super) fn date(&self, wall: Timestamp) -> Option<Timestamp> {
        self.dated.then(|| wall.plus(self.date_ahead).floor())
    }

    /// The stamp of what was created then.
    pub(super) fn stamp(&self, created: Timestamp) -> Option<Timestamp> {
        (self.grain > 0).then(|| created.floor_to(Duration::from_secs(self.grain)))
    }

    /// An entry with its stamp.
    pub(super) fn stamped(&self, mut entry: PageEntry) -> PageEntry {
        let stamp = |created: Option<Timestamp>| self.stamp(created?);
        match &mut entry {
            PageEntry::Record(record) => record.created_at = stamp(record.created_at),
            PageEntry::Unreadable(bad) => bad.created_at = stamp(bad.created_at),
        }
        entry
    }
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            page_records: 1_000,
            page_bytes: 1 << 20,
            over_limit: false,
            empties: Empties { chance: 0.0, most: 4, between: false },
            end_alone: false,
            // Never nothing: a loop without a pause would stop the paused clock for good.
            latency: (Duration::from_millis(5), Duration::from_millis(15)),
            faults: Rates::default(),
            keep: Some(Duration::from_secs(24 * 3_600)),
            strict_numbers: false,
            dated: true,
            shared: Shared::Cut,
            silent_trims: false,
            date_ahead: Duration::ZERO,
            grain: 1,
        }
    }
}

impl Default for Listing {
    fn default() -> Self {
        Self {
            page_shards: 100,
            all_streams: false,
            hollow: 0.0,
            unreadable: 0,
            endless: false,
            order: ListingOrder::ById,
            children: ChildShards::Known,
            all_end: false,
            date_ahead: Duration::ZERO,
            latency: (Duration::from_millis(10), Duration::from_millis(30)),
            faults: Rates::default(),
        }
    }
}

impl Rates {
    /// Everything works.
    pub const NONE: Self =
        Self { throttle: 0.0, unavailable: 0.0, denied: 0.0, hang: 0.0, not_found: 0.0 };

    /// One draw.
    pub(super) fn draw(&self, chance: &mut fastrand::Rng) -> Option<Fault> {
        let timeout = Fault::Timeout(Duration::from_secs(30));
        let kinds = [
            (self.throttle, Fault::Throttle),
            (self.unavailable, Fault::Unavailable),
            (self.denied, Fault::Denied),
            (self.hang, timeout),
            (self.not_found, Fault::NotFound),
        ];
        let mut draw = chance.f64();
        for (rate, fault) in kinds {
            if draw < rate {
                return Some(fault);
            }
            draw -= rate;
        }
        None
    }
}
