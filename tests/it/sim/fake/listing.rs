//! What ListStreams, DescribeStream, GetShardIterator and GetRecords answer from what the fake
//! holds.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use shardstream::model::{
    KeySchemaElement, Page, Position, SequenceNumber, Shard, ShardId, StreamArn, StreamDescription,
    StreamStatus, StreamSummary, TableName, Timestamp,
};
use shardstream::upstream::{DescribePage, ErrorClass, ITERATOR_LIFE, IteratorStart, StreamsPage};

use super::ShardRef;
use super::behaviour::{ChildShards, Ids, ListingOrder, Shared};
use super::iterator::Iterator;
use super::state::{ShardState, State};

impl State {
    pub fn list(&self, table: Option<&TableName>, start: Option<&str>, limit: u32) -> StreamsPage {
        let named = |arn: &StreamArn| table.is_none_or(|table| arn.is_of(table));
        let mut arns: Vec<_> =
            self.streams.iter().map(|stream| &stream.arn).filter(|arn| named(arn)).collect();
        arns.sort();
        let (start, limit) =
            if self.listing.all_streams { (None, u32::MAX) } else { (start, limit) };
        let is_behind = |arn: &StreamArn, start: &str| match self.ids {
            Ids::Alternator => mark(arn).as_str() > start,
            Ids::Aws | Ids::Emulator => arn.as_str() > start,
        };
        arns.retain(|arn| start.is_none_or(|start| is_behind(arn, start)));
        let more = arns.len() > limit as usize;
        arns.truncate(limit as usize);
        if self.ids == Ids::Alternator {
            return Self::alternators(&arns);
        }
        let last = arns.last().map(ToString::to_string);
        let endless = last.clone().or(start.map(ToOwned::to_owned));
        StreamsPage {
            last_evaluated: if self.listing.endless { endless } else { last.filter(|_| more) },
            unreadable: 0,
            streams: arns.into_iter().map(|arn| StreamSummary { arn: arn.clone() }).collect(),
        }
    }

    /// Alternator tells on every page that has a stream where to go on, and not by a stream's name.
    fn alternators(arns: &[&StreamArn]) -> StreamsPage {
        StreamsPage {
            last_evaluated: arns.last().map(|arn| mark(arn)),
            unreadable: 0,
            streams: arns.iter().map(|arn| StreamSummary { arn: (*arn).clone() }).collect(),
        }
    }

