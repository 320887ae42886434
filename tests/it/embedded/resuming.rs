//! Going on somewhere else: on another server, after a server went away.

use std::process::Command;

use shardstream::pb::stream_records_response::Event;
use shardstream::pb::{self, IteratorType as Kind};
use tonic::Code;

use super::stage::{
    LONG, Stage, Streamed, behind, drain, getting, getting_on, keys, names, position, rest,
    streaming,
};
use crate::contract::bad_input::fixture::check;
use crate::support::program::Program;

#[tokio::test]
async fn a_client_that_keeps_nothing_but_tokens_alternates_between_two_servers() {
    let stage = Stage::new("servers-of-a-test").await;
    stage.write(0..40).await;
    let servers = [stage.server().await, stage.server().await];
    let mut clients = [servers[0].shards().await, servers[1].shards().await];
    let seek = pb::SeekToRequest {
        target: Some(pb::seek_to_request::Target::Shard(stage.shard.clone())),
        time: Some((std::time::SystemTime::now() - std::time::Duration::from_secs(3_600)).into()),
        max_records: 3,
        ..Default::default()
    };
    let found = clients[0].seek_to(seek).await.expect("sought").into_inner();
    let (mut seen, mut token) = (keys(&found.records), found.token);
    for turn in 1.. {
        if seen.len() >= 40 {
            break;
        }
        let client = &mut clients[turn % 2];
        if turn % 3 == 0 {
            let until = pb::Until { record_count: 4, at_tip: true, ..Default::default() };
            let streamed = drain(client, streaming(behind(&token), until)).await;
            seen.extend(keys(&streamed.records));
            token = streamed.token;
        } else {
            let request = pb::GetRecordsRequest { max_records: 5, ..getting(behind(&token)) };
            let read = client.get_records(request).await.expect("read").into_inner();
            assert!(!read.records.is_empty() && read.session.is_none());
            seen.extend(keys(&read.records));
            token = read.token;
        }
        let target = Some(pb::list_children_request::Target::Shard(stage.shard.clone()));
        clients[turn % 2].list_children(pb::ListChildrenRequest { target }).await.expect("listed");
    }
    assert_eq!(seen, names(0..40));
    // A lease is of one server only, and says so.
    let open = pb::OpenShardRequest { shard: Some(stage.shard.clone()), ..Default::default() };
    let session = clients[0]
        .open_shard(open)
        .await
        .expect("opened")
        .into_inner()
        .session
        .expect("always set");
    let lease_id = session.lease.expect("always set").lease_id;
    let status = clients[1]
        .get_shard_session(pb::GetShardSessionRequest { lease_id })
        .await
        .expect_err("another's");
    check(&status, Code::NotFound, "LEASE_NOT_FOUND");
    let [first, second] = servers;
    tokio::join!(first.end(), second.end());
    stage.house.end().await;
}

