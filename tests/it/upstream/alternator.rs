//! ScyllaDB's Alternator as an upstream: its names, its hundreds of shards, parents with many
//! children, and one number for all that a batch wrote. What it promises and what it does not is
//! told in `docs/upstreams.md`.

use std::time::Duration;

use shardstream::grpc::generated::shard_service_server::ShardService as _;
use shardstream::grpc::generated::stream_service_server::StreamService as _;
use shardstream::grpc::stream_service::StreamApi;
use shardstream::limits::Limits;
use shardstream::model::{Page, PageEntry, Position, SequenceNumber};
use shardstream::pb;
use shardstream::pb::stream_records_response::Event;
use shardstream::upstream::{self, Operation, Upstream as _};
use tonic::Request;

use crate::sim::fake::{Answer, FakeUpstream, Ids, ShardRef, Shared, Split};
use crate::sim::history::subscribed::{Start, What, Wish};
use crate::sim::inprocess::InProcess;
use crate::support::client::{At, Client, after, at, horizon, hours, indexes, pass};
use crate::support::watcher::Watcher;

const QUIET: Duration = Duration::from_secs(20);

/// A stream with so many shards of a first generation.
fn alternator(shards: usize) -> (FakeUpstream, Vec<ShardRef>) {
    let fake = FakeUpstream::new(3);
    fake.name(Ids::Alternator);
    fake.share_numbers(Shared::Blocking);
    fake.set_traits(|traits| traits.at_timestamp = false);
    fake.behave_all(|behaviour| behaviour.silent_trims = true);
    let stream = fake.add_stream("Orders");
    let shards = (0..shards).map(|_| fake.add_shard(&stream, None)).collect();
    (fake, shards)
}

/// The next generation: each shard has so many children.
fn generation(
    fake: &FakeUpstream,
    parents: &[ShardRef],
    children: impl Fn(usize) -> usize,
) -> Vec<Vec<ShardRef>> {
    let split = |(at, parent): (usize, &ShardRef)| {
        fake.split(parent, Split { children: children(at), ..Split::default() })
    };
    parents.iter().enumerate().map(split).collect()
}

#[tokio::test(start_paused = true)]
async fn its_names_are_names_through_every_door() {
    let (fake, shards) = alternator(2);
    let customers = fake.add_stream("Customers");
    fake.add_shard(&customers, None);
    fake.write(&shards[1], 3);
    let client = Client::over(fake, shards[1].clone(), |_| {});
    let (stream, id) = (client.shard.stream.to_string(), client.shard.shard.to_string());
    assert!(
        stream.contains("table/alternator_Orders@Orders_scylla_cdc_log/stream/")
            && id.starts_with("H "),
        "{id}"
    );

    let api = StreamApi::new(client.server.context.clone());
    for named in ["Orders", &stream] {
        let request = pb::DescribeStreamRequest { stream: named.into() };
        let told =
            api.describe_stream(Request::new(request)).await.expect("described").into_inner();
        let told = told.description.expect("a description");
        assert_eq!(
            (told.stream_arn.as_str(), told.table_name.as_str()),
            (stream.as_str(), "Orders")
        );

        let name = pb::ShardName { stream: named.into(), shard_id: id.clone() };
        let start = Some(pb::open_shard_request::Start::Position(pb::Position {
            iterator_type: pb::IteratorType::TrimHorizon.into(),
            ..Default::default()
        }));
        let request = pb::OpenShardRequest { shard: Some(name), start, lease_duration: None };
        let session =
            client.server.api.open_shard(Request::new(request)).await.expect("opened").into_inner();
        let lease = session.session.expect("a session").lease.expect("a lease").lease_id;
        assert_eq!(client.given(&lease).await, [0, 1, 2]);
    }
    let listed = client.list_shards("").await.expect("listed").shards;
    let created = client.fake.shard_truth(&client.shard).created;
    let shard = listed.iter().find(|shard| shard.shard_id == id).expect("listed");
    let told = shard.created_time.as_ref().expect("the id says it");
    assert_eq!((told.seconds, told.nanos), (created.seconds(), created.nanos() as i32));
    let (read, token) = client.drain(horizon()).await;
    assert_eq!(read, [0, 1, 2]);
    client.fake.write(&client.shard, 2);
    assert_eq!(client.elsewhere().drain(At::Token(token)).await.0, [3, 4]);
}

