//! The attacks. Each begins, and goes on until what it returns is dropped.

use std::any::Any;
use std::net::SocketAddr;
use std::pin::Pin;

use bytes::Bytes;
use futures::future::{BoxFuture, join_all};
use http_body::Frame;
use prost::Message;
use shardstream::pb::stream_service_client::StreamServiceClient;
use shardstream::pb::{self, get_records_request, walk_tree_request};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::Status;
use tonic::body::Body;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tower::{Service as _, ServiceExt as _};

use crate::contract::bad_input::fixture::position;
use crate::support::raw::{self, DATA, END, RESET, Raw, frame};
use crate::support::server::{counted, in_time, metrics};

use super::upstream::{FULL, PAGE, PAGES, STREAM, endless, number};
use super::{Bed, connected, start, streaming};

/// What keeps an attack going.
pub type Held = Box<dyn Any + Send>;

/// How one begins.
pub type Way = for<'a> fn(&'a Bed) -> BoxFuture<'a, Held>;

/// HTTP/2's number of the setting that says how much a client takes unasked.
const INITIAL_WINDOW: u16 = 4;

/// Calls that one connection may have under way.
const CALLS: usize = 100;

const SHARDS: &str = "/shardstream.v1.ShardService";
const STREAMS: &str = "/shardstream.v1.StreamService";

impl Bed {
    fn address(&self) -> SocketAddr {
        self.attackers.trim_start_matches("http://").parse().expect("an address")
    }

    /// One of many places all over the full shards.
    fn place(&self, nth: usize) -> pb::ShardStart {
        let shard = self.upstream.full(nth % FULL);
        let number = number(nth * 37 % (PAGES * PAGE));
        start(
            &shard,
            pb::Position {
                sequence_number: number,
                ..position(pb::IteratorType::AtSequenceNumber)
            },
        )
    }

    fn shard(&self) -> pb::ShardName {
        pb::ShardName { stream: STREAM.to_owned(), shard_id: self.upstream.full(0) }
    }

    /// Connections with so many calls in all, of which nothing is read beyond the first `window`
    /// bytes each.
    async fn unread(&self, window: u32, calls: usize, request: impl Fn(usize) -> Vec<u8>) -> Held {
        let (mut connections, calls) = (vec![], self.times(calls));
        for first in (0..calls).step_by(CALLS) {
            let mut raw = Raw::begin(self.address(), &[(INITIAL_WINDOW, window)]).await;
            for (stream, nth) in (first..calls.min(first + CALLS)).enumerate() {
                let request = on_stream(1 + 2 * stream as u32, request(nth));
                raw.send(&request).await;
            }
            connections.push(raw);
        }
        Box::new(connections)
    }
}

/// A whole call of these messages, to be put on a stream.
fn call(path: &str, messages: &[Vec<u8>]) -> Vec<u8> {
    let body: Vec<u8> = messages.iter().flat_map(|message| raw::message(message)).collect();
    [raw::head(0, path, &[]), frame(DATA, END, 0, &body)].concat()
}

/// The same frames on a stream.
fn on_stream(stream: u32, mut frames: Vec<u8>) -> Vec<u8> {
    let mut at = 0;
    while at < frames.len() {
        let length = u32::from_be_bytes([0, frames[at], frames[at + 1], frames[at + 2]]) as usize;
        frames[at + 5..at + 9].copy_from_slice(&stream.to_be_bytes());
        at += 9 + length;
    }
    frames
}

/// GetRecords all over the shards, unread.
pub async fn unread_answers(bed: &Bed) -> Held {
    let request = |nth| {
        let source = Some(get_records_request::Source::Start(bed.place(nth)));
        pb::GetRecordsRequest { source, max_bytes: 3 << 20, ..Default::default() }.encode_to_vec()
    };
    bed.unread(0, 400, |nth| call(&format!("{SHARDS}/GetRecords"), &[request(nth)])).await
}

/// StreamRecords at places all over the shards, unread but for the first messages.
pub async fn unread_streams(bed: &Bed) -> Held {
    let request = |nth| streaming(bed.place(nth)).encode_to_vec();
    bed.unread(65_535, 400, |nth| call(&format!("{SHARDS}/StreamRecords"), &[request(nth)])).await
}

/// Requests of 2 MiB, but for their last bytes.
pub async fn unfinished_requests(bed: &Bed) -> Held {
    let mut tasks = JoinSet::new();
    for _ in 0..3 {
        let channel = connected(&bed.attackers).await;
        let uri = format!("{}{STREAMS}/Subscribe", bed.attackers);
        for _ in 0..bed.times(CALLS) {
            let (mut channel, uri) = (channel.clone(), uri.clone());
            tasks.spawn(async move {
                let request = http::Request::post(uri).header("content-type", "application/grpc");
                let request =
                    request.body(Body::new(Unfinished::new((2 << 20) - 100))).expect("a request");
                let _ = channel.ready().await.expect("connected").call(request).await;
            });
        }
    }
    Box::new(tasks)
}