#[tokio::test]
async fn a_server_that_goes_away_tells_everybody_where_to_go_on() {
    let stage = Stage::new("shutdowns-of-a-test").await;
    stage.write(0..30).await;
    let server = stage.server().await;
    let mut shards = server.shards().await;
    // Streams that have got so far each: two at the tip, one slow.
    let mut streams = vec![];
    for batch in [1, 7, 1_000] {
        let request = pb::StreamRecordsRequest {
            max_batch_records: batch,
            ..streaming(stage.at(Kind::TrimHorizon), pb::Until::default())
        };
        let mut stream = shards.stream_records(request).await.expect("streams").into_inner();
        let mut all = Streamed::default();
        while all.records.len() < if batch == 7 { 7 } else { 30 } {
            let message = stream.message().await.expect("no error").expect("alive");
            all.records.extend(message.records);
            all.token = message.token;
        }
        streams.push((stream, all));
    }
    // A read that waits at the tip: it runs for sure once it has superseded the stream on its
    // lease.
    let tip = streams[0].1.token.clone();
    let start = Some(pb::open_shard_request::Start::Token(tip.clone()));
    let open = pb::OpenShardRequest { start, ..Default::default() };
    let session =
        shards.open_shard(open).await.expect("opened").into_inner().session.expect("always set");
    let lease = session.lease.expect("always set").lease_id;
    let source = Some(pb::stream_records_request::Source::LeaseId(lease.clone()));
    let request = pb::StreamRecordsRequest { source, ..Default::default() };
    let rival = shards.stream_records(request).await.expect("streams").into_inner();
    let mut client = shards.clone();
    let waiting = tokio::spawn(async move { client.get_records(getting_on(&lease)).await });
    let rival = rest(rival, Streamed::default()).await;
    assert_eq!(rival.end(), Some(pb::EndReason::Superseded));

    let ending = tokio::spawn(server.end());
    let waited =
        tokio::time::timeout(LONG, waiting).await.expect("answered at once").expect("no panic");
    let waited = waited.expect("OK, because it would have been").into_inner();
    assert_eq!((waited.records.len(), waited.exhausted), (0, false));
    let mut tokens = vec![(30, waited.token)];
    for (stream, before) in streams {
        let all = rest(stream, before).await;
        check(all.status.as_ref().expect("a status"), Code::Unavailable, "DRAINING");
        assert_eq!(all.end(), Some(pb::EndReason::Draining));
        assert!(matches!(all.events.last(), Some(Event::End(end)) if end.retry_delay.is_some()));
        assert_eq!(keys(&all.records), names(0..all.records.len()));
        tokens.push((all.records.len(), all.token));
    }
    tokio::time::timeout(LONG, ending).await.expect("ends").expect("no panic");
    shards.get_records(getting(behind(&tip))).await.expect_err("nobody is there");

    stage.write(30..35).await;
    let server = stage.server().await;
    let mut shards = server.shards().await;
    for (given, token) in tokens {
        let until = pb::Until { record_count: 35 - given as i64, ..Default::default() };
        let all = drain(&mut shards, streaming(behind(&token), until)).await;
        assert_eq!(keys(&all.records), names(given..35), "nothing lost, nothing twice");
        assert!(!all.events.iter().any(|event| matches!(event, Event::Gap(_))));
    }
    server.end().await;
    stage.house.end().await;
}

/// The program itself, ended as a service manager ends it.
#[cfg(unix)]
#[tokio::test]
async fn sigterm_loses_nothing_and_gives_nothing_twice() {
    let stage = Stage::new("signals-of-a-test").await;
    stage.write(0..20).await;
    let endpoint = stage.embedded.endpoint();
    let variables = [
        ("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", endpoint.as_str()),
        ("AWS_REGION", "nowhere-1"),
        ("AWS_ACCESS_KEY_ID", "nobody"),
        ("AWS_SECRET_ACCESS_KEY", "nothing"),
    ];
    let mut program = Program::serve(&[], &variables).await.expect("it serves");
    let mut shards = program.shards().await;
    let horizon = pb::ShardStart {
        shard: Some(stage.shard.clone()),
        start: Some(pb::shard_start::Start::Position(position(Kind::TrimHorizon))),
    };
    let mut stream = shards
        .stream_records(streaming(horizon, pb::Until::default()))
        .await
        .expect("streams")
        .into_inner();
    let mut all = Streamed::default();
    while all.records.len() < 20 {
        let message = stream.message().await.expect("no error").expect("alive");
        all.records.extend(message.records);
        all.token = message.token;
    }
    let writing = stage.write(20..40);
    let ending = async {
        let id = program.child.id().expect("it runs").to_string();
        assert!(
            Command::new("kill").args(["-TERM", &id]).status().expect("there is kill").success()
        );
        rest(stream, all).await
    };
    let ((), all) = tokio::join!(writing, ending);
    check(all.status.as_ref().expect("a status"), Code::Unavailable, "DRAINING");
    assert_eq!(all.end(), Some(pb::EndReason::Draining));
    let status =
        tokio::time::timeout(LONG, program.child.wait()).await.expect("ends").expect("ended");
    assert!(status.success(), "{status}");

    let again = Program::serve(&[], &variables).await.expect("it serves");
    let mut shards = again.shards().await;
    let mut seen = keys(&all.records);
    let until = pb::Until { record_count: 40 - seen.len() as i64, ..Default::default() };
    seen.extend(keys(&drain(&mut shards, streaming(behind(&all.token), until)).await.records));
    assert_eq!(seen, names(0..40), "nothing lost, nothing twice");
    stage.house.end().await;
}
