//! Which endpoint, region and credentials are found, and where. The environment belongs to the
//! whole process, so what depends on it is asked of the program itself, started in an environment
//! of the test's making.

use super::*;
use crate::support::program::Program;
use crate::support::scripted_http::ROOT;
use shardstream::pb::{self, EndpointKind};
use shardstream::upstream::Endpoint;
use shardstream::upstream::aws::ConnectError;

/// Region, endpoint and whether AT_TIMESTAMP is known, as the program says.
async fn upstream_in(variables: &[(&str, &str)]) -> (String, EndpointKind, bool) {
    let program = Program::serve(&[], variables).await.expect("it serves");
    let answer = program.info().await.get_server_info(pb::GetServerInfoRequest {}).await;
    let upstream = answer.expect("answered").into_inner().upstream.expect("always there");
    (upstream.region.clone(), upstream.endpoint_kind(), upstream.knows_at_timestamp)
}

/// How listing streams is refused.
async fn refusal_in(variables: &[(&str, &str)]) -> tonic::Status {
    let program = Program::serve(&[], variables).await.expect("it serves");
    program
        .streams()
        .await
        .list_streams(pb::ListStreamsRequest::default())
        .await
        .expect_err("refused")
}

#[tokio::test]
async fn the_environment_names_region_and_endpoint() {
    let region = ("AWS_REGION", "eu-west-3");
    let paris = |kind, at_timestamp| ("eu-west-3".to_owned(), kind, at_timestamp);
    assert_eq!(upstream_in(&[region]).await, paris(EndpointKind::Aws, true));
    let all = ("AWS_ENDPOINT_URL", "http://all.test");
    assert_eq!(upstream_in(&[region, all]).await, paris(EndpointKind::Custom, false));
    let ignored = ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true");
    assert_eq!(upstream_in(&[region, all, ignored]).await, paris(EndpointKind::Aws, true));
    let none = Program::serve(&[], &[]).await.err().expect("no region, no server");
    assert!(none.contains("region"), "{none}");
}

#[tokio::test]
async fn the_environments_own_endpoint_is_the_one_called() {
    let server = ScriptedHttp::start().await;
    server.answer("ListStreams", [Answer::error(400, "ValidationException", "I was asked")]);
    let refused = refusal_in(&[
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
        ("AWS_REGION", "eu-west-3"),
        ("AWS_ENDPOINT_URL", "http://all.test"),
        ("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", &server.url),
    ])
    .await;
    assert!(refused.message().contains("I was asked"), "{refused:?}");
}

/// Whether streams can be listed at an endpoint that has none.
async fn lists_in(variables: &[(&str, &str)]) {
    let program = Program::serve(&[], variables).await.expect("it serves");
    let listed = program.streams().await.list_streams(pb::ListStreamsRequest::default()).await;
    assert_eq!(listed.expect("answered").into_inner().streams.len(), 0);
}

