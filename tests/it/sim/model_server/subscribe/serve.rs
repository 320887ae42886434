//! One subscription of the model.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use shardstream::model::StreamStatus;

use super::super::{Bug, Ideal};
use super::state::{Cursor, Kept, State};
use crate::sim::fake::{EntryKind, EntryTruth, ShardGlance};
use crate::sim::history::EndReason;
use crate::sim::history::subscribed::{Fate, Message, SeenRecord, ShardRow, Told, What, Wish};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);

pub struct Serving {
    pub(super) server: Ideal,
    pub(super) wish: Wish,
    pub(super) state: State,
    /// Shards that were opened and ended in this run.
    pub(super) opened: BTreeSet<usize>,
    ended: BTreeSet<usize>,
    /// Shards that [`Bug::FalseGap`] has not lied about yet.
    pub(super) cry_wolf: BTreeSet<usize>,
    pending: VecDeque<Told>,
    over: bool,
    sent: usize,
    bytes: usize,
    token_bytes: usize,
    token_at: Duration,
    beat_at: Duration,
    at_tip: Option<bool>,
    /// When a shard was found at its end, for [`Bug::LateShardEnd`].
    found_ended: std::collections::BTreeMap<usize, Duration>,
    /// The place before the newest message, for [`Bug::TokenBehind`].
    before: Option<State>,
}

impl Serving {
    pub fn new(server: Ideal, wish: Wish, state: State) -> Self {
        let now = server.fake.now();
        let cry_wolf =
            if state.resumed { state.cursors.keys().copied().collect() } else { BTreeSet::new() };
        Self {
            server,
            wish,
            state,
            opened: BTreeSet::new(),
            ended: BTreeSet::new(),
            cry_wolf,
            pending: VecDeque::new(),
            over: false,
            sent: 0,
            bytes: 0,
            token_bytes: 0,
            token_at: now,
            beat_at: now,
            at_tip: None,
            found_ended: Default::default(),
            before: None,
        }
    }

    pub async fn next(&mut self) -> Option<Told> {
        loop {
            if let Some(told) = self.pending.pop_front() {
                return Some(told);
            }
            if self.over {
                return None;
            }
            self.advance().await;
        }
    }

    async fn advance(&mut self) {
        let fake = self.server.fake.clone();
        if self.server.has(Bug::HotLoop) {
            use shardstream::upstream::Upstream as _;
            for _ in 0..40 {
                let _ = fake.describe_stream(&self.state.stream, None, None).await;
            }
        }
        let family = fake.glance(&self.state.stream);
        let there = fake.status(&self.state.stream);
        if there.is_some() && family.iter().any(|shard| self.refuses(shard, &family)) {
            return self.end(EndReason::Refused);
        }
        if there.is_none() && !self.tell_replacement(&family) {
            return;
        }
        if there.is_some() && !self.tell_losses(&family) {
            return;
        }
        let lies = self.server.has(Bug::LyingTip);
        if lies && self.at_tip.is_none() {
            return self.heartbeat(true);
        }
        if fake.now() >= self.beat_at + self.wish.heartbeat {
            self.heartbeat(self.at_tip.unwrap_or(false));
        }
        if there.is_some() && self.read(&family) {
            return;
        }
        if self.stream_over(&family, there) {
            return;
        }
        if self.limit_without_records(&family) {
            return self.end(EndReason::Limit);
        }
        let tip = !self.server.has(Bug::NeverTip);
        if self.at_tip != Some(tip) {
            self.heartbeat(tip);
        }
        tokio::time::sleep(LOOK).await;
    }

    /// Gives what the next shard has; whether there was something.
    fn read(&mut self, family: &[ShardGlance]) -> bool {
        let mut heads: Vec<(&ShardGlance, Cursor)> = Vec::new();
        for shard in family.iter().filter(|shard| shard.listed) {
            let mut cursor = self.state.cursor(&self.server.fake, shard);
            if cursor.done && self.opened.contains(&shard.ordinal) || !self.may_read(shard, family)
            {
                continue;
            }
            let first = self.opened.is_empty();
            if self.open(shard)
                && self.server.has(Bug::ChildrenAtLatest)
                && shard.parent.is_some()
                && !first
            {
                cursor.index = shard.written;
            }
            if cursor.done {
                self.end_shard(shard);
                continue;
            }
            if cursor.index < shard.written {
                heads.push((shard, cursor));
            } else if shard.closed {
                let found =
                    *self.found_ended.entry(shard.ordinal).or_insert(self.server.fake.now());
                let late = self.server.has(Bug::LateShardEnd);
                if !late || self.server.fake.now() >= found + Duration::from_secs(40) {
                    self.put(shard, Cursor { done: true, ..cursor });
                    self.end_shard(shard);
                    return true;
                }
            } else {
                self.put(shard, cursor);
            }
        }
        let entry = |(shard, cursor): &(&ShardGlance, Cursor)| {
            self.server.fake.entries(&shard.name, cursor.index..cursor.index + 1)[0].clone()
        };
        heads.retain(|head| !self.is_past_until(&entry(head)));
        if self.wish.by_time && !self.server.has(Bug::IgnoresOrder) {
            heads.sort_by_key(|head| entry(head).created_at);
        }
        let Some((shard, cursor)) = heads.first().cloned() else { return false };
        self.give(shard, cursor);
        true
    }

