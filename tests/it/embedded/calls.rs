//! Every call, as a client in any language would make it.

use std::time::{Duration, SystemTime};

use shardstream::pb::stream_records_response::Event;
use shardstream::pb::{self, IteratorType as Kind};
use shardstream::token::ShardToken;
use tonic::Code;

use super::stage::{
    LONG, Stage, behind, drain, getting, getting_on, keys, names, position, streaming,
};
use crate::embedded::dev::support::make_table;

#[tokio::test]
async fn a_session_is_opened_moved_read_renewed_and_closed() {
    let stage = Stage::new("sessions-of-a-test").await;
    stage.write(0..10).await;
    let server = stage.server().await;
    let mut shards = server.shards().await;

    let open = pb::OpenShardRequest {
        shard: Some(pb::ShardName { stream: stage.table.into(), ..stage.shard.clone() }),
        lease_duration: Some(prost_types::Duration { seconds: 100, nanos: 0 }),
        ..Default::default()
    };
    let session =
        shards.open_shard(open).await.expect("opened").into_inner().session.expect("always set");
    assert_eq!((&session.stream_arn, &session.shard_id), (&stage.arn, &stage.shard.shard_id));
    assert_eq!((session.position, session.token.as_str()), (None, ""));
    let lease = session.lease.expect("always set");
    assert_eq!(lease.duration.map(|duration| duration.seconds), Some(100));
    let id = lease.lease_id;
    let refused = shards.get_records(getting_on(&id)).await.expect_err("nowhere yet");
    assert_eq!(refused.code(), Code::FailedPrecondition);

    let mut jump = async |position| {
        let start = Some(pb::jump_to_request::Start::Position(position));
        let request = pb::JumpToRequest { lease_id: id.clone(), start };
        shards.jump_to(request).await.expect("jumped").into_inner().session.expect("always set")
    };
    assert_eq!(jump(position(Kind::TrimHorizon)).await.position, Some(position(Kind::TrimHorizon)));
    let mut shards = server.shards().await;
    let all = shards.get_records(getting_on(&id)).await.expect("read").into_inner();
    assert_eq!(keys(&all.records), names(0..10));
    assert_eq!(all.session.expect("on a lease").token, all.token);
    let number =
        |at: usize| all.records[at].meta.as_ref().expect("always set").sequence_number.clone();

    // All five kinds of place.
    let numbered = |kind, sequence_number| pb::Position { sequence_number, ..position(kind) };
    let hour_ago = SystemTime::now() - Duration::from_secs(3_600);
    let since = pb::Position { time: Some(hour_ago.into()), ..position(Kind::AtTimestamp) };
    for (place, first) in [
        (numbered(Kind::AtSequenceNumber, number(4)), 4),
        (numbered(Kind::AfterSequenceNumber, number(4)), 5),
        (numbered(Kind::AtSequenceNumber, format!("000{}", number(7))), 7),
        (since, 0),
        (position(Kind::TrimHorizon), 0),
    ] {
        jump(place.clone()).await;
        let request = pb::GetRecordsRequest { max_records: 2, ..getting_on(&id) };
        let read = shards.get_records(request).await.expect("read").into_inner();
        assert_eq!(keys(&read.records), names(first..first + 2), "{place:?}");
    }
    jump(position(Kind::Latest)).await;
    stage.write(10..12).await;
    let mut latest = vec![];
    while latest.last() != Some(&"k11".to_owned()) {
        let read = shards.get_records(getting_on(&id)).await.expect("read").into_inner();
        assert!(!read.records.is_empty());
        latest.extend(keys(&read.records));
    }
    // Something written just before LATEST may be seen, nothing after it missed.
    assert_eq!(latest[latest.len() - 2..], names(10..12));

    // By token, and again by request_id.
    let start = Some(pb::jump_to_request::Start::Token(all.token.clone()));
    shards.jump_to(pb::JumpToRequest { lease_id: id.clone(), start }).await.expect("jumped");
    let named = || pb::GetRecordsRequest { request_id: "once".into(), ..getting_on(&id) };
    let once = shards.get_records(named()).await.expect("read").into_inner();
    let again = shards.get_records(named()).await.expect("read").into_inner();
    assert_eq!((keys(&once.records), once.repeated), (names(10..12), false));
    assert_eq!((&again.records, again.repeated), (&once.records, true));
    // What is known of the place's age may be newer; the place is the same.
    let place = |token: &str| ShardToken::decode(token).expect("our own").checkpoint.position;
    assert_eq!(place(&again.token), place(&once.token));

    // Nothing more: at once, and told as the tip.
    let request = pb::GetRecordsRequest { wait: None, ..getting_on(&id) };
    let empty = shards.get_records(request).await.expect("read").into_inner();
    assert_eq!((empty.records.len(), empty.exhausted, empty.at_tip), (0, false, true));
    assert!(empty.observed_time.is_some());
    // A read that waits has what is written meanwhile.
    let waiting = shards.get_records(getting_on(&id));
    let (waited, ()) = tokio::join!(waiting, stage.write(12..13));
    assert_eq!(keys(&waited.expect("read").into_inner().records), names(12..13));

    let renewed =
        shards.renew_lease(pb::RenewLeaseRequest { lease_id: id.clone() }).await.expect("renewed");
    assert_eq!(renewed.into_inner().lease.expect("always set").lease_id, id);
    let stands = shards
        .get_shard_session(pb::GetShardSessionRequest { lease_id: id.clone() })
        .await
        .expect("there");
    let stands = stands.into_inner().session.expect("always set");
    assert_eq!(stands.position.map(|at| at.iterator_type()), Some(Kind::AfterSequenceNumber));
    for _ in 0..2 {
        shards.close_shard(pb::CloseShardRequest { lease_id: id.clone() }).await.expect("closed");
    }
    let gone = shards
        .get_shard_session(pb::GetShardSessionRequest { lease_id: id })
        .await
        .expect_err("gone");
    assert_eq!(gone.code(), Code::NotFound);
    // The token outlives it.
    let read = shards.get_records(getting(behind(&once.token))).await.expect("read").into_inner();
    assert_eq!(keys(&read.records), names(12..13));
    server.end().await;
    stage.house.end().await;
}

