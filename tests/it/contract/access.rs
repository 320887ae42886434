//! Who may call what: every RPC, with every kind of credentials.

mod jwt;
mod listing;
mod quotas;
mod standing;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Buf, BufMut};
use prost::Message as _;
use shardstream::access::static_tokens;
use shardstream::config::{AccessConfig, ClientAuth};
use shardstream::limits::Limits;
use shardstream::pb;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use super::bad_input::fixture::{name, position};
use crate::sim::fake::{FakeUpstream, ShardRef};
use crate::support::contract::methods;
use crate::support::pki::{Ca, Issued, Pems};
use crate::support::server::{Server, in_time};

/// Callers by the names of their tokens, and what each may do. `reads` lacks nothing, the others
/// each lack one thing.
const POLICY: &str = r#"
[[rule]]
principals = ["token:all", "jwt:https://id.test#all"]
actions = ["list", "inspect", "read"]
streams = ["table/orders"]

[[rule]]
principals = ["token:elsewhere", "jwt:https://id.test#elsewhere"]
actions = ["list", "inspect", "read"]
streams = ["table/other", "arn:aws:dynamodb:*:*:table/*/stream/1999*"]

[[rule]]
principals = ["token:lists", "jwt:https://id.test#lists"]
actions = ["list"]
streams = ["*"]

[[rule]]
principals = ["token:inspects", "jwt:https://id.test#inspects"]
actions = ["inspect"]
streams = ["*"]

[[rule]]
principals = ["token:reads", "jwt:https://id.test#reads"]
actions = ["read"]
streams = ["*"]
"#;

const CALLERS: [&str; 7] = ["all", "elsewhere", "lists", "inspects", "reads", "nothing", "expired"];

/// What a method needs, said a second time: `access::action` says it to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    List,
    Inspect,
    Read,
    Lease,
    Caller,
}

/// A server that asks for tokens, over two tables.
struct Bed {
    server: Server,
    fake: FakeUpstream,
    orders: ShardRef,
    folder: tempfile::TempDir,
}

/// Messages as bytes, so that one function calls every method.
#[derive(Clone, Copy, Default)]
pub struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).to_vec()))
    }
}

impl Bed {
    async fn new() -> Self {
        Self::with(|_, _| {}).await
    }

    /// The same, with other access; the folder is for its files.
    async fn with(change: impl FnOnce(&tempfile::TempDir, &mut AccessConfig)) -> Self {
        Self::within(|_| {}, change).await
    }

    /// The same, within other limits.
    async fn within(
        other: impl FnOnce(&mut Limits),
        change: impl FnOnce(&tempfile::TempDir, &mut AccessConfig),
    ) -> Self {
        let (fake, orders) = FakeUpstream::with_shard(11);
        fake.write(&orders, 3);
        let folder = tempfile::tempdir().expect("a folder");
        let policy = POLICY.replace("orders", orders.stream.resource());
        let mut access = AccessConfig {
            tokens: written(&folder, "tokens.toml", token_file()),
            policy: written(&folder, "policy.toml", policy),
            reachable: true,
            ..AccessConfig::default()
        };
        change(&folder, &mut access);
        let mut limits = Limits::default();
        limits.reading.shard_calls_per_second = 1_000.0;
        limits.reading.describe_calls_per_second = 1_000.0;
        other(&mut limits);
        let server = Server::guarded(Arc::new(fake.clone()), limits, None, access).await;
        Self { server, fake, orders, folder }
    }

    /// Calls a method with these `authorization` headers, to its first message.
    async fn call(
        &self,
        authorization: &[&str],
        method: &str,
        request: Vec<u8>,
    ) -> Result<Vec<u8>, (Code, String)> {
        let mut client = tonic::client::Grpc::new(self.server.channel().await);
        client.ready().await.expect("connected");
        let mut request = Request::new(request);
        for value in authorization {
            let value = value.parse().expect("a header");
            request.metadata_mut().append("authorization", value);
        }
        let path = format!("/{method}").parse().expect("a path");
        let refused = |status: Status| {
            let reason = status.get_error_details().error_info().map(|info| info.reason.clone());
            (status.code(), reason.unwrap_or_default())
        };
        let answer = client.server_streaming(request, path, Raw).await.map_err(refused)?;
        let first = answer.into_inner().message().await.map_err(refused)?;
        Ok(first.unwrap_or_default())
    }

