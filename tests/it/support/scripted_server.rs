//! A gRPC server that answers by a script and notes what it was asked, for tests of clients. It
//! runs on a runtime of its own, so that killing it breaks its connections as a crash does.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use parking_lot::Mutex;
use shardstream::grpc::encoded;
use shardstream::grpc::generated::server_service_server::{ServerService, ServerServiceServer};
use shardstream::grpc::generated::shard_service_server::{ShardService, ShardServiceServer};
use shardstream::grpc::generated::stream_service_server::{StreamService, StreamServiceServer};
use shardstream::pb::*;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

type Answer<T> = Result<Response<T>, Status>;
type Pushed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// One thing that a response stream of `T` does.
pub enum Push<T = StreamRecordsResponse> {
    Message(Box<T>),
    Fail(Status),
    /// Nothing more, ever.
    Hang,
}

/// What the response streams of one RPC do, one after the other; when they are used up, streams
/// hang.
pub type Pushes<T> = Mutex<VecDeque<Result<Vec<Push<T>>, Status>>>;

/// What the server answers, and what it was asked.
#[derive(Default)]
pub struct Script {
    pub streams: Vec<StreamSummary>,
    pub description: StreamDescription,
    pub shards: Vec<Shard>,
    pub children_complete: bool,
    /// The longest heartbeat that it grants.
    pub max_heartbeat: Option<std::time::Duration>,
    /// One for each GetRecords.
    pub reads: Mutex<VecDeque<Result<GetRecordsResponse, Status>>>,
    /// Of StreamRecords.
    pub pushes: Pushes<StreamRecordsResponse>,
    /// Of Subscribe.
    pub subscriptions: Pushes<SubscribeResponse>,
    /// Of WatchShards, which is unknown when they are used up.
    pub watches: Pushes<WatchShardsResponse>,
    pub asked_reads: Mutex<Vec<GetRecordsRequest>>,
    pub asked_pushes: Mutex<Vec<StreamRecordsRequest>>,
    pub asked_subscriptions: Mutex<Vec<SubscribeRequest>>,
    pub asked_watches: Mutex<Vec<WatchShardsRequest>>,
    /// What each ListStreams said of who calls.
    pub authorizations: Mutex<Vec<Option<String>>>,
}

/// A server under way; dropped, it is gone with all its connections.
pub struct ScriptedServer {
    pub address: SocketAddr,
    pub script: Arc<Script>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl ScriptedServer {
    /// Serves on a free port.
    pub fn start(script: Script) -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("an address"), Arc::new(script))
    }

    /// Serves on this address.
    pub fn start_at(address: SocketAddr, script: Arc<Script>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("runtime");
        let (bound, listening) = std::sync::mpsc::sync_channel(1);
        let served = script.clone();
        runtime.spawn(async move {
            let listener =
                tokio::net::TcpListener::bind(address).await.expect("the address is free");
            bound.send(listener.local_addr().expect("bound")).expect("the test waits");
            tonic::transport::Server::builder()
                .add_service(ShardServiceServer::from_arc(served.clone()))
                .add_service(StreamServiceServer::from_arc(served.clone()))
                .add_service(ServerServiceServer::from_arc(served))
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
                .expect("it serves");
        });
        let address = listening.recv().expect("it listens");
        Self { address, script, runtime: Some(runtime) }
    }

    /// The server's URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The next response stream of the script.
fn pushed<T: Send + 'static, U: From<T> + Send + 'static>(pushes: &Pushes<T>) -> Answer<Pushed<U>> {
    let scripted = pushes.lock().pop_front();
    let pushes = scripted.unwrap_or_else(|| Ok(vec![Push::Hang]))?;
    let pushed = stream::iter(pushes).then(|push| async move {
        match push {
            Push::Message(message) => Ok((*message).into()),
            Push::Fail(status) => Err(status),
            Push::Hang => std::future::pending().await,
        }
    });
    Ok(Response::new(pushed.boxed()))
}

fn unscripted<T>() -> Answer<T> {
    Err(Status::unimplemented("not in the script"))
}

/// Everything in two pages, so that a client that reads one only is found out.
fn page<T: Clone>(all: &[T], token: &str) -> (Vec<T>, String) {
    let half = all.len().div_ceil(2);
    match token {
        "" if all.len() > 1 => (all[..half].to_vec(), "second".into()),
        "" => (all.to_vec(), String::new()),
        _ => (all[half..].to_vec(), String::new()),
    }
}

#[tonic::async_trait]
impl ShardService for Script {
    async fn open_shard(&self, _: Request<OpenShardRequest>) -> Answer<OpenShardResponse> {
        unscripted()
    }

    async fn get_shard_session(
        &self,
        _: Request<GetShardSessionRequest>,
    ) -> Answer<GetShardSessionResponse> {
        unscripted()
    }

    async fn renew_lease(&self, _: Request<RenewLeaseRequest>) -> Answer<RenewLeaseResponse> {
        unscripted()
    }

