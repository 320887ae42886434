//! A client in process: every RPC in a line, answers as the messages that would travel.

mod deadlines;

use std::cell::Cell;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};
use prost::Message;
use shardstream::grpc::encoded::StreamRecordsResponse;
use shardstream::grpc::generated::shard_service_server::ShardService as _;
use shardstream::grpc::generated::stream_service_server::StreamService as _;
use shardstream::grpc::stream_service::StreamApi;
use shardstream::hub::{NamedStream, ResolvedStream};
use shardstream::limits::Limits;
use shardstream::model::{SequenceNumber, Timestamp};
use shardstream::pb;
use shardstream::pb::stream_records_response::Event;
use shardstream::upstream::Operation;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::sim::fake::{Asked, Call, EntryId, FakeUpstream, ShardRef};
use crate::sim::inprocess::InProcess;

/// One client of one server, and the shard it is mostly about.
pub struct Client {
    pub fake: FakeUpstream,
    pub shard: ShardRef,
    pub server: InProcess,
    /// Calls before this one are forgotten.
    mark: Cell<usize>,
}

/// Where to start.
#[derive(Clone, Debug)]
pub enum At {
    Position(pb::Position),
    Token(String),
}

/// A response stream.
pub struct Live(BoxStream<'static, Result<StreamRecordsResponse, Status>>);

/// Everything a stream still had to say.
#[derive(Debug, Default)]
pub struct Rest {
    /// The records, by their place in the shard's full log.
    pub records: Vec<u64>,
    /// The events, heartbeats and the end aside.
    pub events: Vec<Event>,
    /// Why it ended.
    pub end: Option<pb::EndReason>,
    /// How it ended.
    pub code: Option<Code>,
    /// The newest token.
    pub token: String,
    /// The largest message, in bytes.
    pub largest: usize,
}

pub fn position(kind: pb::IteratorType) -> pb::Position {
    pb::Position { iterator_type: kind.into(), ..Default::default() }
}

pub fn horizon() -> At {
    At::Position(position(pb::IteratorType::TrimHorizon))
}

pub fn latest() -> At {
    At::Position(position(pb::IteratorType::Latest))
}

pub fn at(number: impl ToString) -> At {
    let sequence_number = number.to_string();
    At::Position(pb::Position { sequence_number, ..position(pb::IteratorType::AtSequenceNumber) })
}

pub fn after(number: impl ToString) -> At {
    let sequence_number = number.to_string();
    At::Position(pb::Position {
        sequence_number,
        ..position(pb::IteratorType::AfterSequenceNumber)
    })
}

pub fn since(time: Timestamp) -> At {
    At::Position(pb::Position {
        time: Some(stamp(time)),
        ..position(pb::IteratorType::AtTimestamp)
    })
}

pub fn token(text: &str) -> At {
    At::Token(text.into())
}

pub fn stamp(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.seconds(), nanos: time.nanos() as i32 }
}

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub fn minutes(minutes: u64) -> Duration {
    seconds(60 * minutes)
}

pub fn hours(hours: u64) -> Duration {
    minutes(60 * hours)
}

pub fn span(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: duration.as_secs() as i64,
        nanos: duration.subsec_nanos() as i32,
    }
}

/// Lets time pass.
pub async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// The records, by their place in the shard's full log.
#[track_caller]
pub fn indexes(records: &[pb::ChangeRecord]) -> Vec<u64> {
    let id = |record: &pb::ChangeRecord| {
        record.meta.as_ref()?.change.as_ref().map(|change| change.id.clone())
    };
    let index = |record| {
        EntryId::parse(&id(record).expect("a change")).expect("a record of the fake").index
    };
    records.iter().map(index).collect()
}

/// The numbers of the records.
#[track_caller]
pub fn numbers(records: &[pb::ChangeRecord]) -> Vec<String> {
    records
        .iter()
        .map(|record| record.meta.as_ref().expect("meta").sequence_number.clone())
        .collect()
}

/// The reason of an error, checked for its code.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, reason: &str) -> Status {
    let status = answer.expect_err("should be refused");
    let info = status.get_details_error_info().expect("an ErrorInfo");
    assert_eq!(
        (status.code(), info.reason.as_str(), info.domain.as_str()),
        (code, reason, "shardstream")
    );
    status
}

