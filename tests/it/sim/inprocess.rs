//! The real services, called in process: requests and answers are the messages a client would have,
//! bytes and all, but nothing travels, so that the paused clock decides everything.

pub mod subscribe;
pub mod told;

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::{self, LocalBoxStream};
use parking_lot::Mutex;
use prost::Message as _;
use shardstream::clock::Clock;
use shardstream::grpc::callers::{Caller, Callers};
use shardstream::grpc::context::Context;
use shardstream::grpc::generated::shard_service_server::ShardService as _;
use shardstream::grpc::shard_service::ShardApi;
use shardstream::grpc::standing::Standing;
use shardstream::hub::{Hub, Runtime};
use shardstream::limits::Limits;
use shardstream::metrics::Metrics;
use shardstream::model::Timestamp;
use shardstream::pb;
use shardstream::peer_shares::Peer;
use shardstream::session::Sessions;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Request;

use crate::sim::driver::Servers;
use crate::sim::fake::{FakeUpstream, ShardRef};
use crate::sim::guarantees::{Bounds, Budget, Gauge};
use crate::sim::history::subscribed::{Start as SubscribeStart, Told, Wish};
use crate::sim::history::{Room, What};
use crate::sim::service::{Read, Refusal, Service, Session, Source, Start, Stream};

/// One server without sockets; clones are the same.
#[derive(Clone)]
pub struct InProcess {
    /// The service itself, for what [`Service`] does not offer.
    pub api: ShardApi,
    /// What the services share.
    pub context: Context,
    /// Cancel it, and the server's tasks end.
    pub stop: CancellationToken,
    tasks: TaskTracker,
}

impl InProcess {
    /// A server over the fake, on the clock that the fake says it has; all its chance comes from
    /// `seed`.
    pub fn new(fake: &FakeUpstream, limits: Limits, seed: u64) -> Self {
        Self::with_clock(fake, Clock::starting_at(fake.ours()), limits, seed)
    }