    async fn called_by(
        &self,
        caller: &str,
        method: &str,
        request: Vec<u8>,
    ) -> Result<Vec<u8>, (Code, String)> {
        self.call(&[&bearer(caller)], method, request).await
    }

    /// Replaces a file, whole, and tells the server to look.
    fn replace(&self, name: &str, text: &str) {
        let half = self.folder.path().join("half");
        std::fs::write(&half, text).expect("written");
        std::fs::rename(&half, self.folder.path().join(name)).expect("renamed");
        self.server.reload.notify_one();
    }

    /// Waits until the files were read again so many times, with this result.
    async fn reloaded(&self, result: &str, many: u64) {
        let line = format!("shardstream_access_reloads_total{{result=\"{result}\"}} {many}");
        let seen = async {
            while !self.server.metrics().await.lines().any(|found| found == line) {
                tokio::task::yield_now().await;
            }
        };
        in_time("the files read again", seen).await;
    }

    /// A stream of the shard's records, of `caller`; its first message was read.
    async fn streaming(&self, caller: &str) -> tonic::Streaming<pb::StreamRecordsResponse> {
        let source = Some(pb::stream_records_request::Source::Start(pb::ShardStart {
            shard: Some(name(&self.orders)),
            start: Some(pb::shard_start::Start::Position(position(pb::IteratorType::TrimHorizon))),
        }));
        let mut request = Request::new(pb::StreamRecordsRequest { source, ..Default::default() });
        let authorization = bearer(caller).parse().expect("a header");
        request.metadata_mut().append("authorization", authorization);
        let opened = self.server.shards().await.stream_records(request).await;
        let mut stream = opened.expect("allowed").into_inner();
        let first = in_time("records", stream.message()).await.expect("well").expect("some");
        assert_eq!(first.records.len(), 3);
        stream
    }

    /// A lease of `caller`.
    async fn lease(&self, caller: &str) -> String {
        let start =
            pb::open_shard_request::Start::Position(position(pb::IteratorType::TrimHorizon));
        let shard = Some(name(&self.orders));
        let request = pb::OpenShardRequest { shard, start: Some(start), ..Default::default() };
        let method = "shardstream.v1.ShardService/OpenShard";
        let opened = self.called_by(caller, method, request.encode_to_vec()).await.expect("opened");
        let opened = pb::OpenShardResponse::decode(&*opened).expect("a response");
        opened.session.and_then(|session| session.lease).expect("a lease").lease_id
    }
}

/// A file of this text in the folder.
fn written(folder: &tempfile::TempDir, name: &str, text: String) -> Option<PathBuf> {
    let path = folder.path().join(name);
    std::fs::write(&path, text).expect("written");
    Some(path)
}

fn secret(caller: &str) -> String {
    let mut random = [7; 32];
    random[..caller.len()].copy_from_slice(caller.as_bytes());
    static_tokens::token(random)
}

fn bearer(caller: &str) -> String {
    format!("Bearer {}", secret(caller))
}

fn token_file() -> String {
    let entry = |caller: &&str| {
        let entry = static_tokens::entry(caller, &secret(caller)).expect("a name");
        let expires = if *caller == "expired" { "expires = 2020-01-01\n" } else { "" };
        format!("{entry}{expires}")
    };
    CALLERS.iter().map(entry).collect()
}

