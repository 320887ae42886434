//! Tokens are a small part of what a busy subscription sends.

use std::time::Duration;

use shardstream::limits::Limits;

use crate::sim::fake::{EntryKind, FakeUpstream, Writing};
use crate::sim::history::subscribed::{Message, Start, Wish};
use crate::sim::inprocess::InProcess;
use crate::support::client::{pass, seconds};
use crate::support::watcher::Watcher;

const MINUTE: Duration = Duration::from_secs(60);

/// In a minute with so many bytes the promise holds.
const MUCH: usize = 32 << 20;

const SHARDS: usize = 200;

/// Seconds from one write to the next, how many writes there are, and what each shard is given
/// then.
const ROUND: u64 = 6;
const ROUNDS: u64 = 11;
const WRITING: Writing =
    Writing { count: 1, padding: 20_000, kind: EntryKind::Record, ago: Duration::ZERO };

#[tokio::test(start_paused = true)]
async fn tokens_are_a_twentieth_of_any_minute_with_32_mebibytes() {
    let fake = FakeUpstream::new(1);
    let stream = fake.add_stream("Orders");
    let shards: Vec<_> = (0..SHARDS).map(|_| fake.add_shard(&stream, None)).collect();
    let server = InProcess::new(&fake, Limits::default(), 1);
    // One record a message, so that a token could ride with each; and the shortest intervals, so
    // that they come often.
    let wish = Wish {
        records: 1,
        heartbeat: seconds(1),
        checkpoint: Duration::from_millis(100),
        ..Wish::default()
    };
    let mut watcher = Watcher::start(&server, &fake, &wish, Start::Horizon).await;
    let writing = async {
        for _ in 0..ROUNDS {
            for shard in &shards {
                fake.write_with(shard, WRITING);
            }
            pass(seconds(ROUND)).await;
        }
    };
    tokio::join!(watcher.settle(seconds(2 * ROUND)), writing);
    let (mut busy, mut first) = (0, 0);
    let (mut bytes, mut tokens) = (0, 0);
    let messages: &[Message] = &watcher.messages;
    for message in messages {
        (bytes, tokens) = (bytes + message.bytes, tokens + message.token.len());
        while messages[first].at + MINUTE < message.at {
            (bytes, tokens) = (bytes - messages[first].bytes, tokens - messages[first].token.len());
            first += 1;
        }
        if bytes >= MUCH {
            busy += 1;
            assert!(
                tokens * 20 <= bytes,
                "{tokens} of {bytes} bytes up to {:?} are tokens",
                message.at
            );
        }
    }
    assert!(busy > 0, "only {bytes} bytes in the last minute");
    let records = watcher.order().len();
    assert_eq!(records, SHARDS * WRITING.count * ROUNDS as usize);
    let largest = messages.iter().map(|message| message.token.len()).max();
    assert!(largest > Some(3_000), "a token of so many shards is large: {largest:?}");
}
