//! A scenario as one list in the order of time: for whoever looks for a bug.

use std::time::Duration;

use super::super::guarantees::Evidence;
use super::super::history::{Batch, Opened, SeenEntry, What};

/// Every upstream call, everything written, and everything seen.
pub fn timeline(evidence: &Evidence) -> String {
    let mut lines: Vec<(Duration, String)> = Vec::new();
    let truth = &evidence.truth;
    for call in &truth.calls {
        let shard = call.shard.as_ref().map_or("", |shard| tail(shard.shard.as_str()));
        let ended = call.ended.map_or("never".into(), |ended| format!("{ended:?}"));
        let (name, asked) = (call.operation.name(), &call.asked);
        lines.push((call.started, format!("upstream {name} {shard} {asked:?} -> {ended} {:?}", call.outcome)));
    }
    for shard in &truth.shards {
        let name = tail(shard.name.shard.as_str());
        for written in shard.entries.chunk_by(|a, b| a.written == b.written) {
            let (first, last) = (written[0].id.index, written[written.len() - 1].id.index);
            lines.push((written[0].written, format!("written {name} {first}..={last}")));
        }
        lines.extend(shard.closed.map(|closed| (closed, format!("closed {name} at {}", shard.entries.len()))));
        for trimmed in shard.entries.chunk_by(|a, b| a.trimmed == b.trimmed) {
            let (first, last) = (trimmed[0].id.index, trimmed[trimmed.len() - 1].id.index);
            lines.extend(trimmed[0].trimmed.map(|at| (at, format!("trimmed {name} {first}..={last}"))));
        }
    }
    for (point, seen) in evidence.history.items() {
        let name = &evidence.history.clients[point.client].name;
        let text = format!("seen {}#{} ({name}) run {} {}", point.client, point.item, seen.run, brief(&seen.what));
        lines.push((seen.at, text));
    }
    lines.sort_by_key(|(at, _)| *at);
    lines.into_iter().map(|(at, text)| format!("{at:>12.3?} {text}\n")).collect()
}

/// The end of a shard's id tells it from the others.
fn tail(id: &str) -> &str {
    id.get(id.len().saturating_sub(4)..).unwrap_or(id)
}

fn brief(what: &What) -> String {
    match what {
        What::Opened(Opened { via, shard, origin, asked, .. }) => {
            format!("Opened by {via:?} {} at {origin:?}, asked at {asked:?}", tail(shard.shard.as_str()))
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
    format!("{}..={} token={:?}", first.unwrap_or_default(), last.unwrap_or_default(), batch.token.place)
}
