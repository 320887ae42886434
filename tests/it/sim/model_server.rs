//! A model of the server: it looks straight into the fake and says what the promises allow; with a
//! [`Bug`] it breaks one of them. It tries the driver and the checks: without a bug every seed
//! passes, with one some seed must fail.

mod serve;
mod subscribe;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use shardstream::model::Position as TokenPosition;

use crate::sim::fake::{EntryKind, FakeUpstream, ShardRef, ShardTruth};
use crate::sim::guarantees::place::is_numbered;
use crate::sim::history::{BadEntry, Batch, Gap, Position, Room, SeenEntry, Token};
use crate::sim::service::{Refusal, Start};

/// One broken promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// The last page of a closed shard is dropped.
    DropsLastPage,
    /// Trimmed records are passed over.
    SilentTrim,
    /// A resume cries loss.
    FalseGap,
    /// Tokens cover one record that was not sent.
    TokenAhead,
    /// Tokens do not cover the last record sent, or the message they come with.
    TokenBehind,
    /// The last record of a message comes again in the next.
    Twice,
    /// Two records are swapped.
    Swaps,
    /// Limits of messages are not honoured.
    FatMessages,
    /// A token from LATEST is resumed as a new LATEST.
    LatestAnew,
    /// AWS is asked without a pause.
    HotLoop,
    /// Streams send no heartbeats.
    Mute,

    // Of single shards.
    /// Of coarse stamps only those count that are as late as the time that is asked for.
    ForgetsGrain,
    /// Times are refused where stamps say where they are.
    RefusesTimes,
    /// A repeated request gets the next records.
    ForgetsAnswers,
    /// The slowest stream holds the others.
    Convoy,
    /// Memory is not bounded.
    Hoards,
    /// Bad records are passed over.
    HidesBad,
    /// A jump that superseded a stream leaves the session at the stream's place.
    JumpsElsewhere,
    /// Records stop coming after the first expired iterator, so to say.
    FallsAsleep,
    /// The last of a shard's children is not told.
    Disowns,
    /// The children of a closed shard are said to be all, whatever their number.
    Hasty,
    /// Shards are read that no listing shows.
    ReadsUnlisted,

    // Of whole streams.
    /// A child begins at its tip.
    ChildrenAtLatest,
    /// A child is read beside its parent.
    ParentAndChild,
    /// Tokens forget finished shards, and they are read again.
    ForgetsFinished,
    /// Shards that came and went unread are passed over.
    SilentExpiry,
    /// A deleted stream is passed over.
    SilentReplacement,
    /// A stream ends before it is drained.
    EndsEarly,
    /// The end of a shard is not told.
    NoShardEnd,
    /// It is told late.
    LateShardEnd,
    /// Large tokens come with every message.
    TokensAlways,
    /// Tokens come only where they must.
    TokensNever,
    /// The tip is claimed at once.
    LyingTip,
    /// The tip is never claimed.
    NeverTip,
    /// A record more than was asked for.
    OneMore,
    /// LATEST gives what was there before.
    LatestFromTheHorizon,
    /// The time that ends it does not.
    IgnoresUntilTime,
    /// The server's clock alone says when that time is past.
    EndsByOurClock,
    WrongStatus,
    /// BY_TIME is PER_SHARD.
    IgnoresOrder,
    /// The next stream begins at its tip.
    NextStreamAtLatest,
    /// Children that are not listed when their parent ends are never looked for again.
    LateChildLost,
    IgnoresShardTokens,
    OpensTwice,
    IgnoresGapPolicy,
}

/// The model; clones are the same server.
#[derive(Clone)]
pub struct Ideal {
    fake: FakeUpstream,
    bug: Option<Bug>,
    state: Rc<RefCell<State>>,
    /// What every token of a subscription stands for.
    tokens: Rc<RefCell<Vec<subscribe::Kept>>>,
}

/// A shard's horizon and end, and whether it is closed.
type Extent = (usize, usize, bool);

#[derive(Default)]
struct State {
    sessions: HashMap<String, Held>,
    opened: u64,
    /// What was read of each shard, and what it reached from and to then.
    logs: HashMap<ShardRef, (Extent, Rc<ShardTruth>)>,
    /// Where each stream is, for [`Bug::Convoy`].
    streams: HashMap<u64, (ShardRef, usize)>,
}