async fn empty() -> ScriptedHttp {
    let server = ScriptedHttp::start().await;
    server.answer("ListStreams", [Answer::ok(r#"{"Streams": []}"#)]);
    server
}

const KEYS: [(&str, &str); 3] =
    [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b"), ("AWS_REGION", "eu-west-3")];

#[tokio::test]
async fn what_is_on_this_machine_is_reached_without_a_proxy() {
    let server = empty().await;
    let (endpoint, nowhere) = (("AWS_ENDPOINT_URL", server.url.as_str()), "http://127.0.0.1:9");
    let proxies = [
        ("HTTP_PROXY", nowhere),
        ("HTTPS_PROXY", nowhere),
        ("ALL_PROXY", nowhere),
        ("http_proxy", nowhere),
    ];
    lists_in(&[&KEYS[..], &proxies, &[endpoint]].concat()).await;
    // What is elsewhere is still asked for by way of it: this one answers for whatever host it is
    // asked for.
    let elsewhere =
        [("AWS_ENDPOINT_URL", "http://elsewhere.test"), ("HTTP_PROXY", server.url.as_str())];
    lists_in(&[&KEYS[..], &elsewhere].concat()).await;
}

#[tokio::test]
async fn an_endpoint_of_ones_own_is_neither_fips_nor_dual_stack() {
    let server = empty().await;
    let kinds = [("AWS_USE_FIPS_ENDPOINT", "true"), ("AWS_USE_DUALSTACK_ENDPOINT", "true")];
    lists_in(&[&KEYS[..], &kinds, &[("AWS_ENDPOINT_URL", server.url.as_str())]].concat()).await;
}

#[tokio::test]
async fn variables_that_are_empty_are_unset() {
    let server = empty().await;
    let names = [
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_SESSION_TOKEN",
        "AWS_CA_BUNDLE",
        "AWS_USE_FIPS_ENDPOINT",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "HTTP_PROXY",
        "NO_PROXY",
        "SHARDSTREAM_LOG",
        "SHARDSTREAM_MAX_STREAMS",
        "SHARDSTREAM_AWS_ENDPOINT_URL",
        "SHARDSTREAM_AWS_FAKE_CREDENTIALS",
    ];
    let empty: Vec<_> = names.iter().map(|name| (*name, "")).collect();
    let said = [
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
        ("AWS_DEFAULT_REGION", "eu-west-3"),
        ("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", server.url.as_str()),
    ];
    lists_in(&[&empty[..], &said].concat()).await;
    let region = [("AWS_DEFAULT_REGION", "eu-west-3"), ("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", "")];
    let aws = upstream_in(&[&empty[..], &region].concat()).await;
    assert_eq!(aws, ("eu-west-3".to_owned(), EndpointKind::Aws, true));
}

#[tokio::test]
async fn the_profile_names_the_endpoint_of_this_service() {
    let server = empty().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config");
    let text = format!(
        "[default]\nregion = eu-west-3\nservices = mine\nendpoint_url = http://all.test\n\
         [services mine]\ndynamodb_streams =\n  endpoint_url = {}\n",
        server.url
    );
    std::fs::write(&path, text).expect("written");
    lists_in(&[&KEYS[..2], &[("AWS_CONFIG_FILE", path.to_str().expect("UTF-8"))]].concat()).await;
}

#[tokio::test]
async fn endpoints_inside_a_private_network_are_aws() {
    for host in [
        "vpce-0a1b-2c3d.streams.dynamodb.eu-west-3.vpce.amazonaws.com",
        "streams.dynamodb.eu-west-3.api.aws",
    ] {
        let endpoint = format!("https://{host}");
        let told =
            upstream_in(&[("AWS_REGION", "eu-west-3"), ("AWS_ENDPOINT_URL", &endpoint)]).await;
        assert_eq!(told, ("eu-west-3".to_owned(), EndpointKind::Aws, true), "{host}");
        // Where nobody says the region, the endpoint does.
        let told = upstream_in(&[("AWS_ENDPOINT_URL", &endpoint)]).await;
        assert_eq!(told, ("eu-west-3".to_owned(), EndpointKind::Aws, true), "{host}");
    }
    let nowhere = [("AWS_ENDPOINT_URL", "https://vpce-0a1b-2c3d.vpce.amazonaws.com")];
    let refused = Program::serve(&[], &nowhere).await.err().expect("no region, no server");
    assert!(refused.contains("region"), "{refused}");
    let other = upstream_in(&[
        ("AWS_REGION", "eu-west-3"),
        ("AWS_ENDPOINT_URL", "http://amazonaws.com.test"),
    ])
    .await;
    assert_eq!(other, ("eu-west-3".to_owned(), EndpointKind::Custom, false));
}

#[tokio::test]
async fn a_bundle_of_certificates_is_trusted_instead_of_the_systems() {
    let server = ScriptedHttp::start_tls().await;
    server.answer("ListStreams", [Answer::ok(r#"{"Streams": []}"#)]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("roots.pem");
    std::fs::write(&path, ROOT).expect("written");
    let endpoint = ("AWS_ENDPOINT_URL", server.url.as_str());
    let path = path.to_str().expect("UTF-8");
    lists_in(&[&KEYS[..], &[endpoint, ("AWS_CA_BUNDLE", path)]].concat()).await;
    lists_in(
        &[
            &KEYS[..],
            &[endpoint, ("SHARDSTREAM_AWS_CA_BUNDLE", path), ("AWS_CA_BUNDLE", "/nowhere")],
        ]
        .concat(),
    )
    .await;
    let config = folder.path().join("config");
    std::fs::write(&config, format!("[default]\nca_bundle = {path}\n")).expect("written");
    lists_in(
        &[&KEYS[..], &[endpoint, ("AWS_CONFIG_FILE", config.to_str().expect("UTF-8"))]].concat(),
    )
    .await;
    let refused = refusal_in(&[&KEYS[..], &[endpoint]].concat()).await;
    assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused:?}");
}

#[tokio::test]
async fn a_bundle_of_certificates_that_cannot_be_trusted_is_named_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let said = |name: &str, text: Option<&str>| {
        let path = folder.path().join(name);
        if let Some(text) = text {
            std::fs::write(&path, text).expect("written");
        }
        path.to_str().expect("UTF-8").to_owned()
    };
    let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (name, text) in [
        ("missing", None),
        ("empty", Some("")),
        ("words", Some("words")),
        ("bad", Some(no_certificate)),
    ] {
        let path = said(name, text);
        let variables = [("AWS_REGION", "eu-west-3"), ("AWS_CA_BUNDLE", path.as_str())];
        let error = Program::serve(&[], &variables)
            .await
            .err()
            .unwrap_or_else(|| panic!("{name} is trusted"));
        assert!(error.contains(&path), "{error}");
    }
}

#[tokio::test]
async fn a_file_of_credentials_is_read_again_when_aws_says_that_they_have_run_out() {
    let server = empty().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("credentials");
    let keys = |id: &str| {
        let text = format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = secret\n");
        std::fs::write(&path, text).expect("written");
    };
    let variables = [
        ("AWS_SHARED_CREDENTIALS_FILE", path.to_str().expect("UTF-8")),
        ("AWS_REGION", "eu-west-3"),
        ("AWS_ENDPOINT_URL", server.url.as_str()),
    ];
    let program = Program::serve(&[], &variables).await.expect("it serves");
    let mut streams = program.streams().await;
    let listing =
        |table: &str| pb::ListStreamsRequest { table_name: table.to_owned(), ..Default::default() };
    // Nor is it too late when there was no such file.
    let refused = streams.list_streams(listing("none")).await.expect_err("there are none");
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition, "{refused:?}");
    keys("FIRST");
    streams.list_streams(listing("one")).await.expect("answered");
    keys("SECOND");
    let expired = Answer::error(
        400,
        "ExpiredTokenException",
        "The security token included in the request is expired",
    );
    server.answer("ListStreams", [expired.clone(), Answer::ok(r#"{"Streams": []}"#)]);
    streams.list_streams(listing("two")).await.expect("asked again with the newer ones");
    let signed = server.signatures();
    let by = |id: &str| {
        signed.iter().filter(|signature| signature.contains(&format!("Credential={id}/"))).count()
    };
    assert_eq!((by("FIRST"), by("SECOND")), (2, 1), "{signed:?}");
    // Where there are none that are newer it is told, after one more call and no others.
    server.answer("ListStreams", [expired]);
    let told = streams.list_streams(listing("three")).await.expect_err("they have run out");
    assert!(told.message().contains("expired"), "{told:?}");
    assert_eq!(server.signatures().len(), 5);
}

#[tokio::test]
async fn a_time_that_aws_has_still_to_reach_is_its_own_now() {
    let server = ScriptedHttp::start().await;
    let upstream = AwsUpstream::connect(options(&server)).await.expect("a client");
    let future = Answer::error(400, "ValidationException", "Timestamp is in the future");
    let dated = |answer: Answer, date: &str| answer.header("date", date);
    let iterator = Answer::ok(r#"{"ShardIterator": "iterator"}"#);
    server.answer(
        "GetShardIterator",
        [
            dated(future.clone(), "Tue, 14 Nov 2023 22:13:20 GMT"),
            dated(iterator.clone(), "Tue, 14 Nov 2023 22:13:20 GMT"),
            dated(iterator, "Tue, 14 Nov 2023 22:13:20 GMT"),
        ],
    );
    let time = |seconds: i64| Timestamp::from_millis(seconds * 1_000).expect("a time");
    let since = |seconds| IteratorStart::Position(Position::AtTimestamp(time(seconds)));
    for (asked, seconds) in [(1, 1_700_000_020), (2, 1_700_000_030), (3, 1_699_999_990)] {
        upstream.shard_iterator(&arn(), &shard(), since(seconds)).await.expect("an iterator");
        assert!(server.requests("GetShardIterator").len() <= asked + 1, "it is refused once only");
    }
    let asked: Vec<_> = server
        .requests("GetShardIterator")
        .iter()
        .map(|body| body["Timestamp"].as_f64().expect("a time"))
        .collect();
    // AWS's clock went on while the test ran.
    assert_eq!(
        (asked.len(), asked[0], asked[3]),
        (4, 1_700_000_020.0, 1_699_999_990.0),
        "{asked:?}"
    );
    assert!(
        asked[1..3].iter().all(|time| (1_700_000_000.0..1_700_000_020.0).contains(time)),
        "{asked:?}"
    );
    // What AWS refuses for another reason is refused.
    server.answer("GetShardIterator", [dated(future, "Tue, 14 Nov 2023 22:13:20 GMT")]);
    let refused =
        upstream.shard_iterator(&arn(), &shard(), since(1_699_999_990)).await.expect_err("refused");
    assert_eq!(
        (refused.class, server.requests("GetShardIterator").len()),
        (ErrorClass::Invalid, 5)
    );
}

#[tokio::test]
async fn a_listing_bears_awss_date() {
    let server = ScriptedHttp::start().await;
    let upstream = AwsUpstream::connect(options(&server)).await.expect("a client");
    let body = format!(r#"{{"StreamDescription": {{"StreamArn": "{}", "Shards": []}}}}"#, arn());
    server.answer(
        "DescribeStream",
        [Answer::ok(body).header("date", "Tue, 14 Nov 2023 22:13:20 GMT")],
    );
    let page = upstream.describe_stream(&arn(), None, None).await.expect("a page");
    assert_eq!(page.date, Timestamp::from_millis(1_700_000_000_000));
}

#[tokio::test]
async fn no_credentials_is_access_denied() {
    let refused = refusal_in(&[("AWS_REGION", "eu-west-3")]).await;
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    assert!(refused.message().contains("credential"), "{refused:?}");
}

#[tokio::test]
async fn options_win_and_are_checked() {
    let server = ScriptedHttp::start().await;
    let upstream =
        AwsUpstream::connect(AwsOptions { child_shards: Some(false), ..options(&server) }).await;
    let traits = upstream.expect("a client").traits();
    assert_eq!(
        (traits.endpoint, traits.child_shards),
        (Endpoint::Custom(server.url.clone()), false)
    );
    for bad in ["", "localhost:8000", "ftp://x", "http://", "http:// x"] {
        let options = AwsOptions { endpoint_url: Some(bad.to_owned()), ..options(&server) };
        let error = AwsUpstream::connect(options).await.expect_err(bad);
        assert_eq!(error, ConnectError::Endpoint(bad.to_owned()));
    }
}
