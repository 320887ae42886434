//! What a log line says of itself: every call and every task has a span, with the stream and the
//! shard that it is about.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use shardstream::limits::Limits;
use shardstream::pb;
use tracing::Dispatch;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::contract::bad_input::fixture::{name, position};
use crate::sim::fake::{FakeUpstream, ShardRef};
use crate::support::contract::methods;
use crate::support::server::Server;

/// A span: its name, and its fields as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    name: &'static str,
    fields: BTreeMap<&'static str, String>,
}

/// All spans of the server that began on this thread, the newest last.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<(u64, Seen)>>>);

impl Spans {
    /// Notes spans for as long as the guard lives. The runtime of a test has this thread only.
    fn on_this_thread() -> (Self, DefaultGuard) {
        // While there is one subscriber alone, tracing asks the thread that happens to meet a span
        // first whether anybody wants it: those of other tests have none.
        static SECOND: OnceLock<Dispatch> = OnceLock::new();
        SECOND.get_or_init(|| Dispatch::new(tracing_subscriber::registry()));
        let spans = Self::default();
        let guard = tracing_subscriber::registry().with(spans.clone()).set_default();
        (spans, guard)
    }

    fn named(&self, name: &str) -> Vec<Seen> {
        let spans = self.0.lock();
        spans.iter().map(|(_, seen)| seen).filter(|seen| seen.name == name).cloned().collect()
    }

    fn names(&self) -> BTreeSet<&'static str> {
        self.0.lock().iter().map(|(_, seen)| seen.name).collect()
    }
}

impl<S: tracing::Subscriber> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
        let metadata = attributes.metadata();
        if metadata.target().starts_with("shardstream") {
            let mut seen = Seen { name: metadata.name(), ..Seen::default() };
            attributes.record(&mut seen);
            self.0.lock().push((id.into_u64(), seen));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        // Ids are used again: the newest is meant.
        let mut spans = self.0.lock();
        if let Some((_, seen)) = spans.iter_mut().rev().find(|(of, _)| *of == id.into_u64()) {
            values.record(seen);
        }
    }
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }
}

/// What a call names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    Nothing,
    Stream,
    StreamAndShard,
}

/// Calls a method once, and says what it names. A new method needs an arm here.
async fn call(server: &Server, shard: &ShardRef, lease_id: String, method: &str) -> Names {
    use Names::{Nothing, Stream, StreamAndShard};
    let channel = server.channel().await;
    let mut shards = pb::shard_service_client::ShardServiceClient::new(channel.clone());
    let mut streams = pb::stream_service_client::StreamServiceClient::new(channel.clone());
    let mut info = pb::server_service_client::ServerServiceClient::new(channel);
    let start = || {
        let start = Some(pb::shard_start::Start::Position(position(pb::IteratorType::TrimHorizon)));
        pb::ShardStart { shard: Some(name(shard)), start }
    };
    let stream = shard.stream.to_string();
    let until = Some(pb::Until { at_tip: true, ..Default::default() });
    macro_rules! answered {
        ($call:expr) => {
            drop($call.await.expect("answered"))
        };
    }
    macro_rules! streamed {
        ($call:expr) => {
            drop($call.await.expect("answered").into_inner().message().await.expect("a message"))
        };
    }
    let (of, method) = method.split_once('/').expect("a service and a method");
    match (of.rsplit('.').next().expect("a service"), method) {
        ("ServerService", "GetServerInfo") => {
            answered!(info.get_server_info(pb::GetServerInfoRequest {}));
            Nothing
        }
        ("StreamService", "ListStreams") => {
            answered!(streams.list_streams(pb::ListStreamsRequest::default()));
            Nothing
        }
        ("StreamService", "DescribeStream") => {
            answered!(streams.describe_stream(pb::DescribeStreamRequest { stream }));
            Stream
        }
        ("StreamService", "ListShards") => {
            let request = pb::ListShardsRequest { stream, ..Default::default() };
            answered!(streams.list_shards(request));
            Stream
        }
        ("StreamService", "Subscribe") => {
            let at =
                pb::subscribe_request::Start::Position(position(pb::IteratorType::TrimHorizon));
            let request =
                pb::SubscribeRequest { stream, start: Some(at), until, ..Default::default() };
            streamed!(streams.subscribe(request));
            Stream
        }
        ("StreamService", "WatchShards") => {
            let request = pb::WatchShardsRequest { stream, ..Default::default() };
            streamed!(streams.watch_shards(request));
            Stream
        }
        ("ShardService", "OpenShard") => {
            let request = pb::OpenShardRequest { shard: Some(name(shard)), ..Default::default() };
            answered!(shards.open_shard(request));
            StreamAndShard
        }
        ("ShardService", "GetShardSession") => {
            answered!(shards.get_shard_session(pb::GetShardSessionRequest { lease_id }));
            StreamAndShard
        }
        ("ShardService", "RenewLease") => {
            answered!(shards.renew_lease(pb::RenewLeaseRequest { lease_id }));
            StreamAndShard
        }
        ("ShardService", "CloseShard") => {
            answered!(shards.close_shard(pb::CloseShardRequest { lease_id }));
            StreamAndShard
        }
        ("ShardService", "JumpTo") => {
            let start =
                pb::jump_to_request::Start::Position(position(pb::IteratorType::TrimHorizon));
            answered!(shards.jump_to(pb::JumpToRequest { lease_id, start: Some(start) }));
            StreamAndShard
        }
        ("ShardService", "SeekTo") => {
            let target = Some(pb::seek_to_request::Target::Shard(name(shard)));
            let time = Some(prost_types::Timestamp::default());
            let request = pb::SeekToRequest { target, time, ..Default::default() };
            answered!(shards.seek_to(request));
            StreamAndShard
        }
        ("ShardService", "GetRecords") => {
            let source = Some(pb::get_records_request::Source::Start(start()));
            answered!(shards.get_records(pb::GetRecordsRequest { source, ..Default::default() }));
            StreamAndShard
        }
        ("ShardService", "ListChildren") => {
            let target = Some(pb::list_children_request::Target::Shard(name(shard)));
            answered!(shards.list_children(pb::ListChildrenRequest { target }));
            StreamAndShard
        }
        ("ShardService", "WalkTree") => {
            let target = Some(pb::walk_tree_request::Target::Shard(name(shard)));
            streamed!(shards.walk_tree(pb::WalkTreeRequest { target }));
            StreamAndShard
        }
        ("ShardService", "StreamRecords") => {
            let source = Some(pb::stream_records_request::Source::Start(start()));
            let request = pb::StreamRecordsRequest { source, until, ..Default::default() };
            streamed!(shards.stream_records(request));
            StreamAndShard
        }
        (service, method) => panic!("{service}/{method} has no row here"),
    }
}