/// One of the values that the error's ErrorInfo bears.
#[track_caller]
pub fn detail(status: &Status, name: &str) -> String {
    let info = status.get_details_error_info().expect("an ErrorInfo");
    info.metadata.get(name).unwrap_or_else(|| panic!("no {name} in {info:?}")).clone()
}

/// Reads an answer as a client would.
pub fn decode<M: Message + Default>(answer: &impl Message) -> M {
    M::decode(&answer.encode_to_vec()[..]).expect("a valid message")
}

impl Client {
    /// The stream of the client's shard, as the door lets it through.
    pub fn resolved(&self) -> ResolvedStream {
        let named = NamedStream::in_token(self.shard.stream.clone());
        let resolved = self.server.context.hub.listings().resolve(&named).now_or_never();
        resolved.expect("an ARN needs no call").expect("an ARN is its own name")
    }

    /// One server over one open shard.
    pub fn new() -> Self {
        Self::limited(|_| {})
    }

    /// With other limits.
    pub fn limited(change: impl FnOnce(&mut Limits)) -> Self {
        let (fake, shard) = FakeUpstream::with_shard(1);
        Self::over(fake, shard, change)
    }

    /// Over a shard that is so old that its log can have a past.
    pub fn old(age: Duration) -> Self {
        let fake = FakeUpstream::new(1);
        let stream = fake.add_stream("Orders");
        let shard = fake.add_old_shard(&stream, None, age);
        Self::over(fake, shard, |_| {})
    }

    /// Over an upstream made before.
    pub fn over(fake: FakeUpstream, shard: ShardRef, change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        Self::of(InProcess::new(&fake, limits, 1), fake, shard)
    }

    /// Of a server made before.
    pub fn of(server: InProcess, fake: FakeUpstream, shard: ShardRef) -> Self {
        Self { server, fake, shard, mark: Cell::new(0) }
    }

    /// The client of another server over the same upstream.
    pub fn elsewhere(&self) -> Self {
        Self::over(self.fake.clone(), self.shard.clone(), |_| {})
    }

    /// The same server, another shard.
    pub fn on(&self, shard: &ShardRef) -> Self {
        let (fake, server) = (self.fake.clone(), self.server.clone());
        Self { fake, shard: shard.clone(), server, mark: self.mark.clone() }
    }

    pub fn name(&self) -> pb::ShardName {
        pb::ShardName {
            stream: self.shard.stream.to_string(),
            shard_id: self.shard.shard.to_string(),
        }
    }

    /// The numbers of the shard's full log.
    #[track_caller]
    pub fn numbers(&self) -> Vec<SequenceNumber> {
        self.fake.numbers(&self.shard)
    }

    /// Counts calls from now on.
    pub fn forget_calls(&self) {
        self.mark.set(self.fake.all_calls().len());
    }

    /// Calls on the shard since [`Self::forget_calls`].
    pub fn calls(&self) -> Vec<Call> {
        let mut calls = self.fake.all_calls().split_off(self.mark.get());
        calls.retain(|call| call.shard.as_ref() == Some(&self.shard));
        calls
    }

    /// GetRecords on the shard since then.
    pub fn reads(&self) -> usize {
        self.calls().iter().filter(|call| call.operation == Operation::GetRecords).count()
    }

    /// What GetShardIterator was asked for on the shard since then.
    pub fn iterators(&self) -> Vec<shardstream::upstream::IteratorStart> {
        let asked = |call: Call| match call.asked {
            Asked::Iterator(start) => Some(start),
            _ => None,
        };
        self.calls().into_iter().filter_map(asked).collect()
    }

    pub async fn open(&self, start: Option<At>) -> Result<pb::ShardSession, Status> {
        use pb::open_shard_request::Start;
        let start = start.map(|start| match start {
            At::Position(position) => Start::Position(position),
            At::Token(token) => Start::Token(token),
        });
        let lease_duration = Some(span(hours(1)));
        let request = pb::OpenShardRequest { shard: Some(self.name()), start, lease_duration };
        Ok(self
            .server
            .api
            .open_shard(Request::new(request))
            .await?
            .into_inner()
            .session
            .expect("a session"))
    }

    /// Opens a session that must open; its lease.
    pub async fn lease(&self, start: At) -> String {
        self.open(Some(start)).await.expect("opened").lease.expect("a lease").lease_id
    }

