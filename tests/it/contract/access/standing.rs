//! Calls that last are judged again: when their caller's credentials end, and when the files that
//! say who may do what change.

use shardstream::upstream::Operation;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_the_credentials_of_its_caller() {
    let (fake, orders) = FakeUpstream::with_shard(13);
    let folder = tempfile::tempdir().expect("a folder");
    // The server's clock is the machine's.
    let ends = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(3_600);
    let entry = static_tokens::entry("brief", &secret("brief")).expect("a name");
    let rule = "[[rule]]\nprincipals = [\"*\"]\nactions = [\"read\"]\nstreams = [\"*\"]\n";
    let access = AccessConfig {
        tokens: written(&folder, "tokens.toml", format!("{entry}expires = {ends}\n")),
        policy: written(&folder, "policy.toml", rule.into()),
        reachable: true,
        ..AccessConfig::default()
    };
    let server = Server::guarded(Arc::new(fake), Limits::default(), None, access).await;
    let source = Some(pb::stream_records_request::Source::Start(pb::ShardStart {
        shard: Some(name(&orders)),
        start: Some(pb::shard_start::Start::Position(position(pb::IteratorType::TrimHorizon))),
    }));
    let mut request = Request::new(pb::StreamRecordsRequest { source, ..Default::default() });
    request.metadata_mut().append("authorization", bearer("brief").parse().expect("a header"));
    let opened = server.shards().await.stream_records(request).await;
    let mut stream = opened.expect("allowed").into_inner();
    let begun = tokio::time::Instant::now();
    let ended = ending(&mut stream).await;
    assert_eq!(ended, (Code::Unauthenticated, "CREDENTIALS_EXPIRED".into()));
    let lived = begun.elapsed().as_secs();
    assert!((3_500..=3_600).contains(&lived), "outlives its token, or dies before: {lived}");
}

/// The status after the end that comes next, heartbeats aside: the end says that the caller is
/// refused, and bears a token to go on from.
async fn ending(stream: &mut tonic::Streaming<pb::StreamRecordsResponse>) -> (Code, String) {
    let end = async {
        loop {
            let message = stream.message().await.expect("well").expect("an end");
            if let Some(pb::stream_records_response::Event::End(end)) = message.event {
                return (end.reason(), message.token);
            }
        }
    };
    let (reason, token) = end.await;
    assert!(!token.is_empty(), "the client goes on from it");
    assert_eq!(reason, pb::EndReason::Refused);
    refusal(&stream.message().await.expect_err("a status"))
}

fn refusal(status: &Status) -> (Code, String) {
    let reason = status.get_error_details().error_info().map(|info| info.reason.clone());
    (status.code(), reason.unwrap_or_default())
}

fn not_allowed() -> (Code, String) {
    (Code::PermissionDenied, "NOT_ALLOWED".into())
}

fn invalid() -> (Code, String) {
    (Code::Unauthenticated, "CREDENTIALS_INVALID".into())
}

#[tokio::test]
async fn a_token_that_is_taken_out_is_refused_and_its_streams_end() {
    let bed = Bed::new().await;
    let (mut stream, mut other) = (bed.streaming("all").await, bed.streaming("reads").await);
    let tokens = token_file();
    let (_, without) = tokens.split_once("name = \"elsewhere\"").expect("the second");
    bed.replace("tokens.toml", &format!("[[token]]\nname = \"elsewhere\"{without}"));
    bed.reloaded("ok", 1).await;
    assert_eq!(in_time("the end", ending(&mut stream)).await, invalid());
    let info = "shardstream.v1.ServerService/GetServerInfo";
    let refused = bed.called_by("all", info, vec![]).await;
    assert_eq!(refused, Err(invalid()));
    bed.fake.write(&bed.orders, 1);
    let next = in_time("a record", other.message()).await.expect("well").expect("some");
    assert_eq!(next.records.len(), 1, "who is known still reads on");
}

#[tokio::test]
async fn what_the_policy_no_longer_allows_ends_and_what_it_does_goes_on() {
    let bed = Bed::new().await;
    let (mut stream, mut other) = (bed.streaming("all").await, bed.streaming("reads").await);
    let policy = POLICY.replace("table/orders", "table/gone");
    bed.replace("policy.toml", &policy);
    assert_eq!(in_time("the end", ending(&mut stream)).await, not_allowed());
    let describe = pb::DescribeStreamRequest { stream: bed.orders.stream.to_string() };
    let method = "shardstream.v1.StreamService/DescribeStream";
    let refused = bed.called_by("all", method, describe.encode_to_vec()).await;
    assert_eq!(refused, Err(not_allowed()));
    bed.fake.write(&bed.orders, 1);
    let next = in_time("a record", other.message()).await.expect("well").expect("some");
    assert_eq!(next.records.len(), 1);
}

