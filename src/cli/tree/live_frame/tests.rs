use super::*;
use crate::pb::WatchShardsResponse;

const NOW: i64 = 1_795_428_000;

/// A shard as AWS could make it, with an id made from its number and its age in hours.
fn shard(
    number: u32,
    parent: Option<u32>,
    state: ShardState,
    reading: ReadingState,
) -> ShardProgress {
    let id = |number: u32| {
        format!("shardId-0000000{}-{number:08x}", (NOW - i64::from(number) * 3_600) * 1_000)
    };
    let made = prost_types::Timestamp { seconds: NOW - i64::from(number) * 3_600, nanos: 0 };
    let shard = Shard {
        shard_id: id(number),
        parent_shard_id: parent.map(id).unwrap_or_default(),
        state: state.into(),
        created_time: Some(made),
        ..Default::default()
    };
    ShardProgress { shard: Some(shard), state: reading.into(), ..Default::default() }
}

fn frame(
    shards: Vec<ShardProgress>,
    status: StreamStatus,
    trouble: &str,
    size: (usize, usize),
) -> Vec<String> {
    let mut watched = Watched::new(None);
    watched.apply(WatchShardsResponse { shards, status: status.into(), ..Default::default() });
    let now = Timestamp::new(NOW, 0).expect("a time");
    let frame = LiveFrame { stream: "orders", watched: &watched, now, trouble };
    frame
        .lines(size.0, size.1)
        .iter()
        .map(|line| anstream::adapter::strip_str(line).to_string())
        .collect()
}

/// A root, and a chain of shards below it of which the last is open.
fn chain(length: u32) -> Vec<ShardProgress> {
    let state = |number| if number + 1 == length { ShardState::Open } else { ShardState::Closed };
    let reading =
        |number| if number + 1 == length { ReadingState::AtTip } else { ReadingState::Drained };
    (0..length)
        .map(|number| shard(number, number.checked_sub(1), state(number), reading(number)))
        .collect()
}

#[test]
fn columns_keep_their_places_in_80() {
    let mut shards = chain(3);
    let trim = Some(prost_types::Duration { seconds: 84_000, nanos: 0 });
    let lag = Some(prost_types::Duration { seconds: 4_000, nanos: 0 });
    shards[2] = ShardProgress {
        state: ReadingState::Reading.into(),
        sequence_number: "100000000003498070001".into(),
        lag,
        time_to_trim: trim,
        lanes: 16,
        subscribers: 1_000,
        ..shards[2].clone()
    };
    let expected = [
        "orders  3 shards, 1 open  DISABLING  Ctrl-C stops",
        "SHARD          STATE     AGE READING    LAG TRIM IN  POSITION LANES SUBS",
        "└ 00000000     closed     0s drained                              0    0",
        "  └ 00000001   closed  1h00m drained                              0    0",
        "    └ 00000002 open    2h00m reading  1h06m  23h20m …98070001    16 1000",
    ];
    assert_eq!(frame(shards, StreamStatus::Disabling, "", (80, 24)), expected);
}

#[test]
fn long_ids_are_for_wide_windows_and_deep_trees_are_cut() {
    let lines = frame(chain(2), StreamStatus::Enabled, "", (100, 24));
    assert!(lines[2].starts_with("└ 1795428000000-00000000"), "{lines:#?}");
    let lines = frame(chain(40), StreamStatus::Enabled, "", (80, 60));
    assert_eq!(
        lines[41],
        "…           └ 00000027 open    1d15h at tip                               0    0"
    );
    assert!(lines.iter().all(|line| columns(line) <= 80), "{lines:#?}");
}

#[test]
fn what_rests_is_folded_when_there_is_no_room() {
    let mut shards = chain(30);
    shards
        .extend((40..43).map(|number| shard(number, None, ShardState::Open, ReadingState::Unread)));
    let lines = frame(shards.clone(), StreamStatus::Enabled, "", (80, 10));
    let shown: Vec<&str> =
        lines[2..6].iter().map(|line| line.split(' ').nth(1).expect("an id")).collect();
    assert_eq!(shown, ["0000002a", "00000029", "00000028", "0000001d"]);
    assert_eq!(lines[6], "29 closed shards at rest not shown");
    let lines = frame(shards, StreamStatus::Enabled, "", (80, 6));
    assert_eq!(
        lines[4],
        "29 closed shards at rest and 2 more shards not shown: the window is too low"
    );
    let lines = frame(chain(2), StreamStatus::Enabled, "the connection broke", (80, 10));
    assert_eq!(lines[4], "the connection broke");
}

#[test]
fn hostile_ids_stay_text() {
    let mut evil = shard(1, None, ShardState::Open, ReadingState::AtTip);
    evil.shard.as_mut().expect("one").shard_id = "\u{1b}[2J\r".into();
    let lines = frame(vec![evil], StreamStatus::Enabled, "", (80, 24));
    assert!(lines[2].starts_with(r"└ \u{1b}[2J\r"), "{lines:#?}");
}
