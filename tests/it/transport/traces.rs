//! Traces over OTLP: what a collector gets of calls, and that nothing waits for it.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use prost::Message;
use shardstream::limits::Limits;
use shardstream::pb;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::Service;

use crate::contract::bad_input::fixture::{name, position};
use crate::sim::fake::FakeUpstream;
use crate::support::server::{Server, in_time};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// OTLP, said a second time: `traces::messages` says it to the server.
#[derive(Clone, PartialEq, Message)]
struct Export {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<OfResource>,
}

#[derive(Clone, PartialEq, Message)]
struct OfResource {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<OfScope>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct OfScope {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start: u64,
    #[prost(fixed64, tag = "8")]
    end: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Text>,
}

#[derive(Clone, PartialEq, Message)]
struct Text {
    #[prost(string, tag = "1")]
    text: String,
}

/// A collector that keeps what it gets.
#[derive(Clone, Default)]
struct Collector {
    exports: Arc<Mutex<Vec<Export>>>,
    headers: Arc<Mutex<Vec<String>>>,
}

impl UnaryService<Export> for Collector {
    type Response = ();
    type Future = BoxFuture<'static, Result<Response<()>, Status>>;

    fn call(&mut self, request: Request<Export>) -> Self::Future {
        let shown = request.metadata().get("x-team").and_then(|value| value.to_str().ok());
        self.headers.lock().extend(shown.map(str::to_owned));
        self.exports.lock().push(request.into_inner());
        async { Ok(Response::new(())) }.boxed()
    }
}

impl NamedService for Collector {
    const NAME: &'static str = "opentelemetry.proto.collector.trace.v1.TraceService";
}

impl Service<http::Request<Body>> for Collector {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        assert!(request.uri().path().ends_with("/Export"), "{}", request.uri());
        let own = self.clone();
        async move { Ok(Grpc::new(ProstCodec::<(), Export>::default()).unary(own, request).await) }
            .boxed()
    }
}

impl Collector {
    /// One, and where it is.
    async fn start() -> (Self, String) {
        let collector = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let serving = tonic::transport::Server::builder().add_service(collector.clone());
        tokio::spawn(serving.serve_with_incoming(TcpListenerStream::new(listener)));
        (collector, url)
    }

    fn spans(&self) -> Vec<Span> {
        let exports = self.exports.lock().clone();
        let resources = exports.into_iter().flat_map(|export| export.resources);
        let scopes = resources.flat_map(|resource| resource.scopes);
        scopes.flat_map(|scope| scope.spans).collect()
    }
}

impl Span {
    fn says(&self, key: &str) -> String {
        let found = self.attributes.iter().find(|attribute| attribute.key == key);
        found.and_then(|found| found.value.clone()).unwrap_or_default().text
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn traced<T>(message: T, flags: &str) -> Request<T> {
    let mut request = Request::new(message);
    let header = format!("00-{TRACE}-{PARENT}-{flags}");
    request.metadata_mut().insert("traceparent", header.parse().expect("a header"));
    request
}

#[tokio::test]
async fn each_call_is_a_span_in_the_trace_of_its_caller() {
    let (collector, url) = Collector::start().await;
    let (fake, shard) = FakeUpstream::with_shard(3);
    fake.write(&shard, 3);
    let server = Server::traced(Arc::new(fake), Limits::default(), &url).await;
    let stream = shard.stream.to_string();
    let describe = || pb::DescribeStreamRequest { stream: stream.clone() };
    let mut streams = server.streams().await;
    streams.describe_stream(traced(describe(), "01")).await.expect("described");
    // Its caller records nothing of it.
    streams.describe_stream(traced(describe(), "00")).await.expect("described");
    // A trace of its own.
    let nowhere = pb::DescribeStreamRequest { stream: "nowhere".into() };
    streams.describe_stream(nowhere).await.expect_err("no such table");

    let start = pb::shard_start::Start::Position(position(pb::IteratorType::TrimHorizon));
    let start = pb::ShardStart { shard: Some(name(&shard)), start: Some(start) };
    let source = Some(pb::stream_records_request::Source::Start(start));
    let records = pb::StreamRecordsRequest { source, ..Default::default() };
    let opened = server.shards().await.stream_records(traced(records, "01")).await;
    let mut records = opened.expect("opened").into_inner();
    records.message().await.expect("well").expect("records");
    let open = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let sent = async {
        while server.counted("shardstream_trace_spans_total{result=\"sent\"}").await < 3 {
            tokio::task::yield_now().await;
        }
    };
    in_time("the spans, while the stream is open", sent).await;
    in_time("the end", server.end()).await;

    let spans = collector.spans();
    let mut names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    names.sort_unstable();
    let described = "shardstream.v1.StreamService/DescribeStream";
    let streamed = "shardstream.v1.ShardService/StreamRecords";
    // Neither what is not sampled, nor the exporter's own calls, nor tasks.
    assert_eq!(names, [streamed, described, described]);
    for span in &spans {
        assert_eq!((span.kind, span.span_id.len()), (2, 8), "a server's");
        assert!(span.start <= span.end && u128::from(span.end) <= open.as_nanos());
        let status = span.says("rpc.response.status_code");
        if hex(&span.trace_id) == TRACE {
            assert_eq!((&*hex(&span.parent), &*status), (PARENT, "OK"));
        } else {
            assert_eq!((span.parent.len(), &*status), (0, "NOT_FOUND"));
        }
    }
    assert_eq!(spans.iter().filter(|span| hex(&span.trace_id) == TRACE).count(), 2);
    let resource = collector.exports.lock()[0].resources[0].resource.clone().expect("said");
    let service = resource.attributes.iter().find(|said| said.key == "service.name");
    let service = service.and_then(|said| said.value.clone()).expect("said").text;
    assert_eq!(service, "tested");
    assert!(collector.headers.lock().iter().all(|shown| shown == "data"));
    let text = format!("{spans:?}");
    assert!(!text.contains(&stream) && !text.contains("nowhere"), "methods and statuses alone");
}

#[tokio::test]
async fn what_waits_at_the_end_is_sent() {
    let (collector, url) = Collector::start().await;
    let (fake, _) = FakeUpstream::with_shard(3);
    let server = Server::traced(Arc::new(fake), Limits::default(), &url).await;
    let mut info = server.info().await;
    for _ in 0..600 {
        info.get_server_info(pb::GetServerInfoRequest {}).await.expect("answered");
    }
    in_time("the end", server.end()).await;
    assert_eq!(collector.spans().len(), 600, "more than one request takes");
}

#[tokio::test]
async fn a_collector_that_is_away_holds_nobody_up_and_what_is_lost_is_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    drop(listener);
    let (fake, _) = FakeUpstream::with_shard(3);
    let server = Server::traced(Arc::new(fake), Limits::default(), &url).await;
    let mut info = server.info().await;
    // More than the queue and a batch take.
    for _ in 0..3_000 {
        info.get_server_info(pb::GetServerInfoRequest {}).await.expect("answered");
    }
    let dropped = server.counted("shardstream_trace_spans_total{result=\"dropped\"}").await;
    assert!((3_000 - 2_048 - 512..=3_000 - 2_048).contains(&dropped), "{dropped}");
    in_time("the end", server.end()).await;
}
