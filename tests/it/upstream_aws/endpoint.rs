//! Which endpoint, region and credentials are found, and where. The environment belongs to the whole process, so what
//! depends on it is asked of the program itself, started in an environment of the test's making.

use super::*;
use crate::support::program::Program;
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
    program.streams().await.list_streams(pb::ListStreamsRequest::default()).await.expect_err("refused")
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

#[tokio::test]
async fn no_credentials_is_access_denied() {
    let refused = refusal_in(&[("AWS_REGION", "eu-west-3")]).await;
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    assert!(refused.message().contains("credential"), "{refused:?}");
}

#[tokio::test]
async fn options_win_and_are_checked() {
    let server = ScriptedHttp::start().await;
    let upstream = AwsUpstream::connect(AwsOptions { child_shards: Some(false), ..options(&server) }).await;
    let traits = upstream.expect("a client").traits();
    assert_eq!((traits.endpoint, traits.child_shards), (Endpoint::Custom(server.url.clone()), false));
    for bad in ["", "localhost:8000", "ftp://x", "http://", "http:// x"] {
        let options = AwsOptions { endpoint_url: Some(bad.to_owned()), ..options(&server) };
        let error = AwsUpstream::connect(options).await.expect_err(bad);
        assert_eq!(error, ConnectError::Endpoint(bad.to_owned()));
    }
}
