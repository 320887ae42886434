//! What happens on the writers' side: changes, splits, closes, trims, new streams.

use std::time::Duration;

use shardstream::model::{SequenceNumber, ShardId, StreamArn, StreamStatus, Timestamp};

use super::behaviour::{Ids, Numbers};
use super::entry::{Entry, EntryId, EntryKind};
use super::state::{Closed, Numbering, ShardState, StreamState};
use super::truth::StreamTruth;
use super::{FakeUpstream, ShardRef};

/// Entries to be written.
#[derive(Clone, Debug)]
pub struct Writing {
    /// How many.
    pub count: usize,
    /// Bytes of each image.
    pub padding: usize,
    /// Of which kind.
    pub kind: EntryKind,
    /// How long ago they are said to be created: a log with a past.
    pub ago: Duration,
}

/// So many records of one write may bear one number.
const FEW: usize = 12;

/// How a shard goes over into others.
#[derive(Clone, Copy, Debug)]
pub struct Split {
    /// How many children it gets: AWS knows 0, 1 and 2.
    pub children: usize,
    /// It closes. AWS has been seen listing children of shards that were still open.
    pub close: bool,
    /// How long the children are not in the listing yet.
    pub listed_after: Duration,
}

impl Default for Writing {
    fn default() -> Self {
        Self { count: 1, padding: 40, kind: EntryKind::Record, ago: Duration::ZERO }
    }
}

impl Default for Split {
    fn default() -> Self {
        Self { children: 2, close: true, listed_after: Duration::ZERO }
    }
}

impl FakeUpstream {
    /// A new stream of `table`: enabled, without shards, with an ARN of its own.
    pub fn add_stream(&self, table: &str) -> StreamArn {
        self.add_old_stream(table, Duration::ZERO)
    }

    /// A stream that was made `ago`, as its ARN says.
    pub fn add_old_stream(&self, table: &str, ago: Duration) -> StreamArn {
        let created = self.wall().minus(ago);
        let mut state = self.inner.state.lock();
        let mut millis = created.millis();
        loop {
            let label = jiff::Timestamp::from_millisecond(millis).expect("a time of this century");
            let label = label.strftime("%Y-%m-%dT%H:%M:%S%.3f");
            let arn = match state.ids {
                Ids::Alternator => format!(
                    "arn:aws:dynamodb:us-east-1:000000000000:table/alternator_{table}@{table}_scylla_cdc_log/stream/{label}000000"
                ),
                Ids::Aws | Ids::Emulator => {
                    format!("arn:aws:dynamodb:us-east-1:123456789012:table/{table}/stream/{label}")
                }
            };
            let arn = StreamArn::parse(&arn).expect("an ARN");
            if state.streams.iter().all(|stream| stream.arn != arn) {
                state.streams.push(StreamState {
                    arn: arn.clone(),
                    status: StreamStatus::Enabled,
                    created,
                });
                let made = self.now();
                state.fates.push(StreamTruth {
                    arn: arn.clone(),
                    made,
                    disabled: None,
                    deleted: None,
                });
                return arn;
            }
            millis += 1;
        }
    }

    /// A new open shard under an id like AWS's.
    #[track_caller]
    pub fn add_shard(&self, stream: &StreamArn, parent: Option<&ShardRef>) -> ShardRef {
        self.add_old_shard(stream, parent, Duration::ZERO)
    }

    /// An open shard that was made `ago`: its log may have a past as long ([`Writing::ago`]).
    #[track_caller]
    pub fn add_old_shard(
        &self,
        stream: &StreamArn,
        parent: Option<&ShardRef>,
        ago: Duration,
    ) -> ShardRef {
        let born = self.wall().minus(ago);
        let millis = born.millis();
        let id = {
            let mut state = self.inner.state.lock();
            let (ordinal, hex) = (state.shards.len() as i64, state.writes.u32(..));
            let siblings =
                state.shards.iter().filter(|shard| shard.name.stream == *stream).count() as u32;
            match state.ids {
                Ids::Aws => format!("shardId-{:020}-{hex:08x}", millis + ordinal),
                // Odd, so that no two counts give the same.
                Ids::Emulator => {
                    format!("shard-{:08x}", siblings.wrapping_add(1).wrapping_mul(0x9e37_79b1))
                }
                Ids::Alternator => format!("H {millis:x}:{hex:08x}{:024x}", siblings),
            }
        };
        self.add_born(stream, &id, parent, born)
    }

