//! `tree`: progress beside the shards, pictures, and the live tree.

use shardstream::cli::Screen;

use super::listings::{lineage, with_shards};
use super::*;

const ROOT: &str = "shardId-00000001795428000001-aaaaaaaa";
const LEFT: &str = "shardId-00000001795428000002-bbbbbbbb";
const RIGHT: &str = "shardId-00000001795428000003-cccccccc";

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

fn told(shard: Shard, state: ReadingState) -> ShardProgress {
    ShardProgress { shard: Some(shard), state: state.into(), ..Default::default() }
}

/// How far the shards of [`lineage`] are read.
fn progress() -> Vec<ShardProgress> {
    let states =
        [ReadingState::Drained, ReadingState::AtTip, ReadingState::Reading, ReadingState::Trimmed];
    let mut all: Vec<_> =
        lineage().into_iter().zip(states).map(|(shard, state)| told(shard, state)).collect();
    all[1] = ShardProgress {
        sequence_number: "100000000003498070001".into(),
        lag: seconds(0),
        lanes: 1,
        subscribers: 3,
        ..all[1].clone()
    };
    all[2] = ShardProgress {
        lag: seconds(12),
        time_to_trim: seconds(84_000),
        lanes: 2,
        subscribers: 3,
        ..all[2].clone()
    };
    all
}

fn round(shards: Vec<ShardProgress>, complete: bool) -> Push<WatchShardsResponse> {
    Push::Message(Box::new(message(shards, complete)))
}

fn message(shards: Vec<ShardProgress>, complete: bool) -> WatchShardsResponse {
    let status = StreamStatus::Enabled.into();
    WatchShardsResponse { stream_arn: "arn".into(), status, shards, complete, ..Default::default() }
}

fn watched(
    watches: impl IntoIterator<Item = Result<Vec<Push<WatchShardsResponse>>, Status>>,
) -> ScriptedServer {
    let watches = Mutex::new(watches.into_iter().collect());
    ScriptedServer::start(Script { shards: lineage(), watches, ..Default::default() })
}

/// A tree in two messages of one round.
fn in_two() -> Vec<Push<WatchShardsResponse>> {
    let mut first = progress();
    let second = first.split_off(2);
    vec![round(first, false), round(second, true), Push::Hang]
}

#[tokio::test]
async fn a_tree_says_how_far_its_shards_are_read() {
    let ran = run(&watched([Ok(in_two())]), &["tree", "orders"]).await;
    let expected = "\
orders  4 shards, 3 open
├── 1795428000001-aaaaaaaa  CLOSED  drained  1000…98069978..
│   ├── 1795428000002-bbbbbbbb  OPEN  at tip  at …98070001
│   └── 1795428000003-cccccccc  OPEN  12s behind  1000…98069978..
└── 1795428000004-dddddddd  OPEN  parent is gone  trimmed  1000…98069978..
";
    assert_eq!((ran.exit, ran.data.as_str(), ran.talk.as_str()), (Exit::Ok, expected, ""));

    let ran = run(&watched([Ok(in_two())]), &["tree", "orders", "--output", "json"]).await;
    let line = ran.data.lines().nth(1).expect("a second shard");
    let object: serde_json::Value = serde_json::from_str(line).expect("JSON");
    let expected = serde_json::json!({
        "state": "AT_TIP", "sequence_number": "100000000003498070001", "lag": "0s", "lanes": 1, "subscribers": 3
    });
    assert_eq!((&object["depth"], &object["progress"]), (&1.into(), &expected));
}

