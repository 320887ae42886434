//! The task of a shard: it owns all of the shard's iterators and its call budget, and carries out
//! what [`super::super::shard::schedule`] decides.

use std::sync::Arc;

use futures::future::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::Instant;
use tracing::{Instrument as _, info_span};

use crate::clock::sleep_until;
use crate::encode::encode;
use crate::supervised::restarted;
use crate::upstream::{ErrorClass, IteratorStart, Operation, UpstreamError};

use super::super::dependencies::Dependencies;
use super::super::registry::Followed as _;
use super::super::shard::denial::Listed;
use super::super::shard::schedule::{Action, ReadPage};
use super::super::stream_names::ShardKey;
use super::super::supervise::caught;
use super::super::timed_call::timed;
use super::eviction::{LONG_ON_THEIR_WAY, reserve, settle};
use super::readers::{Readers, TooManyShards};
use super::shard_reader::{ReaderHandle, ReaderResponse, ShardReader};

/// Follows a shard. Starts its reader if it has none.
pub(in crate::hub) fn follow(
    readers: &Arc<Readers>,
    key: &ShardKey,
) -> Result<ReaderHandle, TooManyShards> {
    let (follower, new) = readers.follow(key)?;
    if let Some(new) = new {
        let ShardKey { stream, shard } = key;
        let span = info_span!(parent: None, "shard_reader", %stream, %shard);
        let task = supervised(new, readers.clone());
        readers.dependencies.tasks.spawn(task.instrument(span));
    }
    Ok(follower)
}

/// Runs [`run`], restarting it after a panic.
async fn supervised(reader: Arc<ShardReader>, readers: Arc<Readers>) {
    let shared = &readers.dependencies;
    let task = || run(reader.clone(), readers.clone());
    restarted(&shared.metrics, task, || reader.restart(shared.clock.now())).await;
}

/// Reads the shard until it has had no follower for the idle timeout, or until the process stops.
async fn run(reader: Arc<ShardReader>, readers: Arc<Readers>) {
    let shared = &readers.dependencies;
    let _counted = shared.metrics.shard_reader();
    let mut lanes = shared.metrics.lanes();
    let mut lag = shared.metrics.lag(&reader.key().stream);
    // At most the shard's calls in flight, and one listing.
    let mut calls = FuturesUnordered::new();
    let mut alone_since = None;
    loop {
        let now = shared.clock.now();
        let (action, idle) = {
            let mut state = reader.state();
            let action = state.next(now);
            lanes.set(state.lane_count());
            (action, state.is_idle())
        };
        let until = match action {
            Action::Open { lane, start } => {
                calls.push(open(&reader, shared, lane, start).left_future());
                continue;
            }
            Action::Read(page) => {
                calls.push(read(&reader, &readers, page).left_future().right_future());
                continue;
            }
            Action::List => {
                calls.push(list(reader.key(), &readers).right_future().right_future());
                continue;
            }
            Action::Wait(until) => until.map(Instant::from_std),
        };
        let retire_at = match idle && !reader.is_followed() {
            true => Some(
                *alone_since.get_or_insert_with(Instant::now) + shared.limits.reader_idle_timeout,
            ),
            false => {
                alone_since = None;
                None
            }
        };
        if retire_at.is_some_and(|at| at <= Instant::now()) && readers.retire(&reader) {
            return;
        }
        // What keeps an unfollowed reader busy ends without waking this task, so check again later.
        let look_again = (!idle && !reader.is_followed())
            .then(|| Instant::now() + shared.limits.reader_idle_timeout);
        let wake_at = [until, retire_at, look_again].into_iter().flatten().min();
        // All four are cancel-safe: a token, a set that keeps its futures, a Notify that keeps its
        // permit, a timer.
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            Some(answer) = calls.next(), if !calls.is_empty() => {
                let now = shared.clock.now();
                shared.clocks.heard(answer.date(), now.wall);
                reader.apply(answer, now);
                reader.state().lag(now).into_iter().for_each(|behind| lag.set(behind));
            }
            () = reader.work() => {}
            () = sleep_until(wake_at) => {}
        }
    }
}

