//! A good history passes every check; every kind of bad one is refused by the check it is meant
//! for.

use std::time::Duration;

use shardstream::model::StreamStatus;

use super::*;
use crate::sim::fake::{FakeUpstream, ShardRef, Split, Truth};
use crate::sim::guarantees::{Guarantee, breaks};
use crate::sim::history::subscribed::*;
use crate::sim::history::{EndReason, History};

/// Shard 0 with three records closes at 10 s and splits into 1 and 2; each gets three records at 20
/// s; all closes at 30 s and is DISABLED at 31 s. Then a history told by hand.
struct Story {
    truth: Truth,
    shards: Vec<ShardRef>,
    run: Run,
    older: Vec<Run>,
}

const SECOND: Duration = Duration::from_secs(1);

impl Story {
    async fn new() -> Self {
        let fake = FakeUpstream::new(4);
        let stream = fake.add_stream("Orders");
        let shard = fake.add_shard(&stream, None);
        fake.write(&shard, 3);
        tokio::time::sleep(10 * SECOND).await;
        let children = fake.split(&shard, Split::default());
        tokio::time::sleep(10 * SECOND).await;
        for child in &children {
            fake.write(child, 3);
        }
        tokio::time::sleep(10 * SECOND).await;
        fake.begin_disable(&stream);
        tokio::time::sleep(SECOND).await;
        fake.set_status(&stream, StreamStatus::Disabled);
        tokio::time::sleep(60 * SECOND).await;
        let run = Run {
            wish: Wish { stream: stream.to_string(), heartbeat: 300 * SECOND, ..Wish::default() },
            origin: Origin::Horizon,
            asked: SECOND,
            opened: Some(SECOND),
            messages: Vec::new(),
            fate: Fate::Left,
            slow: false,
        };
        Self { truth: fake.truth(), shards: fake.shards(), run, older: Vec::new() }
    }

    fn name(&self, shard: usize) -> String {
        self.shards[shard].shard.to_string()
    }

    fn row(&self, shard: usize) -> ShardRow {
        let parent = (shard > 0).then(|| self.name(0));
        ShardRow { stream: self.shards[shard].stream.clone(), shard: self.name(shard), parent }
    }

    fn push(&mut self, second: u64, what: What) -> &mut Self {
        let at = Duration::from_secs(second);
        let shard_token = if what.must_bear_shard_token() { "shard".into() } else { String::new() };
        let message = Message { at, bytes: 500, shard_token, token: "token".into(), what };
        self.run.messages.push(message);
        self
    }

    fn open(&mut self, second: u64, shard: usize) -> &mut Self {
        let shard = self.row(shard);
        self.push(second, What::ShardOpen { shard })
    }

    fn records(
        &mut self,
        second: u64,
        shard: usize,
        indexes: impl IntoIterator<Item = usize>,
    ) -> &mut Self {
        let entries = &self.truth.shards[shard].entries;
        let record = |index: usize| SeenRecord {
            id: entries[index].id,
            number: Some(entries[index].number),
        };
        let records = indexes.into_iter().map(record).collect();
        let shard = self.name(shard);
        self.push(second, What::Records { shard, records })
    }

    fn shard_end(&mut self, second: u64, shard: usize) -> &mut Self {
        let children = if shard == 0 { vec![self.row(1), self.row(2)] } else { vec![] };
        let shard = self.name(shard);
        self.push(second, What::ShardEnd { shard, children, complete: true })
    }

    fn gap(&mut self, second: u64, shard: usize, certain: bool) -> &mut Self {
        let shard = self.name(shard);
        self.push(
            second,
            What::Gap(Gap { shard, after: None, before: None, cause: Cause::Trimmed, certain }),
        )
    }

    fn heartbeat(&mut self, second: u64, at_tip: bool) -> &mut Self {
        let (lag, observed) = (at_tip.then_some(Duration::ZERO), None);
        self.push(
            second,
            What::Heartbeat {
                at_tip,
                lag,
                observed,
                upstream_error: String::new(),
                over_limit: 0,
                not_understood: 0,
            },
        )
    }

    fn stream_end(&mut self, second: u64) -> &mut Self {
        let stream = self.shards[0].stream.clone();
        self.push(second, What::StreamEnd { stream, next: None });
        self.end(second, EndReason::StreamEnd)
    }