    /// A new open shard under an id of the test's choice.
    #[track_caller]
    pub fn add_shard_named(
        &self,
        stream: &StreamArn,
        id: &str,
        parent: Option<&ShardRef>,
    ) -> ShardRef {
        self.add_born(stream, id, parent, self.wall())
    }

    /// A shard that was made then, unless its id says otherwise.
    #[track_caller]
    fn add_born(
        &self,
        stream: &StreamArn,
        id: &str,
        parent: Option<&ShardRef>,
        born: Timestamp,
    ) -> ShardRef {
        let name =
            ShardRef { stream: stream.clone(), shard: ShardId::parse(id).expect("a shard id") };
        let (listed_from, wall) = (self.now(), self.wall());
        let created = name.shard.created().unwrap_or(born);
        let mut state = self.inner.state.lock();
        state.stream_mut(stream);
        assert!(state.find(&name).is_none(), "{id} is there already");
        let mut numbering = match parent {
            Some(parent) => state.shard(parent).numbering.clone(),
            None if state.ids == Ids::Alternator => Numbering::new(Numbers::Moments),
            None => Numbering::new(state.numbers),
        };
        let starting = numbering.next(&mut state.writes, wall);
        let ordinal = state.shards.len() as u32;
        let shard = ShardState {
            name: name.clone(),
            ordinal,
            parent: parent.map(|parent| parent.shard.clone()),
            created,
            starting,
            log: Vec::new(),
            trimmed: 0,
            closed: None,
            listed_from,
            unlisted: None,
            hidden: Vec::new(),
            gone: false,
            expired_before: Duration::ZERO,
            behaviour: state.behaviour.clone(),
            script: Default::default(),
            numbering,
            chance: fastrand::Rng::with_seed(
                state.seed.wrapping_mul(31).wrapping_add(u64::from(ordinal)),
            ),
            empties: Default::default(),
            false_tip: None,
        };
        state.shards.push(shard);
        name
    }

    /// Writes records now.
    #[track_caller]
    pub fn write(&self, shard: &ShardRef, count: usize) -> Vec<EntryId> {
        self.write_with(shard, Writing { count, ..Writing::default() })
    }

    /// Writes entries.
    #[track_caller]
    pub fn write_with(&self, shard: &ShardRef, what: Writing) -> Vec<EntryId> {
        let (written, wall) = (self.now(), self.wall().minus(what.ago));
        let created_at = wall.floor();
        let mut state = self.inner.state.lock();
        let mut chance = state.writes.fork();
        let alike =
            state.shares && what.kind == EntryKind::Record && (2..=FEW).contains(&what.count);
        let shard = state.shard_mut(shard);
        assert!(shard.closed.is_none(), "{} is closed", shard.name.shard);
        // Readers conclude from a shard's age what it can have lost.
        assert!(created_at >= shard.created.floor(), "{} was not there yet", shard.name.shard);
        let mut ids = Vec::with_capacity(what.count);
        let mut shared = None;
        for _ in 0..what.count {
            ids.push(shard.id(shard.log.len()));
            let key = shared.unwrap_or_else(|| shard.numbering.next(&mut chance, wall));
            shared = alike.then_some(key);
            let (kind, padding) = (what.kind, what.padding);
            shard.log.push(Entry { key, kind, created_at, written, trimmed: None, padding });
        }
        ids
    }

    /// Closes a shard that gets no children.
    #[track_caller]
    pub fn close(&self, shard: &ShardRef) {
        self.split(shard, Split { children: 0, ..Split::default() });
    }

