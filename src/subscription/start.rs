//! How a subscription begins: the stream is resolved, listed and entered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::time::Instant;

use crate::hub::discovery::{CHILDREN_SETTLE, Discovery, LISTING_AGE, ListingError};
use crate::hub::shard::denial::APART;
use crate::hub::{AnchorError, Hub, ReadPosition, ResolvedStream, ShardKey, TooManyShards};
use crate::model::{Checkpoint, Position, SequenceNumber, Shard, ShardId, StreamArn, Timestamp};
use crate::token::ShardToken;
use crate::token::stream::StreamToken;

use super::follow::Follow;
use super::frontier::FrontierStart;
use super::replaced_stream::ReplacedStream;

/// How many shards' LATEST positions are requested at one time.
const ANCHORS: usize = 64;

/// Where in a stream a client wants to begin.
#[derive(Clone, Debug)]
pub(crate) enum SubscribeStart {
    /// At a position.
    Position {
        /// The position.
        position: StreamPosition,
        /// The stream was named by its table: later streams of the table follow.
        by_table: bool,
    },
    /// At a token's positions.
    Token(Box<StreamToken>),
}

/// A position in a whole stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamPosition {
    /// From the oldest record that is kept.
    Horizon,
    /// Everything from now on.
    Latest,
    /// Everything created then or later.
    Since(Timestamp),
}

/// Why a subscription could not begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BeginError {
    /// The stream cannot be resolved or listed.
    Listing(ListingError),
    /// The LATEST position of some shard could not be found.
    Anchor(AnchorError),
    /// Reading one more shard would exceed the limit.
    TooManyShards(TooManyShards),
}

/// Begins a subscription to `stream`, which a token must be of. With LATEST, nothing written after the return is missed. `merge_wait`: if
/// set, records come in one order by time, and this is the longest that the merge waits for a
/// shard.
///
/// Cancel-safe: a dropped call leaves nothing behind.
pub(crate) async fn begin(
    hub: &Hub,
    stream: ResolvedStream,
    start: SubscribeStart,
    merge_wait: Option<Duration>,
) -> Result<Follow, BeginError> {
    match start {
        SubscribeStart::Position { position, by_table } => {
            let discovery = hub.enter(&stream, LISTING_AGE).await.map_err(BeginError::Listing)?;
            let listed = hub.clock().now().wall;
            let entry = match position {
                StreamPosition::Horizon => FrontierStart::Horizon,
                StreamPosition::Since(time) => FrontierStart::Since(time),
                StreamPosition::Latest => {
                    let (known, open) = known_and_open(&discovery);
                    FrontierStart::Latest(anchors(hub, open).await?, known)
                }
            };
            Ok(Follow::new(hub.clone(), discovery, by_table, entry, Some(listed))
                .merged(merge_wait))
        }
        SubscribeStart::Token(token) => {
            resume(hub, &stream, *token, merge_wait).await.map_err(BeginError::Listing)
        }
    }
}

/// A stream token updated with newer tokens of its shards: of each shard the furthest position is
/// kept. Tokens of a later stream of the same table mean that this stream was delivered to its end.
pub(crate) fn with_newer(mut token: StreamToken, newer: Vec<ShardToken>) -> StreamToken {
    let age = |stream: &StreamArn| (stream.created(), stream.label().to_owned());
    let newest = newer.iter().map(|newer| &newer.stream).max_by_key(|stream| age(stream)).cloned();
    if let Some(later) = newest.filter(|newest| age(newest) > age(&token.stream)) {
        (token.stream, token.ended) = (later, false);
        token.begun.clear();
        token.finished.clear();
    }
    for ShardToken { stream, shard, checkpoint } in newer {
        if stream != token.stream {
            continue;
        }
        if token.finished.contains_key(&shard) {
            continue;
        }
        let held = token.begun.entry(shard).or_insert(checkpoint);
        // A position without a number lies after a reported loss if its time is no earlier than
        // that of the numbered position it is compared with.
        let behind_loss = reach(&checkpoint).0.is_none()
            && reach(held).0.is_some()
            && checkpoint.time >= held.time;
        if behind_loss || reach(held) < reach(&checkpoint) {
            *held = checkpoint;
        }
    }
    token
}

/// How far a position reaches, to be compared within one shard.
fn reach(checkpoint: &Checkpoint) -> (Option<SequenceNumber>, bool, u16, Option<Timestamp>) {
    let (number, behind) = match checkpoint.position {
        Position::TrimHorizon | Position::AtTimestamp(_) => (None, false),
        Position::AtSequenceNumber(number) => (Some(number), false),
        Position::AfterSequenceNumber(number) => (Some(number), true),
    };
    (number, behind, checkpoint.skip, checkpoint.time)
}

