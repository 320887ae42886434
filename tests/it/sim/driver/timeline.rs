//! A scenario as one list in the order of time: for whoever looks for a bug.

use std::time::Duration;

use crate::sim::fake::ShardRef;
use crate::sim::guarantees::Evidence;
use crate::sim::history::subscribed::{Message, What as Said};
use crate::sim::history::{Batch, Opened, SeenEntry, What};

/// Every upstream call, everything written, and everything seen.
pub fn timeline(evidence: &Evidence) -> String {
    let mut lines: Vec<(Duration, String)> = Vec::new();
    let truth = &evidence.truth;
    let ordinal = |name: &ShardRef| truth.shards.iter().position(|shard| shard.name == *name);
    for call in &truth.calls {
        let shard = call
            .shard
            .as_ref()
            .and_then(ordinal)
            .map_or(String::new(), |shard| format!("shard {shard}"));
        let ended = call.ended.map_or("never".into(), |ended| format!("{ended:?}"));
        let (name, asked) = (call.operation.name(), &call.asked);
        lines.push((
            call.started,
            format!("upstream {name} {shard} {asked:?} -> {ended} {:?}", call.outcome),
        ));
    }
    for stream in &truth.streams {
        lines.push((stream.made, format!("stream {} made", stream.arn)));
        lines.extend(stream.disabled.map(|at| (at, format!("stream {} disabled", stream.arn))));
        lines.extend(stream.deleted.map(|at| (at, format!("stream {} deleted", stream.arn))));
    }
    for (number, shard) in truth.shards.iter().enumerate() {
        let in_stream = |parent| ShardRef { stream: shard.name.stream.clone(), shard: parent };
        let parent = shard.parent.clone().and_then(|parent| ordinal(&in_stream(parent)));
        lines.push((
            shard.listed_from,
            format!("shard {number} {} listed, parent {parent:?}", shard.name.shard),
        ));
        for written in shard.entries.chunk_by(|a, b| a.written == b.written) {
            let (first, last) = (written[0].id.index, written[written.len() - 1].id.index);
            lines.push((written[0].written, format!("written shard {number} {first}..={last}")));
        }
        lines.extend(
            shard.closed.map(|closed| {
                (closed, format!("closed shard {number} at {}", shard.entries.len()))
            }),
        );
        lines.extend(shard.unlisted.map(|at| (at, format!("unlisted shard {number}"))));
        for trimmed in shard.entries.chunk_by(|a, b| a.trimmed == b.trimmed) {
            let (first, last) = (trimmed[0].id.index, trimmed[trimmed.len() - 1].id.index);
            lines.extend(
                trimmed[0]
                    .trimmed
                    .map(|at| (at, format!("trimmed shard {number} {first}..={last}"))),
            );
        }
    }
    for (point, seen) in evidence.history.items() {
        let name = &evidence.history.clients[point.client].name;
        let opened = |opened: &Opened| ordinal(&opened.shard);
        let text = format!(
            "seen {}#{} ({name}) run {} {}",
            point.client,
            point.item,
            seen.run,
            brief(&seen.what, opened)
        );
        lines.push((seen.at, text));
    }
    for (start, run) in evidence.history.runs() {
        let name = format!("seen c{} r{}", start.client, start.run);
        lines.push((run.asked, format!("{name} asks {:?} {:?}", run.origin, run.wish)));
        lines.extend(run.opened.map(|at| (at, format!("{name} opened"))));
        for (point, seen) in run.points(start) {
            lines.push((seen.at, format!("{name} #{} {}", point.message, message(seen))));
        }
        let last = run.messages.last().map_or(run.asked, |message| message.at);
        lines.push((last, format!("{name} fate {:?}", run.fate)));
    }
    lines.sort_by_key(|(at, _)| *at);
    lines.into_iter().map(|(at, text)| format!("{at:>12.3?} {text}\n")).collect()
}

fn brief(what: &What, ordinal: impl Fn(&Opened) -> Option<usize>) -> String {
    match what {
        What::Opened(opened) => {
            let Opened { via, origin, asked, .. } = opened;
            format!(
                "Opened by {via:?} shard {:?} at {origin:?}, asked at {asked:?}",
                ordinal(opened)
            )
        }
        What::Records(batch) => format!("Records {}", range(batch)),
        What::LostAnswer(batch) => format!("LostAnswer {}", range(batch)),
        What::Repeat { of, batch } => format!("Repeat of #{} {}", of.item, range(batch)),
        What::Heartbeat { at_tip, observed, token } => {
            format!("Heartbeat at_tip={at_tip} observed={observed:?} token={:?}", token.place)
        }
        other => format!("{other:?}"),
    }
}

fn range(batch: &Batch) -> String {
    let index = |entry: &SeenEntry| match entry {
        SeenEntry::Record { id, .. } => id.index.to_string(),
        SeenEntry::Bad(bad) => format!("bad {:?}", bad.number),
    };
    let (first, last) = (batch.entries.first().map(index), batch.entries.last().map(index));
    format!(
        "{}..={} token={:?}",
        first.unwrap_or_default(),
        last.unwrap_or_default(),
        batch.token.place
    )
}

/// One message to a subscriber in a line.
pub fn message(message: &Message) -> String {
    let what = match &message.what {
        Said::Records { shard, records } => {
            let ends =
                [records.first(), records.last()].map(|record| record.map(|record| record.id));
            format!("Records of {shard}: {ends:?}")
        }
        other => format!("{other:?}"),
    };
    let token = if message.token.is_empty() { "" } else { " +token" };
    format!("{:?} {what}{token}", message.at)
}