    /// Splits a shard; answers its children.
    #[track_caller]
    pub fn split(&self, shard: &ShardRef, split: Split) -> Vec<ShardRef> {
        let (now, wall) = (self.now(), self.wall());
        {
            let mut state = self.inner.state.lock();
            let mut chance = state.writes.fork();
            let shard = state.shard_mut(shard);
            assert!(shard.closed.is_none(), "{} is closed", shard.name.shard);
            if split.close {
                // AWS's ending number may lie past the last record's.
                let ending = shard.numbering.next(&mut chance, wall);
                shard.closed = Some(Closed { at: now, ending });
            }
        }
        let children: Vec<_> =
            (0..split.children).map(|_| self.add_shard(&shard.stream, Some(shard))).collect();
        let mut state = self.inner.state.lock();
        for child in &children {
            state.shard_mut(child).listed_from = now + split.listed_after;
        }
        children
    }

    /// Disables a stream: its open shards close, without children.
    #[track_caller]
    pub fn disable(&self, stream: &StreamArn) {
        self.set_status(stream, StreamStatus::Disabled);
        for shard in self.open_shards(stream) {
            self.close(&shard);
        }
    }

    /// Changes what DescribeStream says of a stream, and nothing else.
    #[track_caller]
    pub fn set_status(&self, stream: &StreamArn, status: StreamStatus) {
        let now = self.now();
        let mut state = self.inner.state.lock();
        state.stream_mut(stream).status = status;
        state.fate_mut(stream).disabled = (status == StreamStatus::Disabled).then_some(now);
    }

    /// Begins to disable a stream: its open shards close, without children; [`Self::set_status`]
    /// ends it.
    #[track_caller]
    pub fn begin_disable(&self, stream: &StreamArn) {
        self.set_status(stream, StreamStatus::Disabling);
        for shard in self.open_shards(stream) {
            self.close(&shard);
        }
    }

    /// Forgets a stream: everything about it is NotFound.
    pub fn delete_stream(&self, stream: &StreamArn) {
        let now = self.now();
        let mut state = self.inner.state.lock();
        state.streams.retain(|known| known.arn != *stream);
        state.fate_mut(stream).deleted.get_or_insert(now);
        for shard in state.shards.iter_mut().filter(|shard| shard.name.stream == *stream) {
            shard.gone = true;
            shard.unlisted.get_or_insert(now);
        }
    }

    /// The shards of a stream that can be written to.
    pub fn open_shards(&self, stream: &StreamArn) -> Vec<ShardRef> {
        let state = self.inner.state.lock();
        let open = state
            .shards
            .iter()
            .filter(|shard| shard.name.stream == *stream && shard.closed.is_none());
        open.map(|shard| shard.name.clone()).collect()
    }

    /// Every shard ever made, in order.
    pub fn shards(&self) -> Vec<ShardRef> {
        self.inner.state.lock().shards.iter().map(|shard| shard.name.clone()).collect()
    }

    /// Whether a shard can be written to.
    #[track_caller]
    pub fn is_open(&self, shard: &ShardRef) -> bool {
        self.inner.state.lock().shard(shard).closed.is_none()
    }

    /// The numbers that readers see in a shard's full log: some entries show none.
    #[track_caller]
    pub fn shown_numbers(&self, shard: &ShardRef) -> Vec<SequenceNumber> {
        let state = self.inner.state.lock();
        let shown =
            |entry: &&Entry| matches!(entry.kind, EntryKind::Record | EntryKind::Unreadable);
        state.shard(shard).log.iter().filter(shown).map(|entry| entry.key).collect()
    }

    /// The numbers of a shard's full log.
    #[track_caller]
    pub fn numbers(&self, shard: &ShardRef) -> Vec<SequenceNumber> {
        self.inner.state.lock().shard(shard).log.iter().map(|entry| entry.key).collect()
    }
}
