//! `WatchShards`: streams the shards of a stream and how far each is read, with updates when that
//! changes. Reads no records itself.

mod rows;

use std::time::Duration;

use tokio::time::Instant;

use crate::audit::event::Subject;
use crate::encode::ReadLimit;
use crate::hub::Watching;
use crate::hub::discovery::{Catalog, ListingError, TableUpdate};
use crate::model::Now;
use crate::pb;

use super::super::context::Context;
use super::super::error::CallError;
use super::super::request;
use super::super::response_stream::StreamSource;
use super::super::response_stream::handover::Messages;
use super::super::response_stream::options::Options;
use super::super::response_stream::stream_end::StreamEnd;
use super::super::response_stream::stream_state::StreamState;
use super::super::wire;

/// `interval`: minimum, default, maximum.
const INTERVAL: (Duration, Duration, Duration) =
    (Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(60));

/// A watcher shares what was made for other watchers within the last `interval / FRESH`.
const FRESH: u32 = 4;

/// The most shards in one message.
const MOST_SHARDS: usize = 1_000;

/// Opens the requested watch. `by`: when its last message must be sent.
pub(super) async fn open(
    context: &Context,
    by: Option<Instant>,
    request: pb::WatchShardsRequest,
) -> Result<Messages<pb::WatchShardsResponse>, CallError> {
    context.admit()?;
    let interval = request::duration(request.interval.as_ref(), "interval")?;
    let interval = interval.map_or(INTERVAL.1, |asked| asked.clamp(INTERVAL.0, INTERVAL.2));
    let stream = request::stream(&request.stream)?;
    let permit = context.stream_permit("WatchShards")?;
    let stream = context.stream(&stream).await?;
    // Any age of the listing will do: discovery keeps it fresh.
    let discovery = context.hub.enter(&stream, Duration::MAX).await?;
    let watch = ShardWatch {
        watching: context.hub.watch(discovery),
        interval,
        due: Instant::now(),
        update: None,
    };
    let subject = Subject { stream: stream.arn().clone(), shard: None };
    let state = StreamState::new(context, Options::without_records(by), permit).of(subject);
    Ok(Messages::of(state, watch))
}

/// The shards of a stream, watched.
struct ShardWatch {
    watching: Watching,
    interval: Duration,
    /// When the next round is due.
    due: Instant,
    /// The newest update, if part of it is still unsent.
    update: Option<TableUpdate>,
}

impl StreamSource for ShardWatch {
    type Message = pb::WatchShardsResponse;
    type Event = ();

    fn unsent(&mut self, stream: &mut StreamState) -> Option<pb::WatchShardsResponse> {
        self.message(stream.context.now())
    }

    async fn wait(&mut self, _: ReadLimit) {
        tokio::time::sleep_until(self.due).await;
    }

    async fn handle(
        &mut self,
        (): (),
        stream: &mut StreamState,
    ) -> Option<pb::WatchShardsResponse> {
        if self.watching.discovery().read(Catalog::is_gone) {
            let gone = self.watching.discovery().stream().to_string();
            let refusal = CallError::Listing(ListingError::StreamNotFound(gone));
            return stream.end(StreamEnd::of(pb::EndReason::Unspecified, Some(refusal), ""));
        }
        self.due = Instant::now() + self.interval;
        self.update = self.watching.changes(self.interval / FRESH).await;
        None
    }

    fn heartbeat(&mut self, _: &mut StreamState) -> Option<pb::WatchShardsResponse> {
        None
    }

    fn end(&mut self, _: pb::End) -> Option<pb::WatchShardsResponse> {
        None
    }
}

impl ShardWatch {
    /// The message of the round's next part; `None` without a round.
    fn message(&mut self, Now { at, wall }: Now) -> Option<pb::WatchShardsResponse> {
        let discovery = self.watching.discovery();
        let stream = discovery.stream();
        let listed = discovery
            .read(Catalog::listed_at)
            .map(|listed| wall.minus(at.saturating_duration_since(listed)));
        let unreadable = discovery.read(Catalog::unreadable);
        let update = self.update.as_mut()?;
        let (shards, removed, complete) =
            update.part(MOST_SHARDS, |row| rows::wire(row, stream, wall));
        let message = pb::WatchShardsResponse {
            stream_arn: stream.to_string(),
            status: wire::stream_status(update.status()).into(),
            shards,
            removed_shard_ids: removed.iter().map(ToString::to_string).collect(),
            complete,
            listed_time: wire::optional_time(listed),
            shards_not_understood: wire::count(unreadable),
        };
        if complete {
            let version = update.version();
            self.update = None;
            self.watching.told(version);
        }
        Some(message)
    }
}
