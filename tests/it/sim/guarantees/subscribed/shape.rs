//! What one run shows by itself: tokens where they are due, limits, policies, ends.

use super::{Evidence, Violation};
use crate::sim::fake::EntryId;
use crate::sim::guarantees::Guarantee;
use crate::sim::history::EndReason;
use crate::sim::history::subscribed::{Fate, Message, Point, Run, What};

/// What a message may hold beside its records and its tokens.
const TAIL: usize = 1 << 10;

pub fn breaks(evidence: &Evidence, start: Point, run: &Run) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut say =
        |guarantee, point, what: String| found.push(Violation::new(guarantee, point, what));
    // What ScyllaDB's names have in common is not left out.
    let is_scylla = evidence.truth.streams.iter().any(|stream| stream.arn.is_alternators());
    let token = if is_scylla { 400 } else { 200 };
    for (point, message) in run.points(start) {
        if let Err((guarantee, what)) = message_alone(run, message, token) {
            say(guarantee, point, what);
        }
    }
    let last = Point { message: run.messages.len().saturating_sub(1), ..start };
    if let Err((guarantee, what)) = ending(evidence, run) {
        say(guarantee, last, what);
    }
    if let Err((guarantee, point, what)) = policies(run, start) {
        say(guarantee, point, what);
    }
    if let Err((guarantee, point, what)) = until(evidence, run, start) {
        say(guarantee, point, what);
    }
    found
}

type Broken = (Guarantee, String);

fn message_alone(run: &Run, message: &Message, longest: usize) -> Result<(), Broken> {
    let what = &message.what;
    if what.must_bear_token() && message.token.is_empty() {
        return Err((Guarantee::Bookmarkable, format!("no token with {what:?}")));
    }
    if what.must_bear_shard_token() && message.shard_token.is_empty() {
        return Err((Guarantee::Bookmarkable, format!("no shard token with {what:?}")));
    }
    if message.shard_token.len() > longest {
        return Err((
            Guarantee::Bounded,
            format!("a shard token of {} bytes", message.shard_token.len()),
        ));
    }
    if let What::Heartbeat { at_tip: true, lag, .. } = what
        && lag.is_none_or(|lag| !lag.is_zero())
    {
        return Err((Guarantee::Honest, format!("at the tip with a lag of {lag:?}")));
    }
    let What::Records { records, .. } = what else { return Ok(()) };
    let most = run.wish.bytes + TAIL + message.token.len() + message.shard_token.len();
    if records.is_empty() || records.len() > run.wish.records {
        let (count, most) = (records.len(), run.wish.records);
        return Err((Guarantee::Bounded, format!("{count} records where {most} were asked for")));
    }
    if records.len() > 1 && message.bytes > most {
        return Err((
            Guarantee::Bounded,
            format!("{} bytes where {most} were asked for", message.bytes),
        ));
    }
    Ok(())
}