    fn end(&mut self, second: u64, reason: EndReason) -> &mut Self {
        self.run.fate = Fate::Closed(reason.code().into());
        self.push(second, What::End { reason })
    }

    /// The parent, then both children.
    fn whole(&mut self) -> &mut Self {
        self.open(1, 0).records(2, 0, 0..3).shard_end(11, 0).open(11, 1).open(11, 2);
        self.records(21, 1, 0..3)
            .records(21, 2, 0..3)
            .shard_end(31, 1)
            .shard_end(31, 2)
            .stream_end(32)
    }

    /// A new run from the token of a message of the run before.
    fn resume(&mut self, second: u64, message: usize) -> &mut Self {
        let next = Run {
            origin: Origin::Token(Point { client: 0, run: self.older.len(), message }, vec![]),
            asked: Duration::from_secs(second),
            opened: Some(Duration::from_secs(second)),
            messages: Vec::new(),
            ..self.run.clone()
        };
        self.older.push(std::mem::replace(&mut self.run, next));
        self
    }

    fn check(&self) -> Vec<Guarantee> {
        let mut broken: Vec<_> = self.broken().iter().map(|broken| broken.guarantee).collect();
        broken.dedup();
        broken
    }

    fn broken(&self) -> Vec<Violation> {
        let mut runs = self.older.clone();
        runs.push(self.run.clone());
        let subscribers = vec![ClientLog { runs, follows: true }];
        let history = History { subscribers, settled: Some(40 * SECOND), ..History::default() };
        let evidence = Evidence::of(history, self.truth.clone());
        let broken = super::breaks(&evidence);
        // The functions of the promises name the same.
        let named: Vec<_> = breaks(&evidence).iter().map(|broken| broken.guarantee).collect();
        assert!(broken.iter().all(|broken| named.contains(&broken.guarantee)), "{named:?}");
        broken
    }
}

#[tokio::test(start_paused = true)]
async fn a_good_history_passes() {
    let mut story = Story::new().await;
    assert_eq!(story.whole().check(), []);
    let mut story = Story::new().await;
    story.whole().resume(50, 4).open(51, 1).open(51, 2);
    story
        .records(51, 2, 0..3)
        .records(51, 1, 0..3)
        .shard_end(52, 1)
        .shard_end(52, 2)
        .stream_end(53);
    assert_eq!(story.check(), []);
}

