//! What happens at DynamoDB through the hours: writers, shards that roll over and split, a stream
//! made anew, passing faults.
//!
//! Every hour is like every other, so that what a server keeps can be compared between hours.

use std::time::Duration;

use shardstream::model::{StreamArn, StreamStatus};
use shardstream::upstream::Operation;

use crate::sim::fake::{
    Answer, Empties, EntryKind, FakeUpstream, Fault, Rates, ShardGlance, ShardRef, Split, Writing,
};

use super::MINUTE;

/// The table everybody reads.
pub const TABLE: &str = "Orders";

/// A table whose stream has no records.
pub const QUIET: &str = "Quiet";

/// How long a shard takes records before it rolls over: AWS takes four hours.
const ROLL: Duration = Duration::from_secs(4 * 3_600);

/// No more shards than these are open at one time.
const MOST_OPEN: usize = 4;

/// The table's stream is made anew so long after the beginning, counted from when clients come.
pub const ANEW: Duration = Duration::from_secs(9 * 3_600 + 600);

/// The upstream's side of the day.
pub struct Upstream {
    pub fake: FakeUpstream,
    pub chance: fastrand::Rng,
    /// When clients come: what was before is only past.
    pub opens: Duration,
    /// When nothing fails any more.
    pub calms: Duration,
}

impl Upstream {
    /// What there is at the beginning.
    pub fn set(fake: &FakeUpstream) {
        for table in [QUIET, TABLE] {
            let stream = fake.add_stream(table);
            (0..3).for_each(|_| _ = fake.add_shard(&stream, None));
        }
        fake.behave_all(|behaviour| {
            behaviour.page_records = 50;
            behaviour.latency = (Duration::from_millis(5), Duration::from_millis(60));
        });
    }

    /// Minute by minute, without end.
    pub async fn run(mut self) {
        for minute in 1.. {
            tokio::time::sleep_until(self.fake.started() + MINUTE * minute).await;
            self.minute(minute);
        }
    }

    fn minute(&mut self, minute: u32) {
        let now = self.fake.now();
        let stream = self.stream();
        for shard in self.fake.open_shards(&stream) {
            self.write(&shard);
        }
        match minute % 60 {
            of_hour @ (5 | 25 | 45) => self.grow(&stream, of_hour == 25),
            15 => self.spoil(&stream),
            _ => {}
        }
        if now >= self.opens {
            self.anew(now - self.opens, &stream);
            match now < self.calms {
                true => self.trouble(minute % 60, &stream),
                false => calm(&self.fake),
            }
        }
    }

    /// The table's newest stream that has shards.
    fn stream(&self) -> StreamArn {
        let streams = self.fake.streams_of(TABLE);
        let enabled = |arn: &&StreamArn| self.fake.status(arn) == Some(StreamStatus::Enabled);
        let newest = streams.iter().rev().find(enabled).or(streams.last());
        newest.expect("the table has a stream").clone()
    }

    fn write(&mut self, shard: &ShardRef) {
        let (count, padding) = match self.chance.u32(0..400) {
            0 => (30, 60),
            1 => (3, 4_000),
            2..25 => (self.chance.usize(1..4), 60),
            _ => return,
        };
        self.fake.write_with(shard, Writing { count, padding, ..Writing::default() });
    }

    /// Shards that are old roll over, one of the others splits in two, and one that is too many
    /// closes for good.
    fn grow(&mut self, stream: &StreamArn, splits: bool) {
        let open: Vec<ShardGlance> = self
            .fake
            .glance(stream)
            .into_iter()
            .filter(|shard| !shard.closed && shard.listed)
            .collect();
        let wall = self.fake.wall();
        let old = open.iter().find(|shard| wall.since(shard.created) >= ROLL);
        let listed_after = Duration::from_secs(self.chance.u64(0..60));
        match old {
            Some(shard) => {
                _ = self
                    .fake
                    .split(&shard.name, Split { children: 1, listed_after, ..Split::default() })
            }
            None if open.is_empty() => {}
            None if splits && open.len() < MOST_OPEN => {
                let shard = &open[self.chance.usize(0..open.len())];
                self.fake
                    .split(&shard.name, Split { children: 2, listed_after, ..Split::default() });
            }
            None if splits => self.fake.close(&open[0].name),
            None => {}
        }
    }

    fn spoil(&mut self, stream: &StreamArn) {
        let open = self.fake.open_shards(stream);
        if let Some(shard) = open.get(self.chance.usize(0..open.len().max(1))) {
            self.fake
                .write_with(shard, Writing { kind: EntryKind::Unreadable, ..Writing::default() });
        }
    }

    /// The table's stream is disabled, another is enabled, and later the old one is gone.
    fn anew(&mut self, since: Duration, stream: &StreamArn) {
        let Some(minutes) = since.checked_sub(ANEW).map(|past| past.as_secs() / 60) else { return };
        let streams = self.fake.streams_of(TABLE);
        match minutes {
            0 => self.fake.begin_disable(stream),
            2 => {
                self.fake.list_all(&streams[0]);
                self.fake.set_status(&streams[0], StreamStatus::Disabled);
            }
            3 => {
                let next = self.fake.add_stream(TABLE);
                self.fake.set_status(&next, StreamStatus::Enabling);
            }
            4 => {
                self.fake.set_status(&streams[1], StreamStatus::Enabled);
                (0..3).for_each(|_| _ = self.fake.add_shard(&streams[1], None));
            }
            180 => self.fake.delete_stream(&streams[0]),
            _ => {}
        }
    }

    /// What goes wrong in this minute of an hour, and is over in some minutes.
    fn trouble(&mut self, of_hour: u32, stream: &StreamArn) {
        let fake = &self.fake;
        let open = fake.open_shards(stream);
        let any = |chance: &mut fastrand::Rng| open.get(chance.usize(0..open.len().max(1)));
        let rates = |throttle, unavailable, denied, not_found| Rates {
            throttle,
            unavailable,
            denied,
            hang: 0.01,
            not_found,
        };
        match of_hour {
            8 => fake.behave_all(|behaviour| behaviour.faults = rates(0.2, 0.1, 0.03, 0.02)),
            12 => fake.behave_all(|behaviour| behaviour.faults = Rates::NONE),
            17 => open.iter().for_each(|shard| fake.expire_iterators(shard)),
            20 => fake.listing(|listing| listing.faults = rates(0.2, 0.2, 0.4, 0.0)),
            23 => fake.listing(|listing| listing.faults = Rates::NONE),
            28 => {
                let hang = Answer::Fail(Fault::Timeout(Duration::from_secs(45)));
                any(&mut self.chance).into_iter().for_each(|shard| {
                    fake.script(shard, Operation::GetRecords, [hang.clone()]);
                });
            }
            // Where shards are asked as seldom as here, an empty page that lies holds LATEST back
            // for minutes: not all day.
            32 => fake.behave_all(|behaviour| {
                behaviour.empties = Empties { chance: 0.3, most: 4, between: true }
            }),
            37 => fake.behave_all(|behaviour| behaviour.empties.chance = 0.0),
            _ => {}
        }
    }
}

/// Everything works.
fn calm(fake: &FakeUpstream) {
    fake.listing(|listing| listing.faults = Rates::NONE);
    fake.behave_all(|behaviour| {
        behaviour.faults = Rates::NONE;
        behaviour.empties.chance = 0.0;
    });
}
