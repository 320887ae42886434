//! What tokens say behind what no number names: the loss of a whole shard, and entries without a
//! number behind a time.

use shardstream::upstream::ErrorClass;

use super::*;

impl Story {
    /// AWS denied the shard at that second, and its listings lacked it before for so long.
    fn denied(&mut self, second: u64, missed: u64) {
        let at = Duration::from_secs(second);
        self.truth.shards[0].hidden.push((at - Duration::from_secs(missed), at));
        self.truth.calls.push(Call {
            operation: Operation::GetRecords,
            shard: Some(self.shard.clone()),
            asked: Asked::Streams,
            started: at,
            ended: Some(at),
            outcome: Outcome::Failed(ErrorClass::NotFound),
            in_flight: 1,
        });
    }

    /// The loss of the whole shard, with the token before an entry.
    fn expired(&mut self, second: u64, after: usize, next: Token) -> Point {
        let after = Some(self.truth.shards[0].entries[after].number);
        self.push(
            second,
            What::Gap(Gap { after, before: None, certain: false, expired: true, token: next }),
        )
    }

    fn horizon() -> Token {
        Token { text: "the horizon".into(), place: Some((TokenPosition::TrimHorizon, 0)) }
    }

    /// The record without a number, as the first behind a LATEST of which the token says so much by
    /// time.
    fn by_time(&mut self, skip: u16) -> Point {
        self.truth.shards[0].entries[10].written = Duration::from_secs(1);
        self.at(1, Position::Latest);
        let time = self.truth.shards[0].entries[4].created_at;
        let token =
            Token { text: "a time".into(), place: Some((TokenPosition::AtTimestamp(time), skip)) };
        let batch = Batch { token, ..self.batch(10..11) };
        self.push(2, What::Records(batch))
    }
}

#[tokio::test(start_paused = true)]
async fn behind_a_shard_that_is_gone_tokens_stay() {
    good! {
        "it comes back": |s: &mut Story| {
            s.at(1, Position::Horizon);
            s.records(2, 0..6);
            s.denied(30, 16);
            let from = s.expired(30, 5, s.token(6));
            s.push(30, What::ShardEnd { token: s.token(6) });
            s.open(40, Origin::Token(from));
            s.records(41, 6..9);
        };
    }
    bad! { Bookmarkable:
        "the horizon": |s: &mut Story| {
            s.at(1, Position::Horizon);
            s.records(2, 0..6);
            s.denied(30, 16);
            s.expired(30, 5, Story::horizon());
        };
        "the end": |s: &mut Story| {
            s.at(1, Position::Horizon);
            s.records(2, 0..6);
            s.denied(30, 16);
            s.expired(30, 5, s.token(14));
        };
        "a read that has a place behind a loss and does not say it": |s: &mut Story| {
            s.at(1, Position::Horizon);
            s.records(2, 0..2);
            s.failed(71, "RECORDS_TRIMMED", None);
        };
    }
    bad! { Honest:
        "denied in passing": |s: &mut Story| {
            s.at(1, Position::Horizon);
            s.records(2, 0..6);
            s.denied(30, 5);
            s.expired(30, 5, s.token(6));
        };
        "what is gone goes on": |s: &mut Story| {
            s.at(1, Position::Horizon);
            s.records(2, 0..6);
            s.denied(30, 16);
            s.expired(30, 5, s.token(6));
            s.records(31, 6..9);
        };
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_does_not_tell_entries_without_a_number_from_others() {
    good! {
        "others come first elsewhere, and it comes again": |s: &mut Story| {
            let from = s.by_time(1);
            s.open(3, Origin::Token(from));
            s.records(4, 4..11);
        };
        "it is passed where it is still in memory": |s: &mut Story| {
            let from = s.by_time(1);
            s.open(91, Origin::Token(from));
            s.records(92, 11..14);
        };
    }
    bad! { Resumable:
        "what follows it is passed over": |s: &mut Story| {
            let from = s.by_time(1);
            s.open(91, Origin::Token(from));
            s.records(92, 12..14);
        };
    }
}

#[tokio::test(start_paused = true)]
async fn a_latest_is_resumed_by_its_own_time_and_the_grain_of_stamps() {
    let waits = |s: &mut Story, ago: u64| {
        s.at(110, Position::Latest);
        let time = s.truth.base.plus(Duration::from_secs(110)).minus(Duration::from_secs(ago));
        let token =
            Token { text: "a time".into(), place: Some((TokenPosition::AtTimestamp(time), 0)) };
        s.push(111, What::Heartbeat { at_tip: true, observed: None, token });
    };
    good! {
        "seconds before": |s: &mut Story| waits(s, 4);
        "as coarse as stamps are": |s: &mut Story| {
            s.truth.grain = Duration::from_secs(600);
            waits(s, 90);
        };
    }
    bad! { Bookmarkable:
        "long before": |s: &mut Story| waits(s, 90);
        "longer before than stamps are coarse": |s: &mut Story| {
            s.truth.grain = Duration::from_secs(60);
            waits(s, 115);
        };
    }
}

/// A shard of an upstream that finds no time by itself, whose records bear none.
fn timeless(s: &mut Story) {
    s.truth.at_timestamp = false;
    s.truth.shards[0].entries.iter_mut().for_each(|entry| entry.stamp = None);
}

fn refused(s: &mut Story, position: Position) {
    s.at(70, position);
    s.end(71, EndReason::Refused, "INVALID_ARGUMENT");
}

#[tokio::test(start_paused = true)]
async fn only_a_time_may_be_refused_and_only_where_records_bear_none() {
    let time = |s: &Story| Position::Since(s.truth.shards[0].entries[4].created_at);
    good! {
        "a time": |s: &mut Story| { timeless(s); refused(s, time(s)); };
        "a LATEST's": |s: &mut Story| { timeless(s); refused(s, Position::Latest); };
        "one so old that nobody is asked for it": |s: &mut Story| {
            timeless(s);
            s.truth.at_timestamp = true;
            refused(s, Position::Since(s.truth.base.minus(24 * HOUR)));
        };
    }
    bad! { Honest:
        "the horizon": |s: &mut Story| { timeless(s); refused(s, Position::Horizon); };
        "a number": |s: &mut Story| {
            timeless(s);
            refused(s, Position::At(s.truth.shards[0].entries[5].number));
        };
        "a time behind which something came": |s: &mut Story| {
            timeless(s);
            s.at(70, time(s));
            s.records(71, 4..6);
            s.end(72, EndReason::Refused, "INVALID_ARGUMENT");
        };
        "a time that the upstream finds": |s: &mut Story| {
            timeless(s);
            s.truth.at_timestamp = true;
            refused(s, time(s));
        };
        "a time that a stamp shows": |s: &mut Story| {
            timeless(s);
            s.truth.shards[0].entries[13].stamp = Some(s.truth.base);
            refused(s, time(s));
        };
        "a time where there is nothing yet": |s: &mut Story| {
            timeless(s);
            s.truth.shards[0].entries.iter_mut().for_each(|entry| entry.written = HOUR);
            refused(s, time(s));
        };
    }
}
