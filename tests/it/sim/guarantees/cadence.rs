//! How often a stream is heard of, and how soon it knows that it is no longer at the tip.

use std::time::Duration;

use super::standing::Standing;
use super::{Guarantee, Violation};
use crate::sim::fake::{Asked, Call, HIDDEN, Outcome, Truth};
use crate::sim::history::{ClientLog, HEARTBEAT, History, Point, Via, What};

/// How much later a heartbeat may come. Nothing travels: it is a matter of the clock's grain.
const SLACK: Duration = Duration::from_millis(20);

/// How long the end of a shard may be held back, until its children are known.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How long a record can be there before everybody knows: an answer asked for before it may be two
/// idle intervals old, and took its time.
const NEWS: Duration = Duration::from_millis(3_000);

/// How old an empty answer may be to be called the tip: two idle intervals.
const FRESH: Duration = Duration::from_secs(2);

/// Every stream is heard of once an interval, whether or not records flow, for as long as its
/// client looks.
pub fn heartbeats(history: &History, truth: &Truth) -> Result<(), Violation> {
    for (client, log) in history.clients.iter().enumerate() {
        let streams = log.items.iter().enumerate().filter(|(_, seen)| match &seen.what {
            What::Opened(opened) => opened.via == Via::Stream,
            _ => false,
        });
        for (opened, seen) in streams {
            if let Some((item, late)) =
                silence(log, opened, seen.run, truth.taken, history.settled.is_some())
            {
                let what =
                    format!("nothing was heard for {late:?}, and {HEARTBEAT:?} were asked for");
                return Err(Violation::new(Guarantee::Honest, Point { client, item }, what));
            }
        }
    }
    Ok(())
}

/// Where a run was silent for too long, and how long.
fn silence(
    log: &ClientLog,
    opened: usize,
    run: usize,
    taken: Duration,
    settled: bool,
) -> Option<(usize, Duration)> {
    let mut heard = log.items[opened].at;
    let mut ended = false;
    for (item, seen) in
        log.items.iter().enumerate().skip(opened + 1).filter(|(_, seen)| seen.run == run)
    {
        let (beat, last_words) = match &seen.what {
            What::Heartbeat { .. } => (true, false),
            What::ShardEnd { .. } | What::End { .. } => (false, true),
            _ => (false, false),
        };
        ended |= matches!(seen.what, What::End { .. } | What::Failed { .. } | What::Left);
        let late = looked(log, heard, seen.at);
        if late > HEARTBEAT + SLACK + if last_words { LAST_WORDS } else { Duration::ZERO } {
            return Some((item, late));
        }
        if beat {
            heard = seen.at;
        }
    }
    // Whoever still looks at the end hears of it until then.
    let open =
        settled && log.follows && !ended && log.items.last().is_some_and(|seen| seen.run == run);
    let late = looked(log, heard, taken);
    (open && late > HEARTBEAT + SLACK).then_some((log.items.len() - 1, late))
}

/// How long of that time the client looked at its stream.
fn looked(log: &ClientLog, from: Duration, to: Duration) -> Duration {
    let away =
        log.away.iter().map(|(since, until)| (*until).min(to).saturating_sub((*since).max(from)));
    to.saturating_sub(from).saturating_sub(away.sum())
}

/// Why a client that stands there is not at the tip, if it is not: a record is there, and no answer
/// said of late that nothing is. (An upstream may say so falsely of what is new, and nobody can
/// know better.)
pub fn refute_tip(standing: &Standing, truth: &Truth, at: Duration) -> Option<String> {
    let shard = truth.shard(&standing.shard).expect("a shard of the fake");
    let next = standing.place.high_at(shard, at).max(shard.horizon(at));
    let waits = at.saturating_sub(shard.entries.get(next)?.written);
    if waits <= NEWS {
        return None;
    }
    let said_empty = |call: &Call| {
        let there = matches!(call.asked, Asked::Records { index, .. } if (standing.place.low..=next).contains(&index));
        let empty = matches!(call.outcome, Outcome::Page { entries: 0, .. });
        let of_late = call.ended.is_some_and(|ended| ended <= at && at - ended <= FRESH);
        call.shard.as_ref() == Some(&standing.shard) && there && empty && of_late
    };
    let known = waits <= HIDDEN && truth.calls.iter().any(said_empty);
    (!known).then(|| format!("it is not at the tip: entry {next} is there for {waits:?}"))
}
