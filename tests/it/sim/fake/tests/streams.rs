//! Streams and their listings.

use std::time::Duration;

use shardstream::model::{Position as TokenPosition, StreamStatus};
use shardstream::upstream::{ErrorClass, IteratorStart, Upstream};
use tokio::time::sleep;

use super::super::*;
use super::{class, iterator, read};

#[tokio::test(start_paused = true)]
async fn listings_come_in_pages_late_and_in_any_order() {
    let fake = FakeUpstream::new(1);
    let stream = fake.add_stream("Orders");
    let shards: Vec<_> = (0..250).map(|_| fake.add_shard(&stream, None)).collect();
    let late =
        fake.split(&shards[0], Split { listed_after: Duration::from_secs(60), ..Split::default() });
    fake.set_unlisted(&shards[1], true);
    for order in [ListingOrder::ById, ListingOrder::Reversed, ListingOrder::Mixed] {
        fake.listing(|listing| listing.order = order);
        let (mut rows, mut pages, mut start) = (Vec::new(), 0, None);
        loop {
            let page = fake.describe_stream(&stream, None, start.as_ref()).await.expect("a page");
            rows.extend(page.shards);
            pages += 1;
            start = page.last_evaluated;
            if start.is_none() {
                break;
            }
        }
        let closed = rows.iter().filter(|row| row.is_closed()).count();
        rows.sort_by(|a, b| a.id.cmp(&b.id));
        rows.dedup();
        assert_eq!((rows.len(), pages, closed), (249, 3, 1));
        assert!(rows.iter().all(|row| late.iter().all(|late| late.shard != row.id)));
    }
    sleep(Duration::from_secs(60)).await;
    let children = async |fake: &FakeUpstream| {
        let page =
            fake.describe_stream(&stream, Some(&shards[0].shard), None).await.expect("a page");
        page.shards.len()
    };
    assert_eq!(children(&fake).await, 2);
    fake.listing(|listing| listing.children = ChildShards::Itself);
    assert_eq!(children(&fake).await, 3);
    fake.listing(|listing| listing.children = ChildShards::Ignored);
    assert_eq!(children(&fake).await, 100);
}

#[tokio::test(start_paused = true)]
async fn streams_are_enabled_disabled_made_anew_and_deleted() {
    let (fake, shard) = FakeUpstream::with_shard(1);
    fake.set_status(&shard.stream, StreamStatus::Enabling);
    assert!(
        fake.describe_stream(&shard.stream, None, None).await.expect("a page").shards.is_empty()
    );
    fake.write(&shard, 1);
    fake.disable(&shard.stream);
    assert_eq!(read(&fake, &shard, TokenPosition::TrimHorizon).await, (vec![0], true));
    let anew = fake.add_stream("Orders");
    let table = anew.table().expect("a table");
    let page = fake.list_streams(Some(&table), None, 1).await.expect("a page");
    assert_eq!(
        (page.streams[0].arn.clone(), page.last_evaluated.is_some()),
        (shard.stream.clone(), true)
    );
    let page =
        fake.list_streams(Some(&table), page.last_evaluated.as_deref(), 1).await.expect("a page");
    assert_eq!((page.streams[0].arn.clone(), page.last_evaluated), (anew, None));
    fake.delete_stream(&shard.stream);
    assert_eq!(class(fake.describe_stream(&shard.stream, None, None).await), ErrorClass::NotFound);
    assert_eq!(iterator(&fake, &shard, IteratorStart::Latest).await, Err(ErrorClass::NotFound));
}
