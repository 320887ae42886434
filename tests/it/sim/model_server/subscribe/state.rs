//! Where the model stands in a stream: what its tokens keep.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shardstream::model::{StreamArn, StreamStatus, Timestamp};

use crate::sim::fake::{FakeUpstream, ShardGlance};
use crate::sim::history::subscribed::{Start, Wish};

/// What a token stands for.
#[derive(Clone)]
pub enum Kept {
    Stream(Box<State>),
    Shard(usize, Cursor),
}

/// A place in a stream.
#[derive(Clone)]
pub struct State {
    pub by_name: bool,
    /// The stream it began in.
    pub first: StreamArn,
    pub stream: StreamArn,
    pub rule: Rule,
    /// By ordinal.
    pub cursors: BTreeMap<usize, Cursor>,
    /// The stream's end was told, or its loss.
    pub over: BTreeSet<StreamArn>,
    pub resumed: bool,
}

/// Where shards of the first stream begin.
#[derive(Clone, Copy)]
pub enum Rule {
    Horizon {
        asked: Duration,
    },
    /// What is not in the cursors begins at its beginning.
    Latest,
    Since {
        time: Timestamp,
        asked: Duration,
    },
}

/// A place in a shard.
#[derive(Clone, Debug)]
pub struct Cursor {
    /// The next entry.
    pub index: usize,
    pub begun: bool,
    pub done: bool,
    /// Entries before this one are not missed if they are trimmed.
    pub excused: usize,
}

impl State {
    /// Where a new subscription begins.
    pub fn begin(
        fake: &FakeUpstream,
        wish: &Wish,
        start: &Start,
    ) -> Result<Self, (String, String)> {
        let not_found = || ("NOT_FOUND".to_owned(), "STREAM_NOT_FOUND".to_owned());
        let by_name = wish.by_name();
        let named = if by_name {
            fake.streams_of(&wish.stream).pop()
        } else {
            StreamArn::parse(&wish.stream).ok()
        };
        let stream = named.ok_or_else(not_found)?;
        match fake.status(&stream) {
            None => return Err(not_found()),
            Some(StreamStatus::Enabling) => {
                return Err(("UNAVAILABLE".into(), "STREAM_NOT_READY".into()));
            }
            Some(_) => {}
        }
        let rule = match start {
            Start::Horizon => Rule::Horizon { asked: fake.now() },
            Start::Latest => Rule::Latest,
            Start::Since(time) => Rule::Since { time: fake.floor(*time), asked: fake.now() },
            Start::Token(..) => unreachable!("tokens are resumed"),
        };
        let (first, cursors, over) = (stream.clone(), BTreeMap::new(), BTreeSet::new());
        let mut state = Self { by_name, first, stream, rule, cursors, over, resumed: false };
        if let Rule::Latest = rule {
            for shard in fake.glance(&state.stream).into_iter().filter(|shard| shard.listed) {
                let cursor = Cursor {
                    index: shard.written,
                    begun: false,
                    done: false,
                    excused: shard.written,
                };
                state.cursors.insert(shard.ordinal, cursor);
            }
        }
        Ok(state)
    }

    /// Where a shard is to go on.
    pub fn cursor(&self, fake: &FakeUpstream, shard: &ShardGlance) -> Cursor {
        if let Some(cursor) = self.cursors.get(&shard.ordinal) {
            let index = cursor.index.min(shard.written);
            return Cursor { index, ..cursor.clone() };
        }
        let trimmed_at = |time: Duration| {
            let entries = fake.entries(&shard.name, 0..shard.trimmed);
            entries
                .iter()
                .take_while(|entry| entry.trimmed.is_some_and(|trimmed| trimmed <= time))
                .count()
        };
        let (index, excused) = match self.rule {
            _ if shard.name.stream != self.first => (0, 0),
            // What is trimmed once the horizon was given is lost to whoever stands there.
            Rule::Horizon { asked } => (0, trimmed_at(asked)),
            Rule::Latest => (0, 0),
            Rule::Since { time, asked } => {
                let entries = fake.entries(&shard.name, 0..shard.written);
                let index = entries.iter().take_while(|entry| entry.created_at < time).count();
                let old = fake.base().plus(asked).since(time) >= Duration::from_secs(23 * 3_600);
                (index, if old { trimmed_at(asked) } else { index })
            }
        };
        Cursor { index: index.max(excused), begun: false, done: false, excused }
    }

    /// A time is all that is known of where a shard is to go on.
    pub fn is_time(&self, fake: &FakeUpstream, shard: &ShardGlance) -> bool {
        let asked = match self.rule {
            Rule::Horizon { .. } => false,
            // A LATEST goes on by time.
            Rule::Latest => self.resumed && self.cursors.contains_key(&shard.ordinal),
            Rule::Since { .. } => true,
        };
        let cursor = self.cursor(fake, shard);
        asked && shard.name.stream == self.first && !(cursor.begun || cursor.done)
    }

    /// What [`Bug::LatestAnew`] does: shards of which nothing came begin at their tip again.
    pub fn latest_anew(&mut self, fake: &FakeUpstream) {
        if !matches!(self.rule, Rule::Latest) {
            return;
        }
        for shard in fake.glance(&self.stream) {
            if let Some(cursor) = self.cursors.get_mut(&shard.ordinal)
                && !cursor.begun
            {
                cursor.index = shard.written;
            }
        }
    }
}