#[tokio::test]
async fn a_tree_is_a_picture_for_graphviz() {
    let ran = run(&watched([Ok(in_two())]), &["tree", "orders", "--output", "dot"]).await;
    let expected = r##"digraph "orders" {
  rankdir=LR;
  node [shape=box, fontname="monospace"];
  n0 [label="1795428000001-aaaaaaaa\nclosed", style="filled", fillcolor="#e4e4e4"];
  n1 [label="1795428000002-bbbbbbbb\nopen", style="filled", fillcolor="#d5f5dc"];
  n2 [label="1795428000003-cccccccc\nopen", style="filled", fillcolor="#d5f5dc"];
  n3 [label="1795420000000-gone0000\ntrimmed", style="dashed", color="#808080", fontcolor="#808080"];
  n4 [label="1795428000004-dddddddd\ntrimmed unread", style="filled", fillcolor="#f9d3d3", color="#b00000"];
  n0 -> n1;
  n0 -> n2;
  n3 -> n4;
}
"##;
    assert_eq!((ran.exit, ran.data.as_str()), (Exit::Ok, expected));
}

#[tokio::test]
async fn a_tree_is_a_picture_for_mermaid() {
    let mut shards = lineage();
    shards.reverse();
    let ran = run(&with_shards(shards), &["tree", "orders", "--output", "mermaid"]).await;
    let expected = r#"flowchart LR
  classDef open fill:#d5f5dc,stroke:#2e7d32,color:#000
  classDef closed fill:#e4e4e4,stroke:#606060,color:#000
  classDef gone fill:none,stroke:#808080,stroke-dasharray:4,color:#808080
  n0["1795428000001-aaaaaaaa<br/>closed"]:::closed
  n1["1795428000002-bbbbbbbb<br/>open"]:::open
  n2["1795428000003-cccccccc<br/>open"]:::open
  n3["1795420000000-gone0000<br/>trimmed"]:::gone
  n4["1795428000004-dddddddd<br/>open"]:::open
  n0 --> n1
  n0 --> n2
  n3 --> n4
"#;
    assert_eq!((ran.exit, ran.data.as_str()), (Exit::Ok, expected));
}

fn objects(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect()
}

/// Runs until `text` was printed, then is told to stop.
async fn until(server: &ScriptedServer, args: &[&str], text: &str) -> Ran {
    let (data, talk, cancel) = (Shared::default(), Shared::default(), CancellationToken::new());
    let run = run_to(server, args, data.clone(), talk.clone(), &cancel);
    let stop = async {
        printed(&data, text).await;
        cancel.cancel();
    };
    let (exit, ()) = tokio::join!(run, stop);
    Ran { exit, data: data.text(), talk: talk.text() }
}

