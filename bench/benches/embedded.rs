//! The measurement behind the index in `src/dev/index.rs`: writes and reads as a stream grows to a
//! million records.
//!
//! `cargo bench --bench embedded`; takes minutes.

// Waiting for the world outside takes the machine's clock, and the programs under test their
// environment.
#![allow(clippy::disallowed_methods)]

#[path = "../../tests/it/embedded/dev/support.rs"]
#[allow(dead_code)]
mod support;

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodbstreams::types::ShardIteratorType;
use shardstream::dev::Embedded;

use support::{House, clients, iterator, make_table};

/// The table whose stream gets long.
const TABLE: &str = "a-million-records";
/// Changes made at a time, at each length.
const WRITERS: usize = 16;

#[tokio::main]
async fn main() {
    let house = House::new();
    let embedded = house.embedded(None).await;
    let (items, streams) = clients(&embedded);
    let arn = make_table(&items, TABLE).await;
    let put = async |n: usize| {
        let pk = AttributeValue::S(format!("item-{}", n % 1000));
        let put = items.put_item().table_name(TABLE).item("pk", pk);
        put.item("n", AttributeValue::N(n.to_string())).send().await.unwrap();
    };
    let mut rates = Vec::new();
    for length in [0, 50_000, 100_000, 200_000, 400_000, 600_000, 800_000, 1_000_000] {
        lengthen(&embedded, length);
        let began = Instant::now();
        let one = async |writer: usize| {
            for n in (writer..5000).step_by(WRITERS) {
                put(n).await;
            }
        };
        futures::future::join_all((0..WRITERS).map(one)).await;
        let rate = 5000.0 / began.elapsed().as_secs_f64();

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
        let page = oldest_page(&streams, &arn).await;
        println!(
            "{length:>8} records: {rate:>5.0} writes/s, put to read p50 {:.1?} p99 {:.1?}, page of 1000 {page:.1?}, \
             DescribeStream and LATEST {latest:.1?}",
            waits[100], waits[198],
        );
        rates.push(rate);
    }
    let began = Instant::now();
    items.delete_table().table_name(TABLE).send().await.unwrap();
    println!("the table deleted in {:.1?}", began.elapsed());
    assert!(rates.last().unwrap() > &(rates[0] / 3.0), "writes slow down: {rates:?}");
}

/// How long a page takes that begins at the stream's beginning, with everything else behind it.
async fn oldest_page(streams: &aws_sdk_dynamodbstreams::Client, arn: &str) -> Duration {
    let at = iterator(streams, arn, ShardIteratorType::TrimHorizon).await;
    let began = Instant::now();
    let page = streams.get_records().shard_iterator(at).send().await.unwrap();
    assert_eq!(page.records().len(), 1000);
    began.elapsed()
}

/// Brings the stream to `length` records from outside: a million writes one by one take too long.
fn lengthen(embedded: &Embedded, length: usize) {
    let connection = rusqlite::Connection::open(embedded.folder().join("dynamodb.sqlite")).unwrap();
    connection.execute_batch("PRAGMA synchronous = OFF").unwrap();
    let count = "SELECT COUNT(*) FROM _stream_records WHERE table_name = ?1";
    let present: usize = connection.query_row(count, [TABLE], |row| row.get(0)).unwrap();
    // Copies of the newest record, numbered onwards.
    let copy = "WITH RECURSIVE more(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM more WHERE n < ?2)
        INSERT INTO _stream_records (table_name, event_name, keys_json, new_image, old_image, sequence_number, shard_id, created_at, event_id)
        SELECT table_name, event_name, keys_json, new_image, old_image, CAST(sequence_number AS INTEGER) + n, shard_id, created_at, hex(randomblob(16))
        FROM more, (SELECT * FROM _stream_records WHERE table_name = ?1 ORDER BY CAST(sequence_number AS INTEGER) DESC LIMIT 1)";
    if length > present {
        connection.execute(copy, (TABLE, length - present)).unwrap();
    }
}