    pub async fn session(&self, lease: &str) -> pb::ShardSession {
        let request = pb::GetShardSessionRequest { lease_id: lease.into() };
        let answer = self.server.api.get_shard_session(Request::new(request)).await;
        answer.expect("a session").into_inner().session.expect("a session")
    }

    pub async fn jump(&self, lease: &str, place: At) -> Result<pb::ShardSession, Status> {
        use pb::jump_to_request::Start;
        let place = Some(match place {
            At::Position(position) => Start::Position(position),
            At::Token(token) => Start::Token(token),
        });
        let request = pb::JumpToRequest { lease_id: lease.into(), start: place };
        Ok(self
            .server
            .api
            .jump_to(Request::new(request))
            .await?
            .into_inner()
            .session
            .expect("a session"))
    }

    /// SeekTo on a lease.
    pub async fn seek(&self, lease: &str, time: Timestamp) -> Result<pb::SeekToResponse, Status> {
        self.seek_within(lease, time, None).await
    }

    /// SeekTo without a lease.
    pub async fn seek_shard(&self, time: Timestamp) -> Result<pb::SeekToResponse, Status> {
        self.seek_shard_within(time, None).await
    }

    /// GetRecords on a lease.
    pub async fn get(&self, lease: &str) -> Result<pb::GetRecordsResponse, Status> {
        self.get_with(lease, |_| {}).await
    }

    /// GetRecords on a lease, with options.
    pub async fn get_with(
        &self,
        lease: &str,
        change: impl FnOnce(&mut pb::GetRecordsRequest),
    ) -> Result<pb::GetRecordsResponse, Status> {
        let source = Some(pb::get_records_request::Source::LeaseId(lease.into()));
        let mut request = pb::GetRecordsRequest { source, ..Default::default() };
        change(&mut request);
        Ok(decode(self.server.api.get_records(Request::new(request)).await?.get_ref()))
    }

    /// GetRecords without a lease.
    pub async fn read(&self, start: At) -> Result<pb::GetRecordsResponse, Status> {
        self.read_with(start, |_| {}).await
    }

    /// GetRecords without a lease, with options.
    pub async fn read_with(
        &self,
        start: At,
        change: impl FnOnce(&mut pb::GetRecordsRequest),
    ) -> Result<pb::GetRecordsResponse, Status> {
        self.read_within(start, None, change).await
    }

    /// GetRecords on a lease that must give records: which.
    pub async fn given(&self, lease: &str) -> Vec<u64> {
        indexes(&self.get(lease).await.expect("read").records)
    }

    /// Reads from `start` until there is nothing more at once: all records, and the last token.
    pub async fn drain(&self, start: At) -> (Vec<u64>, String) {
        let mut all = vec![];
        let mut start = start;
        loop {
            let answer = self.read(start).await.expect("read");
            if answer.records.is_empty() {
                return (all, answer.token);
            }
            all.extend(indexes(&answer.records));
            start = At::Token(answer.token);
        }
    }

    pub async fn children(&self) -> Result<pb::ListChildrenResponse, Status> {
        let target = Some(pb::list_children_request::Target::Shard(self.name()));
        let request = pb::ListChildrenRequest { target };
        Ok(self.server.api.list_children(Request::new(request)).await?.into_inner())
    }

    /// ListChildren: their ids, and `complete`.
    pub async fn child_ids(&self) -> (Vec<String>, bool) {
        let answer = self.children().await.expect("children");
        (answer.children.into_iter().map(|child| child.shard_id).collect(), answer.complete)
    }

    /// WalkTree: ids and depths.
    pub async fn walk(&self) -> Vec<(String, i32)> {
        let target = Some(pb::walk_tree_request::Target::Shard(self.name()));
        let answer = self.server.api.walk_tree(Request::new(pb::WalkTreeRequest { target })).await;
        let walked: Vec<_> = answer.expect("a walk").into_inner().collect().await;
        let row = |row: Result<pb::WalkTreeResponse, Status>| {
            let row = row.expect("a row");
            (row.shard.expect("a shard").shard_id, row.depth)
        };
        walked.into_iter().map(row).collect()
    }

