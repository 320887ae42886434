//! Credentials that change while a server reads. The environment is the program's own, so it is
//! started.

use super::*;
use crate::support::program::Program;
use crate::support::scripted_http::{ROOT, Request};
use shardstream::pb;

const SHARD: &str = "shardId-00000001767323045678-00000001";

/// A page with one record; the last of them has no end.
fn page(number: usize) -> Answer {
    Answer::ok(format!(
        r#"{{"Records":[{{"eventName":"INSERT","dynamodb":{{"SequenceNumber":"{number}"}}}}],
            "NextShardIterator":"{number}"}}"#
    ))
}

/// A stream of one shard.
fn describe(server: &ScriptedHttp) {
    let described = format!(
        r#"{{"StreamDescription":{{"StreamArn":"{ARN}","StreamStatus":"ENABLED",
            "Shards":[{{"ShardId":"{SHARD}",
            "SequenceNumberRange":{{"StartingSequenceNumber":"1"}}}}]}}}}"#
    );
    server.answer("DescribeStream", [Answer::ok(described)]);
    server.answer("GetShardIterator", [Answer::ok(r#"{"ShardIterator":"first"}"#)]);
}

/// Reads records through the program until it is enough.
async fn read(program: &Program, mut is_enough: impl FnMut(usize) -> bool) {
    let position =
        pb::Position { iterator_type: pb::IteratorType::TrimHorizon.into(), ..Default::default() };
    let start = pb::ShardStart {
        shard: Some(pb::ShardName { stream: ARN.into(), shard_id: SHARD.into() }),
        start: Some(pb::shard_start::Start::Position(position)),
    };
    let request = pb::StreamRecordsRequest {
        source: Some(pb::stream_records_request::Source::Start(start)),
        ..Default::default()
    };
    let mut shards = program.shards().await;
    let mut stream = shards.stream_records(request).await.expect("it streams").into_inner();
    let mut came = 0;
    while !is_enough(came) {
        let message = stream.message().await.expect("no error").expect("no end");
        came += message.records.len();
    }
}

/// The keys by which records were asked for, and whether by the SDK.
fn keys(server: &ScriptedHttp) -> Vec<(String, bool)> {
    let key = |asked: &Request| {
        let signature = asked.header("authorization").expect("signed");
        let key = signature.split_once("Credential=").expect("a key").1;
        (key.split('/').next().expect("a key").to_owned(), asked.is_by_sdk())
    };
    server.asked("GetRecords").iter().map(key).collect()
}

#[tokio::test]
async fn keys_that_ran_out_are_looked_for_anew_and_the_path_goes_on_with_others() {
    let server = ScriptedHttp::start().await;
    describe(&server);
    let expired = Answer::error(400, "ExpiredTokenException", "it is expired");
    let pages = [page(1), page(2), expired, page(3), page(4), page(5)];
    server.answer("GetRecords", pages);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("credentials");
    let write = |id: &str| {
        let text = format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = secret\n");
        std::fs::write(&path, text).expect("written");
    };
    write("FIRST");
    let variables = [
        ("AWS_SHARED_CREDENTIALS_FILE", path.to_str().expect("UTF-8")),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", server.url.as_str()),
    ];
    let program = Program::serve(&["--shard-calls-per-second", "100"], &variables).await;
    let program = program.expect("it serves");
    server.answer("ListStreams", [Answer::ok(r#"{"Streams": []}"#)]);
    let listed = program.streams().await.list_streams(pb::ListStreamsRequest::default()).await;
    listed.expect("answered with the first");
    write("SECOND");
    read(&program, |came| came >= 5).await;
    let (first, second) = ("FIRST".to_owned(), "SECOND".to_owned());
    let asked = keys(&server);
    assert_eq!(asked[0], (first.clone(), true), "learns: {asked:?}");
    let before = asked.iter().take_while(|(key, _)| *key == first).count();
    assert!(asked[1..before].iter().all(|(_, by_sdk)| !by_sdk), "{asked:?}");
    // The refused call is repeated by the SDK, from which the path learns anew.
    assert_eq!(asked[before], (second.clone(), true), "{asked:?}");
    assert_eq!(asked[before + 1], (second, false), "{asked:?}");
}

/// Keys that say when they run out are renewed before, by the SDK's own cache: some seconds before,
/// which is the time that this takes.
#[tokio::test]
async fn keys_that_are_about_to_run_out_are_renewed_on_the_path() {
    let server = ScriptedHttp::start().await;
    describe(&server);
    server.answer("GetRecords", (1..=5_000).map(page));
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (script, count, config) = (file("keys"), file("count"), file("config"));
    let text = format!(
        "echo x >> {count}\nn=$(wc -l < {count})\n[ $n = 1 ] && life=13 || life=3600\n\
         printf '{{\"Version\": 1, \"AccessKeyId\": \"KEY%s\", \"SecretAccessKey\": \"secret\", \
         \"SessionToken\": \"token%s\", \"Expiration\": \"%s\"}}' \
         $n $n $(date -u -d \"+$life seconds\" +%Y-%m-%dT%H:%M:%SZ)\n"
    );
    std::fs::write(&script, text).expect("written");
    let text = format!("[default]\nregion = us-east-1\ncredential_process = sh {script}\n");
    std::fs::write(&config, text).expect("written");
    let path = std::env::var("PATH").expect("a path");
    let variables = [
        ("PATH", path.as_str()),
        ("AWS_CONFIG_FILE", config.as_str()),
        ("AWS_ENDPOINT_URL", server.url.as_str()),
    ];
    let program = Program::serve(&["--shard-calls-per-second", "50"], &variables).await;
    let program = program.expect("it serves");
    read(&program, |_| keys(&server).iter().any(|(key, _)| key == "KEY2")).await;
    let asked = keys(&server);
    assert_eq!(asked[0], ("KEY1".to_owned(), true), "{asked:?}");
    assert!(asked.len() > 2 && asked[1..].iter().all(|(_, by_sdk)| !by_sdk), "{asked:?}");
    for asked in server.asked("GetRecords") {
        let token = asked.header("x-amz-security-token").expect("a token");
        let signature = asked.header("authorization").expect("signed");
        assert!(signature.contains(&token.replace("token", "Credential=KEY")), "{signature}");
    }
}

/// TLS, certificates and proxies are those of the SDK's calls: the connections are the same.
#[tokio::test]
async fn the_path_goes_over_tls_and_by_the_proxy() {
    let secure = ScriptedHttp::start_tls().await;
    let proxy = ScriptedHttp::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let roots = folder.path().join("roots.pem");
    std::fs::write(&roots, ROOT).expect("written");
    let keys = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
    let tls = [
        ("AWS_ENDPOINT_URL", secure.url.as_str()),
        ("AWS_CA_BUNDLE", roots.to_str().expect("UTF-8")),
        ("HTTPS_PROXY", "http://127.0.0.1:9"),
    ];
    let by_proxy =
        [("AWS_ENDPOINT_URL", "http://elsewhere.test"), ("HTTP_PROXY", proxy.url.as_str())];
    for (server, variables) in [(&secure, &tls[..]), (&proxy, &by_proxy[..])] {
        describe(server);
        server.answer("GetRecords", (1..=4).map(page));
        let variables = [&keys[..], variables, &[("AWS_REGION", "us-east-1")]].concat();
        let program = Program::serve(&["--shard-calls-per-second", "100"], &variables).await;
        read(&program.expect("it serves"), |came| came >= 4).await;
        assert_eq!(by_sdk(server)[..4], [true, false, false, false]);
    }
}