#[tokio::test]
async fn a_time_is_found_or_the_tip_is_told() {
    let stage = Stage::new("seeks-of-a-test").await;
    stage.write(0..5).await;
    let server = stage.server().await;
    let mut shards = server.shards().await;
    let seek = |time: SystemTime| pb::SeekToRequest {
        target: Some(pb::seek_to_request::Target::Shard(stage.shard.clone())),
        time: Some(time.into()),
        ..Default::default()
    };
    let hour = Duration::from_secs(3_600);
    for (age, from_horizon) in [(hour, false), (hour * 30, true)] {
        let request = pb::SeekToRequest { max_records: 3, ..seek(SystemTime::now() - age) };
        let found = shards.seek_to(request).await.expect("sought").into_inner();
        assert_eq!((found.outcome(), found.from_horizon), (pb::SeekOutcome::Found, from_horizon));
        assert_eq!((keys(&found.records), &found.session), (names(0..3), &None));
        let read =
            shards.get_records(getting(behind(&found.token))).await.expect("read").into_inner();
        assert_eq!(keys(&read.records), names(3..5));
    }
    // On a lease, until the second of the writes is over: then there is nothing that young.
    let open = pb::OpenShardRequest { shard: Some(stage.shard.clone()), ..Default::default() };
    let session =
        shards.open_shard(open).await.expect("opened").into_inner().session.expect("always set");
    let lease = session.lease.expect("always set").lease_id;
    let sought = tokio::time::timeout(LONG, async {
        loop {
            let target = Some(pb::seek_to_request::Target::LeaseId(lease.clone()));
            let request = pb::SeekToRequest { target, ..seek(SystemTime::now()) };
            let sought = shards.seek_to(request).await.expect("sought").into_inner();
            if sought.outcome() != pb::SeekOutcome::Found {
                return sought;
            }
        }
    });
    let sought = sought.await.expect("a second passes");
    assert_eq!((sought.outcome(), sought.records.len()), (pb::SeekOutcome::AtTip, 0));
    assert_eq!(sought.session.expect("on a lease").token, sought.token);
    stage.write(5..7).await;
    let read = shards.get_records(getting_on(&lease)).await.expect("read").into_inner();
    assert_eq!(keys(&read.records), names(5..5 + read.records.len()));
    assert!(!read.records.is_empty());
    let read = drain(
        &mut shards,
        streaming(behind(&sought.token), pb::Until { record_count: 2, ..Default::default() }),
    );
    assert_eq!(keys(&read.await.records), names(5..7));
    server.end().await;
    stage.house.end().await;
}

