//! Trees of many shards are shared by all who look at them: what one more costs does not grow with
//! the shards.

use futures::StreamExt as _;
use shardstream::grpc::generated::shard_service_server::ShardService as _;
use shardstream::grpc::generated::stream_service_server::StreamService as _;
use shardstream::grpc::stream_service::StreamApi;
use shardstream::pb;
use tonic::Request;

use crate::sim::fake::{FakeUpstream, Split};
use crate::support::client::Client;

const SHARDS: usize = 3_000;

const LOOKERS: usize = 100;

/// What so many may cost beside everything else that this process does at the same time.
const MOST: usize = 100 << 20;

/// One shard and all that descends from it: two children each.
fn tree() -> Client {
    let (fake, root) = FakeUpstream::with_shard(1);
    let mut shards = vec![root.clone()];
    for parent in 0.. {
        if shards.len() >= SHARDS {
            break;
        }
        let children = fake.split(&shards[parent].clone(), Split::default());
        shards.extend(children);
    }
    Client::over(fake, root, |limits| limits.reading.describe_calls_per_second = 1_000.0)
}

/// Bytes of memory that this process holds.
fn held() -> usize {
    let told = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: usize =
        told.split_whitespace().nth(1).expect("resident pages").parse().expect("a number");
    pages * 4_096
}

#[tokio::test(start_paused = true)]
async fn a_hundred_walks_that_nobody_reads_cost_little() {
    let client = tree();
    client.walk().await;
    let before = held();
    let mut walks = vec![];
    for _ in 0..LOOKERS {
        let shard = Some(pb::walk_tree_request::Target::Shard(client.name()));
        let walk =
            client.server.api.walk_tree(Request::new(pb::WalkTreeRequest { target: shard })).await;
        let mut walk = walk.expect("a walk").into_inner();
        walk.next().await.expect("the root").expect("no error");
        walks.push(walk);
    }
    let grown = held().saturating_sub(before);
    assert!(grown < MOST, "{} MiB for {LOOKERS} walks", grown >> 20);
    let rest = walks.pop().expect("one").count().await;
    assert!(rest + 1 >= SHARDS, "{rest} more");
}

#[tokio::test(start_paused = true)]
async fn a_hundred_watches_that_nobody_reads_cost_little() {
    let client = tree();
    let api = StreamApi::new(client.server.context.clone());
    let watch = async || {
        let request = pb::WatchShardsRequest {
            stream: client.shard.stream.to_string(),
            ..Default::default()
        };
        let mut watch =
            api.watch_shards(Request::new(request)).await.expect("a watch").into_inner();
        let first = watch.next().await.expect("the first").expect("no error");
        assert_eq!((first.shards.len(), first.complete), (1_000, false));
        watch
    };
    let _one = watch().await;
    let before = held();
    let mut watches = vec![];
    for _ in 0..LOOKERS {
        watches.push(watch().await);
    }
    let grown = held().saturating_sub(before);
    assert!(grown < MOST, "{} MiB for {LOOKERS} watches", grown >> 20);
    let mut last = watches.pop().expect("one");
    let mut rows = 1_000;
    loop {
        let part = last.next().await.expect("more").expect("no error");
        rows += part.shards.len();
        if part.complete {
            break;
        }
    }
    assert!(rows >= SHARDS, "{rows} rows");
}
