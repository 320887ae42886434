//! The discovery task: one per followed stream keeps the stream's shards fresh for all followers
//! and does what its [`super::catalog::Catalog`] decides.

use std::sync::Arc;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::Instant;
use tracing::{Instrument as _, info_span};

use crate::clock::sleep_until;
use crate::model::ShardId;
use crate::supervised::restarted;
use crate::upstream::Operation;

use super::super::registry::Followed as _;
use super::super::stream_names::ResolvedStream;
use super::super::supervise::caught;
use super::catalog::Act;
use super::discoveries::Discoveries;
use super::stream_discovery::{Discovery, DiscoveryResponse, StreamDiscovery};

/// Follows the shards of a stream. Starts the stream's discovery if none runs.
pub(in crate::hub) fn follow(all: &Arc<Discoveries>, stream: &ResolvedStream) -> Discovery {
    let (follower, new) = all.follow(stream);
    if let Some(new) = new {
        let span = info_span!(parent: None, "stream_discovery", stream = %stream);
        all.dependencies.tasks.spawn(supervised(new, all.clone()).instrument(span));
    }
    follower
}

/// Runs [`run`], restarting it after a panic.
async fn supervised(discovery: Arc<StreamDiscovery>, all: Arc<Discoveries>) {
    let shared = &all.dependencies;
    let task = || run(discovery.clone(), all.clone());
    restarted(&shared.metrics, task, || discovery.restart(shared)).await;
}

/// Keeps a stream's catalog fresh until it has had no follower for the idle timeout, or until the
/// process stops.
async fn run(discovery: Arc<StreamDiscovery>, all: Arc<Discoveries>) {
    let shared = &all.dependencies;
    // At most one listing and a few child lookups.
    let mut calls = FuturesUnordered::new();
    let mut alone_since = None;
    loop {
        let retire_at = match discovery.is_followed() {
            false => Some(
                *alone_since.get_or_insert_with(Instant::now) + shared.limits.reader_idle_timeout,
            ),
            true => {
                alone_since = None;
                None
            }
        };
        if retire_at.is_some_and(|at| at <= Instant::now()) && all.retire(&discovery) {
            return;
        }
        let act = match retire_at {
            // Without followers nothing is requested; the catalog is only kept for a while.
            Some(_) => Act::Wait(None),
            None => discovery.catalog().next(Instant::now().into_std()),
        };
        let until = match act {
            Act::List => {
                calls.push(futures::future::Either::Left(list(&discovery, &all)));
                continue;
            }
            Act::Children(shard) => {
                calls.push(futures::future::Either::Right(ask_children(&discovery, &all, shard)));
                continue;
            }
            Act::Wait(until) => until.map(Instant::from_std),
        };
        let wake_at = [until, retire_at].into_iter().flatten().min();
        // All four are cancel-safe: a token, a set that keeps its futures, a Notify that keeps its
        // permit, a timer.
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            Some(answer) = calls.next(), if !calls.is_empty() => discovery.apply(answer, shared.clock.now()),
            () = discovery.work() => {}
            () = sleep_until(wake_at) => {}
        }
    }
}

async fn list(discovery: &StreamDiscovery, all: &Discoveries) -> DiscoveryResponse {
    let first = discovery.catalog().description().is_none();
    let call = all.listings.list(discovery.stream(), first);
    DiscoveryResponse::Listed(
        caught(Operation::DescribeStream, &all.dependencies.metrics, call).await,
    )
}

async fn ask_children(
    discovery: &StreamDiscovery,
    all: &Discoveries,
    shard: ShardId,
) -> DiscoveryResponse {
    let call = all.listings.child_rows(discovery.stream(), &shard);
    let rows = caught(Operation::DescribeStream, &all.dependencies.metrics, call).await;
    DiscoveryResponse::Looked(shard, rows)
}