async fn serve() -> (Server, ShardRef) {
    let (fake, shard) = FakeUpstream::with_shard(3);
    fake.write(&shard, 3);
    let mut limits = Limits::default();
    limits.reading.shard_calls_per_second = 1_000.0;
    limits.reading.describe_calls_per_second = 1_000.0;
    (Server::start(Arc::new(fake), limits).await, shard)
}

async fn lease(server: &Server, shard: &ShardRef) -> String {
    let start = pb::open_shard_request::Start::Position(position(pb::IteratorType::TrimHorizon));
    let shard = Some(name(shard));
    let request = pb::OpenShardRequest { shard, start: Some(start), ..Default::default() };
    let opened = server.shards().await.open_shard(request).await.expect("opened").into_inner();
    opened.session.and_then(|session| session.lease).expect("a lease").lease_id
}

#[tokio::test]
async fn every_call_has_a_span_with_its_stream_and_shard() {
    let (spans, _guard) = Spans::on_this_thread();
    let (server, shard) = serve().await;
    let mut numbers = BTreeSet::new();
    for method in methods() {
        let lease = lease(&server, &shard).await;
        let names = call(&server, &shard, lease, &method).await;
        let rpcs = spans.named("rpc");
        let of_it = |seen: &&Seen| seen.fields.get("method") == Some(&method);
        let seen = rpcs.iter().rfind(of_it).unwrap_or_else(|| panic!("{method} has no span"));
        let told = |field: &str| seen.fields.get(field).map(String::as_str);
        let (stream, id) = (shard.stream.to_string(), shard.shard.to_string());
        let expected = match names {
            Names::Nothing => (None, None),
            Names::Stream => (Some(&*stream), None),
            Names::StreamAndShard => (Some(&*stream), Some(&*id)),
        };
        assert_eq!((told("stream"), told("shard")), expected, "{method}");
        assert_eq!(told("peer"), Some("127.0.0.1"), "{method}");
        assert!(numbers.insert(told("call").expect("a number").to_owned()), "{method}");
    }
    server.end().await;
}

#[tokio::test]
async fn a_call_says_which_trace_it_is_of() {
    let (spans, _guard) = Spans::on_this_thread();
    let (server, shard) = serve().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let good = format!("00-{trace}-00f067aa0ba902b7-01");
    for (header, expected) in [(&*good, Some(trace)), ("00-of-nothing-01", None)] {
        let stream = shard.stream.to_string();
        let mut request = tonic::Request::new(pb::DescribeStreamRequest { stream });
        request.metadata_mut().insert("traceparent", header.parse().expect("a header"));
        server.streams().await.describe_stream(request).await.expect("answered all the same");
        let seen = spans.named("rpc").pop().expect("a span");
        assert_eq!(seen.fields.get("trace_id").map(String::as_str), expected, "{header}");
    }
    server.end().await;
}

#[tokio::test]
async fn every_task_has_a_span_with_its_stream_and_shard() {
    let (spans, _guard) = Spans::on_this_thread();
    let (server, shard) = serve().await;
    let lease = lease(&server, &shard).await;
    for method in ["StreamService/Subscribe", "StreamService/WatchShards"] {
        call(&server, &shard, lease.clone(), method).await;
    }
    server.end().await;
    let (stream, id) = (shard.stream.to_string(), shard.shard.to_string());
    let rows: &[(&str, &[(&str, &str)])] = &[
        ("admin", &[]),
        ("connection", &[("peer", "127.0.0.1")]),
        ("listing", &[("stream", &stream)]),
        ("service_manager", &[]),
        ("session_expiry", &[]),
        ("reload", &[]),
        ("shard_board", &[("stream", &stream)]),
        ("shard_reader", &[("shard", &id), ("stream", &stream)]),
        ("stream_discovery", &[("stream", &stream)]),
        ("subscription", &[("stream", &stream)]),
    ];
    for (name, fields) in rows {
        let seen = spans.named(name);
        let is = |seen: &Seen| {
            let told = seen.fields.iter().map(|(field, value)| (*field, value.as_str()));
            told.eq(fields.iter().copied())
        };
        assert!(!seen.is_empty() && seen.iter().all(is), "{name}: {seen:?}");
    }
    let known = rows.iter().map(|(name, _)| *name).chain(["rpc"]).collect();
    let unknown: Vec<_> = spans.names().difference(&known).copied().collect();
    assert!(unknown.is_empty(), "spans without a row here: {unknown:?}");
}