#[tokio::test]
async fn a_file_that_is_wrong_changes_nothing_until_it_is_right() {
    let bed = Bed::new().await;
    let mut stream = bed.streaming("all").await;
    bed.replace("policy.toml", "[[rule]]\nprincipals = []\n");
    bed.reloaded("failed", 1).await;
    bed.replace("tokens.toml", "half a fi");
    bed.reloaded("failed", 2).await;
    bed.fake.write(&bed.orders, 1);
    let next = in_time("a record", stream.message()).await.expect("well").expect("some");
    assert_eq!(next.records.len(), 1);
    let info = "shardstream.v1.ServerService/GetServerInfo";
    assert!(bed.called_by("all", info, vec![]).await.is_ok());
    bed.replace("tokens.toml", "");
    bed.reloaded("failed", 3).await;
    bed.replace("tokens.toml", "# Nobody.\n");
    bed.reloaded("failed", 4).await;
    bed.replace("policy.toml", &POLICY.replace("orders", bed.orders.stream.resource()));
    bed.reloaded("ok", 1).await;
    let ended = in_time("the end", ending(&mut stream)).await;
    assert_eq!(ended, invalid(), "nobody has a token now");
}

/// `request` with the token of a caller.
fn of<T>(caller: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().append("authorization", bearer(caller).parse().expect("a header"));
    request
}

#[tokio::test]
async fn a_unary_call_that_waits_is_judged_again() {
    let waiting = Some(prost_types::Duration { seconds: 60, nanos: 0 });
    for (file, expected) in [("policy.toml", not_allowed()), ("tokens.toml", invalid())] {
        let bed = Bed::new().await;
        let source = Some(pb::get_records_request::Source::Start(pb::ShardStart {
            shard: Some(name(&bed.orders)),
            start: Some(pb::shard_start::Start::Position(position(pb::IteratorType::Latest))),
        }));
        let get = pb::GetRecordsRequest { source, wait: waiting, ..Default::default() };
        let mut shards = bed.server.shards().await;
        let call = tokio::spawn(async move { shards.get_records(of("all", get)).await });
        let asked = async {
            while bed.fake.calls_on(&bed.orders, Operation::GetRecords) == 0 {
                tokio::task::yield_now().await;
            }
        };
        in_time("a read", asked).await;
        match file {
            "policy.toml" => bed.replace(file, &POLICY.replace("table/orders", "table/gone")),
            _ => {
                bed.replace(file, &static_tokens::entry("other", &secret("other")).expect("a name"))
            }
        }
        let answer = in_time("an answer", call).await.expect("no panic");
        assert_eq!(refusal(&answer.expect_err("refused")), expected, "{file}");
    }
}

