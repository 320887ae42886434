//! When things come: heartbeats, tokens, ends of shards.

use std::collections::HashMap;
use std::time::Duration;

use super::{Evidence, Violation};
use crate::sim::guarantees::Guarantee;
use crate::sim::history::subscribed::{Message, Point, Run, What};

/// Later than due by so much is still in time.
const SLACK: Duration = Duration::from_millis(1_500);

/// An end is told so soon after the last record.
const END: Duration = Duration::from_secs(2);

/// In a minute with so many bytes tokens are few.
const MUCH: usize = 32 << 20;

pub fn breaks(evidence: &Evidence, start: Point, run: &Run) -> Vec<Violation> {
    let mut found: Vec<Violation> =
        [share_of_tokens(run, start)].into_iter().filter_map(Result::err).collect();
    // When somebody takes a message says nothing of when it could be had, unless all are taken at
    // once.
    if !run.slow {
        let pace = [
            heartbeats(run, start),
            tokens_in_time(run, start),
            ends_in_time(evidence, run, start),
        ];
        found.extend(pace.into_iter().filter_map(Result::err));
    }
    found
}

fn heartbeats(run: &Run, start: Point) -> Result<(), Violation> {
    let Some(mut newest) = run.opened else { return Ok(()) };
    let interval = run.wish.heartbeat;
    let (opened, mut count, mut changes, mut last) = (newest, 0u32, 0u32, None);
    for (point, message) in run.points(start) {
        if message.at > newest + interval + SLACK {
            let what = format!("no heartbeat from {newest:?} to {:?}", message.at);
            return Err(Violation::new(Guarantee::Honest, point, what));
        }
        // Whatever comes shows by itself that the tip was left.
        if !matches!(message.what, What::Heartbeat { .. }) {
            last = None;
        }
        if let What::Heartbeat { at_tip, upstream_error, .. } = &message.what {
            newest = message.at;
            count += 1;
            changes += u32::from(
                last.replace((*at_tip, upstream_error)) != Some((*at_tip, upstream_error)),
            );
            let regular = (message.at - opened).as_secs_f64() / interval.as_secs_f64();
            if f64::from(count) > regular + f64::from(changes) + 2.0 {
                let what =
                    format!("{count} heartbeats in {:?}, {changes} changes", message.at - opened);
                return Err(Violation::new(Guarantee::Mannered, point, what));
            }
        }
    }
    Ok(())
}

/// No message comes without a token when the newest is older than was asked for.
fn tokens_in_time(run: &Run, start: Point) -> Result<(), Violation> {
    let Some(mut newest) = run.opened else { return Ok(()) };
    for (point, message) in run.points(start) {
        if !message.token.is_empty() {
            newest = message.at;
        } else if message.at > newest + run.wish.checkpoint
            && matches!(message.what, What::Records { .. })
        {
            let what = format!("no token, and the newest is of {newest:?}");
            return Err(Violation::new(Guarantee::Bookmarkable, point, what));
        }
    }
    Ok(())
}

/// Tokens that come sooner than they were asked for, though the message need not have one, are few.
fn share_of_tokens(run: &Run, start: Point) -> Result<(), Violation> {
    let (mut bytes, mut early, mut largest, mut newest) = (0, 0, 0, None::<Duration>);
    for (point, message) in run.points(start) {
        bytes += message.bytes;
        if message.token.is_empty() {
            continue;
        }
        largest = largest.max(message.token.len());
        let soon = newest.is_some_and(|newest| message.at < newest + run.wish.checkpoint);
        newest = Some(message.at);
        if soon && !message.what.must_bear_token() {
            early += message.token.len();
            if early > bytes / 20 + 2 * largest {
                let what = format!("{early} of {bytes} bytes are tokens that came too soon");
                return Err(Violation::new(Guarantee::Mannered, point, what));
            }
        }
    }
    in_any_minute(run, start)
}

fn in_any_minute(run: &Run, start: Point) -> Result<(), Violation> {
    let messages: &[Message] = &run.messages;
    let (mut first, mut bytes, mut tokens) = (0, 0, 0);
    for (number, message) in messages.iter().enumerate() {
        bytes += message.bytes;
        tokens += message.token.len();
        while messages[first].at + Duration::from_secs(60) < message.at {
            bytes -= messages[first].bytes;
            tokens -= messages[first].token.len();
            first += 1;
        }
        if bytes >= MUCH && tokens > bytes / 20 {
            let what = format!("{tokens} of {bytes} bytes of a minute are tokens");
            return Err(Violation::new(
                Guarantee::Mannered,
                Point { message: number, ..start },
                what,
            ));
        }
    }
    Ok(())
}

/// A shard's end comes soon after its last record, or after it was closed.
fn ends_in_time(evidence: &Evidence, run: &Run, start: Point) -> Result<(), Violation> {
    let reading = evidence.reading;
    if !reading.calm {
        return Ok(());
    }
    // By name; a run of two streams whose shards have the same names is judged by the later.
    let mut newest: HashMap<&str, Duration> = HashMap::new();
    for (point, message) in run.points(start) {
        match &message.what {
            What::Records { shard, .. } | What::Unreadable { shard, .. } => {
                newest.insert(shard, message.at);
            }
            What::ShardEnd { shard, .. } => {
                let named =
                    |known: &&crate::sim::fake::ShardTruth| known.name.shard.as_str() == shard;
                let closed = evidence
                    .truth
                    .shards
                    .iter()
                    .filter(named)
                    .filter_map(|shard| shard.closed)
                    .max();
                // Where nothing was left to give, how soon that is known depends on who else reads
                // the shard.
                let Some(last) = newest.get(shard.as_str()) else { continue };
                let last = (*last).max(closed.unwrap_or_default());
                let wait = if run.wish.by_time { run.wish.merge_wait } else { Duration::ZERO };
                let due = last + END + 2 * reading.idle + 4 * reading.latency + wait;
                if message.at > due {
                    let what = format!(
                        "the end of {shard} comes at {:?}, but was due by {due:?}",
                        message.at
                    );
                    return Err(Violation::new(Guarantee::Honest, point, what));
                }
            }
            _ => {}
        }
    }
    Ok(())
}
