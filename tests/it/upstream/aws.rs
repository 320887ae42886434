//! The AWS SDK behind `Upstream`, against an endpoint that answers from a script.

mod bounds;
mod endpoint;
mod errors;
mod pages;
mod paths;
mod raw;

use std::time::Duration;

use shardstream::model::{
    Fetched, Page, Position, SequenceNumber, ShardId, StreamArn, StreamStatus, TableName, Timestamp,
};
use shardstream::upstream::aws::{AwsOptions, AwsUpstream};
use shardstream::upstream::{ErrorClass, IteratorStart, Operation, Upstream, UpstreamError};

use crate::support::both;
use crate::support::scripted_http::{Answer, ScriptedHttp};

const ARN: &str =
    "arn:aws:dynamodb:us-east-1:123456789012:table/Orders/stream/2026-01-02T03:04:05.678";

fn options(server: &ScriptedHttp) -> AwsOptions {
    AwsOptions {
        endpoint_url: Some(server.url.clone()),
        region: Some("us-east-1".to_owned()),
        static_credentials: true,
        at_timestamp: Some(true),
        ..AwsOptions::default()
    }
}

/// The upstream, whose pages are read in both ways.
struct Both(AwsUpstream);

impl std::ops::Deref for Both {
    type Target = AwsUpstream;

    fn deref(&self) -> &AwsUpstream {
        &self.0
    }
}

impl Both {
    /// The page as the SDK's parser or the lenient reader has it; the encoder says the same of the
    /// raw body.
    async fn records(&self, iterator: &str, limit: u32) -> Result<Page, UpstreamError> {
        let Fetched::Raw(raw) = self.0.records(iterator, limit).await? else {
            panic!("no raw page")
        };
        both::check(&raw.body);
        (raw.reread)(&raw.body).map_err(|what| UpstreamError::nonsense(Operation::GetRecords, what))
    }
}

async fn start() -> (ScriptedHttp, Both) {
    let server = ScriptedHttp::start().await;
    let upstream = connect(&server, options(&server)).await;
    (server, Both(upstream))
}