struct Held {
    cursor: Cursor,
    mover: u64,
    /// The newest read: its request, and where it began.
    newest: Option<(String, Cursor)>,
    expires: Duration,
}

/// A place in a shard's full log.
#[derive(Clone, Debug, PartialEq)]
struct Cursor {
    shard: ShardRef,
    index: usize,
    floating: bool,
    latest: bool,
    /// A time is all that is known of it.
    by_time: bool,
}

/// What lies before a cursor.
enum Look {
    /// A time, and nothing there says where that is.
    Refused,
    /// Entries up to this one are gone.
    Lost(usize),
    /// Readable ones up to this one.
    Records(usize),
    /// A bad one.
    Bad,
    /// Nothing yet.
    Nothing,
    /// Nothing ever.
    Over,
}

impl Cursor {
    /// Moves to an entry, or to the horizon there.
    fn stand(&mut self, index: usize, floating: bool) {
        *self = Self { shard: self.shard.clone(), index, floating, latest: false, by_time: false };
    }
}

impl Ideal {
    pub fn new(fake: FakeUpstream, bug: Option<Bug>) -> Self {
        Self { fake, bug, state: Rc::default(), tokens: Rc::default() }
    }

    /// A shard's log as it is now.
    fn truth(&self, shard: &ShardRef) -> Rc<ShardTruth> {
        let extent = self.fake.extent(shard);
        let logs = &mut self.state.borrow_mut().logs;
        match logs.get(shard) {
            Some((known, truth)) if *known == extent => Rc::clone(truth),
            _ => {
                let truth = Rc::new(self.fake.shard_truth(shard));
                logs.insert(shard.clone(), (extent, Rc::clone(&truth)));
                truth
            }
        }
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// Where a start puts a cursor.
    fn cursor(&self, shard: &ShardRef, start: &Start) -> Result<Cursor, Refusal> {
        let truth = self.truth(shard);
        let end = truth.entries.len();
        let (index, floating, latest, by_time) = match start {
            Start::Position(Position::Horizon) => (0, true, false, false),
            Start::Position(Position::Latest) => (end, false, true, false),
            Start::Position(Position::At(number)) => (truth.first_at(number), false, false, false),
            Start::Position(Position::After(number)) => (truth.behind(number), false, false, false),
            Start::Position(Position::Since(time)) => {
                let late = if self.has(Bug::ForgetsGrain) {
                    self.fake.grain() - Duration::from_secs(1)
                } else {
                    Duration::ZERO
                };
                (truth.first_since(self.fake.floor(time.plus(late))), true, false, true)
            }
            Start::Token(text) => {
                let parts: Vec<&str> = text.split(':').collect();
                let [index, floating, latest, by_time] = parts[..] else {
                    return Err(Refusal::new("INVALID_ARGUMENT", "TOKEN_MALFORMED"));
                };
                let index = if latest == "l" && self.has(Bug::LatestAnew) {
                    end
                } else {
                    index.parse().expect("ours")
                };
                // A LATEST goes on by time.
                (index, floating == "f", latest == "l", by_time == "t" || latest == "l")
            }
        };
        Ok(Cursor { shard: shard.clone(), index, floating, latest, by_time })
    }

    fn token(&self, cursor: &Cursor, truth: &ShardTruth) -> Token {
        let Cursor { index, floating, latest, by_time, .. } = cursor;
        let index = match self.bug {
            Some(Bug::TokenAhead) if *index > 0 => index + 1,
            Some(Bug::TokenBehind) if *index > 0 => index - 1,
            _ => *index,
        };
        let flag = |is: bool, flag: &'static str| if is { flag } else { "-" };
        let text = format!(
            "{index}:{}:{}:{}",
            flag(*floating, "f"),
            flag(*latest, "l"),
            flag(*by_time, "t")
        );
        let before = newest_numbered(truth, index.min(truth.entries.len()));
        let place = match before {
            // The checks must see through what a token does, too, not only through what it says.
            _ if self.bug.is_some() => None,
            _ if *floating => None,
            Some(before) => {
                let number = truth.entries[before].number;
                Some((
                    TokenPosition::AfterSequenceNumber(number),
                    (index - truth.behind(&number)) as u16,
                ))
            }
            None => Some((TokenPosition::TrimHorizon, index as u16)),
        };
        Token { text, place }
    }

    fn look(&self, cursor: &mut Cursor, room: Room) -> Look {
        let (horizon, mut end, closed) = self.fake.extent(&cursor.shard);
        let unfindable = || self.has(Bug::RefusesTimes) || self.fake.is_timeless(&cursor.shard);
        if cursor.by_time && horizon < end && unfindable() {
            return Look::Refused;
        }
        if self.has(Bug::Convoy) {
            let state = self.state.borrow();
            let here = state.streams.values().filter(|(shard, _)| *shard == cursor.shard);
            end = end.min(here.map(|(_, index)| index + 40).min().unwrap_or(end));
        }
        if cursor.index < horizon {
            if cursor.floating || self.has(Bug::SilentTrim) {
                cursor.index = horizon;
            } else {
                return Look::Lost(horizon);
            }
        }
        let last_page = closed && self.has(Bug::DropsLastPage);
        let asleep = self.has(Bug::FallsAsleep) && self.fake.now() > Duration::from_secs(60);
        if cursor.index >= end || last_page {
            return if closed { Look::Over } else { Look::Nothing };
        }
        if asleep {
            return Look::Nothing;
        }
        let truth = self.truth(&cursor.shard);
        let bad = |kind: EntryKind| {
            matches!(kind, EntryKind::Unreadable | EntryKind::UnreadableUnnumbered)
        };
        let readable =
            truth.entries[cursor.index..end].iter().take_while(|entry| !bad(entry.kind)).count();
        let fits = if self.has(Bug::FatMessages) { readable } else { readable.min(room.records) };
        match fits {
            0 => Look::Bad,
            count => Look::Records(cursor.index + count),
        }
    }

    /// Takes the entries up to `to`.
    fn take(&self, cursor: &mut Cursor, to: usize) -> Batch {
        let truth = self.truth(&cursor.shard);
        let from = if self.has(Bug::Twice) { cursor.index.saturating_sub(1) } else { cursor.index };
        let entry = |index: usize| {
            let entry = &truth.entries[index];
            let number = (entry.kind != EntryKind::Unnumbered).then_some(entry.number);
            SeenEntry::Record { id: entry.id, number }
        };
        let mut entries: Vec<SeenEntry> = (from..to).map(entry).collect();
        if self.has(Bug::Swaps) && entries.len() > 3 {
            entries.swap(1, 2);
        }
        cursor.stand(to, false);
        Batch { entries, bytes: 100, token: self.token(cursor, &truth) }
    }

    fn take_bad(&self, cursor: &mut Cursor) -> (BadEntry, Token) {
        let truth = self.truth(&cursor.shard);
        let entry = &truth.entries[cursor.index];
        let before = newest_numbered(&truth, cursor.index).map(|at| truth.entries[at].number);
        let number = (entry.kind == EntryKind::Unreadable).then_some(entry.number);
        cursor.stand(cursor.index + 1, false);
        (BadEntry { number, after: before }, self.token(cursor, &truth))
    }

    fn take_gap(&self, cursor: &mut Cursor, to: usize) -> Gap {
        let truth = self.truth(&cursor.shard);
        let after = newest_numbered(&truth, cursor.index).map(|at| truth.entries[at].number);
        // Where the loss ends nobody knows: the place is still behind the last number.
        let place = match after {
            Some(number) => (
                TokenPosition::AfterSequenceNumber(number),
                (cursor.index - truth.behind(&number)) as u16,
            ),
            None => (TokenPosition::TrimHorizon, 0),
        };
        cursor.stand(to, true);
        let token = Token { place: Some(place), ..self.token(cursor, &truth) };
        Gap { after, before: None, certain: true, expired: false, token }
    }
}

/// The newest entry before one that has a number of its own.
fn newest_numbered(truth: &ShardTruth, before: usize) -> Option<usize> {
    truth.entries[..before].iter().rposition(is_numbered)
}