/// A request of this method about the shard, and what it needs. A new method needs a row here.
pub fn request(method: &str, shard: pb::ShardName, lease_id: String) -> (Needs, Vec<u8>) {
    use Needs::{Caller, Inspect, Lease, List, Read};
    let stream = shard.stream.clone();
    let horizon = position(pb::IteratorType::TrimHorizon);
    let start = || pb::ShardStart {
        shard: Some(shard.clone()),
        start: Some(pb::shard_start::Start::Position(horizon.clone())),
    };
    let until = Some(pb::Until { at_tip: true, ..Default::default() });
    match method.rsplit('.').next().expect("a service and a method") {
        "ServerService/GetServerInfo" => (Caller, pb::GetServerInfoRequest {}.encode_to_vec()),
        "StreamService/ListStreams" => (List, pb::ListStreamsRequest::default().encode_to_vec()),
        "StreamService/DescribeStream" => {
            (Inspect, pb::DescribeStreamRequest { stream }.encode_to_vec())
        }
        "StreamService/ListShards" => {
            (Inspect, pb::ListShardsRequest { stream, ..Default::default() }.encode_to_vec())
        }
        "StreamService/WatchShards" => {
            (Inspect, pb::WatchShardsRequest { stream, ..Default::default() }.encode_to_vec())
        }
        "StreamService/Subscribe" => {
            let start = Some(pb::subscribe_request::Start::Position(horizon));
            let request = pb::SubscribeRequest { stream, start, until, ..Default::default() };
            (Read, request.encode_to_vec())
        }
        "ShardService/ListChildren" => {
            let target = Some(pb::list_children_request::Target::Shard(shard));
            (Inspect, pb::ListChildrenRequest { target }.encode_to_vec())
        }
        "ShardService/WalkTree" => {
            let target = Some(pb::walk_tree_request::Target::Shard(shard));
            (Inspect, pb::WalkTreeRequest { target }.encode_to_vec())
        }
        "ShardService/OpenShard" => {
            let request = pb::OpenShardRequest { shard: Some(shard), ..Default::default() };
            (Read, request.encode_to_vec())
        }
        "ShardService/SeekTo" => {
            let target = Some(pb::seek_to_request::Target::Shard(shard));
            let time = Some(prost_types::Timestamp::default());
            (Read, pb::SeekToRequest { target, time, ..Default::default() }.encode_to_vec())
        }
        "ShardService/GetRecords" => {
            let source = Some(pb::get_records_request::Source::Start(start()));
            (Read, pb::GetRecordsRequest { source, ..Default::default() }.encode_to_vec())
        }
        "ShardService/StreamRecords" => {
            let source = Some(pb::stream_records_request::Source::Start(start()));
            let request = pb::StreamRecordsRequest { source, until, ..Default::default() };
            (Read, request.encode_to_vec())
        }
        "ShardService/JumpTo" => {
            let start = Some(pb::jump_to_request::Start::Position(horizon));
            (Lease, pb::JumpToRequest { lease_id, start }.encode_to_vec())
        }
        "ShardService/GetShardSession" => {
            (Lease, pb::GetShardSessionRequest { lease_id }.encode_to_vec())
        }
        "ShardService/RenewLease" => (Lease, pb::RenewLeaseRequest { lease_id }.encode_to_vec()),
        "ShardService/CloseShard" => (Lease, pb::CloseShardRequest { lease_id }.encode_to_vec()),
        _ => panic!("{method} has no row here"),
    }
}

/// Whether a caller who lacks nothing else may do it.
fn may(caller: &str, needs: Needs) -> bool {
    match (caller, needs) {
        ("all", _) | (_, Needs::Caller) => true,
        ("lists", needs) => needs == Needs::List,
        ("inspects", needs) => needs == Needs::Inspect,
        ("reads", needs) => needs == Needs::Read,
        // It may list streams of another table: it is told none.
        ("elsewhere", needs) => needs == Needs::List,
        _ => false,
    }
}