/// A body of one message that lacks its end.
struct Unfinished(Option<Bytes>);

impl Unfinished {
    fn new(length: u32) -> Self {
        let begin = [&[0], &length.to_be_bytes()[..]].concat();
        Self(Some([begin, vec![7; length as usize - 10]].concat().into()))
    }
}

impl http_body::Body for Unfinished {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.0.take() {
            Some(bytes) => std::task::Poll::Ready(Some(Ok(Frame::data(bytes)))),
            None => std::task::Poll::Pending,
        }
    }
}

/// Questions to reflection, the answers unread.
pub async fn unread_reflection(bed: &Bed) -> Held {
    let file = MessageRequest::FileContainingSymbol("shardstream.v1.ShardService".to_owned());
    let question = ServerReflectionRequest { host: String::new(), message_request: Some(file) }
        .encode_to_vec();
    let questions = vec![question; 200];
    bed.unread(0, 300, |_| {
        call("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", &questions)
    })
    .await
}

/// Watches of the health service.
pub async fn health_watches(bed: &Bed) -> Held {
    bed.unread(65_535, 2_000, |_| call("/grpc.health.v1.Health/Watch", &[vec![]])).await
}

/// Connections of which one byte comes.
pub async fn single_bytes(bed: &Bed) -> Held {
    let connections = (0..bed.times(1_000)).map(|_| async {
        let mut raw = Raw::connect(bed.address()).await;
        raw.send(b"P").await;
        raw
    });
    Box::new(join_all(connections).await)
}

/// Connections without a call.
pub async fn silent_connections(bed: &Bed) -> Held {
    Box::new(join_all((0..bed.times(1_000)).map(|_| Raw::begin(bed.address(), &[]))).await)
}

/// Watches of a stream of thousands of shards, unread.
pub async fn watches_of_many_shards(bed: &Bed) -> Held {
    let request =
        pb::WatchShardsRequest { stream: STREAM.to_owned(), ..Default::default() }.encode_to_vec();
    bed.unread(65_535, 100, |_| {
        call(&format!("{STREAMS}/WatchShards"), std::slice::from_ref(&request))
    })
    .await
}

/// Walks of a tree of thousands of shards, unread.
pub async fn walks_of_many_shards(bed: &Bed) -> Held {
    let request =
        pb::WalkTreeRequest { target: Some(walk_tree_request::Target::Shard(bed.shard())) }
            .encode_to_vec();
    bed.unread(65_535, 100, |_| call(&format!("{SHARDS}/WalkTree"), std::slice::from_ref(&request)))
        .await
}

/// Calls that are cancelled as soon as they are made, one connection after another; until the
/// server puts on the brake.
pub async fn cancelled_calls(bed: &Bed) -> Held {
    let mut tasks = JoinSet::new();
    let address = bed.address();
    // Made once: a bystander that shares this process is not to wait for the attacker's own work.
    let pairs = (0..400).flat_map(|nth| {
        let stream = 1 + 2 * nth;
        let call = on_stream(stream, call(&format!("{SHARDS}/GetRecords"), &[vec![]]));
        [call, frame(RESET, 0, stream, &8_u32.to_be_bytes())].concat()
    });
    let pairs: Vec<u8> = pairs.collect();
    tasks.spawn(async move {
        loop {
            let mut raw = Raw::begin(address, &[]).await;
            raw.send(&pairs).await;
            raw.lives().await;
        }
    });
    in_time("a pause", async {
        while counted(&metrics(&bed.server.admin).await, "shardstream_cancellation_pauses_total")
            == 0
        {}
    })
    .await;
    Box::new(tasks)
}

/// Requests to the admin port that do not end.
pub async fn half_requests_to_the_admin_port(bed: &Bed) -> Held {
    let connections = (0..800).map(|_| async {
        let mut stream = TcpStream::connect(&bed.server.admin).await.expect("it listens");
        let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: ").await;
        stream
    });
    Box::new(join_all(connections).await)
}

/// Questions to which the upstream's answer never ends.
pub async fn descriptions_without_end(bed: &Bed) -> Held {
    let mut tasks = JoinSet::new();
    for nth in 0..16 {
        let mut streams = StreamServiceClient::new(connected(&bed.attackers).await);
        tasks.spawn(async move {
            loop {
                let request = pb::ListShardsRequest { stream: endless(nth), ..Default::default() };
                in_time("an answer", streams.list_shards(request))
                    .await
                    .expect_err("no answer that ends");
            }
        });
    }
    Box::new(tasks)
}
