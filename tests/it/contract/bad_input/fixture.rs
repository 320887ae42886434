//! What bad input is tried on: a server in process, two streams, a session that must stand where it
//! stood.

use std::time::Duration;

use futures::StreamExt as _;
use http::HeaderMap;
use prost::Message as _;
use shardstream::grpc::generated::server_service_server::ServerService as _;
use shardstream::grpc::generated::shard_service_server::ShardService as _;
use shardstream::grpc::generated::stream_service_server::StreamService as _;
use shardstream::grpc::server_service::ServerApi;
use shardstream::grpc::stream_service::StreamApi;
use shardstream::limits::Limits;
use shardstream::model::{Checkpoint, Position, SequenceNumber};
use shardstream::pb;
use shardstream::token::ShardToken;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::sim::fake::{FakeUpstream, ShardRef, Writing};
use crate::sim::inprocess::InProcess;

/// A server over two streams, and a session in the first.
pub struct Bed {
    pub fake: FakeUpstream,
    /// The session's shard, of twenty records.
    pub shard: ShardRef,
    /// Another of the same stream.
    pub other: ShardRef,
    /// One of another stream.
    pub foreign: ShardRef,
    pub server: InProcess,
    pub streams: StreamApi,
    pub info: ServerApi,
    /// Stands behind the fifth record.
    pub lease: String,
    /// Was never positioned.
    pub nowhere: String,
}

macro_rules! calls {
    ($($name:ident),*) => {
        /// Any request, by the name of its message.
        #[allow(clippy::enum_variant_names)]
        #[derive(Clone, Debug, PartialEq)]
        pub enum Call {
            $($name(pb::$name)),*
        }

        impl Call {
            /// The requests, by the names of their messages.
            pub const NAMES: &[&str] = &[$(stringify!($name)),*];

            /// Reads one as the server would.
            pub fn decode(name: &str, bytes: &[u8]) -> Option<Self> {
                match name {
                    $(stringify!($name) => pb::$name::decode(bytes).ok().map(Self::$name),)*
                    _ => panic!("no request is called {name}"),
                }
            }

            /// As it travels.
            pub fn encode(&self) -> Vec<u8> {
                match self {
                    $(Self::$name(request) => request.encode_to_vec()),*
                }
            }
        }
    };
}

calls!(
    OpenShardRequest,
    GetShardSessionRequest,
    RenewLeaseRequest,
    CloseShardRequest,
    JumpToRequest,
    SeekToRequest,
    GetRecordsRequest,
    ListChildrenRequest,
    WalkTreeRequest,
    StreamRecordsRequest,
    ListStreamsRequest,
    DescribeStreamRequest,
    ListShardsRequest,
    SubscribeRequest,
    WatchShardsRequest,
    GetServerInfoRequest
);

impl Bed {
    pub async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    pub async fn with(limits: Limits) -> Self {
        let (fake, shard) = FakeUpstream::with_shard(7);
        let other = fake.add_shard(&shard.stream, None);
        let customers = fake.add_stream("Customers");
        let foreign = fake.add_shard(&customers, None);
        for shard in [&shard, &other, &foreign] {
            fake.write_with(shard, Writing { count: 20, ..Writing::default() });
        }
        let server = InProcess::new(&fake, limits, 1);
        let streams = StreamApi::new(server.context.clone());
        let info = ServerApi::new(server.context.clone(), false);
        let (lease, nowhere) = (String::new(), String::new());
        let mut bed = Self { fake, shard, other, foreign, server, streams, info, lease, nowhere };
        bed.lease = bed.opened(Some(after(bed.number(4)))).await;
        bed.nowhere = bed.opened(None).await;
        bed
    }

    /// A lease of the first shard.
    pub async fn opened(&self, position: Option<pb::Position>) -> String {
        let start = position.map(pb::open_shard_request::Start::Position);
        let request = pb::OpenShardRequest {
            shard: Some(name(&self.shard)),
            start,
            lease_duration: seconds(3_600),
        };
        let answer =
            self.server.api.open_shard(Request::new(request)).await.expect("opened").into_inner();
        answer.session.and_then(|session| session.lease).expect("a lease").lease_id
    }

    /// The number of a record of the session's shard.
    pub fn number(&self, index: usize) -> SequenceNumber {
        self.fake.numbers(&self.shard)[index]
    }

    /// A token behind that record, in any shard.
    pub fn token(&self, shard: &ShardRef, index: usize) -> String {
        let checkpoint = Checkpoint::new(
            Position::AfterSequenceNumber(self.fake.numbers(shard)[index]),
            Some(self.fake.wall()),
        );
        ShardToken { stream: shard.stream.clone(), shard: shard.shard.clone(), checkpoint }.encode()
    }

    /// Where a session stands, whatever is left of its lease.
    pub async fn session(&self, lease: &str) -> pb::ShardSession {
        let request = pb::GetShardSessionRequest { lease_id: lease.to_owned() };
        let answer =
            self.server.api.get_shard_session(Request::new(request)).await.expect("it is there");
        let mut session = answer.into_inner().session.expect("always set");
        session.lease.as_mut().expect("always set").expire_time = None;
        session
    }