/// An upstream whose next GetRecords takes the path of our own, unless it is not wanted. Nothing
/// was asked of the server yet, as far as it knows.
async fn connect(server: &ScriptedHttp, options: AwsOptions) -> AwsUpstream {
    let sdk_only = options.sdk_only;
    let upstream = AwsUpstream::connect(options).await.expect("a client");
    server.answer("GetRecords", [Answer::ok(r#"{"Records":[]}"#)]);
    // Where its time is short, a call may come too late on a busy machine.
    for call in 0..100 {
        let came = upstream.records(&format!("warm {call}"), 1).await;
        let by_sdk = server.asked("GetRecords").last().is_some_and(|asked| asked.is_by_sdk());
        if came.is_ok() && by_sdk == sdk_only {
            server.forget();
            return upstream;
        }
    }
    panic!("the path is not taken")
}

fn arn() -> StreamArn {
    StreamArn::parse(ARN).expect("an ARN")
}

fn shard() -> ShardId {
    ShardId::parse("shardId-00000001700000000000-00000001").expect("a shard id")
}

fn number(text: &str) -> SequenceNumber {
    SequenceNumber::parse(text).expect("a number")
}

#[tokio::test]
async fn lists_streams_page_by_page() {
    let (server, upstream) = start().await;
    let body = format!(
        r#"{{"Streams":[{{"StreamArn":"{ARN}",
            "TableName":"Orders"}},{{"StreamArn":"nonsense"}},{{}}],
            "LastEvaluatedStreamArn":"{ARN}"}}"#
    );
    server.answer("ListStreams", [Answer::ok(body), Answer::ok(r#"{"Streams":[]}"#)]);
    let orders = TableName::parse("Orders").expect("a name");
    let page = upstream.list_streams(Some(&orders), None, 7).await.expect("a page");
    assert_eq!(page.streams.iter().map(|row| row.arn.as_str()).collect::<Vec<_>>(), [ARN]);
    assert_eq!(page.last_evaluated.as_deref(), Some(ARN));
    let last = upstream.list_streams(None, Some(ARN), 5_000).await.expect("a page");
    assert_eq!(last.last_evaluated, None);
    let asked = server.requests("ListStreams");
    assert_eq!(asked[0], serde_json::json!({ "TableName": "Orders", "Limit": 7 }));
    assert_eq!(asked[1], serde_json::json!({ "ExclusiveStartStreamArn": ARN, "Limit": 100 }));
}

#[tokio::test]
async fn reads_what_alternator_calls_streams_and_shards() {
    let (server, upstream) = start().await;
    let log = "arn:aws:dynamodb:us-east-1:000000000000:table/alternator_Orders@Orders_scylla_cdc_log/stream";
    let named = format!("{log}/2026-01-14T09:10:48.474000000");
    let (old, mark) =
        ("S628609b0-f129-11f0-bf67-2a478ea9d1e5", "S628609b0-f129-11f0-bf67-2a478ea9d1e6");
    let listed = format!(
        r#"{{"Streams":[{{"StreamArn":"{named}"}},{{"StreamArn":"{old}"}}],
            "LastEvaluatedStreamArn":"{mark}"}}"#
    );
    server.answer("ListStreams", [Answer::ok(listed), Answer::ok(r#"{"Streams":[]}"#)]);
    let page = upstream.list_streams(None, None, 100).await.expect("a page");
    assert_eq!(
        page.streams.iter().map(|row| row.arn.as_str()).collect::<Vec<_>>(),
        [&named[..], old]
    );
    assert_eq!(page.last_evaluated.as_deref(), Some(mark));
    upstream.list_streams(None, page.last_evaluated.as_deref(), 100).await.expect("a page");
    assert_eq!(server.requests("ListStreams")[1]["ExclusiveStartStreamArn"], mark);

    let (parent, child) = (
        "H 19bbb2a0b00:0a00c4c7f3b2a7f3b2a7f3b2a7f3b201",
        "H 19bbb2a9f11:0b00c4c7f3b2a7f3b2a7f3b2a7f3b201",
    );
    let described = format!(
        r#"{{"StreamDescription":{{"StreamArn":"{named}","StreamStatus":"ENABLED",
            "TableName":"Orders",
            "LastEvaluatedShardId":"{child}","Shards":[{{"ShardId":"{parent}",
            "SequenceNumberRange":{{
              "StartingSequenceNumber":"2572345678901234567890123456789",
              "EndingSequenceNumber":"2572345678901234567890123456790"}}}},
              {{"ShardId":"{child}","ParentShardId":"{parent}","SequenceNumberRange":{{}}}}]}}}}"#
    );
    server.answer("DescribeStream", [Answer::ok(described)]);
    let arn = StreamArn::parse(&named).expect("an ARN");
    let page = upstream.describe_stream(&arn, None, None).await.expect("a page");
    assert_eq!(
        page.shards.iter().map(|shard| shard.id.as_str()).collect::<Vec<_>>(),
        [parent, child]
    );
    assert_eq!(page.shards[1].parent.as_ref(), Some(&page.shards[0].id));
    assert_eq!(page.last_evaluated.as_ref(), Some(&page.shards[1].id));
    server.answer("GetShardIterator", [Answer::ok(r#"{"ShardIterator":"it"}"#)]);
    upstream
        .shard_iterator(&arn, &page.shards[1].id, IteratorStart::Latest)
        .await
        .expect("an iterator");
    let asked = &server.requests("GetShardIterator")[0];
    assert_eq!((&asked["ShardId"], &asked["StreamArn"]), (&child.into(), &named.into()));
}

fn description(arn: &str) -> String {
    format!(
        r#"{{"StreamDescription":{{"StreamArn":"{arn}","StreamStatus":"ENABLED",
            "StreamViewType":"NEW_AND_OLD_IMAGES",
            "CreationRequestDateTime":1700000000.25,"TableName":"Orders",
            "LastEvaluatedShardId":"shardId-2",
            "KeySchema":[{{"AttributeName":"id","KeyType":"HASH"}},{{"AttributeName":"at",
            "KeyType":"RANGE"}}],
            "Shards":[
              {{"ShardId":"shardId-1","SequenceNumberRange":{{"StartingSequenceNumber":"100",
              "EndingSequenceNumber":"200"}}}},
              {{"ShardId":"shardId-2","ParentShardId":"shardId-1",
              "SequenceNumberRange":{{"StartingSequenceNumber":"300"}}}},
              {{"ShardId":"with a space"}},{{}}]}}}}"#
    )
}

