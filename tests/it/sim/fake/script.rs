//! Answers laid down beforehand: they come before anything the fake would say by itself.

use shardstream::model::Page;
use shardstream::upstream::{DescribePage, Operation, StreamsPage};
use tokio::sync::watch;

use super::{FakeUpstream, Fault, ShardRef};

/// What the next call of an operation is answered with.
#[derive(Clone, Debug)]
pub enum Answer {
    /// As it would be without a script: holds the place of a call that is not the one meant.
    Pass,
    /// A fault.
    Fail(Fault),
    /// Nothing until the gate opens; then as it would be without a script.
    Wait(Gate),
    /// This page.
    Page(Page),
    /// This listing.
    Describe(DescribePage),
    /// These streams.
    Streams(StreamsPage),
}

/// Holds calls back until it is opened; clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate(watch::Sender<bool>);

impl Gate {
    /// A closed gate.
    pub fn closed() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Lets everything pass from now on.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Ready when the gate is open.
    pub(super) async fn passed(&self) {
        let mut open = self.0.subscribe();
        open.wait_for(|open| *open).await.expect("the gate holds its own sender");
    }
}

impl FakeUpstream {
    /// Lays down the answers of the next calls of `operation` on `shard`, after those already laid
    /// down.
    #[track_caller]
    pub fn script(
        &self,
        shard: &ShardRef,
        operation: Operation,
        answers: impl IntoIterator<Item = Answer>,
    ) {
        let mut state = self.inner.state.lock();
        state.shard_mut(shard).script.entry(operation).or_default().extend(answers);
    }

    /// Lays down the answers of the next calls of ListStreams or DescribeStream.
    pub fn script_listing(&self, operation: Operation, answers: impl IntoIterator<Item = Answer>) {
        self.inner.state.lock().script.entry(operation).or_default().extend(answers);
    }

    /// Holds the next call of `operation` on `shard` until the gate is opened.
    #[track_caller]
    pub fn hold(&self, shard: &ShardRef, operation: Operation) -> Gate {
        let gate = Gate::closed();
        self.script(shard, operation, [Answer::Wait(gate.clone())]);
        gate
    }

    /// Forgets the answers laid down for `shard` and not yet used.
    #[track_caller]
    pub fn drop_script(&self, shard: &ShardRef) {
        self.inner.state.lock().shard_mut(shard).script.clear();
    }

    /// The answers laid down and not yet used, of all shards and listings.
    pub fn script_left(&self) -> usize {
        let state = self.inner.state.lock();
        let shards = state.shards.iter().flat_map(|shard| shard.script.values());
        shards.chain(state.script.values()).map(|queue| queue.len()).sum()
    }
}
