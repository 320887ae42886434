//! A subscriber of one test: all it was told, by shard and in order.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::LocalBoxStream;
use shardstream::pb;
use tonic::Request;

use crate::sim::fake::{FakeUpstream, ShardRef};
use crate::sim::history::EndReason;
use crate::sim::history::subscribed::{Fate, Gap, Message, Start, Told, What, Wish};
use crate::sim::inprocess::InProcess;
use crate::sim::inprocess::subscribe::request;

/// A subscription under way, and all it has told.
pub struct Watcher {
    told: LocalBoxStream<'static, Told>,
    fake: FakeUpstream,
    /// Every message, with the time at which it came.
    pub messages: Vec<Message>,
    /// How it ended.
    pub fate: Option<Fate>,
}

impl Watcher {
    /// Subscribes; it must be let in.
    pub async fn start(server: &InProcess, fake: &FakeUpstream, wish: &Wish, start: Start) -> Self {
        Self::with(server, fake, Request::new(request(wish, start))).await
    }

    /// Subscribes with a deadline that the client tells.
    pub async fn within(
        server: &InProcess,
        fake: &FakeUpstream,
        start: Start,
        deadline: Duration,
    ) -> Self {
        let mut request = Request::new(request(&Wish::default(), start));
        request.set_timeout(deadline);
        Self::with(server, fake, request).await
    }

    /// Subscribes from 127.0.0.`peer`.
    pub async fn at(server: &InProcess, fake: &FakeUpstream, peer: u8, start: Start) -> Self {
        let mut request = Request::new(request(&Wish::default(), start));
        request.extensions_mut().insert(server.caller(peer));
        Self::with(server, fake, request).await
    }

    async fn with(
        server: &InProcess,
        fake: &FakeUpstream,
        request: Request<pb::SubscribeRequest>,
    ) -> Self {
        let told = server.subscribe_with(request).await.expect("subscribed");
        Self { told, fake: fake.clone(), messages: Vec::new(), fate: None }
    }

    /// Takes all that comes until it ends.
    pub async fn rest(mut self) -> Self {
        self.settle(Duration::from_secs(365 * 24 * 3_600)).await;
        assert!(self.fate.is_some(), "it never ends");
        self
    }

    /// Takes what comes until nothing but heartbeats has come for so long, or it ends.
    pub async fn settle(&mut self, quiet: Duration) -> &mut Self {
        let mut due = self.fake.now() + quiet;
        while let Some(left) = due.checked_sub(self.fake.now()) {
            let Ok(told) = tokio::time::timeout(left, self.told.next()).await else { break };
            match told {
                Some(Told::Message(mut message)) => {
                    message.at = self.fake.now();
                    assert!(self.end().is_none(), "nothing after the end");
                    if !matches!(message.what, What::Heartbeat { .. }) {
                        due = message.at + quiet;
                    }
                    self.messages.push(*message);
                }
                Some(Told::Closed(fate)) => {
                    self.fate = Some(fate);
                    break;
                }
                None => break,
            }
        }
        self
    }

    /// Takes messages until one says so.
    pub async fn until(&mut self, says: impl Fn(&What) -> bool) -> Message {
        for _ in 0..10_000 {
            match self.told.next().await {
                Some(Told::Message(mut message)) => {
                    message.at = self.fake.now();
                    self.messages.push((*message).clone());
                    if says(&message.what) {
                        return *message;
                    }
                }
                other => panic!("{other:?} instead"),
            }
        }
        panic!("it never comes");
    }

    /// The records of each shard, by their place in its full log.
    pub fn records(&self) -> BTreeMap<u32, Vec<u64>> {
        let mut records = BTreeMap::<u32, Vec<u64>>::new();
        for (shard, index) in self.order() {
            records.entry(shard).or_default().push(index);
        }
        records
    }

    /// Every record in the order in which they came: the shard's ordinal, and the place in its log.
    pub fn order(&self) -> Vec<(u32, u64)> {
        let records = self.messages.iter().filter_map(|message| match &message.what {
            What::Records { records, .. } => Some(records),
            _ => None,
        });
        records.flatten().map(|record| (record.id.shard, record.id.index)).collect()
    }

    /// The newest stream token.
    pub fn token(&self) -> String {
        let tokens = self.messages.iter().rev().map(|message| &message.token);
        tokens.clone().find(|token| !token.is_empty()).expect("a token").clone()
    }

    pub fn gaps(&self) -> Vec<Gap> {
        let gaps = self.messages.iter().filter_map(|message| match &message.what {
            What::Gap(gap) => Some(gap.clone()),
            _ => None,
        });
        gaps.collect()
    }

    /// The shards whose end was told, in order.
    pub fn ended(&self) -> Vec<String> {
        let ends = self.messages.iter().filter_map(|message| match &message.what {
            What::ShardEnd { shard, .. } => Some(shard.clone()),
            _ => None,
        });
        ends.collect()
    }

    /// The shards that were begun, in order.
    pub fn opened(&self) -> Vec<String> {
        let opens = self.messages.iter().filter_map(|message| match &message.what {
            What::ShardOpen { shard } => Some(shard.shard.clone()),
            _ => None,
        });
        opens.collect()
    }

    /// Why it ended.
    pub fn end(&self) -> Option<EndReason> {
        match self.messages.last()?.what {
            What::End { reason } => Some(reason),
            _ => None,
        }
    }
}

/// A shard's place among all shards of the fake, which its records bear.
pub fn ordinal(fake: &FakeUpstream, shard: &ShardRef) -> u32 {
    fake.shards().iter().position(|known| known == shard).expect("a shard of the fake") as u32
}
