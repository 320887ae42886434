//! What to follow: the part of `tail` that outlives one response stream.

use std::time::Duration;

use tonic::Status;

use super::bookmark::Bookmark;
use crate::cli::line_style::LineStyle;
use crate::cli::resume::Resume;
use crate::cli::{grpc_status, start_position};
use crate::config::Template;
use crate::model::Timestamp;
use crate::pb::{
    GapPolicy, IteratorType, RecordOrder, ShardName, StreamRecordsRequest, SubscribeRequest,
    UnreadablePolicy, Until, shard_start::Start, stream_records_request::Source, subscribe_request,
};

/// How long before the `Date` of its response the server may have read the shard's end (LATEST).
const LATEST_SLACK: Duration = Duration::from_secs(3);

/// What to follow, from where, and when to stop.
#[derive(Clone, Debug)]
pub(super) struct Following {
    /// The shard or stream to follow.
    pub followed: Followed,
    /// Where to start.
    pub start: Start,
    /// When to stop; its `record_count` counts across all reconnects.
    pub until: Until,
    /// What to do at a gap.
    pub gaps: GapPolicy,
    /// What to do at a record that cannot be read.
    pub unreadable: UnreadablePolicy,
    /// The heartbeat interval.
    pub heartbeat: Duration,
    /// The template of a record's line; `None`: the usual line.
    pub template: Option<Template>,
    /// Whether to print when shards begin and end.
    pub verbose: bool,
    /// The command line that resumes.
    pub resume: Resume,
}

/// A shard or a stream.
#[derive(Clone, Debug)]
pub(super) enum Followed {
    /// One shard; `None`: the token names it.
    Shard(Option<ShardName>),
    /// Every shard of a stream.
    Stream {
        /// The stream, as requests name it.
        name: String,
        /// The order of the records of different shards.
        order: RecordOrder,
    },
}

impl Following {
    /// The request for one shard.
    pub(super) fn stream_records(
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

    /// The request for a whole stream.
    pub(super) fn subscribe(
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

    /// Whether the limit is reached after `printed` records.
    pub(super) fn is_reached(&self, printed: u64) -> bool {
        u64::try_from(self.until.record_count).is_ok_and(|count| count > 0 && printed >= count)
    }

    /// Whether this follows a whole stream.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.followed, Followed::Stream { .. })
    }

    /// The layout of a record's line.
    pub(super) fn look(&self) -> LineStyle<'_> {
        match &self.template {
            Some(template) => LineStyle::Template(template),
            None if self.is_whole() => LineStyle::Tagged,
            None => LineStyle::Plain,
        }
    }

    /// A token does not show whether it is a stream's or a shard's. If the server refused it as a
    /// stream's, follows its shard from now on. Returns whether that is the case.
    pub(super) fn turns_to_shard(&mut self, refusal: &Status) -> bool {
        let turns = self.is_whole()
            && matches!(self.start, Start::Token(_))
            && grpc_status::reason(refusal) == "TOKEN_WRONG_KIND";
        if turns {
            self.followed = Followed::Shard(None);
        }
        turns
    }

    /// LATEST was resolved when this response stream was opened, at `date` by the server's clock.
    /// If the stream breaks before its first token, the next one starts at that time and not at a
    /// newer end.
    pub(super) fn anchor(&mut self, date: Option<&str>) {
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
