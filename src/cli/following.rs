//! What to follow: everything about it that outlives one response stream.

use std::time::Duration;

use super::place;
use super::resume::Resume;
use crate::model::Timestamp;
use crate::pb::{
    GapPolicy, IteratorType, ShardName, StreamRecordsRequest, UnreadablePolicy, Until, shard_start::Place,
    stream_records_request::Source,
};

/// How much earlier than its own `Date` an answer may have looked at the end of the shard.
const LATEST_SLACK: Duration = Duration::from_secs(3);

/// What to follow, and when to stop.
#[derive(Clone, Debug)]
pub struct Following {
    /// The shard; `None`: the token names it.
    pub shard: Option<ShardName>,
    /// Where to begin.
    pub place: Place,
    /// When to stop; its `record_count` counts over all reconnects.
    pub until: Until,
    /// What to do at a gap.
    pub gaps: GapPolicy,
    /// What to do at a record that cannot be read.
    pub unreadable: UnreadablePolicy,
    /// How often the server shows that it is alive.
    pub heartbeat: Duration,
    /// How to say where to go on.
    pub resume: Resume,
}

impl Following {
    /// The request that goes on from `token`, or begins, when so many records were printed.
    pub fn request(&self, token: &str, printed: u64) -> StreamRecordsRequest {
        let place = match token {
            "" => self.place.clone(),
            token => Place::Token(token.to_owned()),
        };
        let mut until = self.until;
        if until.record_count > 0 {
            until.record_count -= printed as i64;
        }
        StreamRecordsRequest {
            source: Some(Source::Start(place::start(self.shard.clone(), place))),
            until: Some(until),
            heartbeat_interval: prost_types::Duration::try_from(self.heartbeat).ok(),
            gap_policy: self.gaps.into(),
            unreadable_policy: self.unreadable.into(),
            ..Default::default()
        }
    }

    /// Whether no more records are wanted.
    pub fn is_reached(&self, printed: u64) -> bool {
        u64::try_from(self.until.record_count).is_ok_and(|count| count > 0 && printed >= count)
    }

    /// The end of the shard was looked for when this stream was opened. Should it break before its first token, the next one
    /// begins at that time, by the server's clock, and not at an end that is newer.
    pub fn anchor(&mut self, date: Option<&str>) {
        let Place::Position(position) = &self.place else { return };
        if position.iterator_type() != IteratorType::Latest {
            return;
        }
        let date = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        if let Some(time) = date.and_then(|date| Timestamp::new(date.timestamp().as_second(), 0)) {
            self.place = place::at_time(time.minus(LATEST_SLACK));
        }
    }
}