    pub fn describe(
        &mut self,
        stream: &StreamArn,
        children_of: Option<&ShardId>,
        start: Option<&ShardId>,
        (now, wall): (Duration, Timestamp),
    ) -> Option<DescribePage> {
        let known = self.streams.iter().find(|known| known.arn == *stream)?;
        let description = StreamDescription {
            arn: stream.clone(),
            status: Some(known.status),
            view_type: Some("NEW_AND_OLD_IMAGES".into()),
            key_schema: vec![KeySchemaElement {
                attribute_name: "pk".into(),
                key_type: "HASH".into(),
            }],
            created: Some(known.created),
        };
        let date = Some(wall.plus(self.listing.date_ahead).floor());
        if known.status == StreamStatus::Enabling {
            let (shards, last_evaluated) = (Vec::new(), None);
            return Some(DescribePage { description, shards, unreadable: 0, last_evaluated, date });
        }
        if start.is_some() && self.listing.hollow > 0.0 && self.chance.f64() < self.listing.hollow {
            let last_evaluated = start.cloned();
            return Some(DescribePage {
                description,
                shards: Vec::new(),
                unreadable: 0,
                last_evaluated,
                date,
            });
        }
        let mut shards: Vec<_> =
            self.shards.iter().filter(|shard| shard.name.stream == *stream).collect();
        match self.listing.order {
            ListingOrder::ById | ListingOrder::Shuffled => {
                shards.sort_by(|a, b| a.name.cmp(&b.name))
            }
            ListingOrder::Reversed => shards.sort_by(|a, b| b.name.cmp(&a.name)),
            ListingOrder::Mixed => shards.sort_by_key(|shard| mixed(&shard.name.shard)),
        }
        if let Some(start) = start {
            // Where the last page ended is known even when its last shard is not listed any more.
            let before = shards
                .iter()
                .position(|shard| shard.name.shard == *start)
                .map_or(shards.len(), |at| at + 1);
            shards.drain(..before);
        }
        let listed = shards.into_iter().filter(|shard| shard.is_listed(now));
        let mut rows: Vec<Shard> = listed.map(ShardState::row).collect();
        for row in rows.iter_mut().filter(|_| self.listing.all_end) {
            row.ending = row.ending.or(row.starting);
        }
        if let Some(parent) = children_of {
            rows.retain(|row| match self.listing.children {
                ChildShards::Known | ChildShards::Half => row.parent.as_ref() == Some(parent),
                ChildShards::Ignored => true,
                ChildShards::Itself => row.parent.as_ref() == Some(parent) || row.id == *parent,
                ChildShards::Nothing => false,
            });
            if self.listing.children == ChildShards::Half {
                rows.truncate(1);
            }
        }
        let more = rows.len() > self.listing.page_shards;
        rows.truncate(self.listing.page_shards);
        let last = rows.last().map(|row| row.id.clone());
        let last_evaluated =
            if self.listing.endless { last.or(start.cloned()) } else { last.filter(|_| more) };
        if self.listing.order == ListingOrder::Shuffled {
            self.chance.shuffle(&mut rows);
        }
        let unreadable =
            if start.is_none() && children_of.is_none() { self.listing.unreadable } else { 0 };
        Some(DescribePage { description, shards: rows, unreadable, last_evaluated, date })
    }

    /// Which entry an iterator for `start` stands before.
    pub fn place(
        &self,
        name: &ShardRef,
        start: IteratorStart,
        wall: Timestamp,
    ) -> Result<usize, ErrorClass> {
        let shard = self.find(name).filter(|shard| !shard.gone).ok_or(ErrorClass::NotFound)?;
        match start {
            IteratorStart::Latest => Ok(shard.log.len()),
            IteratorStart::Position(Position::TrimHorizon) => Ok(shard.trimmed),
            IteratorStart::Position(Position::AtSequenceNumber(number)) => {
                shard.check(&number)?;
                Ok(shard.first_at(&number))
            }
            IteratorStart::Position(Position::AfterSequenceNumber(number)) => {
                shard.check(&number)?;
                Ok(shard.log.partition_point(|entry| entry.key <= number))
            }
            IteratorStart::Position(Position::AtTimestamp(time)) => {
                if !self.traits.at_timestamp || time > wall {
                    return Err(ErrorClass::Invalid);
                }
                let kept = shard.log.iter().skip(shard.trimmed);
                Ok(shard.trimmed + kept.take_while(|entry| entry.created_at < time).count())
            }
        }
    }

    /// A page from an iterator on.
    pub fn page(
        &mut self,
        name: &ShardRef,
        at: Iterator,
        limit: usize,
        now: Duration,
    ) -> Result<Page, ErrorClass> {
        let shard = self.shard_mut(name);
        if shard.gone {
            return Err(ErrorClass::NotFound);
        }
        if now >= at.issued + ITERATOR_LIFE || at.issued < shard.expired_before {
            return Err(ErrorClass::ExpiredIterator);
        }
        if at.index < shard.trimmed && !shard.behaviour.silent_trims {
            return Err(ErrorClass::Trimmed);
        }
        let at = Iterator { index: at.index.max(shard.trimmed), ..at };
        let end = if shard.pauses(at.index, at.empties, now) {
            at.index
        } else {
            shard.page_end(at.index, limit)
        };
        let entries = (at.index..end).map(|index| shard.log[index].serve(shard.id(index)));
        let entries: Vec<_> = entries.map(|entry| shard.behaviour.stamped(entry)).collect();
        let last = shard.closed.is_some() && end == shard.log.len();
        let over = last && (entries.is_empty() || !shard.behaviour.end_alone);
        let empties =
            at.empties.filter(|_| entries.is_empty()).map(|given| given.saturating_add(1));
        let next_iterator = (!over).then(|| self.mint(name, end, now, empties));
        Ok(Page { entries, next_iterator })
    }