#[tokio::test]
async fn describes_a_stream_page_by_page() {
    let (server, upstream) = start().await;
    server.answer("DescribeStream", [Answer::ok(description(ARN))]);
    let page = upstream.describe_stream(&arn(), None, None).await.expect("a page");
    assert_eq!(page.description.arn, arn());
    assert_eq!(page.description.status, Some(StreamStatus::Enabled));
    assert_eq!(page.description.view_type.as_deref(), Some("NEW_AND_OLD_IMAGES"));
    assert_eq!(page.description.created.map(|time| time.millis()), Some(1_700_000_000_250));
    let keys: Vec<_> = page
        .description
        .key_schema
        .iter()
        .map(|key| (&*key.attribute_name, &*key.key_type))
        .collect();
    assert_eq!(keys, [("id", "HASH"), ("at", "RANGE")]);
    assert_eq!(page.shards.len(), 2, "rows that do not parse are left out");
    assert_eq!(
        (page.shards[0].starting, page.shards[0].ending),
        (Some(number("100")), Some(number("200")))
    );
    assert_eq!(page.shards[1].parent.as_ref().map(ShardId::as_str), Some("shardId-1"));
    assert!(!page.shards[1].is_closed());
    assert_eq!(page.last_evaluated.as_ref().map(ShardId::as_str), Some("shardId-2"));

    upstream
        .describe_stream(&arn(), Some(&shard()), page.last_evaluated.as_ref())
        .await
        .expect("a page");
    let filter = serde_json::json!({ "Type": "CHILD_SHARDS", "ShardId": shard().as_str() });
    let asked = server.requests("DescribeStream");
    assert_eq!(asked[0], serde_json::json!({ "StreamArn": ARN }));
    assert_eq!(
        asked[1],
        serde_json::json!({ "StreamArn": ARN, "ExclusiveStartShardId": "shardId-2", "ShardFilter": filter })
    );
}

#[tokio::test]
async fn dynoxide_shards_stay_open() {
    let (server, upstream) = start().await;
    let arn = StreamArn::parse(&ARN.replace("us-east-1", "dynoxide")).expect("an ARN");
    server.answer("DescribeStream", [Answer::ok(description(arn.as_str()))]);
    let page = upstream.describe_stream(&arn, None, None).await.expect("a page");
    assert!(page.shards.iter().all(|shard| !shard.is_closed()));
}

#[tokio::test]
async fn odd_descriptions_are_errors_or_read_as_far_as_they_go() {
    let (server, upstream) = start().await;
    let odd = r#"{"StreamDescription":{"StreamStatus":"PAUSED","StreamArn":"?",
        "Shards":[{"ShardId":"s","ParentShardId":"",
        "SequenceNumberRange":{"EndingSequenceNumber":"x"}}],"LastEvaluatedShardId":""}}"#;
    server.answer("DescribeStream", [Answer::ok(odd)]);
    let page = upstream.describe_stream(&arn(), None, None).await.expect("a page");
    assert_eq!((page.description.arn, page.description.status), (arn(), None));
    assert_eq!(
        (&page.shards[0].parent, page.shards[0].ending, page.last_evaluated),
        (&None, None, None)
    );
    for body in
        ["{}", "", "[]", "<html/>", r#"{"StreamDescription":{"LastEvaluatedShardId":"a b"}}"#]
    {
        server.answer("DescribeStream", [Answer::ok(body)]);
        let error = upstream.describe_stream(&arn(), None, None).await.expect_err(body);
        assert_eq!(error.class, ErrorClass::Unavailable, "{body}: {error}");
    }
}

#[tokio::test]
async fn asks_for_every_kind_of_iterator_and_tells_the_servers_date() {
    let (server, upstream) = start().await;
    let with_date =
        Answer::ok(r#"{"ShardIterator":"it"}"#).header("Date", "Fri, 02 Jan 2026 03:04:05 GMT");
    let without = Answer::ok(r#"{"ShardIterator":"it"}"#).header("Date", "yesterday");
    server.answer("GetShardIterator", [with_date, without]);
    let time = Timestamp::from_millis(1_700_000_000_999).expect("a time");
    let starts = [
        IteratorStart::Latest,
        IteratorStart::Position(Position::TrimHorizon),
        IteratorStart::Position(Position::AtSequenceNumber(number("007"))),
        IteratorStart::Position(Position::AfterSequenceNumber(number("8"))),
        IteratorStart::Position(Position::AtTimestamp(time)),
    ];
    for (at, start) in starts.into_iter().enumerate() {
        let issued = upstream.shard_iterator(&arn(), &shard(), start).await.expect("an iterator");
        assert_eq!(issued.iterator, "it");
        assert_eq!(issued.date.map(|date| date.seconds()), (at == 0).then_some(1_767_323_045));
    }
    let asked = server.requests("GetShardIterator");
    let kinds: Vec<_> =
        asked.iter().map(|body| body["ShardIteratorType"].as_str().expect("a type")).collect();
    let expected =
        ["LATEST", "TRIM_HORIZON", "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER", "AT_TIMESTAMP"];
    assert_eq!(kinds, expected);
    assert_eq!(asked[2]["SequenceNumber"], "007");
    assert_eq!(asked[4]["Timestamp"].as_f64(), Some(1_700_000_000.0));

    for body in ["{}", r#"{"ShardIterator":""}"#] {
        server.answer("GetShardIterator", [Answer::ok(body)]);
        let error =
            upstream.shard_iterator(&arn(), &shard(), IteratorStart::Latest).await.expect_err(body);
        assert_eq!(error.class, ErrorClass::Unavailable);
    }
}