    async fn close_shard(&self, _: Request<CloseShardRequest>) -> Answer<CloseShardResponse> {
        unscripted()
    }

    async fn jump_to(&self, _: Request<JumpToRequest>) -> Answer<JumpToResponse> {
        unscripted()
    }

    async fn seek_to(&self, _: Request<SeekToRequest>) -> Answer<encoded::SeekToResponse> {
        unscripted()
    }

    async fn get_records(
        &self,
        request: Request<GetRecordsRequest>,
    ) -> Answer<encoded::GetRecordsResponse> {
        self.asked_reads.lock().push(request.into_inner());
        let scripted = self.reads.lock().pop_front();
        let answer =
            scripted.unwrap_or_else(|| Err(Status::internal("the script is at its end")))?;
        Ok(Response::new(answer.into()))
    }

    async fn list_children(
        &self,
        request: Request<ListChildrenRequest>,
    ) -> Answer<ListChildrenResponse> {
        let Some(list_children_request::Target::Shard(asked)) = request.into_inner().target else {
            return unscripted();
        };
        let children = self
            .shards
            .iter()
            .filter(|shard| shard.parent_shard_id == asked.shard_id)
            .cloned()
            .collect();
        Ok(Response::new(ListChildrenResponse { children, complete: self.children_complete }))
    }

    type WalkTreeStream = Pushed<WalkTreeResponse>;

    async fn walk_tree(&self, request: Request<WalkTreeRequest>) -> Answer<Self::WalkTreeStream> {
        let Some(walk_tree_request::Target::Shard(asked)) = request.into_inner().target else {
            return unscripted();
        };
        // One level is enough for a client.
        let below = |shard: &&Shard| {
            shard.shard_id == asked.shard_id || shard.parent_shard_id == asked.shard_id
        };
        let walked: Vec<_> = self.shards.iter().filter(below).cloned().collect();
        let steps = walked.into_iter().map(move |shard| {
            let depth = i32::from(shard.shard_id != asked.shard_id);
            Ok(WalkTreeResponse { shard: Some(shard), depth })
        });
        Ok(Response::new(stream::iter(steps).boxed()))
    }

    type StreamRecordsStream = Pushed<encoded::StreamRecordsResponse>;

    async fn stream_records(
        &self,
        request: Request<StreamRecordsRequest>,
    ) -> Answer<Self::StreamRecordsStream> {
        self.asked_pushes.lock().push(request.into_inner());
        pushed(&self.pushes)
    }
}

#[tonic::async_trait]
impl StreamService for Script {
    async fn list_streams(
        &self,
        request: Request<ListStreamsRequest>,
    ) -> Answer<ListStreamsResponse> {
        let said = request.metadata().get("authorization").and_then(|said| said.to_str().ok());
        self.authorizations.lock().push(said.map(str::to_owned));
        let request = request.into_inner();
        let named = |summary: &&StreamSummary| {
            [&summary.table_name, ""].contains(&request.table_name.as_str())
        };
        let all: Vec<_> = self.streams.iter().filter(named).cloned().collect();
        let (streams, next_page_token) = page(&all, &request.page_token);
        Ok(Response::new(ListStreamsResponse { streams, next_page_token }))
    }

    async fn describe_stream(
        &self,
        _: Request<DescribeStreamRequest>,
    ) -> Answer<DescribeStreamResponse> {
        Ok(Response::new(DescribeStreamResponse { description: Some(self.description.clone()) }))
    }

    async fn list_shards(&self, request: Request<ListShardsRequest>) -> Answer<ListShardsResponse> {
        let (shards, next_page_token) = page(&self.shards, &request.into_inner().page_token);
        Ok(Response::new(ListShardsResponse { shards, next_page_token, shards_not_understood: 0 }))
    }

    type SubscribeStream = Pushed<encoded::SubscribeResponse>;

    async fn subscribe(&self, request: Request<SubscribeRequest>) -> Answer<Self::SubscribeStream> {
        self.asked_subscriptions.lock().push(request.into_inner());
        pushed(&self.subscriptions)
    }

    type WatchShardsStream = Pushed<WatchShardsResponse>;

    async fn watch_shards(
        &self,
        request: Request<WatchShardsRequest>,
    ) -> Answer<Self::WatchShardsStream> {
        self.asked_watches.lock().push(request.into_inner());
        if self.watches.lock().is_empty() {
            return unscripted();
        }
        pushed(&self.watches)
    }
}

#[tonic::async_trait]
impl ServerService for Script {
    async fn get_server_info(
        &self,
        _: Request<GetServerInfoRequest>,
    ) -> Answer<GetServerInfoResponse> {
        let max_heartbeat_interval =
            self.max_heartbeat.map(|max| max.try_into().expect("a short time"));
        let limits = Some(ServerLimits { max_heartbeat_interval, ..Default::default() });
        Ok(Response::new(GetServerInfoResponse {
            version: "0.0.0".into(),
            limits,
            ..Default::default()
        }))
    }
}
