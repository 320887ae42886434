//! Listings that lie: shards they lack, orders they change, filters they do not know.

use std::time::Duration;

use shardstream::model::{Position as TokenPosition, ShardId};
use shardstream::upstream::Upstream;
use tokio::time::sleep;

use super::super::*;
use super::read;

async fn rows(
    fake: &FakeUpstream,
    stream: &StreamArn,
    of: Option<&ShardId>,
    start: Option<&ShardId>,
) -> Vec<ShardId> {
    let page = fake.describe_stream(stream, of, start).await.expect("a page");
    page.shards.into_iter().map(|row| row.id).collect()
}

#[tokio::test(start_paused = true)]
async fn a_hidden_shard_is_listed_again_and_can_be_read_all_the_while() {
    let (fake, shard) = FakeUpstream::with_shard(1);
    let other = fake.add_shard(&shard.stream, None);
    fake.write(&shard, 2);
    fake.hide(&shard, Duration::from_secs(30));
    assert!(!fake.is_listed(&shard) && fake.is_listed(&other));
    assert_eq!(rows(&fake, &shard.stream, None, None).await, std::slice::from_ref(&other.shard));
    assert_eq!(
        rows(&fake, &shard.stream, None, Some(&shard.shard)).await,
        [other.shard],
        "pages go on behind it"
    );
    assert_eq!(read(&fake, &shard, TokenPosition::TrimHorizon).await.0, [0, 1]);
    let from = fake.shard_truth(&shard).hidden[1].0;
    sleep(Duration::from_secs(30)).await;
    assert!(fake.is_listed(&shard));
    let hidden = fake.shard_truth(&shard).hidden;
    assert_eq!(hidden, [(Duration::ZERO, Duration::ZERO), (from, from + Duration::from_secs(30))]);
}

#[tokio::test(start_paused = true)]
async fn a_filter_may_lack_children_and_rows_may_change_places() {
    let (fake, shard) = FakeUpstream::with_shard(1);
    let (stream, of) = (&shard.stream, Some(&shard.shard));
    let children = fake.split(&shard, Split::default());
    assert_eq!(fake.children(&shard), children);
    for (filter, count) in
        [(ChildShards::Known, 2), (ChildShards::Half, 1), (ChildShards::Nothing, 0)]
    {
        fake.listing(|listing| listing.children = filter);
        assert_eq!(rows(&fake, stream, of, None).await.len(), count, "{filter:?}");
    }
    fake.listing(|listing| listing.order = ListingOrder::Shuffled);
    let mut seen = Vec::new();
    for _ in 0..20 {
        let mut listed = rows(&fake, stream, None, None).await;
        seen.push(listed.clone());
        listed.sort();
        assert_eq!(listed.len(), 3);
    }
    seen.sort();
    seen.dedup();
    assert!(seen.len() > 1, "always in one order");
}
