//! Nothing leaks: what a server is given in confidence, and the items that pass through it, are in
//! nothing that it writes or says, whatever the level of its log.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use shardstream::access::static_tokens;
use shardstream::pb;
use tokio::io::AsyncReadExt as _;
use tonic::{Code, Request, Status};

use crate::contract::access::{Raw, request};
use crate::support::contract::methods;
use crate::support::pki::{Ca, Pems, text};
use crate::support::program::Program;
use crate::support::scripted_http::{Answer, ScriptedHttp};
use crate::support::server::{in_time, metrics, secure_channel};

const ARN: &str =
    "arn:aws:dynamodb:us-east-1:123456789012:table/Orders/stream/2026-01-02T03:04:05.678";
const LABEL: &str = "2026-01-02T03:04:05.678";
const SHARD: &str = "shardId-00000000000000000001-00000001";
const ITEM: &str = "canary-of-an-item";
const NUMBER: &str = "987650000000000000001";
const AWS_SECRET: &str = "canaryOfAwsSecret/abcdefghijklmnopqrstuv";
const AWS_SESSION: &str = "canary-of-a-session-token";

/// Answers of AWS's with a record, one that cannot be read, and an end of what is well.
async fn upstream() -> ScriptedHttp {
    let upstream = ScriptedHttp::start().await;
    let stream = json!({ "StreamArn": ARN, "TableName": "Orders", "StreamLabel": LABEL });
    upstream.answer("ListStreams", [Answer::ok(json!({ "Streams": [stream] }).to_string())]);
    let range = json!({ "StartingSequenceNumber": "100" });
    let shard = json!({ "ShardId": SHARD, "SequenceNumberRange": range });
    let described = json!({ "StreamDescription": {
        "StreamArn": ARN, "TableName": "Orders", "StreamLabel": LABEL, "StreamStatus": "ENABLED",
        "CreationRequestDateTime": 1_700_000_000,
        "KeySchema": [{ "AttributeName": "Id", "KeyType": "HASH" }],
        "StreamViewType": "NEW_AND_OLD_IMAGES", "Shards": [shard],
    }});
    upstream.answer("DescribeStream", [Answer::ok(described.to_string())]);
    upstream.answer("GetShardIterator", [Answer::ok(r#"{"ShardIterator": "it"}"#)]);
    let record = |number: &str, image: serde_json::Value| {
        json!({
            "eventID": number, "eventName": "INSERT", "eventVersion": "1.1",
            "eventSource": "aws:dynamodb", "awsRegion": "us-east-1",
            "dynamodb": {
                "ApproximateCreationDateTime": 1_790_000_000, "Keys": { "Id": { "S": ITEM } },
                "NewImage": image, "SequenceNumber": number, "SizeBytes": 26,
                "StreamViewType": "NEW_AND_OLD_IMAGES",
            },
        })
    };
    let well = record(NUMBER, json!({ "Id": { "S": ITEM } }));
    let odd = record("987650000000000000002", json!({ "Id": { ITEM: ITEM } }));
    let page = json!({ "Records": [well, odd], "NextShardIterator": "it" }).to_string();
    let failure = Answer::error(400, "ThrottlingException", "slower");
    let broken = Answer::ok(format!("{{\"Records\": [{{\"x\": \"{ITEM}\""));
    upstream.answer("GetRecords", [Answer::ok(page.clone()), failure, broken, Answer::ok(page)]);
    upstream
}

/// All that a status tells.
fn told(status: &Status) -> String {
    let details = String::from_utf8_lossy(status.details()).into_owned();
    format!("{status:?} {details}")
}

#[tokio::test]
async fn secrets_and_items_are_in_no_log_and_no_error() {
    let (upstream, ca) = (upstream().await, Ca::new("canary CA"));
    let pems = Pems::of_server(&ca, &ca.server(|_| {}));
    let secret = static_tokens::token([42; 32]);
    let entry = static_tokens::entry("canary", &secret).expect("a name");
    let tokens = pems.write("tokens.toml", &entry);
    let rule = "[[rule]]\nprincipals = [\"token:canary\"]\nactions = [\"list\", \"inspect\", \"read\"]\nstreams = [\"*\"]\n";
    let policy = pems.write("policy.toml", rule);
    let (audit, server) = (pems.path("audit.log"), pems.server());
    let files = [&server.certificate, &server.key, &tokens, &policy, &audit].map(|path| text(path));
    let [certificate, key, tokens, policy, audit_file] = &files;
    #[rustfmt::skip]
    let arguments = [
        "--log", "trace", "--log-format", "json", "--aws-endpoint-url", &upstream.url,
        "--tls-cert", certificate, "--tls-key", key, "--tokens", tokens, "--policy", policy,
        "--audit-log", audit_file, "--shard-calls-per-second", "100", "--drain-timeout", "1s",
    ];
    let variables = [
        ("AWS_ACCESS_KEY_ID", "AKIACANARY"),
        ("AWS_SECRET_ACCESS_KEY", AWS_SECRET),
        ("AWS_SESSION_TOKEN", AWS_SESSION),
        ("AWS_REGION", "us-east-1"),
    ];
    let mut program = Program::serve(&arguments, &variables).await.expect("it starts");
    let mut stderr = program.child.stderr.take().expect("piped");
    let log = tokio::spawn(async move {
        let mut log = Vec::new();
        stderr.read_to_end(&mut log).await.map(|_| String::from_utf8_lossy(&log).into_owned())
    });

    let address = program.grpc.trim_start_matches("https://").parse().expect("an address");
    let channel = secure_channel(address, &pems.client(None)).await.expect("connects");
    let shard = pb::ShardName { stream: ARN.into(), shard_id: SHARD.into() };
    let (mut errors, mut codes, mut items) = (String::new(), BTreeMap::new(), 0);
    for method in methods() {
        let (_, good) = request(&method, shard.clone(), "0".repeat(32));
        let garbage = [&[0xff], secret.as_bytes(), ITEM.as_bytes()].concat();
        let (right, stranger) = (format!("Bearer {secret}"), format!("Basic {secret}"));
        let shown: [&[&str]; 5] =
            [&[&right], &[], &[&stranger], &[&right, &right], &["Bearer sst_wrong"]];
        for (body, shown) in
            shown.map(|shown| (&good, shown)).into_iter().chain([(&garbage, shown[0])])
        {
            let mut client = tonic::client::Grpc::new(channel.clone());
            client.ready().await.expect("connected");
            let mut call = Request::new(body.clone());
            call.set_timeout(Duration::from_secs(20));
            for value in shown {
                call.metadata_mut().append("authorization", value.parse().expect("a header"));
            }
            let path = format!("/{method}").parse().expect("a path");
            let first = async {
                let mut answer = client.server_streaming(call, path, Raw).await?.into_inner();
                let first: Option<Vec<u8>> = answer.message().await?;
                // Of a stream that ends by itself the end, too: a record that cannot be read.
                let rest = match method.ends_with("StreamRecords") {
                    true => answer.message().await?,
                    false => None,
                };
                Ok::<_, Status>([first.unwrap_or_default(), rest.unwrap_or_default()].concat())
            };
            let code = match in_time(&method, first).await {
                Ok(answer) => {
                    items += usize::from(String::from_utf8_lossy(&answer).contains(ITEM));
                    Code::Ok
                }
                Err(status) => {
                    errors.push_str(&told(&status));
                    status.code()
                }
            };
            *codes.entry(format!("{code:?}")).or_insert(0) += 1;
        }
    }
    // The test would not see a leak of what never passed.
    assert!(items > 0 && codes["Ok"] > 5 && codes["Unauthenticated"] > 40, "{items} {codes:?}");

    let pid = program.child.id().expect("it runs");
    let told_to = |signal: &str| {
        let pid = pid.to_string();
        assert!(
            std::process::Command::new("kill")
                .args([signal, &pid])
                .status()
                .expect("sent")
                .success()
        );
    };
    told_to("-HUP");
    let scraped = metrics(&program.admin).await;
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    told_to("-TERM");
    in_time("its end", program.child.wait()).await.expect("waited for");
    let log = in_time("its log", log).await.expect("read").expect("readable");
    let audit = std::fs::read_to_string(&audit).expect("an audit log");
    let from = |target: &str| log.contains(&format!("\"target\":\"{target}"));
    assert!(from("h2::") && from("aws_smithy_") && from("shardstream"), "it is the whole log");
    assert!(audit.contains("token:canary") && audit.contains("refused"), "{audit}");

    let key_file = std::fs::read_to_string(key).expect("a key");
    let keys = key_file.lines().filter(|line| !line.starts_with("-----") && line.len() > 8);
    let digest = entry.split('"').nth(3).expect("a digest").to_owned();
    let base = [&secret, ITEM, AWS_SECRET, AWS_SESSION, &digest];
    let secrets: Vec<&str> = base.into_iter().chain(keys).collect();
    let line = String::from_utf8_lossy(&line).into_owned();
    let written = [
        ("log", &log),
        ("audit", &audit),
        ("metrics", &scraped),
        ("errors", &errors),
        ("ps", &line),
    ];
    let mut leaks = Vec::new();
    for (place, text) in written {
        for secret in &secrets {
            let found = text.lines().filter(|line| line.contains(secret));
            leaks.extend(found.take(3).map(|line| {
                format!("{place} has {secret}: {}", line.chars().take(600).collect::<String>())
            }));
        }
    }
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
    assert!(
        !audit.contains(NUMBER) && !scraped.contains(NUMBER),
        "sequence numbers are of records"
    );
}