    /// One page of ListShards.
    pub async fn list_shards(&self, page_token: &str) -> Result<pb::ListShardsResponse, Status> {
        let api = StreamApi::new(self.server.context.clone());
        let stream = self.shard.stream.to_string();
        let request =
            pb::ListShardsRequest { stream, page_token: page_token.into(), ..Default::default() };
        Ok(api.list_shards(Request::new(request)).await?.into_inner())
    }

    /// StreamRecords from a start.
    pub async fn live(&self, start: At) -> Live {
        self.live_with(start, |_| {}).await
    }

    /// StreamRecords from a start, with options.
    pub async fn live_with(
        &self,
        start: At,
        change: impl FnOnce(&mut pb::StreamRecordsRequest),
    ) -> Live {
        let source = Some(pb::stream_records_request::Source::Start(self.start(start)));
        let mut request = pb::StreamRecordsRequest { source, ..Default::default() };
        change(&mut request);
        self.stream(request).await.expect("a stream")
    }

    /// StreamRecords.
    pub async fn stream(&self, request: pb::StreamRecordsRequest) -> Result<Live, Status> {
        Ok(Live(self.server.api.stream_records(Request::new(request)).await?.into_inner()))
    }

    fn start(&self, start: At) -> pb::ShardStart {
        use pb::shard_start::Start;
        let place = Some(match start {
            At::Position(position) => Start::Position(position),
            At::Token(token) => Start::Token(token),
        });
        pb::ShardStart { shard: Some(self.name()), start: place }
    }
}

impl Live {
    /// The next message or the status; `None` after an OK.
    pub async fn next(&mut self) -> Option<Result<pb::StreamRecordsResponse, Status>> {
        self.0.next().await.map(|item| item.map(|message| decode(&message)))
    }

    /// The next message; heartbeats are passed.
    pub async fn news(&mut self) -> pb::StreamRecordsResponse {
        for _ in 0..1_000 {
            let message = self.next().await.expect("more to come").expect("no error");
            if !matches!(message.event, Some(Event::Heartbeat(_))) {
                return message;
            }
        }
        panic!("nothing but heartbeats");
    }

    /// The next heartbeat, and the token that came with it; records are passed.
    pub async fn heartbeat(&mut self) -> (pb::Heartbeat, String) {
        loop {
            let message = self.next().await.expect("more to come").expect("no error");
            if let Some(Event::Heartbeat(beat)) = message.event {
                return (beat, message.token);
            }
        }
    }

    /// The first heartbeat that says so.
    pub async fn heartbeat_that(&mut self, says: impl Fn(&pb::Heartbeat) -> bool) -> pb::Heartbeat {
        for _ in 0..1_000 {
            let (beat, _) = self.heartbeat().await;
            if says(&beat) {
                return beat;
            }
        }
        panic!("no heartbeat says so");
    }

    /// So many records, and the token behind them.
    pub async fn records(&mut self, count: usize) -> (Vec<u64>, String) {
        let mut all = vec![];
        loop {
            let message = self.news().await;
            assert!(message.event.is_none(), "{:?} instead of records", message.event);
            all.extend(indexes(&message.records));
            if all.len() >= count {
                return (all, message.token);
            }
        }
    }

    /// Everything up to the end.
    pub async fn rest(mut self) -> Rest {
        let mut rest = Rest { code: Some(Code::Ok), ..Rest::default() };
        while let Some(item) = self.next().await {
            let message = match item {
                Ok(message) => message,
                Err(status) => {
                    rest.code = Some(status.code());
                    continue;
                }
            };
            assert!(rest.end.is_none(), "a message after the end");
            rest.largest = rest.largest.max(message.encoded_len());
            rest.records.extend(indexes(&message.records));
            rest.token = message.token;
            match message.event {
                None | Some(Event::Heartbeat(_)) => {}
                Some(Event::End(end)) => rest.end = Some(end.reason()),
                Some(event) => rest.events.push(event),
            }
        }
        rest
    }
}

impl Rest {
    /// The only gap among the events: cause and certain.
    #[track_caller]
    pub fn gap(&self) -> (pb::GapCause, bool) {
        let gaps: Vec<_> = self
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Gap(gap) => Some((gap.cause(), gap.certain)),
                _ => None,
            })
            .collect();
        assert_eq!(gaps.len(), 1, "{:?}", self.events);
        gaps[0]
    }
}
