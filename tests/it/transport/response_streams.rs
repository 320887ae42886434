//! Response streams over a real connection: what a client gets, and what it costs a server when the
//! client stands still.

use std::sync::Arc;

use shardstream::limits::Limits;
use shardstream::pb::shard_service_client::ShardServiceClient;
use shardstream::pb::stream_records_response::Event;
use shardstream::pb::{self, stream_records_request::Source};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::contract::bad_input::fixture::{check, name, position};
use crate::sim::fake::{FakeUpstream, ShardRef};
use crate::support::faulty::{Before, Faulty};
use crate::support::server::Server;

/// Records of the shard: some megabytes.
const RECORDS: usize = 20_000;

/// HTTP/2's smallest window unless a client asks for less, in bytes.
const WINDOW: u32 = 65_535;

async fn serve(records: usize) -> (Server, FakeUpstream, ShardRef) {
    let (fake, shard) = FakeUpstream::with_shard(3);
    fake.write(&shard, records);
    (Server::start(Arc::new(fake.clone()), quick()).await, fake, shard)
}

/// Limits under which nothing waits for the next call to the upstream.
fn quick() -> Limits {
    let mut limits = Limits::default();
    limits.reading.shard_calls_per_second = 1_000.0;
    limits
}

fn horizon(shard: &ShardRef) -> pb::ShardStart {
    let start = Some(pb::shard_start::Start::Position(position(pb::IteratorType::TrimHorizon)));
    pb::ShardStart { shard: Some(name(shard)), start }
}

/// A stream of the whole shard, up to its tip, in messages of so many records (0: the default).
fn whole(shard: &ShardRef, max_batch_records: i32) -> pb::StreamRecordsRequest {
    let until = Some(pb::Until { at_tip: true, ..Default::default() });
    pb::StreamRecordsRequest {
        source: Some(Source::Start(horizon(shard))),
        until,
        max_batch_records,
        ..Default::default()
    }
}

/// All records of a stream, and the bytes of its largest message.
async fn read(
    server: &Server,
    request: pb::StreamRecordsRequest,
) -> (Vec<pb::ChangeRecord>, usize) {
    use prost::Message as _;
    let mut messages =
        server.shards().await.stream_records(request).await.expect("streams").into_inner();
    let (mut records, mut largest) = (vec![], 0);
    while let Some(message) = messages.message().await.expect("well") {
        largest = largest.max(message.encoded_len());
        records.extend(message.records);
    }
    (records, largest)
}

#[tokio::test]
async fn messages_of_every_size_arrive_as_they_are_read_one_by_one() {
    let (server, _, shard) = serve(2_000).await;
    let (mut plain, mut start) = (vec![], horizon(&shard));
    let mut shards = server.shards().await;
    while plain.len() < 2_000 {
        let source = Some(pb::get_records_request::Source::Start(start));
        let request = pb::GetRecordsRequest { source, ..Default::default() };
        let answer = shards.get_records(request).await.expect("read").into_inner();
        plain.extend(answer.records);
        start = pb::ShardStart {
            shard: None,
            start: Some(pb::shard_start::Start::Token(answer.token)),
        };
    }
    for (batch, least, most) in
        [(1, 100, 1 << 10), (20, 1 << 10, 16 << 10), (0, 16 << 10, 256 << 10)]
    {
        let (records, largest) = read(&server, whole(&shard, batch)).await;
        assert!((least..most + 1_024).contains(&largest), "{batch} records are {largest} bytes");
        assert!(records == plain, "{} of {} in messages of {batch}", records.len(), plain.len());
    }
    server.end().await;
}

#[tokio::test]
async fn a_status_brings_its_details_behind_the_last_message() {
    let (server, fake, shard) = serve(10).await;
    fake.trim_to_newest(&shard, 2);
    let start = pb::Position {
        sequence_number: fake.entries(&shard, 0..1)[0].number.to_string(),
        ..position(pb::IteratorType::AtSequenceNumber)
    };
    let start = Some(pb::shard_start::Start::Position(start));
    let source = Some(Source::Start(pb::ShardStart { shard: Some(name(&shard)), start }));
    let request = pb::StreamRecordsRequest { source, ..Default::default() };
    let mut messages =
        server.shards().await.stream_records(request).await.expect("streams").into_inner();
    let mut last = None;
    let status = loop {
        match messages.message().await {
            Ok(message) => last = message.expect("a status is to come").event,
            Err(status) => break status,
        }
    };
    assert!(matches!(last, Some(Event::End(_))));
    check(&status, Code::OutOfRange, "RECORDS_TRIMMED");
    server.end().await;
}

#[tokio::test]
async fn a_client_that_stands_still_is_given_a_few_messages_ahead() {
    let (server, _, shard) = serve(RECORDS).await;
    let request = pb::StreamRecordsRequest { until: None, ..whole(&shard, 100) };
    let endpoint = Channel::from_shared(format!("http://{}", server.address)).expect("an address");
    let channel = endpoint.initial_stream_window_size(WINDOW).connect().await.expect("listens");
    let mut still = ShardServiceClient::new(channel)
        .stream_records(request)
        .await
        .expect("streams")
        .into_inner();
    let first = still.message().await.expect("well").expect("records").records.len();
    // While another reads everything, this one's window has long been full.
    let (all, _) = read(&server, whole(&shard, 0)).await;
    assert_eq!(all.len(), RECORDS);
    let delivered = server.counted("shardstream_records_delivered_total").await as usize;
    let ahead = delivered - RECORDS - first;
    assert!(ahead < RECORDS / 10, "{ahead} records for a client that took {first}");
    // What it was not given is still there.
    let mut taken = first;
    while taken < RECORDS {
        taken += still.message().await.expect("well").expect("records").records.len();
    }
    server.end().await;
}

#[tokio::test]
async fn a_panic_is_the_end_of_one_stream_after_what_it_had_sent() {
    let (fake, shard) = FakeUpstream::with_shard(3);
    fake.write(&shard, 5);
    fake.close(&shard);
    let server = Server::start(Faulty::over(&fake, |call| call == Before::Children), quick()).await;
    let mut shards = server.shards().await;
    for _ in 0..2 {
        let request = pb::StreamRecordsRequest { until: None, ..whole(&shard, 0) };
        let mut messages = shards.stream_records(request).await.expect("streams").into_inner();
        let mut records = 0;
        let status: Status = loop {
            match messages.message().await {
                Ok(message) => records += message.expect("a status is to come").records.len(),
                Err(status) => break status,
            }
        };
        assert_eq!((records, status.code()), (5, Code::Internal));
        assert!(!status.message().contains("on purpose"), "{status:?}");
    }
    assert_eq!(server.counted("shardstream_panics_total").await, 2);
    server.end().await;
}