    /// A server whose clock may be another than the fake's.
    pub fn with_clock(fake: &FakeUpstream, clock: Clock, limits: Limits, seed: u64) -> Self {
        let metrics = Metrics::new();
        let (drain, stop, tasks) =
            (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let runtime = Runtime {
            clock: clock.clone(),
            metrics: metrics.clone(),
            tasks: tasks.clone(),
            stop: stop.clone(),
            seed,
        };
        let hub = Hub::new(Arc::new(fake.clone()), limits.reading.clone(), runtime);
        let mut ids = fastrand::Rng::with_seed(seed);
        let sessions =
            Sessions::new(limits.sessions.sessions, clock, metrics.clone(), move || ids.u128(..));
        tasks.spawn(sessions.clone().expire(stop.clone()));
        let streams = Arc::new(Semaphore::new(limits.streams.streams));
        let chance = Arc::new(Mutex::new(fastrand::Rng::with_seed(seed)));
        let (limits, standing, audit) = (Arc::new(limits), Standing::default(), None);
        let context =
            Context { hub, sessions, limits, metrics, drain, chance, streams, standing, audit };
        Self { api: ShardApi::new(context.clone()), context, stop, tasks }
    }

    /// So many servers over one upstream, with the limits of a plan; with those that take their
    /// places, `lives`.
    pub fn servers(
        fake: &FakeUpstream,
        limits: &Limits,
        many: usize,
        lives: usize,
        seed: u64,
    ) -> Servers<Self> {
        let server = |number| Self::new(fake, limits.clone(), seed ^ (number as u64) << 32);
        let servers = (0..many).map(server).collect();
        let (upstream, of_each) = (fake.clone(), limits.clone());
        let replace = Box::new(move |killed: &Self, number: u64| {
            killed.stop.cancel();
            Self::new(&upstream, of_each.clone(), seed ^ (number << 48))
        });
        Servers { servers, bounds: Bounds::from(limits), budget: budget(limits, lives), replace }
    }

    /// The caller at 127.0.0.`number`.
    pub fn caller(&self, number: u8) -> Caller {
        let Context { limits, hub, metrics, .. } = &self.context;
        let callers = Callers::new(limits, hub.held().clone(), metrics.clone());
        Caller::new(Peer::at([127, 0, 0, number].into()), Arc::new(callers))
    }

    /// How many tasks run in the background.
    pub fn task_count(&self) -> usize {
        self.tasks.len()
    }

    /// Ends the server's tasks and waits for them.
    pub async fn shut_down(self) {
        self.context.drain.cancel();
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// What so many servers may ask for together: each process keeps its own budget, and AWS sees the
/// sum.
pub fn budget(limits: &Limits, servers: usize) -> Budget {
    let of_one = Budget::from(&limits.reading);
    let times = servers as f64;
    Budget {
        in_flight: of_one.in_flight * servers,
        shard_calls: of_one.shard_calls * times,
        describe_calls: of_one.describe_calls * times,
        list_calls: of_one.list_calls * times,
    }
}

fn name(shard: &ShardRef) -> pb::ShardName {
    pb::ShardName { stream: shard.stream.to_string(), shard_id: shard.shard.to_string() }
}

#[async_trait(?Send)]
impl Service for InProcess {
    async fn open(&self, shard: &ShardRef, start: Start) -> Result<Session, Refusal> {
        use pb::open_shard_request::Start as Asked;
        let start = Some(match start {
            Start::Position(position) => Asked::Position(told::position(position)),
            Start::Token(token) => Asked::Token(token),
        });
        let request =
            pb::OpenShardRequest { shard: Some(name(shard)), start, ..Default::default() };
        let answer = self.api.open_shard(Request::new(request)).await.map_err(told::refusal)?;
        Ok(told::session(answer.into_inner().session))
    }

    async fn jump(&self, lease: &str, start: Start) -> Result<Session, Refusal> {
        use pb::jump_to_request::Start as Asked;
        let place = Some(match start {
            Start::Position(position) => Asked::Position(told::position(position)),
            Start::Token(token) => Asked::Token(token),
        });
        let request = pb::JumpToRequest { lease_id: lease.into(), start: place };
        let answer = self.api.jump_to(Request::new(request)).await.map_err(told::refusal)?;
        Ok(told::session(answer.into_inner().session))
    }

    async fn seek(&self, lease: &str, time: Timestamp, room: Room) -> Result<What, Refusal> {
        let request = pb::SeekToRequest {
            target: Some(pb::seek_to_request::Target::LeaseId(lease.into())),
            time: Some(told::time(time)),
            max_records: room.records as i32,
            max_bytes: room.bytes as i32,
        };
        let answer = self.api.seek_to(Request::new(request)).await.map_err(told::refusal)?;
        Ok(told::sought(&answer.into_inner().encode_to_vec()))
    }

    async fn read(&self, read: Read) -> Result<(What, bool), Refusal> {
        use pb::get_records_request::Source as Asked;
        let source = match read.source {
            Source::Lease(lease) => Asked::LeaseId(lease),
            Source::Start(shard, start) => Asked::Start(told::start(&shard, start)),
        };
        let request = pb::GetRecordsRequest {
            source: Some(source),
            max_records: read.room.records as i32,
            max_bytes: read.room.bytes as i32,
            wait: read.wait.map(told::duration),
            request_id: read.request_id.unwrap_or_default(),
            unreadable_policy: told::unreadable_policy(read.skip_unreadable).into(),
        };
        let answer = self.api.get_records(Request::new(request)).await.map_err(told::refusal)?;
        Ok(told::answer(&answer.into_inner().encode_to_vec()))
    }

    async fn stream(&self, asked: Stream) -> Result<LocalBoxStream<'static, What>, Refusal> {
        use pb::stream_records_request::Source as Asked;
        let source = match asked.source {
            Source::Lease(lease) => Asked::LeaseId(lease),
            Source::Start(shard, start) => Asked::Start(told::start(&shard, start)),
        };
        let until = pb::Until {
            record_count: asked.until_records.unwrap_or(0) as i64,
            ..Default::default()
        };
        let gap_policy =
            if asked.pass_gaps { pb::GapPolicy::Continue } else { pb::GapPolicy::Fail };
        let request = pb::StreamRecordsRequest {
            source: Some(source),
            until: Some(until),
            max_batch_records: asked.room.records as i32,
            max_batch_bytes: asked.room.bytes as i32,
            heartbeat_interval: Some(told::duration(asked.heartbeat)),
            gap_policy: gap_policy.into(),
            unreadable_policy: told::unreadable_policy(asked.skip_unreadable).into(),
            ..Default::default()
        };
        let messages =
            self.api.stream_records(Request::new(request)).await.map_err(told::refusal)?;
        let told = stream::unfold(Some(messages.into_inner()), |messages| async {
            let mut messages = messages?;
            match messages.next().await? {
                Err(status) => Some((told::failed(status), None)),
                Ok(message) => match told::message(&message.encode_to_vec()) {
                    Ok(what) => Some((what, Some(messages))),
                    // The status says how it ended, and nothing comes after it.
                    Err(end) => {
                        let status = messages
                            .next()
                            .await
                            .map(|after| after.expect_err("a message after the end"));
                        Some((end.with(status), None))
                    }
                },
            }
        });
        Ok(told.boxed_local())
    }

    async fn subscribe(
        &self,
        wish: &Wish,
        start: SubscribeStart,
    ) -> Result<LocalBoxStream<'static, Told>, (String, String)> {
        self.subscribe_with(Request::new(subscribe::request(wish, start))).await
    }

    async fn close(&self, lease: &str) {
        let request = pb::CloseShardRequest { lease_id: lease.into() };
        self.api.close_shard(Request::new(request)).await.expect("closing never fails");
    }

    async fn children(
        &self,
        shard: &ShardRef,
        by_table: bool,
    ) -> Result<(Vec<ShardRef>, bool), Refusal> {
        let mut name = name(shard);
        if by_table {
            name.stream = shard.stream.resource().to_owned();
        }
        let target = Some(pb::list_children_request::Target::Shard(name));
        let request = pb::ListChildrenRequest { target };
        let answer = self
            .api
            .list_children(Request::new(request))
            .await
            .map_err(told::refusal)?
            .into_inner();
        Ok((answer.children.iter().map(told::shard).collect(), answer.complete))
    }

    fn gauge(&self) -> Gauge {
        let Context { hub, sessions, limits, streams, .. } = &self.context;
        let (shard_window_bytes, lanes) = hub.busiest();
        Gauge {
            shard_window_bytes,
            lanes,
            window_bytes: hub.window_bytes(),
            sessions: sessions.len(),
            streams: limits.streams.streams - streams.available_permits(),
            ..Gauge::default()
        }
    }
}