#[tokio::test]
async fn streams_and_shards_are_listed_and_described() {
    let stage = Stage::new("listings-of-a-test").await;
    let other = make_table(&stage.items, "another-of-a-test").await;
    let server = stage.server().await;
    let (mut streams, mut shards) = (server.streams().await, server.shards().await);
    let (mut page_token, mut arns) = (String::new(), vec![]);
    loop {
        let request = pb::ListStreamsRequest { page_size: 1, page_token, ..Default::default() };
        let page = streams.list_streams(request).await.expect("listed").into_inner();
        arns.extend(page.streams.into_iter().map(|stream| (stream.stream_arn, stream.table_name)));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    arns.sort();
    let mut expected =
        vec![(stage.arn.clone(), stage.table.to_owned()), (other, "another-of-a-test".to_owned())];
    expected.sort();
    assert_eq!(arns, expected);
    let of_one = pb::ListStreamsRequest { table_name: stage.table.into(), ..Default::default() };
    let of_one = streams.list_streams(of_one).await.expect("listed").into_inner();
    assert_eq!(
        of_one.streams.iter().map(|stream| &stream.stream_arn).collect::<Vec<_>>(),
        [&stage.arn]
    );

    for name in [stage.arn.as_str(), stage.table] {
        let described =
            streams.describe_stream(pb::DescribeStreamRequest { stream: name.into() }).await;
        let described = described.expect("described").into_inner().description.expect("always set");
        assert_eq!(
            (&described.stream_arn, described.table_name.as_str()),
            (&stage.arn, stage.table)
        );
        assert_eq!(described.status(), pb::StreamStatus::Enabled);
        assert_eq!(described.stream_view_type(), pb::StreamViewType::NewAndOldImages);
        let listed = pb::ListShardsRequest { stream: name.into(), ..Default::default() };
        let listed = streams.list_shards(listed).await.expect("listed").into_inner();
        assert_eq!(listed.shards.len(), 1);
        assert_eq!(listed.shards[0].shard_id, stage.shard.shard_id);
        assert_eq!(listed.shards[0].state(), pb::ShardState::Open, "whatever end it claims");
    }

    let target = Some(pb::list_children_request::Target::Shard(stage.shard.clone()));
    let children = shards
        .list_children(pb::ListChildrenRequest { target })
        .await
        .expect("listed")
        .into_inner();
    assert_eq!((children.children.len(), children.complete), (0, false));
    let target = Some(pb::walk_tree_request::Target::Shard(stage.shard.clone()));
    let mut walk =
        shards.walk_tree(pb::WalkTreeRequest { target }).await.expect("walks").into_inner();
    let root = walk.message().await.expect("no error").expect("itself");
    assert_eq!(
        (root.shard.expect("always set").shard_id, root.depth),
        (stage.shard.shard_id.clone(), 0)
    );
    assert_eq!(walk.message().await.expect("no error"), None);

    let info = server
        .info()
        .await
        .get_server_info(pb::GetServerInfoRequest {})
        .await
        .expect("told")
        .into_inner();
    let (upstream, limits) = (info.upstream.expect("always set"), info.limits.expect("always set"));
    assert_eq!(upstream.endpoint_kind(), pb::EndpointKind::Embedded);
    assert_eq!(
        (limits.max_records, info.defaults.expect("always set").max_records),
        (1_000, 1_000)
    );
    server.end().await;
    stage.house.end().await;
}

#[tokio::test]
async fn a_stream_ends_where_it_is_told_to_and_beats_meanwhile() {
    let stage = Stage::new("streams-of-a-test").await;
    stage.write(0..10).await;
    let server = stage.server().await;
    let mut shards = server.shards().await;
    let horizon = || stage.at(Kind::TrimHorizon);
    let count = |record_count| pb::Until { record_count, ..Default::default() };
    let first = drain(&mut shards, streaming(horizon(), count(3))).await;
    assert_eq!((keys(&first.records), first.end()), (names(0..3), Some(pb::EndReason::Limit)));
    let request = pb::StreamRecordsRequest {
        max_batch_records: 2,
        ..streaming(behind(&first.token), count(5))
    };
    let second = drain(&mut shards, request).await;
    assert_eq!(keys(&second.records), names(3..8));
    let at_tip = pb::Until { at_tip: true, ..Default::default() };
    let rest = drain(&mut shards, streaming(behind(&second.token), at_tip)).await;
    assert_eq!((keys(&rest.records), rest.end()), (names(8..10), Some(pb::EndReason::Limit)));
    let past = pb::Until {
        time: Some((SystemTime::now() - Duration::from_secs(3_600)).into()),
        ..Default::default()
    };
    let none = drain(&mut shards, streaming(horizon(), past)).await;
    assert_eq!((none.records.len(), none.end()), (0, Some(pb::EndReason::Limit)));

    let request = pb::StreamRecordsRequest {
        heartbeat_interval: Some(prost_types::Duration { seconds: 0, nanos: 10_000_000 }),
        ..streaming(behind(&rest.token), pb::Until::default())
    };
    let mut live = shards.stream_records(request).await.expect("streams").into_inner();
    let mut beats = 0;
    while beats < 5 {
        let message = live.message().await.expect("no error").expect("alive");
        let Some(Event::Heartbeat(beat)) = message.event else { panic!("{message:?}") };
        assert_eq!(beat.upstream_error, "");
        beats += usize::from(beat.at_tip);
    }
    stage.write(10..11).await;
    let record = loop {
        let message = live.message().await.expect("no error").expect("alive");
        if !message.records.is_empty() {
            break message;
        }
    };
    assert_eq!((keys(&record.records), &record.shard_id), (names(10..11), &stage.shard.shard_id));
    drop(live);

    // On a lease the session takes the stream's place when it ended well.
    let open = pb::OpenShardRequest {
        start: Some(pb::open_shard_request::Start::Token(first.token.clone())),
        ..Default::default()
    };
    let session =
        shards.open_shard(open).await.expect("opened").into_inner().session.expect("always set");
    let lease = session.lease.expect("always set").lease_id;
    let request = pb::StreamRecordsRequest {
        source: Some(pb::stream_records_request::Source::LeaseId(lease.clone())),
        until: Some(count(2)),
        ..Default::default()
    };
    assert_eq!(keys(&drain(&mut shards, request).await.records), names(3..5));
    let read = shards.get_records(getting_on(&lease)).await.expect("read").into_inner();
    assert_eq!(keys(&read.records), names(5..11));
    server.end().await;
    stage.house.end().await;
}