/// Enters a token's stream. A listing that may be older than a shard of the token is requested
/// anew: the shard's parent shows what was read before it and must not be read again.
async fn enter_for(
    hub: &Hub,
    stream: &ResolvedStream,
    token: &StreamToken,
) -> Result<Discovery, ListingError> {
    let discovery = hub.enter(stream, LISTING_AGE).await?;
    let now = hub.clock().now();
    let lacks = discovery.read(|catalog| {
        let age = |at: std::time::Instant| now.at.saturating_duration_since(at);
        // A shard's creation time is by AWS's clock.
        let listed = catalog.listed_at().map(|at| hub.upstream_time(now.wall).minus(age(at)));
        let since = listed.map(|listed| listed.minus(CHILDREN_SETTLE));
        let shards = token.begun.keys().chain(token.finished.keys());
        let mut unknown = shards.filter(|shard| catalog.graph().get(shard).is_none());
        unknown.any(|shard| shard.created().is_none_or(|created| Some(created) >= since))
    });
    if lacks {
        discovery.ready(Instant::now()).await?;
    }
    Ok(discovery)
}

async fn resume(
    hub: &Hub,
    stream: &ResolvedStream,
    token: StreamToken,
    merge_wait: Option<Duration>,
) -> Result<Follow, ListingError> {
    let by_table = token.by_table;
    let mut entered = enter_for(hub, stream, &token).await;
    if by_table && matches!(entered, Err(ListingError::StreamNotFound(_))) {
        // One such response is no reason to give up the records that the stream still keeps.
        tokio::time::sleep(APART).await;
        entered = enter_for(hub, stream, &token).await;
    }
    match entered {
        Ok(discovery) => {
            let ended = token.ended && by_table;
            let entry = FrontierStart::Token(Box::new(token));
            let follow =
                Follow::new(hub.clone(), discovery, by_table, entry, None).merged(merge_wait);
            return Ok(if ended { follow.ended() } else { follow });
        }
        Err(ListingError::StreamNotFound(_)) if by_table => {}
        Err(error) => return Err(error),
    }
    let next = hub.listings().next_stream(stream).await?;
    let Some(next) = next else {
        return Err(ListingError::StreamNotFound(stream.to_string()));
    };
    let discovery = hub.enter(&next, LISTING_AGE).await?;
    let follow = Follow::new(hub.clone(), discovery, by_table, FrontierStart::Horizon, token.asked)
        .merged(merge_wait);
    let replaced = (!token.ended).then(|| ReplacedStream::new(token, hub.clock().now().wall));
    Ok(follow.replaces(replaced))
}

/// All shards known now, and those of them that may be open, each with whether it is listed as
/// closed. Some upstreams list an ending number for open shards, so a shard without children is
/// asked too.
fn known_and_open(discovery: &Discovery) -> (BTreeSet<ShardId>, Vec<(ShardKey, bool)>) {
    discovery.read(|catalog| {
        let known = catalog.graph().shards().map(|shard| shard.id.clone()).collect();
        let is_leaf = |shard: &Shard| catalog.graph().children(&shard.id).next().is_none();
        let open = catalog.graph().shards().filter(|shard| !shard.is_closed() || is_leaf(shard));
        let key = |id: &ShardId| discovery.resolved().shard(id.clone());
        (known, open.map(|shard| (key(&shard.id), shard.is_closed())).collect())
    })
}

/// The LATEST position of each shard. A shard that is listed as closed and that AWS does not return
/// has nothing more to come.
async fn anchors(
    hub: &Hub,
    open: Vec<(ShardKey, bool)>,
) -> Result<BTreeMap<ShardId, ReadPosition>, BeginError> {
    let now = hub.clock().now();
    let anchored = open.into_iter().map(async |(key, closed)| {
        let mut cursor = hub
            .cursor(&key, ReadPosition::asked(Position::TrimHorizon, None, now))
            .map_err(BeginError::TooManyShards)?;
        let there = cursor.anchor().await.map_err(BeginError::Anchor)?;
        Ok((there || !closed).then(|| (key.shard().clone(), cursor.position.clone())))
    });
    let anchored = stream::iter(anchored).buffer_unordered(ANCHORS);
    anchored.try_filter_map(async |anchored| Ok(anchored)).try_collect().await
}