#[tokio::test]
async fn every_method_refuses_callers_who_are_nobody() {
    let bed = Bed::new().await;
    let (good, expired) = (bearer("all"), bearer("expired"));
    let (unknown, basic) = (bearer("stranger"), format!("Basic {}", secret("all")));
    let nobodies: [(&[&str], &str); 7] = [
        (&[], "CREDENTIALS_MISSING"),
        (&[&unknown], "CREDENTIALS_INVALID"),
        (&[&basic], "CREDENTIALS_INVALID"),
        (&["Bearer"], "CREDENTIALS_INVALID"),
        (&[&good, &good], "CREDENTIALS_INVALID"),
        (&[&good, &unknown], "CREDENTIALS_INVALID"),
        (&[&expired], "CREDENTIALS_EXPIRED"),
    ];
    for method in methods() {
        let (_, request) = request(&method, name(&bed.orders), "0".repeat(32));
        for (authorization, reason) in nobodies {
            let answer = bed.call(authorization, &method, request.clone()).await;
            let refusal = (Code::Unauthenticated, reason.to_owned());
            assert_eq!(answer, Err(refusal), "{method}: {authorization:?}");
        }
    }
    assert!(bed.fake.all_calls().is_empty(), "nobodies cost the upstream nothing");
}

#[tokio::test]
async fn every_method_is_judged_by_what_it_needs() {
    let bed = Bed::new().await;
    let by_arn = name(&bed.orders);
    let by_table =
        pb::ShardName { stream: bed.orders.stream.resource().to_owned(), ..by_arn.clone() };
    for method in methods() {
        for shard in [&by_arn, &by_table] {
            for caller in ["all", "elsewhere", "lists", "inspects", "reads", "nothing"] {
                let lease = bed.lease("all").await;
                let (needs, request) = request(&method, shard.clone(), lease.clone());
                let answer = bed.called_by(caller, &method, request).await;
                if may(caller, needs) {
                    assert!(answer.is_ok(), "{caller}: {method}: {answer:?}");
                    continue;
                }
                let closes = method.ends_with("/CloseShard");
                match needs {
                    Needs::Lease if closes => assert_eq!(answer, Ok(vec![]), "{caller}: {method}"),
                    Needs::Lease => {
                        let refusal = (Code::NotFound, "LEASE_NOT_FOUND".to_owned());
                        assert_eq!(answer, Err(refusal), "{caller}: {method}");
                    }
                    _ => {
                        let refusal = (Code::PermissionDenied, "NOT_ALLOWED".to_owned());
                        assert_eq!(answer, Err(refusal), "{caller}: {method}");
                    }
                }
                let get = pb::GetShardSessionRequest { lease_id: lease }.encode_to_vec();
                let session = "shardstream.v1.ShardService/GetShardSession";
                let got = bed.called_by("all", session, get).await;
                assert!(got.is_ok(), "{caller}: {method}: moved another's lease: {got:?}");
            }
        }
    }
}

