//! `shardstream doctor` as a process: a machine on which all is well, and one thing after the other
//! that is not.

use std::process::Stdio;

use serde_json::Value as Json;
use tokio::process::Command;

use super::listening::{STREAM, upstream};
use crate::support::pki::{Ca, Pems, text};
use crate::support::scripted_http::{Answer, ScriptedHttp};
use crate::support::server::in_time;

const SHARD: &str = "shardId-00000001795428000000-aaaaaaaa";

/// What it found: check, verdict, what and mend of each line; and its exit code.
struct Found {
    code: Option<i32>,
    lines: Vec<[String; 4]>,
    text: String,
}

impl Found {
    /// The verdict on this check, and all that is said of it.
    fn of(&self, check: &str) -> (String, String) {
        let of = |line: &&[String; 4]| line[0] == check;
        let [_, verdict, what, mend] =
            self.lines.iter().find(of).unwrap_or_else(|| panic!("no {check} in {}", self.text));
        (verdict.clone(), format!("{what} | {mend}"))
    }

    #[track_caller]
    fn is(&self, check: &str, verdict: &str, told: &str) {
        let (found, all) = self.of(check);
        assert!(found == verdict && all.contains(told), "{check}: {found}: {all}");
    }
}

/// Runs it in an environment of nothing but `variables`.
async fn doctor(flags: &[&str], variables: &[(&str, &str)]) -> Found {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shardstream"));
    command.args(["doctor", "--output=json", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"]);
    command.args(flags).env_clear().env("AWS_EC2_METADATA_DISABLED", "true");
    command.env("AWS_CONFIG_FILE", "/nowhere").env("AWS_SHARED_CREDENTIALS_FILE", "/nowhere");
    command.envs(variables.iter().copied()).stdin(Stdio::null());
    let output = in_time("the end", command.output()).await.expect("it runs");
    let printed = String::from_utf8(output.stdout).expect("text");
    let lines = printed.lines().map(|line| {
        let line: Json = serde_json::from_str(line).expect("JSON");
        ["check", "verdict", "what", "mend"]
            .map(|key| line[key].as_str().unwrap_or_default().to_owned())
    });
    let lines = lines.collect();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Found { code: output.status.code(), lines, text: printed + &said }
}

/// An AWS with a stream and a shard, whose clock is right.
async fn healthy() -> ScriptedHttp {
    let upstream = upstream().await;
    let stream = format!(
        r#"{{"StreamDescription": {{"StreamArn": "{STREAM}", "TableName": "orders",
            "StreamLabel": "2026-01-01T00:00:00.000", "StreamStatus": "ENABLED", "StreamViewType": "NEW_IMAGE",
            "Shards": [{{"ShardId": "{SHARD}",
                         "SequenceNumberRange": {{"StartingSequenceNumber": "100"}}}}]}}}}"#
    );
    upstream.answer("DescribeStream", [dated(Answer::ok(stream), 0)]);
    upstream.answer("GetShardIterator", [Answer::ok(r#"{"ShardIterator": "iterator"}"#)]);
    upstream.answer("GetRecords", [Answer::ok(r#"{"Records": [], "NextShardIterator": "next"}"#)]);
    upstream
}

/// `answer` of a server whose clock is so many seconds ahead.
fn dated(answer: Answer, ahead: i64) -> Answer {
    let now = shardstream::clock::Clock::system().now().wall.seconds() + ahead;
    let date = aws_sdk_dynamodb::primitives::DateTime::from_secs(now);
    let date = date.fmt(aws_sdk_dynamodb::primitives::DateTimeFormat::HttpDate);
    answer.header("date", date.expect("a date"))
}

fn over(upstream: &ScriptedHttp) -> [&str; 3] {
    ["--aws-fake-credentials", "--aws-endpoint-url", &upstream.url]
}

#[tokio::test]
async fn where_all_is_well_it_says_so_and_ends_well() {
    let upstream = healthy().await;
    let ca = Ca::new("CA");
    let pems = Pems::of_server(&ca, &ca.server(|_| {}));
    let tokens = text(&pems.write("tokens.toml", &entry()));
    let policy = text(&pems.write("policy.toml", RULES));
    let (certificate, key) = (text(&pems.path("server.pem")), text(&pems.path("server.key")));
    let files = ["--tls-cert", &certificate, "--tls-key", &key, "--tokens", &tokens];
    let flags = [&over(&upstream)[..], &files, &["--policy", &policy]].concat();
    let found = doctor(&flags, &[]).await;
    assert_eq!(found.code, Some(0), "{}", found.text);
    for [check, verdict, what, mend] in &found.lines {
        assert!(verdict == "ok" && !what.is_empty() && mend.is_empty(), "{check}: {what}, {mend}");
    }
    for (check, told) in [
        ("open files", "may be open"),
        ("listen", "--listen 127.0.0.1:0 is free"),
        ("tls", "the certificate is valid until 2120-01-01"),
        ("tokens", "can be used"),
        ("policy", "can be used"),
        ("endpoint", upstream.url.as_str()),
        ("identity", "made-up"),
        ("ListStreams", "1 streams"),
        ("DescribeStream", STREAM),
        ("GetShardIterator", SHARD),
        ("GetRecords", SHARD),
        ("clock", "seconds from AWS's"),
    ] {
        found.is(check, "ok", told);
    }
    assert_eq!(upstream.requests("GetRecords").len(), 1, "no more than it has to");
}

const RULES: &str = "[[rule]]\nprincipals = [\"*\"]\nactions = [\"read\"]\nstreams = [\"*\"]\n";

fn entry() -> String {
    use shardstream::access::static_tokens;
    static_tokens::entry("ci", &static_tokens::token([1; 32])).expect("a name")
}

#[tokio::test]
async fn what_is_wrong_here_is_said_with_what_to_mend() {
    let upstream = healthy().await;
    let ca = Ca::new("CA");
    let pems = Pems::of_server(&ca, &ca.server(crate::support::pki::expired));
    let bad = text(&pems.write("bad.toml", "[[token]\n"));
    let (certificate, key) = (text(&pems.path("server.pem")), text(&pems.path("server.key")));
    let tls = ["--tls-cert", &certificate, "--tls-key", &key];
    let with = async |flags: &[&str]| doctor(&[&over(&upstream)[..], flags].concat(), &[]).await;

    let callers = ["--tokens", &bad, "--policy", &bad];
    let jwt = ["--jwt-issuer=https://id.example", "--jwt-audience=streams", "--jwt-jwks", &bad];
    let found = with(&[&tls[..], &callers, &jwt].concat()).await;
    assert_eq!(found.code, Some(1), "{}", found.text);
    found.is("tls", "fail", "expired at 2021-01-01");
    found.is("tokens", "fail", &bad);
    found.is("policy", "fail", &bad);
    found.is("jwt", "fail", &bad);
    found.is("GetRecords", "ok", SHARD);

    let tokens = text(&pems.write("tokens.toml", &entry()));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().expect("bound").to_string();
    let listener = std::net::TcpListener::bind(&taken);
    let nowhere = format!("unix:{}", text(&pems.path("nowhere/s")));
    let listen = ["--listen", &taken, "--listen", &nowhere, "--tokens", &tokens];
    let found = with(&listen).await;
    drop(listener);
    assert_eq!(found.code, Some(1), "{}", found.text);
    found.is("tokens", "warn", "may do nothing without --policy");
    let listens = found.lines.iter().filter(|line| line[0] == "listen");
    let verdicts: Vec<&str> = listens.map(|line| line[1].as_str()).collect();
    assert_eq!(verdicts, ["ok", "warn", "fail", "ok"], "{}", found.text);

    let found = with(&["--listen=0.0.0.0:0", "--allow-plaintext", "--allow-anonymous"]).await;
    assert_eq!(found.code, Some(0), "{}", found.text);
    found.is("tls", "warn", "in the clear");
    found.is("callers", "warn", "may read everything");
}

#[tokio::test]
async fn the_audit_log_is_tried_and_left_as_it_is() {
    let upstream = healthy().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (there, new) = (folder.path().join("there.log"), folder.path().join("new.log"));
    std::fs::write(&there, "a line\n").expect("written");
    let nowhere = folder.path().join("nowhere/audit.log");
    for (path, verdict, code) in [(&there, "ok", 0), (&new, "ok", 0), (&nowhere, "fail", 1)] {
        let path = text(path);
        let flags = [&over(&upstream)[..], &["--audit-log", &path]].concat();
        let found = doctor(&flags, &[]).await;
        assert_eq!(found.code, Some(code), "{}", found.text);
        found.is("audit", verdict, &path);
    }
    assert_eq!(std::fs::read_to_string(&there).expect("it stays"), "a line\n");
    assert!(!new.exists() && !nowhere.exists(), "it changes nothing");
    let found = doctor(&[&over(&upstream)[..], &["--audit-log=stderr"]].concat(), &[]).await;
    found.is("audit", "ok", "stderr");
}

#[tokio::test]
async fn what_aws_refuses_is_said_call_by_call() {
    let denied = || Answer::error(400, "AccessDeniedException", "not authorized\nto perform");
    let calls = ["ListStreams", "DescribeStream", "GetShardIterator", "GetRecords"];
    for (at, call) in calls.into_iter().enumerate() {
        let upstream = healthy().await;
        upstream.answer(call, [denied()]);
        let found = doctor(&over(&upstream), &[]).await;
        assert_eq!(found.code, Some(1), "{}", found.text);
        for before in &calls[..at] {
            found.is(before, "ok", "");
        }
        found.is(call, "fail", &format!("allow dynamodb:{call}"));
        found.is(call, "fail", "not authorized to perform");
    }
    let upstream = healthy().await;
    upstream.answer("ListStreams", [Answer::ok(r#"{"Streams": []}"#)]);
    let found = doctor(&over(&upstream), &[]).await;
    assert_eq!(found.code, Some(0), "{}", found.text);
    for call in ["DescribeStream", "GetShardIterator", "GetRecords"] {
        found.is(call, "warn", "not tried");
    }
}

#[tokio::test]
async fn clocks_apart_are_told() {
    for (ahead, verdict, code) in [(60, "warn", 0), (-86_400, "fail", 1)] {
        let upstream = healthy().await;
        let stream = format!(
            r#"{{"StreamDescription": {{"StreamArn": "{STREAM}", "TableName": "orders",
                "StreamLabel": "2026-01-01T00:00:00.000", "StreamStatus": "ENABLED", "StreamViewType": "NEW_IMAGE",
                "Shards": []}}}}"#
        );
        upstream.answer("DescribeStream", [dated(Answer::ok(stream), ahead)]);
        let found = doctor(&over(&upstream), &[]).await;
        assert_eq!(found.code, Some(code), "{}", found.text);
        found.is("clock", verdict, "chrony");
    }
}

#[tokio::test]
async fn who_aws_says_we_are_is_told() {
    let upstream = healthy().await;
    let arn = "arn:aws:sts::123456789012:assumed-role/shardstream/i-1";
    let answer = format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <GetCallerIdentityResult><Arn>{arn}</Arn><UserId>A:i</UserId><Account>1</Account>\
         </GetCallerIdentityResult></GetCallerIdentityResponse>"
    );
    upstream.answer("GetCallerIdentity", [Answer::ok(answer)]);
    let variables = [
        ("AWS_ENDPOINT_URL", upstream.url.as_str()),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "key-of-the-test"),
        ("AWS_SECRET_ACCESS_KEY", "secret-of-the-test"),
    ];
    let found = doctor(&[], &variables).await;
    assert_eq!(found.code, Some(0), "{}", found.text);
    found.is("identity", "ok", arn);
    found.is("endpoint", "ok", "region eu-west-1");
    assert!(!found.text.contains("-of-the-test"), "{}", found.text);

    let found = doctor(&[], &variables[..2]).await;
    assert_eq!(found.code, Some(1), "{}", found.text);
    found.is("identity", "warn", "AWS_ACCESS_KEY_ID");
    found.is("ListStreams", "fail", "credentials");

    let found = doctor(&[], &[]).await;
    assert_eq!(found.code, Some(1), "{}", found.text);
    found.is("endpoint", "fail", "AWS_REGION");
}

#[cfg(feature = "embedded")]
#[tokio::test]
async fn the_embedded_dynamodb_is_well() {
    use crate::embedded::dev::support::{House, clients, make_table};
    let house = House::new();
    let embedded = house.embedded(None).await;
    make_table(&clients(&embedded).0, "orders").await;
    let endpoint = embedded.endpoint();
    let flags = ["--aws-fake-credentials", "--aws-endpoint-url", &endpoint];
    let found = doctor(&flags, &[]).await;
    assert_eq!(found.code, Some(0), "{}", found.text);
    for check in ["ListStreams", "DescribeStream", "GetShardIterator", "GetRecords"] {
        found.is(check, "ok", "");
    }
    drop(embedded);
    house.end().await;
}