#[tokio::test(start_paused = true)]
async fn streams_are_listed_to_the_end_although_every_page_says_how_to_go_on() {
    let (fake, shards) = alternator(1);
    for table in ["Customers", "Invoices", "Zebras"] {
        fake.add_stream(table);
    }
    let client = Client::over(fake, shards[0].clone(), |_| {});
    let api = StreamApi::new(client.server.context.clone());
    for page_size in [0, 1, 2, 4] {
        let (mut tables, mut page_token, mut pages) = (vec![], String::new(), 0);
        loop {
            let request = pb::ListStreamsRequest { page_size, page_token, ..Default::default() };
            let page = api.list_streams(Request::new(request)).await.expect("listed").into_inner();
            tables.extend(page.streams.into_iter().map(|stream| stream.table_name));
            page_token = page.next_page_token;
            pages += 1;
            assert!(pages < 10, "without end");
            if page_token.is_empty() {
                break;
            }
        }
        tables.sort();
        assert_eq!(tables, ["Customers", "Invoices", "Orders", "Zebras"], "pages of {page_size}");
    }
}

#[tokio::test(start_paused = true)]
async fn hundreds_of_shards_and_children_are_followed_in_order() {
    let (fake, first) = alternator(120);
    for shard in &first {
        fake.write(shard, 3);
    }
    let server = InProcess::new(&fake, Limits::default(), 1);
    let wish = Wish { stream: "Orders".into(), ..Wish::default() };
    let mut watcher = Watcher::start(&server, &fake, &wish, Start::Horizon).await;
    watcher.settle(QUIET).await;
    // One shard is taken apart into very many, the others go over into one each, or into none: what
    // was theirs is told of under one of their neighbours.
    let second = generation(&fake, &first, |at| if at == 0 { 150 } else { at % 2 });
    for children in &second {
        for child in children {
            fake.write(child, 2);
        }
    }
    watcher.settle(Duration::from_secs(90)).await;
    let records = watcher.records();
    let shards = fake.shards();
    assert_eq!((records.len(), shards.len()), (first.len() + 150 + 60, first.len() + 150 + 60));
    for (ordinal, found) in records {
        let expected: Vec<u64> =
            if (ordinal as usize) < first.len() { vec![0, 1, 2] } else { vec![0, 1] };
        assert_eq!(found, expected, "{}", shards[ordinal as usize].shard);
    }
    let client = Client::over(fake, first[0].clone(), |_| {});
    let mut children: Vec<_> = second[0].iter().map(|child| child.shard.to_string()).collect();
    children.sort();
    assert_eq!(client.child_ids().await.0, children);
}

