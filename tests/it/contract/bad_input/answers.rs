//! Whatever the upstream answers: a typed error, or the bad record named in its place and the good
//! ones around it given.

use std::sync::Arc;
use std::time::Duration;

use shardstream::limits::Limits;
use shardstream::pb::shard_service_client::ShardServiceClient;
use shardstream::pb::{self, stream_records_response::Event};
use shardstream::upstream::aws::{AwsOptions, AwsUpstream};
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::fixture::{check, position};
use crate::support::scripted_http::{Answer, ScriptedHttp};
use crate::support::server::Server;

const ARN: &str =
    "arn:aws:dynamodb:us-east-1:123456789012:table/Orders/stream/2026-01-02T03:04:05.678";
const SHARD: &str = "shardId-00000001767323045678-00000001";
const EMPTY: &str = r#"{"Records":[],"NextShardIterator":"next"}"#;

/// A scripted DynamoDB, a server over it, and a client.
struct Stage {
    http: ScriptedHttp,
    server: Server,
    shards: ShardServiceClient<Channel>,
}

fn description(shard: &str) -> Answer {
    Answer::ok(format!(
        r#"{{"StreamDescription":{{"StreamArn":"{ARN}","StreamStatus":"ENABLED",
            "Shards":[{shard}]}}}}"#
    ))
}

fn listed() -> Answer {
    description(&format!(
        r#"{{"ShardId":"{SHARD}","SequenceNumberRange":{{"StartingSequenceNumber":"1"}}}}"#
    ))
}