    /// A new iterator before an entry.
    pub fn mint(
        &mut self,
        name: &ShardRef,
        index: usize,
        issued: Duration,
        empties: Option<u8>,
    ) -> String {
        self.nonce += 1;
        Iterator { shard: self.shard(name).ordinal, index, issued, empties, nonce: self.nonce }
            .encode()
    }
}

impl ShardState {
    /// Whether AWS refuses a number.
    fn check(&self, number: &SequenceNumber) -> Result<(), ErrorClass> {
        let past = self.closed.is_some_and(|closed| *number > closed.ending);
        if self.behaviour.strict_numbers && (*number < self.starting || past) {
            return Err(ErrorClass::Invalid);
        }
        match self.trimmed.checked_sub(1) {
            Some(newest) if *number <= self.log[newest].key && !self.behaviour.silent_trims => {
                Err(ErrorClass::Trimmed)
            }
            _ => Ok(()),
        }
    }

    /// Whether the page before `index` is empty though there is data.
    fn pauses(&mut self, index: usize, before: Option<u8>, now: Duration) -> bool {
        let empties = self.behaviour.empties;
        let fresh = before.is_some();
        if index >= self.log.len() || empties.chance == 0.0 || !(fresh || empties.between) {
            return false;
        }
        let chance = &mut self.chance;
        let (most, given) = self.empties.entry(index).or_insert_with(|| {
            let some = chance.f64() < empties.chance && empties.most > 0;
            (if some { chance.u8(1..=empties.most.min(4)) } else { 0 }, 0)
        });
        let pauses = *given < *most;
        // Five in a row show the end, by all that is known: who had those is at the tip, too.
        if pauses && before.is_none_or(|given| given >= 5) {
            let age = now - self.log[index].written;
            self.false_tip = Some(self.false_tip.map_or(age, |youngest| youngest.min(age)));
        }
        *given += u8::from(pauses);
        pauses
    }

    /// Where a page from `index` ends.
    fn page_end(&self, index: usize, limit: usize) -> usize {
        let most = if self.behaviour.over_limit {
            self.behaviour.page_records
        } else {
            self.behaviour.page_records.min(limit)
        };
        let mut bytes = 0;
        let fits = |entry: &&super::entry::Entry| {
            bytes += entry.bytes();
            bytes <= self.behaviour.page_bytes
        };
        let rest = &self.log[index.min(self.log.len())..];
        let count = rest.iter().take(most).take_while(fits).count();
        let end = index + count.max(usize::from(!rest.is_empty()));
        match self.behaviour.shared {
            Shared::Cut => end,
            Shared::Whole => self.end_of_number(end),
            Shared::Blocking if self.end_of_number(index + 1) > index + limit => index,
            Shared::Blocking => self.end_of_number(end),
        }
    }

    /// The first entry from `index` on whose number is not that of the one before `index`.
    fn end_of_number(&self, index: usize) -> usize {
        let Some(last) = index.checked_sub(1).and_then(|last| self.log.get(last)) else {
            return index;
        };
        index + self.log[index..].iter().take_while(|entry| entry.key == last.key).count()
    }
}

/// What Alternator calls a stream where it says how to go on listing: sorted as their names are,
/// and behind them.
fn mark(arn: &StreamArn) -> String {
    format!("S{arn}")
}

/// An order that has nothing to do with age, the same in every run.
fn mixed(id: &ShardId) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.as_str().hash(&mut hasher);
    hasher.finish()
}