#[tokio::test]
async fn a_token_that_is_good_for_longer_now_ends_nothing() {
    let bed = Bed::new().await;
    let mut stream = bed.streaming("all").await;
    let longer = token_file().replacen("\n[[token]]", "\nexpires = 9998-01-01\n[[token]]", 1);
    assert_ne!(longer, token_file());
    bed.replace("tokens.toml", &longer);
    bed.reloaded("ok", 1).await;
    bed.fake.write(&bed.orders, 1);
    let next = in_time("a record", stream.message()).await.expect("well").expect("some");
    assert_eq!(next.records.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_whose_next_stream_is_forbidden_says_so() {
    let (fake, orders) = FakeUpstream::with_shard(14);
    fake.write(&orders, 2);
    let folder = tempfile::tempdir().expect("a folder");
    let policy = |stream: &str| {
        let rule = "[[rule]]\nprincipals = [\"*\"]\nactions = [\"read\"]\n";
        format!("{rule}streams = [\"{stream}\"]\n")
    };
    let access = AccessConfig {
        tokens: written(&folder, "tokens.toml", token_file()),
        policy: written(&folder, "policy.toml", policy(orders.stream.as_str())),
        reachable: true,
        ..AccessConfig::default()
    };
    let server = Server::guarded(Arc::new(fake.clone()), Limits::default(), None, access).await;
    let table = orders.stream.resource().to_owned();
    let horizon = position(pb::IteratorType::TrimHorizon);
    let subscribe = async |start| {
        let request = pb::SubscribeRequest {
            stream: table.clone(),
            start: Some(start),
            ..Default::default()
        };
        server.streams().await.subscribe(of("all", request)).await
    };
    let opened = subscribe(pb::subscribe_request::Start::Position(horizon)).await;
    let mut stream = opened.expect("allowed").into_inner();
    let first = stream.message().await.expect("well").expect("some");
    assert!(first.event.is_some() || !first.records.is_empty());
    fake.disable(&orders.stream);
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    let next = fake.add_stream(&table);
    fake.write(&fake.add_shard(&next, None), 1);
    let (mut records, mut told_end) = (first.records.len(), false);
    let token = loop {
        let message = stream.message().await.expect("well").expect("an end");
        records += message.records.len();
        match message.event {
            Some(pb::subscribe_response::Event::End(end)) => {
                assert_eq!(end.reason(), pb::EndReason::Refused);
                break message.token;
            }
            Some(pb::subscribe_response::Event::StreamEnd(end)) => {
                assert_eq!(end.next_stream_arn, "", "it is not for everybody");
                told_end = true;
            }
            _ => {}
        }
    };
    let status = stream.message().await.expect_err("a status");
    assert_eq!((records, told_end, refusal(&status)), (2, true, not_allowed()));
    assert!(!format!("{status:?}").contains(next.label()), "{status:?}");
    // Where the caller may, the token goes on with the next stream, and repeats nothing.
    written(&folder, "policy.toml", policy("*"));
    server.reload.notify_one();
    let resumed = loop {
        let token = pb::subscribe_request::Start::Token(token.clone());
        let mut stream = subscribe(token).await.expect("it may read the first").into_inner();
        let record = loop {
            match stream.message().await {
                Ok(Some(message)) if !message.records.is_empty() => break Some(message.records),
                Ok(_) => {}
                Err(status) => {
                    assert_eq!(refusal(&status), not_allowed());
                    break None;
                }
            }
        };
        if let Some(records) = record {
            break records.len();
        }
    };
    assert_eq!(resumed, 1);
}

#[tokio::test]
async fn the_streams_of_a_certificate_that_is_accepted_no_more_end_with_their_tokens() {
    let (ca, first, second) = (Ca::new("server CA"), Ca::new("first"), Ca::new("second"));
    let pems = Pems::of_server(&ca, &ca.server(|_| {}));
    let files = pems.mutual(&first, ClientAuth::Required);
    let (fake, orders) = FakeUpstream::with_shard(15);
    fake.write(&orders, 1);
    let server = Server::start_tls(Arc::new(fake), Limits::default(), files).await;
    let identity = first.client(|_| {});
    let channel = server.secure_channel(&pems.client(Some(&identity))).await.expect("connects");
    let source = Some(pb::stream_records_request::Source::Start(pb::ShardStart {
        shard: Some(name(&orders)),
        start: Some(pb::shard_start::Start::Position(position(pb::IteratorType::TrimHorizon))),
    }));
    let request = pb::StreamRecordsRequest { source, ..Default::default() };
    let mut shards = pb::shard_service_client::ShardServiceClient::new(channel);
    let mut stream = shards.stream_records(request).await.expect("streams").into_inner();
    in_time("a record", stream.message()).await.expect("well").expect("some");
    pems.write("client-ca.pem", &second.pem());
    server.reload.notify_one();
    assert_eq!(in_time("the end", ending(&mut stream)).await, invalid());
    server.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_streams_of_a_certificate_that_expires_end_with_their_tokens() {
    let ca = Ca::new("server CA");
    let pems = Pems::of_server(&ca, &ca.server(|_| {}));
    let files = pems.mutual(&ca, ClientAuth::Required);
    let (fake, orders) = FakeUpstream::with_shard(16);
    fake.write(&orders, 1);
    let server = Server::start_tls(Arc::new(fake), Limits::default(), files).await;
    let expires = rcgen::date_time_ymd(1970, 1, 1)
        + std::time::Duration::from_secs(jiff::Timestamp::now().as_second() as u64 + 3_600);
    let identity = ca.client(|params| params.not_after = expires);
    let channel = server.secure_channel(&pems.client(Some(&identity))).await.expect("connects");
    let source = Some(pb::stream_records_request::Source::Start(pb::ShardStart {
        shard: Some(name(&orders)),
        start: Some(pb::shard_start::Start::Position(position(pb::IteratorType::TrimHorizon))),
    }));
    let request = pb::StreamRecordsRequest { source, ..Default::default() };
    let mut shards = pb::shard_service_client::ShardServiceClient::new(channel);
    let mut stream = shards.stream_records(request).await.expect("streams").into_inner();
    let ended = ending(&mut stream).await;
    assert_eq!(ended, (Code::Unauthenticated, "CREDENTIALS_EXPIRED".into()));
}