#[tokio::test(start_paused = true)]
async fn a_batch_comes_although_only_a_few_of_its_records_fit() {
    let (fake, shards) = alternator(1);
    for count in [1, 12, 12, 2] {
        fake.write(&shards[0], count);
    }
    // Alternator never gives a batch to whom asks for fewer records than it holds.
    let client = Client::over(fake, shards[0].clone(), |limits| limits.reading.page_bytes = 900);
    let mut live = client.live(horizon()).await;
    let all: Vec<u64> = (0..27).collect();
    assert_eq!(live.records(27).await.0, all);
    assert_eq!(client.elsewhere().drain(horizon()).await.0, all);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_resumes_in_the_middle_of_a_batch() {
    let (fake, shards) = alternator(1);
    for count in [1, 5, 3] {
        fake.write(&shards[0], count);
    }
    let wish =
        Wish { stream: "Orders".into(), records: 2, checkpoint: Duration::ZERO, ..Wish::default() };
    let server = InProcess::new(&fake, Limits::default(), 1);
    let mut first = Watcher::start(&server, &fake, &wish, Start::Horizon).await;
    first.settle(QUIET).await;
    assert_eq!(first.records(), [(0, (0..9).collect())].into());
    let mut covered = 0;
    for message in &first.messages {
        if let What::Records { records, .. } = &message.what {
            covered += records.len() as u64;
        }
        if message.token.is_empty() {
            continue;
        }
        let server = InProcess::new(&fake, Limits::default(), 2);
        let start = Start::Token(message.token.clone(), vec![]);
        let mut rest = Watcher::start(&server, &fake, &wish, start).await;
        rest.settle(QUIET).await;
        let found = rest.records().remove(&0).unwrap_or_default();
        assert_eq!(found, (covered..9).collect::<Vec<u64>>());
    }
}

#[tokio::test(start_paused = true)]
async fn what_it_trims_without_a_word_is_told_as_a_possible_loss() {
    let (fake, shards) = alternator(1);
    fake.write(&shards[0], 1);
    let client = Client::over(fake, shards[0].clone(), |_| {});
    let (read, token) = client.drain(horizon()).await;
    assert_eq!(read, [0]);
    let first = client.numbers()[0];
    client.fake.write(&client.shard, 2);
    pass(hours(25)).await;
    client.fake.write(&client.shard, 2);
    for start in [At::Token(token.clone()), after(first), at(first)] {
        let mut live = client
            .elsewhere()
            .live_with(start, |request| request.set_gap_policy(pb::GapPolicy::Continue))
            .await;
        let Some(Event::Gap(gap)) = live.news().await.event else { panic!("no gap") };
        assert_eq!((gap.cause(), gap.certain), (pb::GapCause::Trimmed, false));
        assert_eq!(live.records(2).await.0, [3, 4]);
    }
    // A number says how old it is, however old its shard.
    let young = client.numbers()[3];
    assert_eq!(client.elsewhere().drain(at(young)).await.0, [3, 4]);
    assert_eq!(client.elsewhere().drain(after(young)).await.0, [4]);
    let (_, token) = client.elsewhere().drain(at(young)).await;
    pass(hours(10)).await;
    client.fake.write(&client.shard, 1);
    assert_eq!(client.elsewhere().drain(At::Token(token)).await.0, [5]);
}

#[tokio::test(start_paused = true)]
async fn a_possible_loss_does_not_bring_again_what_was_delivered() {
    let (fake, shards) = alternator(1);
    for _ in 0..3 {
        fake.write(&shards[0], 2);
    }
    let client = Client::over(fake, shards[0].clone(), |_| {});
    let first = client.read_with(horizon(), |request| request.max_records = 2).await.expect("read");
    assert_eq!(indexes(&first.records), [0, 1]);
    // So old that it may be gone, and it is not.
    pass(hours(23) + Duration::from_secs(300)).await;
    // Behind a number that two records share comes the second of them.
    for (start, next) in [(At::Token(first.token), 2..6), (after(client.numbers()[1]), 1..6)] {
        let expected: Vec<u64> = next.collect();
        let mut live = client
            .elsewhere()
            .live_with(start, |request| request.set_gap_policy(pb::GapPolicy::Continue))
            .await;
        let told = live.news().await;
        assert!(matches!(told.event, Some(Event::Gap(gap)) if !gap.certain));
        assert_eq!(live.records(expected.len()).await.0, expected);
        assert_eq!(
            client.elsewhere().drain(At::Token(told.token)).await.0,
            expected,
            "from the gap's token"
        );
    }
}

/// Alternator sorts what was written at one moment byte by byte and with signs: not by its number.
#[tokio::test(start_paused = true)]
async fn numbers_of_one_moment_come_in_any_order() {
    let (fake, shards) = alternator(1);
    let (fake, shard) = (&fake, &shards[0]);
    for _ in 0..5 {
        fake.write(shard, 1);
    }
    let start = upstream::IteratorStart::Position(Position::TrimHorizon);
    let iterator = fake
        .shard_iterator(&shard.stream, &shard.shard, start)
        .await
        .expect("an iterator")
        .iterator;
    let whole = FakeUpstream::records(fake, &iterator, 1_000).await.expect("a page");
    let moment = 139_365_360_009_990_000_u128;
    let numbered = |index: usize, chance: u128| {
        let PageEntry::Record(mut record) = whole.entries[index].clone() else {
            panic!("a record")
        };
        let number = (moment + index as u128 / 4) << 64 | chance;
        record.sequence_number = SequenceNumber::parse(&number.to_string()).ok();
        PageEntry::Record(record)
    };
    let chances = [0x9fff << 48, 0x8001 << 48, 0xbf00 << 48, 0x8000 << 48, 0x8000 << 48];
    let entries: Vec<PageEntry> =
        chances.into_iter().enumerate().map(|(index, chance)| numbered(index, chance)).collect();
    let page = || Page { entries: entries.clone(), next_iterator: whole.next_iterator.clone() };
    let client = Client::over(fake.clone(), shard.clone(), |_| {});
    let mut start = horizon();
    for index in 0..5 {
        fake.drop_script(shard);
        fake.script(shard, Operation::GetRecords, [Answer::Page(page())]);
        let answer = client
            .elsewhere()
            .read_with(start, |request| request.max_records = 1)
            .await
            .expect("read");
        assert_eq!(indexes(&answer.records), [index]);
        start = At::Token(answer.token);
    }
}
