//! The measurement behind the index in `src/dev/index.rs`.

use std::time::Instant;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodbstreams::types::ShardIteratorType;

use super::support::{House, clients, iterator, make_table};

/// `cargo test --release --test it -- --ignored --nocapture flat`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes, and its figures mean something in a release build only"]
async fn writes_and_reads_stay_flat_to_a_million_records() {
    const BLOCK: usize = 50_000;
    const WRITERS: usize = 16;
    let house = House::new();
    let embedded = house.embedded(None).await;
    let (items, streams) = clients(&embedded);
    let arn = make_table(&items, "a-million-records").await;
    let put = async |n: usize| {
        let pk = AttributeValue::S(format!("item-{}", n % 1000));
        let put = items.put_item().table_name("a-million-records").item("pk", pk);
        put.item("n", AttributeValue::N(n.to_string())).send().await.unwrap();
    };
    let mut rates = Vec::new();
    for block in 1..=20 {
        let began = Instant::now();
        let one = async |writer: usize| {
            for n in (writer..BLOCK).step_by(WRITERS) {
                put(n).await;
            }
        };
        futures::future::join_all((0..WRITERS).map(one)).await;
        let rate = BLOCK as f64 / began.elapsed().as_secs_f64();

        let began = Instant::now();
        let mut at = iterator(&streams, &arn, ShardIteratorType::Latest).await;
        let latest = began.elapsed();
        let mut waits = Vec::new();
        for n in 0..200 {
            let began = Instant::now();
            put(n).await;
            loop {
                let page = streams.get_records().shard_iterator(&at).send().await.unwrap();
                at = page.next_shard_iterator().unwrap().to_owned();
                if !page.records().is_empty() {
                    break;
                }
            }
            waits.push(began.elapsed());
        }
        waits.sort();
        println!(
            "{:>8} records: {rate:>6.0} writes/s, put to read p50 {:?} p99 {:?}, LATEST {latest:?}",
            block * BLOCK,
            waits[100],
            waits[198],
        );
        rates.push(rate);
    }
    let began = Instant::now();
    items.delete_table().table_name("a-million-records").send().await.unwrap();
    println!("the table deleted in {:?}", began.elapsed());
    assert!(rates[19] > rates[0] / 2.0, "writes slow down: {rates:?}");
}