#[tokio::test]
async fn a_watched_tree_is_an_object_a_change_also_over_a_reconnect() {
    let [root, left, right, _] = progress().try_into().expect("four");
    let gone =
        || WatchShardsResponse { removed_shard_ids: vec![RIGHT.into()], ..message(vec![], true) };
    let further = ShardProgress { subscribers: 4, ..left.clone() };
    let server = watched([
        Ok(vec![
            round(vec![root.clone(), left], false),
            round(vec![right], true),
            Push::Message(Box::new(gone())),
            Push::Fail(Status::unavailable("gone")),
        ]),
        Err(status(Code::Unavailable, "DRAINING")),
        Ok(vec![round(vec![root, further], true), Push::Hang]),
    ]);
    for args in
        [&["tree", "orders", "--watch"][..], &["tree", "orders", "--watch", "--output", "json"]]
    {
        let server = if args.len() == 3 { &server } else { &watched([Ok(in_two())]) };
        let last = if args.len() == 3 { r#""subscribers":4"# } else { "dddddddd" };
        let ran = until(server, args, last).await;
        assert_eq!(ran.exit, Exit::Interrupted, "{}", ran.talk);
        let objects = objects(&ran.data);
        assert_eq!(objects[0], serde_json::json!({ "stream_arn": "arn", "status": "ENABLED" }));
        assert_eq!(
            (&objects[1]["shard_id"], &objects[1]["progress"]["state"]),
            (&ROOT.into(), &"DRAINED".into())
        );
        assert_eq!(objects[3]["progress"]["time_to_trim"], "84000s");
        if args.len() > 3 {
            continue;
        }
        assert_eq!(
            objects[4],
            serde_json::json!({ "stream_arn": "arn", "shard_id": RIGHT, "removed": true })
        );
        // The tree is told again, and only what differs is printed.
        assert_eq!((objects.len(), &objects[5]["shard_id"]), (6, &LEFT.into()));
        assert!(ran.talk.contains("not available: gone; going on in"), "{}", ran.talk);
    }
}

#[tokio::test]
async fn only_what_lies_below_a_shard_is_watched() {
    let ran =
        until(&watched([Ok(in_two())]), &["tree", "orders", "aaaaaaaa", "--watch"], "cccccccc")
            .await;
    assert_eq!(objects(&ran.data).len(), 4, "{}", ran.data);
}

/// What stands on a screen after all that was written to it, and whether the cursor can be seen. It
/// knows what we write.
fn seen(written: &str) -> (String, bool) {
    let (mut rows, mut at, mut shown) = (vec![String::new()], 0, true);
    let mut rest = written;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\r' => {}
            '\n' => {
                at += 1;
                if at == rows.len() {
                    rows.push(String::new());
                }
            }
            '\u{1b}' => {
                let end = rest.find(|c: char| c.is_ascii_alphabetic()).expect("a whole sequence");
                let (sequence, after) = rest.split_at(end + 1);
                rest = after;
                match (sequence.trim_start_matches('['), sequence.chars().last().expect("a letter"))
                {
                    ("?25l", _) => shown = false,
                    ("?25h", _) => shown = true,
                    (up, 'A') => at -= up.trim_end_matches('A').parse::<usize>().expect("rows"),
                    ("J", _) => {
                        rows.truncate(at);
                        rows.push(String::new());
                    }
                    (_, 'm' | 'h' | 'l') => {}
                    (other, _) => panic!("{other} is not known here"),
                }
            }
            c => rows[at].push(c),
        }
    }
    (rows.join("\n"), shown)
}

#[tokio::test]
async fn a_watched_tree_is_drawn_in_place() {
    let mut further = progress();
    further[1].subscribers = 4;
    let server = watched([
        Ok(vec![round(progress(), true), Push::Fail(Status::unavailable("gone"))]),
        Ok(vec![round(further, true), Push::Hang]),
    ]);
    let (written, talk, cancel) = (Shared::default(), Shared::default(), CancellationToken::new());
    let screen = Screen::new(written.clone(), || (80, 24));
    let mut out = Output::to(written.clone(), talk.clone(), Format::Table, Some(80)).on(screen);
    let asked = command(&["tree", "orders", "--watch"], &server.url());
    let stop = async {
        printed(&written, "     1    4").await;
        cancel.cancel();
    };
    let (exit, ()) = tokio::join!(cli::run_on(&asked, &mut out, &cancel), stop);
    assert_eq!((exit, talk.text().as_str()), (Exit::Interrupted, ""));
    let written = String::from_utf8(written.0.lock().clone()).expect("text");
    let (screen, cursor) = seen(&written);
    let expected = "\
orders  4 shards, 3 open  Ctrl-C stops
SHARD        STATE     AGE READING    LAG TRIM IN  POSITION LANES SUBS
├ aaaaaaaa   closed        drained                              0    0
│ ├ bbbbbbbb open          at tip      0s         …98070001     1    4
│ └ cccccccc open          reading    12s  23h20m               2    3
└ dddddddd   open          trimmed                              0    0
";
    assert_eq!((screen.as_str(), cursor), (expected, true), "{written:?}");
    assert!(written.contains("the server is not available: gone; going on in"), "{written:?}");
}

#[tokio::test]
async fn a_first_refusal_of_a_watch_is_told() {
    let server = watched([Err(status(Code::NotFound, "STREAM_NOT_FOUND"))]);
    let ran = run(&server, &["tree", "orders", "--watch"]).await;
    assert_eq!((ran.exit, server.script.asked_watches.lock().len()), (Exit::NotFound, 1));
}