    fn may_read(&self, shard: &ShardGlance, family: &[ShardGlance]) -> bool {
        if self.server.has(Bug::ParentAndChild) {
            return true;
        }
        let parent = family.iter().find(|other| Some(&other.name.shard) == shard.parent.as_ref());
        let Some(parent) = parent else { return true };
        let done = self.state.cursor(&self.server.fake, parent).done;
        if self.server.has(Bug::LateChildLost) {
            return done && shard.listed_from < Duration::from_secs(1) + parent.listed_from;
        }
        done || !parent.listed
    }

    /// A time is all that is known of where a shard is to be read, and nothing there says where
    /// that is.
    fn refuses(&self, shard: &ShardGlance, family: &[ShardGlance]) -> bool {
        let fake = &self.server.fake;
        let to_read = shard.listed && shard.trimmed < shard.written && self.may_read(shard, family);
        let by_time = || self.state.is_time(fake, shard);
        to_read
            && by_time()
            && (self.server.has(Bug::RefusesTimes) || fake.is_timeless(&shard.name))
    }

    /// One message of records, or one that cannot be read.
    fn give(&mut self, shard: &ShardGlance, mut cursor: Cursor) {
        self.before = Some(self.state.clone());
        let mut most = self.wish.records.min(self.wish.bytes / 200);
        if self.wish.by_time {
            most = 1;
        }
        if let Some(until) = self.wish.until.records {
            most = most.min(until + usize::from(self.server.has(Bug::OneMore)) - self.sent);
        }
        if self.server.has(Bug::FatMessages) {
            most = usize::MAX;
        }
        let to = shard.written.min(cursor.index.saturating_add(most));
        let entries = self.server.fake.entries(&shard.name, cursor.index..to);
        let bad = entries.iter().position(|entry| entry.kind == EntryKind::Unreadable);
        let late = entries.iter().position(|entry| self.is_past_until(entry));
        let stop = bad.into_iter().chain(late).min().unwrap_or(entries.len());
        if stop == 0 {
            cursor.index += 1;
            cursor.begun = true;
            self.put(shard, cursor);
            let (name, number) = (shard.name.shard.to_string(), Some(entries[0].number));
            self.push(What::Unreadable { shard: name, number, after: None }, Some(shard.ordinal));
            if !self.wish.skip_unreadable {
                self.end(EndReason::Unreadable);
            }
            return;
        }
        let mut records: Vec<_> = entries[..stop]
            .iter()
            .map(|entry| SeenRecord { id: entry.id, number: Some(entry.number) })
            .collect();
        cursor.index += stop;
        cursor.begun = true;
        if self.server.has(Bug::DropsLastPage) && shard.closed && cursor.index == shard.written {
            return self.put(shard, cursor);
        }
        if self.server.has(Bug::Swaps) && records.len() > 1 {
            records.swap(0, 1);
        }
        if self.server.has(Bug::Twice) && records.len() > 2 {
            cursor.index -= 1;
        }
        self.sent += records.len();
        self.put(shard, cursor);
        self.push(
            What::Records { shard: shard.name.shard.to_string(), records },
            Some(shard.ordinal),
        );
        if self.wish.until.records.is_some_and(|until| self.sent >= until) {
            self.end(EndReason::Limit);
        }
    }

    fn is_past_until(&self, entry: &EntryTruth) -> bool {
        let until = self.wish.until.time.filter(|_| !self.server.has(Bug::IgnoresUntilTime));
        until.is_some_and(|time| entry.created_at >= time.floor())
    }

    /// Nothing can be read any more; whether that was the end.
    fn stream_over(&mut self, family: &[ShardGlance], there: Option<StreamStatus>) -> bool {
        let fake = self.server.fake.clone();
        let early = self.server.has(Bug::EndsEarly);
        let drained = family
            .iter()
            .filter(|shard| shard.listed)
            .all(|shard| self.state.cursor(&fake, shard).done);
        let closed =
            matches!(there, None | Some(StreamStatus::Disabled)) || (early && there.is_some());
        if !closed || !(drained || there.is_none() || early) {
            return false;
        }
        let stream = self.state.stream.clone();
        let streams = fake.streams_of("Orders");
        let next = streams.into_iter().find(|other| *other > stream).filter(|_| self.state.by_name);
        if there.is_some() && (self.state.over.insert(stream.clone()) || !self.state.by_name) {
            self.push(What::StreamEnd { stream, next: next.clone() }, None);
            if !self.state.by_name {
                self.end(EndReason::StreamEnd);
            }
            return true;
        }
        let ready = next.filter(|next| fake.status(next) != Some(StreamStatus::Enabling));
        let Some(next) = ready else { return false };
        self.state.stream = next;
        if self.server.has(Bug::NextStreamAtLatest) {
            for shard in fake.glance(&self.state.stream) {
                self.put(
                    &shard,
                    Cursor { index: shard.written, begun: false, done: false, excused: 0 },
                );
            }
        }
        true
    }

