//! What is said from listings: which shards there are, and who is whose child.

use std::time::Duration;

use super::{Guarantee, Violation};
use crate::sim::fake::{ShardTruth, Truth};
use crate::sim::history::{Family, History, Opened, Origin, Point, Via, What};

/// How long a server may believe a listing that shows the shard it looks for, the time that the
/// listing took included.
const LISTING_LIFE: Duration = Duration::from_secs(70);

/// How old a listing may be from which something new is told, the time that it took included.
const LISTING_AGE: Duration = Duration::from_secs(10);

/// How long it may be remembered that a shard is not listed, the age of that listing included.
const MISSING_LIFE: Duration = Duration::from_secs(20);

/// How long a server may take a table's name for the stream it was, the way of the answer included.
const NAME_LIFE: Duration = Duration::from_secs(12);

/// What is said of children is true, and is all that listings show; what is said to be complete
/// stays so.
pub fn families(history: &History, truth: &Truth) -> Result<(), Violation> {
    for family in &history.families {
        // While a table gets its next stream, either may be meant.
        let judged = meant(family, truth).map(|parent| judge(family, parent, truth));
        let judged: Vec<_> = judged.collect();
        if let Some(Err(why)) = judged.iter().find(|_| judged.iter().all(Result::is_err)) {
            let what = format!("{why}: {family:?}");
            return Err(Violation::new(Guarantee::Honest, None, what));
        }
    }
    Ok(())
}

/// A shard that listings show is found, and one that they do not show is not.
pub fn openings(history: &History, truth: &Truth) -> Result<(), Violation> {
    for (point, seen) in history.items() {
        let What::Opened(Opened { via, shard, origin, asked, .. }) = &seen.what else { continue };
        // Whoever has a lease has its shard.
        let leased = matches!(via, Via::Jump | Via::Seek);
        let named = !leased && matches!(origin, Origin::Position(_) | Origin::Token(_));
        let rest = &history.clients[point.client].items[point.item + 1..];
        let Some(next) = rest.iter().find(|next| next.run == seen.run).filter(|_| named) else {
            continue;
        };
        let shard = truth.shard(shard).expect("a shard of the fake");
        let wrong = match &next.what {
            What::Failed { reason, .. } if reason == "SHARD_NOT_FOUND" => {
                let tokens = matches!(origin, Origin::Token(_))
                    .then_some("a token's shard has expired, no other");
                tokens.or((!may_be_missing(shard, *asked, next.at))
                    .then_some("a shard that is listed is not found"))
            }
            What::Failed { .. } => None,
            _ => must_be_missed(shard, *asked, seen.at)
                .then_some("a shard that is not listed is read"),
        };
        if let Some(what) = wrong {
            return Err(Violation::new(Guarantee::Honest, point, what));
        }
    }
    Ok(())
}

/// A token's shard was not listed when the run that failed here was opened.
pub fn was_missed(history: &History, at: Point, shard: &ShardTruth) -> bool {
    let items = &history.clients[at.client].items[..=at.item];
    let failed = &items[at.item];
    items.iter().filter(|seen| seen.run == failed.run).any(|seen| match &seen.what {
        What::Opened(opened) => may_be_missing(shard, opened.asked, failed.at),
        _ => false,
    })
}

/// The shards that may be meant, `None` for one that the stream meant does not have.
fn meant<'a>(family: &'a Family, truth: &'a Truth) -> impl Iterator<Item = Option<&'a ShardTruth>> {
    let time = |at: Duration| truth.base.plus(at);
    let mut streams: Vec<_> = truth.shards.iter().map(|shard| &shard.name.stream).collect();
    streams.dedup();
    let made = |stream: &&_| {
        shardstream::model::StreamArn::created(stream).expect("the fake's ARNs say when")
    };
    let newest_before = streams
        .iter()
        .copied()
        .filter(|stream| made(stream) <= time(family.asked.saturating_sub(NAME_LIFE)));
    let oldest = newest_before.max_by_key(made).map_or(truth.base, |stream| made(&stream));
    let by_name =
        move |stream: &&_| family.by_table && (oldest..=time(family.at)).contains(&made(stream));
    let of = move |stream: &_| {
        truth
            .shards
            .iter()
            .find(|shard| shard.name.stream == *stream && shard.name.shard == family.of.shard)
    };
    streams
        .into_iter()
        .filter(move |stream| by_name(stream) || (!family.by_table && **stream == family.of.stream))
        .map(of)
}

fn judge(family: &Family, parent: Option<&ShardTruth>, truth: &Truth) -> Result<(), String> {
    let Family { asked, at, said, .. } = family;
    let (children, complete) = match said {
        Err(reason) if reason == "SHARD_NOT_FOUND" => {
            let missed = parent.is_none_or(|parent| may_be_missing(parent, *asked, *at));
            return if missed { Ok(()) } else { Err("a shard that is listed is not found".into()) };
        }
        Err(reason) if reason.starts_with("UPSTREAM_") => return Ok(()),
        Err(reason) => return Err(format!("there is no reason for {reason}")),
        Ok(said) => said,
    };
    let Some(parent) = parent.filter(|parent| !must_be_missed(parent, *asked, *at)) else {
        return Err("a shard that is not listed has children".into());
    };
    if !children.is_sorted_by(|a, b| a.shard < b.shard) {
        return Err("the children are not in order, or one comes twice".into());
    }
    let is_child = |shard: &ShardTruth| {
        shard.name.stream == parent.name.stream && shard.parent.as_ref() == Some(&parent.name.shard)
    };
    for child in children {
        let known = truth.shard(child).filter(|child| is_child(child) && child.hidden[0].1 <= *at);
        known.ok_or_else(|| format!("{} is not its child, or not listed yet", child.shard))?;
    }
    for child in
        truth.shards.iter().filter(|shard| is_child(shard) && !children.contains(&shard.name))
    {
        if !may_be_missed(child, asked.saturating_sub(LISTING_AGE), *at) {
            return Err(format!("{} is missing", child.name.shard));
        }
        // One that was listed before, and is again, is not new.
        if *complete && !child.gone && child.hidden.len() == 1 {
            return Err(format!("it is not complete: {} appears later", child.name.shard));
        }
    }
    let closed = parent.closed.is_some_and(|closed| closed <= asked.saturating_sub(LISTING_AGE));
    if closed && children.len() == 2 && !complete {
        return Err("two children of a closed shard are all there can be".into());
    }
    Ok(())
}

/// Some listing that is believed at one of these times may lack the shard.
fn may_be_missing(shard: &ShardTruth, from: Duration, to: Duration) -> bool {
    may_be_missed(shard, from.saturating_sub(MISSING_LIFE), to)
}

/// Some listing between these times may lack the shard.
fn may_be_missed(shard: &ShardTruth, from: Duration, to: Duration) -> bool {
    shard.gone || shard.hidden.iter().any(|(start, end)| *start <= to && *end > from)
}

/// No listing that a server may go by shows the shard.
fn must_be_missed(shard: &ShardTruth, asked: Duration, at: Duration) -> bool {
    let from = asked.saturating_sub(LISTING_LIFE);
    shard.hidden.iter().any(|(start, end)| *start <= from && *end > at)
}