#[tokio::test]
async fn who_may_not_costs_the_upstream_nothing() {
    let bed = Bed::new().await;
    let by_arn = name(&bed.orders);
    let by_table =
        pb::ShardName { stream: bed.orders.stream.resource().to_owned(), ..by_arn.clone() };
    for method in methods() {
        for shard in [&by_arn, &by_table] {
            for caller in ["elsewhere", "lists", "inspects", "reads", "nothing"] {
                let (needs, request) = request(&method, shard.clone(), "0".repeat(32));
                // A stream of 1999 may be this table's: that is only known when it is looked up.
                let may_be = caller == "elsewhere" && shard == &by_table;
                if !may(caller, needs) && !may_be {
                    let _refused = bed.called_by(caller, &method, request).await;
                    assert!(bed.fake.all_calls().is_empty(), "{caller}: {method}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_certificate_says_who_calls() {
    let ca = Ca::new("one CA");
    let pems = Pems::of_server(&ca, &ca.server(|_| {}));
    let (fake, orders) = FakeUpstream::with_shard(12);
    let rule = "[[rule]]\nprincipals = [\"mtls:spiffe://test/client\"]\n\
                actions = [\"inspect\"]\nstreams = [\"table/Orders\"]\n";
    let policy = Some(pems.write("policy.toml", rule));
    let access = AccessConfig { policy, reachable: true, ..AccessConfig::default() };
    let tls = pems.mutual(&ca, ClientAuth::Requested);
    let server = Server::guarded(Arc::new(fake), Limits::default(), Some(tls), access).await;
    let describe = async |shown: Option<&Issued>| {
        let channel = server.secure_channel(&pems.client(shown)).await.expect("connects");
        let stream = orders.stream.to_string();
        let mut client = pb::stream_service_client::StreamServiceClient::new(channel);
        let described = client.describe_stream(pb::DescribeStreamRequest { stream }).await;
        described.map(drop).map_err(|status| {
            let details = status.get_error_details();
            let info = details.error_info().expect("a reason");
            (info.reason.clone(), info.metadata.get("accepts").cloned().unwrap_or_default())
        })
    };
    let known = ca.client(|_| {});
    let two_names = ca.client(|params| {
        let other = "spiffe://test/other".try_into().expect("ASCII");
        params.subject_alt_names.push(rcgen::SanType::URI(other));
    });
    let other = ca.client(|params| params.subject_alt_names.clear());
    let refusal = |reason: &str| Err((reason.to_owned(), "mtls".to_owned()));
    assert_eq!(describe(Some(&known)).await, Ok(()));
    assert_eq!(describe(None).await, refusal("CREDENTIALS_MISSING"));
    assert_eq!(describe(Some(&two_names)).await, refusal("CREDENTIALS_INVALID"));
    assert_eq!(describe(Some(&other)).await, refusal("CREDENTIALS_INVALID"));
    let stranger = ca.client(|params| {
        let uri = "spiffe://test/stranger".try_into().expect("ASCII");
        params.subject_alt_names = vec![rcgen::SanType::URI(uri)];
    });
    assert_eq!(describe(Some(&stranger)).await, Err(("NOT_ALLOWED".into(), String::new())));
}

#[tokio::test]
async fn a_token_of_a_stream_is_no_permission_for_it() {
    let bed = Bed::new().await;
    let read = |source| pb::GetRecordsRequest { source: Some(source), ..Default::default() };
    let start = pb::get_records_request::Source::Start(pb::ShardStart {
        shard: Some(name(&bed.orders)),
        start: Some(pb::shard_start::Start::Position(position(pb::IteratorType::TrimHorizon))),
    });
    let method = "shardstream.v1.ShardService/GetRecords";
    let answer = bed.called_by("all", method, read(start).encode_to_vec()).await.expect("read");
    let token = pb::GetRecordsResponse::decode(&*answer).expect("a response").token;
    assert!(!token.is_empty());
    let start = pb::get_records_request::Source::Start(pb::ShardStart {
        shard: None,
        start: Some(pb::shard_start::Start::Token(token)),
    });
    let request = read(start).encode_to_vec();
    let stolen = bed.called_by("elsewhere", method, request.clone()).await;
    assert_eq!(stolen, Err((Code::PermissionDenied, "NOT_ALLOWED".into())));
    assert!(bed.called_by("all", method, request).await.is_ok());
}

#[tokio::test]
async fn health_is_open_to_all_and_reflection_to_the_known() {
    let bed = Bed::new().await;
    let health = bed.call(&[], "grpc.health.v1.Health/Check", vec![]).await;
    assert!(health.is_ok(), "{health:?}");
    let reflection = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let refused = bed.call(&[], reflection, vec![]).await;
    assert_eq!(refused, Err((Code::Unauthenticated, "CREDENTIALS_MISSING".into())));
    let made_up = bed.call(&[], "shardstream.v1.ShardService/MadeUp", vec![]).await;
    assert_eq!(made_up, Err((Code::Unauthenticated, "CREDENTIALS_MISSING".into())));
    let made_up = bed.called_by("all", "shardstream.v1.ShardService/MadeUp", vec![]).await;
    assert_eq!(made_up.map_err(|(code, _)| code), Err(Code::Unimplemented));
}