/// `end` is last, its status as the contract says; what is refused is refused for a reason.
fn ending(evidence: &Evidence, run: &Run) -> Result<(), Broken> {
    let end = |message: &Message| match message.what {
        What::End { reason } => Some(reason),
        _ => None,
    };
    if let Some(early) = run.messages.iter().rev().skip(1).find_map(end) {
        return Err((Guarantee::Honest, format!("messages after the end {early:?}")));
    }
    let reason = run.messages.last().and_then(end);
    match (&run.fate, reason) {
        (Fate::Left, _) => {}
        (Fate::Closed(code), Some(reason)) if code == reason.code() => {}
        (Fate::Closed(code), reason) => {
            return Err((Guarantee::Honest, format!("{code} after {reason:?}")));
        }
        (Fate::Failed { code, reason }, _) => {
            let calm = evidence.reading.calm;
            let upstream = reason.starts_with("UPSTREAM_") && !calm;
            let gone = reason == "STREAM_NOT_FOUND"
                && evidence.truth.streams.iter().any(|stream| stream.deleted.is_some());
            if run.opened.is_some() || !(upstream || gone || reason == "STREAM_NOT_READY") {
                return Err((Guarantee::Honest, format!("it fails with {code} {reason}")));
            }
        }
    }
    let has = |told: fn(&What) -> bool| run.messages.iter().any(|message| told(&message.what));
    let wrong = match reason {
        Some(EndReason::Gap) => run.wish.pass_gaps || !has(|what| matches!(what, What::Gap(_))),
        Some(EndReason::Unreadable) => run.wish.skip_unreadable || !has(|what| matches!(what, What::Unreadable { .. })),
        Some(EndReason::Upstream) => evidence.reading.calm,
        Some(EndReason::StreamEnd) => run.wish.by_name(),
        Some(EndReason::ShardEnd | EndReason::Superseded | EndReason::LeaseClosed) => true,
        // No client of a schedule has a deadline.
        Some(EndReason::Deadline) => true,
        Some(
            EndReason::Limit
            | EndReason::Draining
            | EndReason::MaxAge
            | EndReason::CatchUpLimit
            | EndReason::ShardLimit
            // Where reading stood says whether it is right.
            | EndReason::Refused,
        )
        | None => false,
    };
    if wrong {
        Err((Guarantee::Honest, format!("it should not end with {reason:?}")))
    } else {
        Ok(())
    }
}

/// With FAIL no record comes between the first gap and the end; an unreadable record is the last
/// but one.
fn policies(run: &Run, start: Point) -> Result<(), (Guarantee, Point, String)> {
    let mut failing: Option<EndReason> = None;
    for (point, message) in run.points(start) {
        match (&message.what, failing) {
            (What::End { reason }, Some(failing)) if *reason != failing => {
                return Err((
                    Guarantee::Honest,
                    point,
                    format!("{reason:?}, where {failing:?} was due"),
                ));
            }
            (What::End { .. }, _) => {}
            // Gaps of other shards, and what belongs to them.
            (
                What::Gap(_)
                | What::ShardOpen { .. }
                | What::ShardEnd { .. }
                | What::Heartbeat { .. },
                Some(EndReason::Gap),
            ) => {}
            (what, Some(failing)) => {
                return Err((
                    Guarantee::Honest,
                    point,
                    format!("{what:?}, where {failing:?} was due"),
                ));
            }
            (What::Gap(_), None) if !run.wish.pass_gaps => failing = Some(EndReason::Gap),
            (What::Unreadable { .. }, None) if !run.wish.skip_unreadable => {
                failing = Some(EndReason::Unreadable)
            }
            _ => {}
        }
    }
    Ok(())
}

/// Not a record too many, and the end at once.
fn until(evidence: &Evidence, run: &Run, start: Point) -> Result<(), (Guarantee, Point, String)> {
    let until = run.wish.until;
    let mut sent = 0;
    for (point, message) in run.points(start) {
        let met = until.records.is_some_and(|limit| sent >= limit);
        if met && !matches!(message.what, What::End { reason: EndReason::Limit | EndReason::Gap }) {
            return Err((
                Guarantee::Reliable,
                point,
                format!("{sent} records were the limit, then {:?}", message.what),
            ));
        }
        let What::Records { records, .. } = &message.what else { continue };
        sent += records.len();
        if let Some(limit) = until.records.filter(|limit| sent > *limit) {
            return Err((
                Guarantee::Reliable,
                point,
                format!("{sent} records where {limit} were the limit"),
            ));
        }
        let created = |id: EntryId| {
            let shard = evidence.truth.shards.get(id.shard as usize)?;
            shard.entries.get(id.index as usize).and_then(|entry| entry.stamp)
        };
        let late = |id: EntryId| {
            until.time.zip(created(id)).is_some_and(|(time, created)| created >= time.floor())
        };
        if let Some(record) = records.iter().find(|record| late(record.id)) {
            return Err((
                Guarantee::Reliable,
                point,
                format!("{:?} is newer than the limit", record.id),
            ));
        }
    }
    Ok(())
}
