//! What to follow: everything about it that outlives one response stream.

use std::time::Duration;

use tonic::Status;

use super::bookmark::Bookmark;
use crate::cli::line_style::LineStyle;
use crate::cli::resume::Resume;
use crate::cli::{start_position, status};
use crate::config::Template;
use crate::model::Timestamp;
use crate::pb::{
    GapPolicy, IteratorType, RecordOrder, ShardName, StreamRecordsRequest, SubscribeRequest,
    UnreadablePolicy, Until, shard_start::Start, stream_records_request::Source, subscribe_request,
};

/// How much earlier than its own `Date` an answer may have looked at the end of the shard.
const LATEST_SLACK: Duration = Duration::from_secs(3);

/// What to follow, and when to stop.
#[derive(Clone, Debug)]
pub struct Following {
    /// Whose records.
    pub followed: Followed,
    /// Where to begin.
    pub start: Start,
    /// When to stop; its `record_count` counts over all reconnects.
    pub until: Until,
    /// What to do at a gap.
    pub gaps: GapPolicy,
    /// What to do at a record that cannot be read.
    pub unreadable: UnreadablePolicy,
    /// How often the server shows that it is alive.
    pub heartbeat: Duration,
    /// How records look; `None`: as usual.
    pub template: Option<Template>,
    /// Whether to tell of shards that begin and end.
    pub verbose: bool,
    /// How to say where to go on.
    pub resume: Resume,
}

/// Whose records are followed.
#[derive(Clone, Debug)]
pub enum Followed {
    /// Those of one shard; `None`: the token names it.
    Shard(Option<ShardName>),
    /// Those of every shard.
    Stream {
        /// The stream, as requests name it.
        name: String,
        /// In which order.
        order: RecordOrder,
    },
}

impl Following {
    /// The request of one shard.
    pub fn stream_records(
        &self,
        shard: Option<ShardName>,
        bookmark: &Bookmark,
        printed: u64,
    ) -> StreamRecordsRequest {
        StreamRecordsRequest {
            source: Some(Source::Start(start_position::start(shard, self.start_after(bookmark)))),
            until: Some(self.until_after(printed)),
            heartbeat_interval: prost_types::Duration::try_from(self.heartbeat).ok(),
            gap_policy: self.gaps.into(),
            unreadable_policy: self.unreadable.into(),
            ..Default::default()
        }
    }

    /// The request of a whole stream.
    pub fn subscribe(
        &self,
        name: &str,
        order: RecordOrder,
        bookmark: &Bookmark,
        printed: u64,
    ) -> SubscribeRequest {
        let (start, shard_tokens) = match self.start_after(bookmark) {
            Start::Position(position) => (subscribe_request::Start::Position(position), Vec::new()),
            Start::Token(token) => {
                (subscribe_request::Start::Token(token), bookmark.shard_tokens())
            }
        };
        SubscribeRequest {
            stream: name.to_owned(),
            start: Some(start),
            shard_tokens,
            order: order.into(),
            until: Some(self.until_after(printed)),
            heartbeat_interval: prost_types::Duration::try_from(self.heartbeat).ok(),
            gap_policy: self.gaps.into(),
            unreadable_policy: self.unreadable.into(),
            ..Default::default()
        }
    }

    fn start_after(&self, bookmark: &Bookmark) -> Start {
        match bookmark.token() {
            "" => self.start.clone(),
            token => Start::Token(token.to_owned()),
        }
    }

    fn until_after(&self, printed: u64) -> Until {
        let mut until = self.until;
        if until.record_count > 0 {
            until.record_count -= printed as i64;
        }
        until
    }

    /// Whether no more records are wanted.
    pub fn is_reached(&self, printed: u64) -> bool {
        u64::try_from(self.until.record_count).is_ok_and(|count| count > 0 && printed >= count)
    }

    /// Whether a whole stream is followed.
    pub fn is_whole(&self) -> bool {
        matches!(self.followed, Followed::Stream { .. })
    }

    /// How records look.
    pub fn look(&self) -> LineStyle<'_> {
        match &self.template {
            Some(template) => LineStyle::Template(template),
            None if self.is_whole() => LineStyle::Tagged,
            None => LineStyle::Plain,
        }
    }

    /// A token does not show whose it is: where it is refused as a stream's, it is a shard's, and
    /// that is followed from then on. Answers whether it is so.
    pub fn turns_to_shard(&mut self, refusal: &Status) -> bool {
        let turns = self.is_whole()
            && matches!(self.start, Start::Token(_))
            && status::reason(refusal) == "TOKEN_WRONG_KIND";
        if turns {
            self.followed = Followed::Shard(None);
        }
        turns
    }

    /// The end was looked for when this stream was opened. Should it break before its first token,
    /// the next one begins at that time, by the server's clock, and not at an end that is newer.
    pub fn anchor(&mut self, date: Option<&str>) {
        let Start::Position(position) = &self.start else { return };
        if position.iterator_type() != IteratorType::Latest {
            return;
        }
        let date = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        if let Some(time) = date.and_then(|date| Timestamp::new(date.timestamp().as_second(), 0)) {
            self.start = start_position::at_time(time.minus(LATEST_SLACK));
        }
    }
}