#[tokio::test(start_paused = true)]
async fn a_child_before_the_end_of_its_parent_is_refused() {
    let mut story = Story::new().await;
    story.open(1, 0).records(2, 0, 0..2).open(11, 1).records(21, 1, 0..1);
    assert!(story.check().contains(&Guarantee::Lineage));
    let mut story = Story::new().await;
    story.open(1, 1).records(21, 1, 0..3);
    assert!(story.check().contains(&Guarantee::Lineage));
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_was_not_opened_is_refused() {
    let mut story = Story::new().await;
    story.records(2, 0, 0..3);
    assert!(story.check().contains(&Guarantee::Lineage));
}

#[tokio::test(start_paused = true)]
async fn what_is_left_out_is_missed() {
    // The last record of the parent; a whole child; everything.
    let mut story = Story::new().await;
    story.open(1, 0).records(2, 0, 0..2).shard_end(11, 0);
    assert!(story.check().contains(&Guarantee::Reliable));
    let mut story = Story::new().await;
    story
        .open(1, 0)
        .records(2, 0, 0..3)
        .shard_end(11, 0)
        .open(11, 1)
        .records(21, 1, 0..3)
        .shard_end(31, 1);
    story.stream_end(32);
    assert!(story.check().contains(&Guarantee::Reliable));
    let mut story = Story::new().await;
    story.stream_end(32);
    assert!(story.check().contains(&Guarantee::Reliable));
}

#[tokio::test(start_paused = true)]
async fn order_and_repeats_are_seen() {
    let mut story = Story::new().await;
    story.open(1, 0).records(2, 0, [0, 2, 1]);
    assert!(story.check().contains(&Guarantee::Ordered));
    let mut story = Story::new().await;
    story.open(1, 0).records(2, 0, 0..3).records(3, 0, 2..3);
    assert!(story.check().contains(&Guarantee::Once));
    let mut story = Story::new().await;
    story.open(1, 0).records(2, 0, 0..3).open(3, 0);
    assert!(story.check().contains(&Guarantee::Once));
}

#[tokio::test(start_paused = true)]
async fn a_resume_begins_where_its_token_says() {
    // Message 1 covers the parent's three records.
    let mut story = Story::new().await;
    story.whole().resume(50, 1).open(51, 0).records(51, 0, 2..3);
    assert!(story.check().contains(&Guarantee::Bookmarkable));
    // Message 5 covers shard 1, not shard 2.
    let mut story = Story::new().await;
    story.whole().resume(50, 5).open(51, 2).records(51, 2, 1..3);
    assert!(story.check().contains(&Guarantee::Resumable));
}

#[tokio::test(start_paused = true)]
async fn a_gap_without_loss_is_refused() {
    for certain in [true, false] {
        let mut story = Story::new().await;
        story.open(1, 0).records(2, 0, 0..2).gap(3, 0, certain);
        assert!(story.check().contains(&Guarantee::Honest));
    }
}

#[tokio::test(start_paused = true)]
async fn loss_without_a_gap_is_refused() {
    let mut story = Story::new().await;
    story.open(1, 0).records(2, 0, 0..1).records(9, 0, 2..3);
    story.truth.shards[0].entries[1].trimmed = Some(5 * SECOND);
    assert!(story.check().contains(&Guarantee::Honest));
    // A shard that came and went unread.
    let mut story = Story::new().await;
    story.run.origin = Origin::Latest;
    story
        .open(1, 0)
        .records(2, 0, 0..3)
        .shard_end(11, 0)
        .open(11, 1)
        .records(21, 1, 0..3)
        .shard_end(31, 1);
    story.stream_end(50);
    let gone = &mut story.truth.shards[2];
    (gone.gone, gone.unlisted) = (true, Some(45 * SECOND));
    gone.entries.iter_mut().for_each(|entry| entry.trimmed = Some(45 * SECOND));
    assert!(story.check().contains(&Guarantee::Honest));
}

#[tokio::test(start_paused = true)]
async fn a_tip_with_records_before_it_is_refused() {
    let mut story = Story::new().await;
    story.open(1, 0).records(2, 0, 0..2).heartbeat(9, true);
    assert!(story.check().contains(&Guarantee::Honest));
    let mut story = Story::new().await;
    story
        .open(1, 0)
        .records(2, 0, 0..3)
        .heartbeat(9, true)
        .shard_end(11, 0)
        .open(11, 1)
        .open(11, 2);
    story
        .records(21, 1, 0..3)
        .records(21, 2, 0..3)
        .heartbeat(28, true)
        .shard_end(31, 1)
        .shard_end(31, 2);
    assert_eq!(story.stream_end(32).check(), []);
}

#[tokio::test(start_paused = true)]
async fn ends_are_told_in_time_and_for_a_reason() {
    // Ten seconds late; of an open shard; of an open stream; with a wrong status; for a wrong
    // reason; followed by more.
    let mut story = Story::new().await;
    story.open(1, 0).records(2, 0, 0..3).shard_end(21, 0);
    assert!(story.check().contains(&Guarantee::Honest));
    let mut story = Story::new().await;
    story.open(1, 0).records(2, 0, 0..3).shard_end(5, 0);
    assert!(story.check().contains(&Guarantee::Honest));
    let mut story = Story::new().await;
    story.open(1, 0).records(2, 0, 0..3).stream_end(5);
    assert!(story.check().contains(&Guarantee::Honest));
    let mut story = Story::new().await;
    story.whole().run.fate = Fate::Closed("UNAVAILABLE".into());
    assert!(story.check().contains(&Guarantee::Honest));
    let mut story = Story::new().await;
    story.open(1, 0).end(3, EndReason::Gap);
    assert!(story.check().contains(&Guarantee::Honest));
    let mut story = Story::new().await;
    story.whole().heartbeat(33, true);
    assert!(story.check().contains(&Guarantee::Honest));
}

#[tokio::test(start_paused = true)]
async fn messages_keep_to_what_was_asked_for() {
    let mut story = Story::new().await;
    story.run.wish.records = 2;
    assert!(story.whole().check().contains(&Guarantee::Bounded));
    let mut story = Story::new().await;
    story.run.wish.until.records = Some(2);
    assert!(story.whole().check().contains(&Guarantee::Reliable));
    let mut story = Story::new().await;
    story.run.wish.until.time = Some(story.truth.base.plus(15 * SECOND));
    assert!(story.whole().check().contains(&Guarantee::Reliable));
    let mut story = Story::new().await;
    story.run.wish.pass_gaps = false;
    story.open(1, 0).gap(2, 0, true).records(3, 0, 0..3);
    assert!(story.check().contains(&Guarantee::Honest));
}

#[tokio::test(start_paused = true)]
async fn tokens_and_heartbeats_come_when_they_are_due() {
    let mut story = Story::new().await;
    story.whole().run.messages[9].token.clear();
    assert!(story.check().contains(&Guarantee::Bookmarkable), "no token at the stream's end");
    let mut story = Story::new().await;
    story.whole().run.messages[1].shard_token.clear();
    assert!(story.check().contains(&Guarantee::Bookmarkable), "no shard token with records");
    let mut story = Story::new().await;
    story.whole().run.messages.iter_mut().for_each(|message| {
        if !message.what.must_bear_token() {
            message.token.clear();
        }
    });
    assert!(story.check().contains(&Guarantee::Bookmarkable), "no token for twenty seconds");
    let mut story = Story::new().await;
    story.whole().run.messages.iter_mut().for_each(|message| message.token = "x".repeat(400));
    assert!(story.check().contains(&Guarantee::Mannered), "tokens are most of what is sent");
    let mut story = Story::new().await;
    story.run.wish.heartbeat = 5 * SECOND;
    assert!(story.whole().check().contains(&Guarantee::Honest), "no heartbeat");
}

#[tokio::test(start_paused = true)]
async fn by_time_the_oldest_head_comes_first() {
    let mut story = Story::new().await;
    (story.run.wish.by_time, story.run.wish.merge_wait) = (true, 10 * SECOND);
    story.truth.shards[1].entries[0].stamp = Some(story.truth.base.plus(5 * SECOND));
    story.open(1, 0).records(2, 0, 0..3).shard_end(11, 0).open(11, 1).open(11, 2);
    story
        .records(26, 2, 0..3)
        .records(26, 1, 0..3)
        .shard_end(31, 1)
        .shard_end(31, 2)
        .stream_end(32);
    assert!(story.check().contains(&Guarantee::Ordered));
}

/// A story from a time, told of an upstream that finds no time by itself and whose records bear
/// none.
async fn timeless() -> Story {
    let mut story = Story::new().await;
    story.run.origin = Origin::Since(story.truth.base);
    story.truth.at_timestamp = false;
    let entries = story.truth.shards.iter_mut().flat_map(|shard| &mut shard.entries);
    entries.for_each(|entry| entry.stamp = None);
    story
}

#[tokio::test(start_paused = true)]
async fn only_a_time_may_be_refused_and_only_where_records_bear_none() {
    // Of a story so short other things are wrong, too.
    let wrong = |story: &Story| {
        story.broken().iter().any(|broken| broken.to_string().contains("is refused"))
    };
    let refused = |mut story: Story| wrong(story.open(1, 0).end(2, EndReason::Refused));
    assert!(!refused(timeless().await));
    let mut story = timeless().await;
    story.run.origin = Origin::Latest;
    assert!(!refused(story));
    let mut story = timeless().await;
    story.run.origin = Origin::Horizon;
    assert!(refused(story), "the horizon");
    let mut story = timeless().await;
    story.truth.at_timestamp = true;
    assert!(refused(story), "a time that the upstream finds");
    let mut story = timeless().await;
    let base = story.truth.base;
    story.truth.shards.iter_mut().for_each(|shard| shard.entries[2].stamp = Some(base));
    assert!(refused(story), "a time that stamps show");
    let mut story = timeless().await;
    story.open(1, 0).records(2, 0, 0..3).shard_end(11, 0).open(11, 1).open(11, 2);
    story.records(21, 1, 0..3).records(21, 2, 0..3).end(22, EndReason::Refused);
    assert!(wrong(&story), "nothing is at a time any more");
}