async fn open(
    reader: &ShardReader,
    shared: &Dependencies,
    lane: u64,
    start: IteratorStart,
) -> ReaderResponse {
    let _turn = reader.turn(shared).await;
    let (asked, key) = (reader.begin(), reader.key());
    // Built inside `caught`, so that a panic counts as a failed call.
    let call = async { shared.upstream.shard_iterator(&key.stream, &key.shard, start).await };
    let call = caught(Operation::GetShardIterator, &shared.metrics, call);
    let result = timed(Operation::GetShardIterator, &shared.metrics, call).await;
    ReaderResponse::Opened { lane, asked, result }
}

/// Whether the stream still lists the shard.
async fn list(key: &ShardKey, readers: &Readers) -> ReaderResponse {
    let discoveries = &readers.discoveries;
    let begun = Instant::now();
    let call = async {
        // Many shards may be in doubt at once. A recent listing without the shard proves its
        // absence even if a little old; one with the shard may be from before the doubt, so a new
        // one is made.
        match discoveries.listings.lately_without(&key.stream, &key.shard) {
            Some(listing) => Ok(listing),
            None => discoveries.listings.list(&key.stream, false).await,
        }
    };
    let (begun, listed) =
        match caught(Operation::DescribeStream, &readers.dependencies.metrics, call).await {
            Ok(listing) => {
                discoveries.hear(&key.stream, true, listing.begun);
                let listed = match listing.find(&key.shard) {
                    Some(shard) => Listed::Still(shard.clone()),
                    None if listing.unreadable > 0 => Listed::Unknown,
                    None => Listed::No,
                };
                (listing.begun, listed)
            }
            Err(error) if error.class == ErrorClass::NotFound => {
                discoveries.hear(&key.stream, false, begun);
                (begun, Listed::No)
            }
            Err(_) => (begun, Listed::Unknown),
        };
    ReaderResponse::Listed { begun, listed }
}

async fn read(reader: &ShardReader, readers: &Readers, page: ReadPage) -> ReaderResponse {
    let shared = &readers.dependencies;
    let turn = reader.turn(shared).await;
    let most = shared.limits.page_bytes;
    let mut reserved = reserve(readers, page.expected.min(most)).await;
    let asked = reader.begin();
    // Only encoding shows that a response is not a valid page, which counts as a failed call.
    let call = async {
        let fetched = shared.upstream.records(&page.iterator, page.limit).await?;
        let mut shapes = reader.shapes().known();
        let read = encode(fetched, page.cut, most, Some(&mut shapes));
        reader.shapes().keep(shapes);
        read.map_err(|what| UpstreamError::nonsense(Operation::GetRecords, what))
    };
    let call = caught(Operation::GetRecords, &shared.metrics, call);
    let call = timed(Operation::GetRecords, &shared.metrics, call);
    tokio::pin!(call);
    let result = match tokio::time::timeout(LONG_ON_THEIR_WAY, &mut call).await {
        Ok(result) => result,
        Err(_) => {
            // A call that hangs must not keep memory from other calls; if its page still comes, its
            // bytes are taken then.
            reserved.give_back();
            call.await
        }
    };
    drop(turn);
    let result = match result {
        Ok(mut read) => {
            tracing::trace!(records = read.entries, known = read.known, "a page was encoded");
            if read.reread > 0 {
                tracing::debug!(
                    records = read.reread,
                    "records were not in AWS's usual form and were read the slow way"
                );
            }
            if read.misplaced > 0 {
                let records = read.misplaced;
                tracing::warn!(
                    records,
                    "the upstream sent records out of order; dropped as already seen"
                );
            }
            settle(readers, &mut reserved, read.batch.cost()).await;
            read.batch.hold(reserved);
            read.batch.lend_from(shared.held.clone());
            Ok(Box::new(read))
        }
        Err(error) => Err(error),
    };
    ReaderResponse::Read { lane: page.lane, asked, result }
}
