//! What is said from listings, true and false.

use super::*;
use crate::sim::fake::Split;

type Said = Result<(Vec<ShardRef>, bool), String>;

/// A shard that gets one child after 10 s, closes after 20 s for another that is listed only after
/// 120 s, and is itself not listed from 200 s to 300 s. After 400 s its table has another stream
/// with a childless shard of the same name.
struct Line {
    story: Story,
    parent: ShardRef,
    first: ShardRef,
    second: ShardRef,
}

impl Line {
    async fn new() -> Self {
        let until = async |second| tokio::time::sleep_until(second).await;
        let (fake, parent) = FakeUpstream::with_shard(4);
        let at = |second| fake.started() + Duration::from_secs(second);
        until(at(10)).await;
        let first =
            fake.split(&parent, Split { children: 1, close: false, ..Split::default() }).remove(0);
        until(at(20)).await;
        let late =
            Split { children: 1, listed_after: Duration::from_secs(100), ..Split::default() };
        let second = fake.split(&parent, late).remove(0);
        until(at(200)).await;
        fake.hide(&parent, Duration::from_secs(100));
        until(at(400)).await;
        fake.add_shard_named(&fake.add_stream("Orders"), parent.shard.as_str(), None);
        until(at(500)).await;
        let story =
            Story { truth: fake.truth(), shard: parent.clone(), history: History::default() };
        Self { story, parent, first, second }
    }

    /// What the check makes of one answer.
    fn judge(&self, asked: u64, by_table: bool, said: Said) -> Result<(), Violation> {
        let (asked, of) = (Duration::from_secs(asked), self.parent.clone());
        let family = Family { of, by_table, asked, at: asked + Duration::from_millis(90), said };
        let history = History { families: vec![family], ..History::default() };
        let story = Story { truth: self.story.truth.clone(), shard: self.parent.clone(), history };
        honest(&story.evidence())
    }

    /// What the check makes of one opening and what comes after it.
    fn opens(&self, second: u64, origin: Origin, what: What) -> Result<(), Violation> {
        let history = History::default();
        let mut story =
            Story { truth: self.story.truth.clone(), shard: self.parent.clone(), history };
        let from = story.at(1, Position::Horizon);
        let origin = if let Origin::Token(_) = origin { Origin::Token(from) } else { origin };
        story.open(second, origin);
        story.push(second, what);
        honest(&story.evidence())
    }
}

fn not_found() -> Said {
    Err("SHARD_NOT_FOUND".into())
}

#[tokio::test(start_paused = true)]
async fn what_is_said_of_children_is_judged_by_what_listings_show() {
    let line = Line::new().await;
    let (none, one, two) =
        (vec![], vec![line.first.clone()], vec![line.first.clone(), line.second.clone()]);
    let good = [
        ("none yet", 5, false, Ok((none.clone(), false))),
        ("one, of an open shard", 15, false, Ok((one.clone(), false))),
        ("one, the other is not listed", 30, false, Ok((one.clone(), false))),
        ("both", 130, false, Ok((two.clone(), true))),
        ("listed a minute ago", 240, false, Ok((two.clone(), true))),
        ("not listed", 210, false, not_found()),
        ("the name still means the older stream", 405, true, Ok((two.clone(), true))),
        ("the name means the newer stream", 405, true, Ok((none.clone(), false))),
        ("the upstream failed", 130, false, Err("UPSTREAM_UNAVAILABLE".into())),
    ];
    for (name, asked, by_table, said) in good {
        assert_eq!(line.judge(asked, by_table, said), Ok(()), "{name}");
    }
    let bad = [
        ("one is missing", 130, false, Ok((one.clone(), false))),
        ("in another order", 130, false, Ok((two.iter().rev().cloned().collect(), true))),
        ("one comes twice", 130, false, Ok((vec![line.first.clone(); 2], true))),
        ("two are all there can be", 130, false, Ok((two.clone(), false))),
        ("complete, and one more comes", 30, false, Ok((one, true))),
        ("one before it is listed", 30, false, Ok((two.clone(), true))),
        (
            "one that is no child",
            15,
            false,
            Ok((vec![line.first.clone(), line.parent.clone()], false)),
        ),
        ("listed, and not found", 130, false, not_found()),
        ("not listed for more than a minute", 270, false, Ok((two.clone(), true))),
        ("the name means the older stream no more", 450, true, Ok((two, true))),
        ("an error without a cause", 130, false, Err("INTERNAL".into())),
    ];
    for (name, asked, by_table, said) in bad {
        assert!(line.judge(asked, by_table, said).is_err(), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn shards_are_found_where_listings_show_them() {
    let line = Line::new().await;
    let position = Origin::Position(Position::Horizon);
    let token = Origin::Token(Point { client: 0, item: 0 });
    let failed =
        |reason: &str| What::Failed { code: "any".into(), reason: reason.into(), token: None };
    let read = || What::Heartbeat { at_tip: true, observed: None, token: Token::default() };
    let good = [
        ("listed", 130, &position, read()),
        ("listed a minute ago", 240, &position, read()),
        ("not listed", 210, &position, failed("SHARD_NOT_FOUND")),
        ("a token's shard that is not listed", 210, &token, failed("RECORDS_TRIMMED")),
    ];
    for (name, second, origin, what) in good {
        assert_eq!(line.opens(second, origin.clone(), what), Ok(()), "{name}");
    }
    let bad = [
        ("listed, and not found", 130, &position, failed("SHARD_NOT_FOUND")),
        ("not listed for more than a minute, and read", 270, &position, read()),
        ("a token's shard is not to be looked for", 210, &token, failed("SHARD_NOT_FOUND")),
        ("a token's shard that is listed", 130, &token, failed("RECORDS_TRIMMED")),
    ];
    for (name, second, origin, what) in bad {
        assert!(line.opens(second, origin.clone(), what).is_err(), "{name}");
    }
}