    /// Nothing is to be read now: is that a limit?
    fn limit_without_records(&self, family: &[ShardGlance]) -> bool {
        let fake = &self.server.fake;
        if self.wish.until.at_tip {
            return true;
        }
        let Some(time) = self.wish.until.time.filter(|_| !self.server.has(Bug::IgnoresUntilTime))
        else {
            return false;
        };
        let open = family.iter().filter(|shard| shard.listed && self.may_read(shard, family));
        let mut cursors = open.map(|shard| (shard, self.state.cursor(fake, shard)));
        let clock = if self.server.has(Bug::EndsByOurClock) { fake.ours() } else { fake.wall() };
        clock >= time.floor() || cursors.all(|(shard, cursor)| cursor.index < shard.written)
    }

    /// A gap is about to be sent.
    pub(super) fn lost(&self) -> bool {
        let is_gap = |told: &Told| matches!(told, Told::Message(message) if matches!(message.what, What::Gap(_)));
        self.pending.iter().any(is_gap)
    }

    /// Whether it was not open yet.
    pub(super) fn open(&mut self, shard: &ShardGlance) -> bool {
        let new = self.opened.insert(shard.ordinal);
        if new || (self.server.has(Bug::OpensTwice) && self.sent % 5 == 4) {
            self.push(What::ShardOpen { shard: row(shard) }, None);
        }
        new
    }

    pub(super) fn end_shard(&mut self, shard: &ShardGlance) {
        self.open(shard);
        if self.ended.insert(shard.ordinal) && !self.server.has(Bug::NoShardEnd) {
            let family = self.server.fake.glance(&self.state.stream);
            let is_child = |other: &&ShardGlance| {
                other.parent.as_ref() == Some(&shard.name.shard) && other.listed
            };
            let children = family.iter().filter(is_child).map(row).collect();
            self.push(
                What::ShardEnd { shard: shard.name.shard.to_string(), children, complete: false },
                None,
            );
        }
    }

    pub(super) fn put(&mut self, shard: &ShardGlance, cursor: Cursor) {
        self.state.cursors.insert(shard.ordinal, cursor);
    }

    fn heartbeat(&mut self, at_tip: bool) {
        self.at_tip = Some(at_tip);
        self.beat_at = self.server.fake.now();
        if self.server.has(Bug::Mute) {
            return;
        }
        let lag = at_tip.then_some(Duration::ZERO);
        let observed = Some(self.server.fake.ours());
        self.push(
            What::Heartbeat {
                at_tip,
                lag,
                observed,
                upstream_error: String::new(),
                over_limit: 0,
                not_understood: 0,
            },
            None,
        );
    }

    pub(super) fn push(&mut self, what: What, shard: Option<usize>) {
        let now = self.server.fake.now();
        let bytes = match &what {
            What::Records { records, .. } => 60 + 180 * records.len(),
            _ => 80,
        };
        let shard_token = shard.map(|shard| {
            let cursor = self.state.cursors[&shard].clone();
            format!("{}.", {
                self.server.tokens.borrow_mut().push(Kept::Shard(shard, cursor));
                self.server.tokens.borrow().len() - 1
            })
        });
        let few = self.token_bytes + 8 <= (self.bytes + bytes) / 20;
        let due = few || now >= self.token_at + self.wish.checkpoint;
        let due = due && !self.server.has(Bug::TokensNever) || self.server.has(Bug::TokensAlways);
        let token = if what.must_bear_token() || due { self.token() } else { String::new() };
        if !token.is_empty() {
            self.token_at = now;
            if !what.must_bear_token() {
                self.token_bytes += token.len();
            }
        }
        let bytes = bytes + token.len();
        self.bytes += bytes;
        let shard_token = shard_token.unwrap_or_default();
        let message = Message { at: now, bytes, shard_token, token, what };
        self.pending.push_back(Told::Message(Box::new(message)));
    }

    fn token(&self) -> String {
        let mut state = self.state.clone();
        if self.server.has(Bug::TokenBehind) {
            state = self.before.clone().unwrap_or(state);
        }
        if self.server.has(Bug::ForgetsFinished) {
            state.cursors.retain(|_, cursor| !cursor.done);
        }
        if self.server.has(Bug::TokenAhead)
            && let Some(cursor) = state.cursors.values_mut().find(|cursor| cursor.begun)
        {
            cursor.index += 1;
        }
        self.server.keep(Kept::Stream(Box::new(state)))
    }

    pub(super) fn end(&mut self, reason: EndReason) {
        self.push(What::End { reason }, None);
        let code = if self.server.has(Bug::WrongStatus) { "OK" } else { reason.code() };
        self.pending.push_back(Told::Closed(Fate::Closed(code.into())));
        self.over = true;
    }
}

fn row(shard: &ShardGlance) -> ShardRow {
    let parent = shard.parent.as_ref().map(|parent| parent.to_string());
    ShardRow { stream: shard.name.stream.clone(), shard: shard.name.shard.to_string(), parent }
}