impl Stage {
    /// All is well, and there are no records.
    async fn new() -> Self {
        let http = ScriptedHttp::start().await;
        http.answer("DescribeStream", [listed()]);
        http.answer("GetShardIterator", [Answer::ok(r#"{"ShardIterator":"first"}"#)]);
        http.answer("GetRecords", [Answer::ok(EMPTY)]);
        let options = AwsOptions {
            endpoint_url: Some(http.url.clone()),
            region: Some("us-east-1".into()),
            static_credentials: true,
            at_timestamp: Some(true),
            max_attempts: 1,
            ..AwsOptions::default()
        };
        let mut limits = Limits::default();
        limits.reading.shard_calls_per_second = 500.0;
        limits.reading.describe_calls_per_second = 500.0;
        limits.reading.list_calls_per_second = 500.0;
        limits.reading.idle_poll_interval = Duration::from_millis(5);
        limits.reading.backoff = (Duration::from_millis(1), Duration::from_millis(5));
        limits.streams.heartbeat_min = Duration::from_millis(1);
        let upstream = AwsUpstream::connect(options).await.expect("a client");
        let server = Server::start(Arc::new(upstream), limits).await;
        let shards = server.shards().await;
        Self { http, server, shards }
    }

    async fn open(&mut self) -> Result<pb::ShardSession, Status> {
        let start =
            Some(pb::open_shard_request::Start::Position(position(pb::IteratorType::TrimHorizon)));
        let request = pb::OpenShardRequest { shard: Some(shard()), start, ..Default::default() };
        Ok(self.shards.open_shard(request).await?.into_inner().session.expect("always set"))
    }

    async fn session(&mut self, lease: &str) -> Option<pb::Position> {
        let request = pb::GetShardSessionRequest { lease_id: lease.into() };
        let answer =
            self.shards.get_shard_session(request).await.expect("it is there").into_inner();
        answer.session.expect("always set").position
    }

    async fn read(&mut self, lease: &str, skip: bool) -> Result<pb::GetRecordsResponse, Status> {
        let source = Some(pb::get_records_request::Source::LeaseId(lease.into()));
        let unreadable_policy = policy(skip).into();
        let wait = Some(prost_types::Duration { seconds: 30, nanos: 0 });
        let request =
            pb::GetRecordsRequest { source, unreadable_policy, wait, ..Default::default() };
        Ok(self.shards.get_records(request).await?.into_inner())
    }

    /// All messages of a stream until so many entries came, and its status.
    async fn stream(
        &mut self,
        start: Start,
        skip: bool,
    ) -> (Vec<pb::StreamRecordsResponse>, Option<Status>) {
        let start = pb::ShardStart { shard: Some(shard()), start: Some(start) };
        let request = pb::StreamRecordsRequest {
            source: Some(pb::stream_records_request::Source::Start(start)),
            unreadable_policy: policy(skip).into(),
            until: Some(pb::Until { at_tip: true, ..Default::default() }),
            ..Default::default()
        };
        let mut stream = self.shards.stream_records(request).await.expect("streams").into_inner();
        let mut messages = vec![];
        loop {
            match stream.message().await {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => return (messages, None),
                Err(status) => return (messages, Some(status)),
            }
        }
    }
}

use pb::shard_start::Start;

fn horizon() -> Start {
    Start::Position(position(pb::IteratorType::TrimHorizon))
}

fn shard() -> pb::ShardName {
    pb::ShardName { stream: ARN.into(), shard_id: SHARD.into() }
}

fn policy(skip: bool) -> pb::UnreadablePolicy {
    if skip { pb::UnreadablePolicy::Skip } else { pb::UnreadablePolicy::Fail }
}

fn good(number: u32) -> String {
    format!(
        r#"{{"eventID":"good","eventName":"INSERT","dynamodb":{{"SequenceNumber":"{number}"}}}}"#
    )
}

fn page(records: &[&str]) -> Answer {
    Answer::ok(format!(r#"{{"Records":[{}],"NextShardIterator":"next"}}"#, records.join(",")))
}

/// Answers that are none, to any call.
fn nonsense() -> Vec<Answer> {
    let html = "<html><body>502 Bad Gateway</body></html>";
    let deep = r#"{"Records":["#.repeat(300);
    vec![
        Answer::new(500, html),
        Answer::new(502, html),
        Answer::new(503, ""),
        Answer::new(404, html),
        Answer::new(301, "").header("Location", "http://127.0.0.1:1/"),
        Answer::error(500, "InternalServerError", "💥".repeat(4_000).as_str()),
        Answer::ok(html),
        Answer::ok(""),
        Answer::ok("null"),
        Answer::ok("[]"),
        Answer::ok("\"text\""),
        Answer::ok(b"\xff\xfe\x00".to_vec()),
        Answer::ok(deep.clone()),
        Answer::ok(r#"{"Records":{},"StreamDescription":[],"ShardIterator":{},"Streams":7}"#),
        Answer::ok(
            r#"{"Records":[{"eventID":"good"}],"ShardIterator":"x","StreamDescription":{"Sh"#,
        ),
        Answer::broken_off(EMPTY),
    ]
}

fn numbers<'a>(records: impl IntoIterator<Item = &'a pb::ChangeRecord>) -> Vec<String> {
    let number = |record: &pb::ChangeRecord| {
        record.meta.as_ref().expect("always set").sequence_number.clone()
    };
    records.into_iter().map(number).collect()
}

#[tokio::test]
async fn an_answer_that_is_none_is_told_and_loses_nothing() {
    for (at, bad) in nonsense().into_iter().enumerate() {
        let mut stage = Stage::new().await;
        let mut streams = stage.server.streams().await;
        for operation in ["ListStreams", "DescribeStream"] {
            stage.http.answer(operation, [bad.clone()]);
        }
        let unavailable =
            |status: Status| check(&status, Code::Unavailable, "UPSTREAM_UNAVAILABLE");
        unavailable(
            streams.list_streams(pb::ListStreamsRequest::default()).await.expect_err("nonsense"),
        );
        let describe = pb::DescribeStreamRequest { stream: "Orders".into() };
        unavailable(streams.describe_stream(describe).await.expect_err("nonsense"));
        unavailable(stage.open().await.expect_err("nonsense"));
        stage.http.answer("DescribeStream", [listed()]);
        stage.http.answer("GetShardIterator", [bad.clone()]);
        unavailable(stage.open().await.expect_err("nonsense"));
        stage.http.answer("GetShardIterator", [Answer::ok(r#"{"ShardIterator":"first"}"#)]);
        let lease = stage.open().await.expect("mended").lease.expect("always set").lease_id;
        let before = stage.session(&lease).await;
        stage.http.answer("GetRecords", [bad.clone()]);
        let request = pb::GetRecordsRequest {
            source: Some(pb::get_records_request::Source::LeaseId(lease.clone())),
            ..Default::default()
        };
        unavailable(stage.shards.get_records(request).await.expect_err("nonsense"));
        assert_eq!(stage.session(&lease).await, before, "{at}");
        let good = page(&[&good(1), &good(2)]);
        stage
            .http
            .answer("GetRecords", [bad.clone(), bad.clone(), good.clone(), Answer::ok(EMPTY)]);
        let read = stage.read(&lease, false).await.expect("mended");
        assert_eq!(numbers(&read.records), ["1", "2"], "{at}");
        stage.server.end().await;
    }
}

#[tokio::test]
async fn a_stream_outlives_nonsense_and_says_what_is_wrong_meanwhile() {
    for bad in nonsense() {
        let mut stage = Stage::new().await;
        stage.http.answer("GetRecords", [bad.clone()]);
        let start = pb::ShardStart { shard: Some(shard()), start: Some(horizon()) };
        let request = pb::StreamRecordsRequest {
            source: Some(pb::stream_records_request::Source::Start(start)),
            heartbeat_interval: Some(prost_types::Duration { seconds: 0, nanos: 1_000_000 }),
            until: Some(pb::Until { record_count: 3, ..Default::default() }),
            ..Default::default()
        };
        let mut stream = stage.shards.stream_records(request).await.expect("streams").into_inner();
        loop {
            let message = stream.message().await.expect("goes on").expect("goes on");
            let Some(Event::Heartbeat(beat)) = message.event else { panic!("{message:?}") };
            assert!(!beat.at_tip);
            if !beat.upstream_error.is_empty() {
                assert_eq!(
                    beat.upstream_error, "UPSTREAM_UNAVAILABLE",
                    "the reason, as the contract says"
                );
                break;
            }
        }
        stage.http.answer(
            "GetRecords",
            [bad, page(&[&good(1), &good(2)]), page(&[&good(3)]), Answer::ok(EMPTY)],
        );
        let (mut records, mut end) = (vec![], None);
        while let Some(message) = stream.message().await.expect("no error") {
            records.extend(message.records);
            if let Some(Event::End(last)) = message.event {
                end = Some(last.reason());
            }
        }
        assert_eq!(
            (numbers(&records), end),
            (vec!["1".into(), "2".into(), "3".into()], Some(pb::EndReason::Limit))
        );
        stage.server.end().await;
    }
}

/// Record 2, with an image of its own.
fn with_image(image: &str) -> String {
    format!(r#"{{"eventID":"bad","dynamodb":{{"SequenceNumber":"2","NewImage":{image}}}}}"#)
}

fn nested(levels: usize) -> String {
    format!("{}{}{}", r#"{"M":{"m":"#.repeat(levels), r#"{"S":"secret"}"#, "}}".repeat(levels))
}

/// Records that cannot be read, with their numbers where those can be.
fn unreadable() -> Vec<(String, &'static str)> {
    vec![
        (with_image(&format!(r#"{{"deep":{}}}"#, nested(33))), "2"),
        (with_image(&format!(r#"{{"deep":{}}}"#, nested(300))), "2"),
        (with_image(r#"{"secret":{}}"#), "2"),
        (with_image(r#"{"secret":{"S":7}}"#), "2"),
        (with_image(r#"{"secret":{"B":"secret!"}}"#), "2"),
        (with_image(r#"{"secret":{"V":"secret"}}"#), "2"),
        (with_image(r#"{"secret":{"S":"secret","N":"1"}}"#), "2"),
        (with_image(r#""secret""#), "2"),
        (r#"{"dynamodb":{"SequenceNumber":-2}}"#.into(), ""),
        (r#"{"dynamodb":{"SequenceNumber":"secret"}}"#.into(), ""),
        (r#"{"dynamodb":"secret"}"#.into(), ""),
        ("null".into(), ""),
        ("7".into(), ""),
        (r#""secret""#.into(), ""),
        ("[".repeat(200) + &"]".repeat(200), ""),
    ]
}

fn is(bad: &pb::Unreadable, number: &str, record: &str) {
    assert_eq!((bad.shard_id.as_str(), bad.sequence_number.as_str()), (SHARD, number), "{record}");
    assert_eq!(bad.after_sequence_number, "1", "{record}");
    assert!(!bad.cause.is_empty() && !bad.cause.contains("secret"), "{}", bad.cause);
}

#[tokio::test]
async fn a_bad_record_is_named_in_its_place_and_the_good_ones_are_given() {
    for (record, number) in unreadable() {
        let mut stage = Stage::new().await;
        stage.http.answer("GetRecords", [page(&[&good(1), &record, &good(3)]), Answer::ok(EMPTY)]);
        let skipping = stage.open().await.expect("opened").lease.expect("always set").lease_id;
        let failing = stage.open().await.expect("opened").lease.expect("always set").lease_id;

        // SKIP: all that can be read, and what cannot is named.
        let (mut records, mut bad) = (vec![], vec![]);
        while records.len() < 2 {
            let read = stage.read(&skipping, true).await.expect("skips");
            records.extend(read.records);
            bad.extend(read.unreadable);
        }
        assert_eq!(numbers(&records), ["1", "3"], "{record}");
        assert_eq!(bad.len(), 1);
        is(&bad[0], number, &record);

        // FAIL: what stands before it, then an error that says where to go on; the session stays.
        let read = stage.read(&failing, false).await.expect("the first");
        assert_eq!(numbers(&read.records), ["1"], "{record}");
        let before = stage.session(&failing).await;
        for _ in 0..2 {
            let status = stage.read(&failing, false).await.expect_err("unreadable");
            check(&status, Code::DataLoss, "RECORD_UNREADABLE");
            assert!(!format!("{status:?}").contains("secret"), "{status:?}");
            assert_eq!(stage.session(&failing).await, before);
        }
        let status = stage.read(&failing, false).await.expect_err("unreadable");
        let info = tonic_types::StatusExt::get_details_error_info(&status).expect("a reason");
        let start = Some(pb::jump_to_request::Start::Token(info.metadata["token"].clone()));
        stage
            .shards
            .jump_to(pb::JumpToRequest { lease_id: failing.clone(), start })
            .await
            .expect("jumped");
        let read = stage.read(&failing, false).await.expect("behind it");
        assert_eq!(numbers(&read.records), ["3"], "{record}");

        // The same on streams.
        let (messages, status) = stage.stream(horizon(), true).await;
        assert_eq!(status.map(|status| status.code()), None);
        assert_eq!(
            numbers(messages.iter().flat_map(|message| &message.records)),
            ["1", "3"],
            "{record}"
        );
        let events: Vec<_> = messages.iter().filter_map(|message| message.event.as_ref()).collect();
        let named: Vec<_> = events
            .iter()
            .filter_map(|event| if let Event::Unreadable(bad) = event { Some(bad) } else { None })
            .collect();
        assert_eq!(named.len(), 1);
        is(named[0], number, &record);
        let (messages, status) = stage.stream(horizon(), false).await;
        check(&status.expect("unreadable"), Code::DataLoss, "RECORD_UNREADABLE");
        assert_eq!(
            numbers(messages.iter().flat_map(|message| &message.records)),
            ["1"],
            "{record}"
        );
        let last = messages.last().expect("an end");
        assert!(
            matches!(&last.event, Some(Event::End(end)) if end.reason() == pb::EndReason::Unreadable)
        );
        let (messages, status) = stage.stream(Start::Token(last.token.clone()), false).await;
        assert_eq!(status.map(|status| status.code()), None);
        assert_eq!(
            numbers(messages.iter().flat_map(|message| &message.records)),
            ["3"],
            "{record}"
        );
        stage.server.end().await;
    }
}

#[tokio::test]
async fn unknown_words_and_missing_fields_are_no_errors() {
    let mut stage = Stage::new().await;
    let odd = r#"{"eventName":"UPSERT","dynamodb":{"SequenceNumber":"2",
        "StreamViewType":"EVERYTHING","NewImage":{}},
        "userIdentity":{},"news":{"of":["the","future"]}}"#;
    stage.http.answer(
        "GetRecords",
        [page(&["{}", &good(1), odd, r#"{"dynamodb":{}}"#, &good(3)]), Answer::ok(EMPTY)],
    );
    let lease = stage.open().await.expect("opened").lease.expect("always set").lease_id;
    let mut records = vec![];
    while records.len() < 5 {
        records.extend(stage.read(&lease, false).await.expect("read").records);
    }
    assert_eq!(numbers(&records), ["", "1", "2", "", "3"]);
    let change = records[2].meta.as_ref().and_then(|meta| meta.change.as_ref()).expect("a change");
    assert_eq!((change.name.as_str(), change.r#type), ("UPSERT", 0));
    let (messages, status) = stage.stream(horizon(), false).await;
    assert_eq!(status.map(|status| status.code()), None);
    assert_eq!(
        numbers(messages.iter().flat_map(|message| &message.records)),
        ["", "1", "2", "", "3"]
    );

    // A server of its own: what was listed a moment ago is not asked for again.
    stage.server.end().await;
    let stage = Stage::new().await;
    let paused = format!(
        r#"{{"StreamDescription":{{"StreamArn":"?","StreamStatus":"PAUSED",
            "StreamViewType":"EVERYTHING",
        "KeySchema":[{{"AttributeName":"pk","KeyType":"SPATIAL"}}],
        "Shards":[{{"ShardId":"{SHARD}"}},{{}},{{"ShardId":" "}}]}}}}"#
    );
    stage.http.answer("DescribeStream", [Answer::ok(paused)]);
    let mut streams = stage.server.streams().await;
    let described = streams
        .describe_stream(pb::DescribeStreamRequest { stream: ARN.into() })
        .await
        .expect("described");
    let described = described.into_inner().description.expect("always set");
    assert_eq!(
        (described.stream_arn.as_str(), described.status, described.stream_view_type),
        (ARN, 0, 0)
    );
    assert_eq!(described.key_schema[0].key_type, 0);
    let listed = streams
        .list_shards(pb::ListShardsRequest { stream: ARN.into(), ..Default::default() })
        .await;
    let listed = listed.expect("listed").into_inner();
    assert_eq!(
        (listed.shards.len(), listed.shards_not_understood),
        (1, 2),
        "what is left out is told"
    );
    stage.server.end().await;
}

#[tokio::test]
async fn errors_of_the_upstream_keep_their_meaning() {
    for (status, code, expected, reason) in [
        (400, "LimitExceededException", Code::Unavailable, "UPSTREAM_THROTTLED"),
        (400, "AccessDeniedException", Code::FailedPrecondition, "UPSTREAM_ACCESS_DENIED"),
        (400, "ValidationException", Code::InvalidArgument, "STREAM_MALFORMED"),
        (400, "SomethingNewException", Code::InvalidArgument, "STREAM_MALFORMED"),
        (400, "ResourceNotFoundException", Code::NotFound, "STREAM_NOT_FOUND"),
        (500, "InternalServerError", Code::Unavailable, "UPSTREAM_UNAVAILABLE"),
    ] {
        let mut stage = Stage::new().await;
        stage.http.answer("DescribeStream", [Answer::error(status, code, "<secret>")]);
        check(&stage.open().await.expect_err(code), expected, reason);
        stage.server.end().await;
    }
}
