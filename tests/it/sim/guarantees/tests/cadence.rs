//! Streams that fall silent, and tips that are none.

use super::*;

impl Story {
    /// A stream from the horizon.
    fn stream(&mut self) {
        let point = self.at(1, Position::Horizon);
        let What::Opened(opened) = &mut self.history.clients[0].items[point.item].what else {
            unreachable!()
        };
        opened.via = Via::Stream;
    }
}

fn beat(at_tip: bool) -> What {
    What::Heartbeat { at_tip, observed: None, token: Token::default() }
}

#[tokio::test(start_paused = true)]
async fn streams_that_are_heard_of_in_time_and_tips_that_are_some_are_good() {
    good! {
        "a beat every ten seconds, records or not": |s: &mut Story| {
            s.stream();
            s.records(2, 0..9);
            s.push(11, beat(false));
            s.records(12, 9..11);
            s.push(21, beat(true));
            s.end(31, EndReason::Draining, "UNAVAILABLE");
        };
        "a client that did not look": |s: &mut Story| {
            s.stream();
            s.history.clients[0].away = vec![(Duration::from_secs(5), Duration::from_secs(65))];
            s.push(71, beat(false));
        };
        "a record from a moment ago": |s: &mut Story| {
            s.stream();
            s.records(2, 0..11);
            s.history.clients[0].away = vec![(Duration::from_secs(2), Duration::from_secs(92))];
            s.push(92, beat(true));
        };
        "an empty page, though records are there": |s: &mut Story| {
            s.stream();
            s.records(2, 0..5);
            s.push(8, beat(true));
            let ended = Some(Duration::from_secs(7));
            s.truth.calls.push(empty_page(s.shard.clone(), 5, ended));
        };
    }
}

#[tokio::test(start_paused = true)]
async fn silence_and_false_tips_are_found() {
    bad! { Honest:
        "silence before the next beat": |s: &mut Story| { s.stream(); s.push(13, beat(false)); };
        "records, and no beat": |s: &mut Story| {
            s.stream();
            s.records(8, 0..5);
            s.records(13, 5..9);
        };
        "silence to the end": |s: &mut Story| {
            s.stream();
            s.records(2, 0..5);
            s.history.clients[0].follows = true;
            s.history.settled = Some(Duration::ZERO);
        };
        "a tip before records that are there": |s: &mut Story| {
            s.stream();
            s.records(2, 0..5);
            s.push(8, beat(true));
        };
        "a tip by an answer that is too old": |s: &mut Story| {
            s.stream();
            s.records(2, 0..5);
            s.push(8, beat(true));
            let ended = Some(Duration::from_secs(5));
            s.truth.calls.push(empty_page(s.shard.clone(), 5, ended));
        };
        "a tip by one empty answer before a record that is there for long": |s: &mut Story| {
            s.stream();
            s.records(2, 0..5);
            s.push(11, beat(false));
            s.push(20, beat(false));
            s.push(29, beat(true));
            let ended = Some(Duration::from_secs(28));
            s.truth.calls.push(empty_page(s.shard.clone(), 5, ended));
        };
        "a tip by an answer from elsewhere": |s: &mut Story| {
            s.stream();
            s.records(2, 0..5);
            s.push(8, beat(true));
            let ended = Some(Duration::from_secs(7));
            s.truth.calls.push(empty_page(s.shard.clone(), 11, ended));
        };
    }
}

fn empty_page(shard: ShardRef, index: usize, ended: Option<Duration>) -> Call {
    Call {
        operation: Operation::GetRecords,
        shard: Some(shard),
        asked: Asked::Records { index, limit: 1_000, age: Duration::ZERO },
        started: ended.unwrap_or_default(),
        ended,
        outcome: Outcome::Page { entries: 0, more: true },
        in_flight: 1,
    }
}

#[tokio::test(start_paused = true)]
async fn empty_pages_hide_more_from_a_server_that_looks_seldom() {
    for (idle, holds) in [(1, false), (20, true)] {
        let mut story = Story::new().await;
        story.truth.shards[0].false_tip = Some(Duration::from_secs(30));
        story.at(125, Position::Latest);
        story.records(126, 11..14);
        let mut evidence = story.evidence();
        evidence.reading.idle = Duration::from_secs(idle);
        let found = breaks(&evidence);
        assert_eq!(found.is_empty(), holds, "looking every {idle} s: {found:?}");
    }
}
