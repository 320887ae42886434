//! Clients that leave no trace in a history: they watch, break off their calls, or ask for what
//! does not exist.

use std::time::Duration;

use futures::StreamExt as _;
use futures::future::LocalBoxFuture;
use shardstream::grpc::generated::stream_service_server::StreamService as _;
use shardstream::grpc::stream_service::StreamApi;
use shardstream::pb;
use tonic::Request;

use crate::sim::fake::{FakeUpstream, ShardRef};
use crate::sim::history::subscribed::{Start as WholeStart, Wish};
use crate::sim::history::{Position, Room};
use crate::sim::inprocess::InProcess;
use crate::sim::service::{Read, Service as _, Source, Start, Stream};

use super::MINUTE;
use super::upstream::{QUIET, TABLE};

/// What it does again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// WatchShards, for half an hour or so; some stop looking.
    Watches,
    /// Calls of every kind, each given up after some milliseconds or seconds.
    GivesUp,
    /// Names and tokens of what is not there.
    Strays,
    /// Lists, and asks for children.
    Lists,
}

pub struct Passer {
    pub fake: FakeUpstream,
    pub server: InProcess,
    pub habit: Habit,
    pub chance: fastrand::Rng,
}

impl Passer {
    /// Goes on until it is dropped.
    pub async fn live(&mut self) {
        loop {
            match self.habit {
                Habit::Watches => self.watch().await,
                Habit::GivesUp => self.give_up().await,
                Habit::Strays => self.stray().await,
                Habit::Lists => self.list().await,
            }
            self.pause(MINUTE * 4).await;
        }
    }

    fn api(&self) -> StreamApi {
        StreamApi::new(self.server.context.clone())
    }

    fn table(&mut self) -> String {
        [TABLE, TABLE, QUIET][self.chance.usize(0..3)].into()
    }

    fn shard(&mut self) -> ShardRef {
        let shards = self.fake.shards();
        shards[self.chance.usize(0..shards.len())].clone()
    }

    async fn watch(&mut self) {
        // Every round is made for each of them: seldom.
        let interval = Some(prost_types::Duration { seconds: 60, nanos: 0 });
        let request = pb::WatchShardsRequest { stream: self.table(), interval };
        let Ok(answer) = self.api().watch_shards(Request::new(request)).await else { return };
        let mut messages = answer.into_inner();
        let (lasts, looks) = (MINUTE * self.chance.u32(1..50), self.chance.bool());
        let looking = async {
            while looks && messages.next().await.is_some_and(|told| told.is_ok()) {}
            tokio::time::sleep(lasts).await;
        };
        let _ = tokio::time::timeout(lasts, looking).await;
    }

    async fn give_up(&mut self) {
        let patience = [3, 40, 700, 6_000][self.chance.usize(0..4)];
        let patience = Duration::from_millis(self.chance.u64(0..patience));
        let call = self.call();
        let _ = tokio::time::timeout(patience, call).await;
    }

    /// A call of some kind, in full.
    fn call(&mut self) -> LocalBoxFuture<'static, ()> {
        let (server, shard, table) = (self.server.clone(), self.shard(), self.table());
        let position = [
            Position::Horizon,
            Position::Latest,
            Position::Since(self.fake.wall().minus(MINUTE * 90)),
        ][self.chance.usize(0..3)];
        let start = Start::Position(position);
        let room = Room { records: 100, bytes: 64 << 10 };
        match self.chance.u32(0..5) {
            0 => Box::pin(async move { _ = server.open(&shard, start).await }),
            1 => Box::pin(async move {
                let source = Source::Start(shard, start);
                let wait = Some(Duration::from_secs(20));
                let _ = server
                    .read(Read { source, room, wait, request_id: None, skip_unreadable: true })
                    .await;
            }),
            2 => Box::pin(async move {
                let Ok(session) = server.open(&shard, start).await else { return };
                let _ =
                    server.seek(&session.lease, shardstream::model::Timestamp::EPOCH, room).await;
            }),
            3 => Box::pin(async move {
                let heartbeat = Duration::from_secs(60);
                let source = Source::Start(shard, start);
                let asked = Stream {
                    source,
                    room,
                    heartbeat,
                    until_records: None,
                    pass_gaps: true,
                    skip_unreadable: true,
                };
                let Ok(mut messages) = server.stream(asked).await else { return };
                while messages.next().await.is_some() {}
            }),
            _ => Box::pin(async move {
                let wish =
                    Wish { stream: table, heartbeat: Duration::from_secs(60), ..Wish::default() };
                let start = if position == Position::Latest {
                    WholeStart::Latest
                } else {
                    WholeStart::Horizon
                };
                let Ok(mut messages) = server.subscribe(&wish, start).await else { return };
                while messages.next().await.is_some() {}
            }),
        }
    }

    async fn stray(&mut self) {
        let nothing = self.chance.u32(0..1_000_000);
        let mut shard = self.shard();
        let server = self.server.clone();
        match self.chance.u32(0..2) {
            0 => {
                let wish = Wish { stream: format!("Nothing{nothing}"), ..Wish::default() };
                let refused = server.subscribe(&wish, WholeStart::Latest).await;
                assert!(refused.is_err(), "there is no such table");
            }
            _ => {
                let id = format!("shardId-00000001717{nothing:09}-{nothing:08x}");
                shard.shard = shardstream::model::ShardId::parse(&id).expect("a shard id");
                let refused = server.open(&shard, Start::Position(Position::Horizon)).await;
                assert!(refused.is_err(), "there is no such shard");
            }
        }
    }

    async fn list(&mut self) {
        let shard = self.shard();
        match self.chance.u32(0..3) {
            0 => {
                let request = pb::ListShardsRequest { stream: self.table(), ..Default::default() };
                let _ = self.api().list_shards(Request::new(request)).await;
            }
            1 => {
                let request = pb::ListStreamsRequest::default();
                let _ = self.api().list_streams(Request::new(request)).await;
            }
            _ => {
                let by_table = self.chance.bool();
                let _ = self.server.children(&shard, by_table).await;
            }
        }
    }

    async fn pause(&mut self, most: Duration) {
        let pause = Duration::from_millis(self.chance.u64(0..most.as_millis() as u64));
        tokio::time::sleep(pause).await;
    }
}
