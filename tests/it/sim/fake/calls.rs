//! The note-book: every call, when it began and ended, and what came of it.

use std::time::Duration;

use shardstream::model::{ShardId, StreamArn};
use shardstream::upstream::{ErrorClass, IteratorStart, Operation};

use super::{FakeUpstream, ShardRef};

/// One call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Which operation.
    pub operation: Operation,
    /// The shard, where it is about one.
    pub shard: Option<ShardRef>,
    /// What was asked for.
    pub asked: Asked,
    /// When it began.
    pub started: Duration,
    /// When it was answered or given up; `None` while it runs.
    pub ended: Option<Duration>,
    /// What came of it.
    pub outcome: Outcome,
    /// Calls of this operation on this shard that ran when it began, itself included.
    pub in_flight: usize,
}

/// What a call asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// ListStreams.
    Streams,
    /// DescribeStream: of which stream, whose children, after which shard.
    Describe { stream: StreamArn, children_of: Option<ShardId>, start: Option<ShardId> },
    /// GetShardIterator.
    Iterator(IteratorStart),
    /// GetRecords: from which entry of the full log, how many, and how old the iterator is.
    Records { index: usize, limit: u32, age: Duration },
    /// GetRecords with something that was never an iterator.
    Nonsense(String),
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It runs.
    Running,
    /// An answer with so many streams or shards.
    Rows(usize),
    /// An iterator before this entry of the full log; `None` when it was scripted.
    Iterator(Option<usize>),
    /// A page with so many entries, and whether another follows.
    Page { entries: usize, more: bool },
    /// An error.
    Failed(ErrorClass),
    /// The caller went away before the answer.
    Abandoned,
}

/// Notes that a call was abandoned, unless it was finished before.
pub(super) struct Running {
    fake: FakeUpstream,
    number: usize,
    finished: bool,
}

impl Running {
    pub fn finish(mut self, outcome: Outcome) {
        self.end(outcome);
    }

    fn end(&mut self, outcome: Outcome) {
        let now = self.fake.now();
        let mut state = self.fake.inner.state.lock();
        let call = &mut state.calls[self.number];
        call.ended = Some(now);
        call.outcome = outcome;
        let key = (call.operation, call.shard.clone());
        *state.in_flight.get_mut(&key).expect("counted when it began") -= 1;
        self.finished = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.finished {
            self.end(Outcome::Abandoned);
        }
    }
}

impl FakeUpstream {
    pub(super) fn begin(
        &self,
        operation: Operation,
        shard: Option<ShardRef>,
        asked: Asked,
    ) -> Running {
        let started = self.now();
        let mut state = self.inner.state.lock();
        let in_flight = state.in_flight.entry((operation, shard.clone())).or_insert(0);
        *in_flight += 1;
        let in_flight = *in_flight;
        let outcome = Outcome::Running;
        state.calls.push(Call {
            operation,
            shard,
            asked,
            started,
            ended: None,
            outcome,
            in_flight,
        });
        Running { fake: self.clone(), number: state.calls.len() - 1, finished: false }
    }

    /// Every call so far, in the order in which they began.
    pub fn all_calls(&self) -> Vec<Call> {
        self.inner.state.lock().calls.clone()
    }

    /// How many calls of `operation` began so far.
    pub fn calls(&self, operation: Operation) -> usize {
        self.inner.state.lock().calls.iter().filter(|call| call.operation == operation).count()
    }

    /// How many calls of `operation` on `shard` began so far.
    pub fn calls_on(&self, shard: &ShardRef, operation: Operation) -> usize {
        let state = self.inner.state.lock();
        state
            .calls
            .iter()
            .filter(|call| call.operation == operation && call.shard.as_ref() == Some(shard))
            .count()
    }

    /// How many calls of `operation` run on `shard` now.
    pub fn running(&self, shard: &ShardRef, operation: Operation) -> usize {
        self.inner
            .state
            .lock()
            .in_flight
            .get(&(operation, Some(shard.clone())))
            .copied()
            .unwrap_or(0)
    }

    /// Forgets the calls that have ended, so that what follows is counted from zero. Only between
    /// calls.
    #[track_caller]
    pub fn forget_calls(&self) {
        let mut state = self.inner.state.lock();
        assert!(state.calls.iter().all(|call| call.ended.is_some()), "a call is running");
        state.calls.clear();
    }
}