    /// Reads on with the session, and says at which record it goes on.
    pub async fn next(&self, lease: &str) -> String {
        let source = Some(pb::get_records_request::Source::LeaseId(lease.to_owned()));
        let request = pb::GetRecordsRequest { source, max_records: 1, ..Default::default() };
        let answer =
            self.server.api.get_records(Request::new(request)).await.expect("read").into_inner();
        let answer =
            pb::GetRecordsResponse::decode(&answer.encode_to_vec()[..]).expect("a message");
        answer.records[0].meta.as_ref().expect("always set").sequence_number.clone()
    }

    /// Makes the call, and looks at the first of a stream's messages.
    pub async fn send(&self, call: Call) -> Result<(), Status> {
        let api = &self.server.api;
        match call {
            Call::OpenShardRequest(request) => {
                api.open_shard(Request::new(request)).await.map(drop)
            }
            Call::GetShardSessionRequest(request) => {
                api.get_shard_session(Request::new(request)).await.map(drop)
            }
            Call::RenewLeaseRequest(request) => {
                api.renew_lease(Request::new(request)).await.map(drop)
            }
            Call::CloseShardRequest(request) => {
                api.close_shard(Request::new(request)).await.map(drop)
            }
            Call::JumpToRequest(request) => api.jump_to(Request::new(request)).await.map(drop),
            Call::SeekToRequest(request) => api.seek_to(Request::new(request)).await.map(drop),
            Call::GetRecordsRequest(request) => {
                api.get_records(Request::new(request)).await.map(drop)
            }
            Call::ListChildrenRequest(request) => {
                api.list_children(Request::new(request)).await.map(drop)
            }
            Call::WalkTreeRequest(request) => {
                let walked = api.walk_tree(Request::new(request)).await?.into_inner();
                walked.for_each(|shard| async { drop(shard.expect("no error")) }).await;
                Ok(())
            }
            Call::StreamRecordsRequest(request) => {
                let mut stream = api.stream_records(Request::new(request)).await?.into_inner();
                stream.next().await.expect("never empty").map(drop)
            }
            Call::ListStreamsRequest(request) => {
                self.streams.list_streams(Request::new(request)).await.map(drop)
            }
            Call::DescribeStreamRequest(request) => {
                self.streams.describe_stream(Request::new(request)).await.map(drop)
            }
            Call::ListShardsRequest(request) => {
                self.streams.list_shards(Request::new(request)).await.map(drop)
            }
            Call::SubscribeRequest(request) => {
                let mut stream = self.streams.subscribe(Request::new(request)).await?.into_inner();
                stream.next().await.expect("never empty").map(drop)
            }
            Call::WatchShardsRequest(request) => {
                let mut stream =
                    self.streams.watch_shards(Request::new(request)).await?.into_inner();
                stream.next().await.expect("never empty").map(drop)
            }
            Call::GetServerInfoRequest(request) => {
                self.info.get_server_info(Request::new(request)).await.map(drop)
            }
        }
    }
}

pub fn name(shard: &ShardRef) -> pb::ShardName {
    pb::ShardName { stream: shard.stream.to_string(), shard_id: shard.shard.to_string() }
}

pub fn position(kind: pb::IteratorType) -> pb::Position {
    pb::Position { iterator_type: kind.into(), ..Default::default() }
}

pub fn after(number: SequenceNumber) -> pb::Position {
    pb::Position {
        sequence_number: number.to_string(),
        ..position(pb::IteratorType::AfterSequenceNumber)
    }
}

pub fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

/// The status is the one that the contract names, with the detail that fits, and small enough to
/// travel.
#[track_caller]
pub fn check(status: &Status, code: Code, reason: &str) {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no reason: {status:?}"));
    assert_eq!(
        (status.code(), info.reason.as_str(), info.domain.as_str()),
        (code, reason, "shardstream")
    );
    let retries = status.get_details_retry_info().and_then(|retry| retry.retry_delay);
    let quota = status.get_details_quota_failure().filter(|quota| !quota.violations.is_empty());
    match code {
        Code::InvalidArgument => {
            let bad = status.get_details_bad_request().expect("a BadRequest");
            assert!(
                bad.field_violations
                    .iter()
                    .all(|one| !one.field.is_empty() && !one.description.is_empty())
            );
            assert!(!bad.field_violations.is_empty());
        }
        Code::NotFound if reason != "LEASE_NOT_FOUND" => {
            let resource = status.get_details_resource_info().expect("a ResourceInfo");
            assert!(!resource.resource_name.is_empty());
        }
        Code::Unavailable => {
            assert!(retries.is_some_and(|delay| delay > Duration::ZERO), "no RetryInfo")
        }
        Code::ResourceExhausted => {
            assert!(retries.is_some() && quota.is_some(), "no QuotaFailure or RetryInfo")
        }
        _ => {}
    }
    let size = size(status);
    assert!(size < 4_096, "{size} bytes of trailers for {reason}");
}

/// What a status weighs in the trailers.
pub fn size(status: &Status) -> usize {
    let mut headers = HeaderMap::new();
    status.add_header(&mut headers).expect("it can be written");
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}
