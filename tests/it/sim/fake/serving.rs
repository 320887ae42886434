//! The trait: one call, one answer, after its latency, by script, by chance of a fault, or from
//! what the fake holds.

use std::time::Duration;

use async_trait::async_trait;
use shardstream::model::{Fetched, Page, ShardId, StreamArn, TableName};
use shardstream::upstream::{
    DescribePage, ErrorClass, IssuedIterator, IteratorStart, Operation, StreamsPage, Upstream,
    UpstreamError, UpstreamTraits,
};

use super::behaviour::Fault;
use super::calls::{Asked, Outcome};
use super::iterator::Iterator;
use super::script::Answer;
use super::state::State;
use super::{FakeUpstream, ShardRef, body};

/// Any answer of any operation.
pub(super) enum Reply {
    Streams(StreamsPage),
    Describe(DescribePage),
    Iterator(IssuedIterator, Option<usize>),
    Page(Page),
}

/// How one call will go; drawn when it begins.
struct Course {
    before: Duration,
    after: Duration,
    fault: Option<Fault>,
    script: Option<Answer>,
}

#[async_trait]
impl Upstream for FakeUpstream {
    fn traits(&self) -> UpstreamTraits {
        self.inner.state.lock().traits.clone()
    }

    async fn list_streams(
        &self,
        table: Option<&TableName>,
        start: Option<&str>,
        limit: u32,
    ) -> Result<StreamsPage, UpstreamError> {
        let evaluate = |state: &mut State| Ok(Reply::Streams(state.list(table, start, limit)));
        match self.call(Operation::ListStreams, None, Asked::Streams, evaluate).await? {
            Reply::Streams(page) => Ok(page),
            _ => panic!("the script answers ListStreams with something else"),
        }
    }

    async fn describe_stream(
        &self,
        stream: &StreamArn,
        children_of: Option<&ShardId>,
        start: Option<&ShardId>,
    ) -> Result<DescribePage, UpstreamError> {
        let asked = Asked::Describe {
            stream: stream.clone(),
            children_of: children_of.cloned(),
            start: start.cloned(),
        };
        let evaluate = |state: &mut State| {
            let times = (self.now(), self.wall());
            state
                .describe(stream, children_of, start, times)
                .map(Reply::Describe)
                .ok_or(ErrorClass::NotFound)
        };
        match self.call(Operation::DescribeStream, None, asked, evaluate).await? {
            Reply::Describe(page) => Ok(page),
            _ => panic!("the script answers DescribeStream with something else"),
        }
    }

    async fn shard_iterator(
        &self,
        stream: &StreamArn,
        shard: &ShardId,
        start: IteratorStart,
    ) -> Result<IssuedIterator, UpstreamError> {
        let name = ShardRef { stream: stream.clone(), shard: shard.clone() };
        let evaluate = |state: &mut State| {
            let (now, wall) = (self.now(), self.wall());
            let index = state.place(&name, start, wall)?;
            let iterator = state.mint(&name, index, now, Some(0));
            let date = state.shard(&name).behaviour.date(wall);
            Ok(Reply::Iterator(IssuedIterator { iterator, date }, Some(index)))
        };
        match self
            .call(Operation::GetShardIterator, Some(name.clone()), Asked::Iterator(start), evaluate)
            .await?
        {
            Reply::Iterator(issued, _) => Ok(issued),
            _ => panic!("the script answers GetShardIterator with something else"),
        }
    }

    async fn records(&self, iterator: &str, limit: u32) -> Result<Fetched, UpstreamError> {
        let page = FakeUpstream::records(self, iterator, limit).await?;
        let wall = self.wall();
        let mut state = self.inner.state.lock();
        let shard = Iterator::decode(iterator).and_then(|at| state.shards.get(at.shard as usize));
        let date = shard.and_then(|shard| shard.behaviour.date(wall));
        Ok(body::fetched(page, date, &mut state.forms))
    }
}

impl FakeUpstream {
    /// GetRecords, always as a page.
    pub async fn records(&self, iterator: &str, limit: u32) -> Result<Page, UpstreamError> {
        let known = Iterator::decode(iterator).and_then(|at| {
            let state = self.inner.state.lock();
            Some((at, state.shards.get(at.shard as usize)?.name.clone()))
        });
        let (shard, asked) = match &known {
            Some((at, name)) => {
                let age = self.now().saturating_sub(at.issued);
                (Some(name.clone()), Asked::Records { index: at.index, limit, age })
            }
            None => (None, Asked::Nonsense(iterator.to_owned())),
        };
        let evaluate = |state: &mut State| {
            let (at, name) = known.as_ref().ok_or(ErrorClass::Invalid)?;
            state.page(name, *at, limit as usize, self.now()).map(Reply::Page)
        };
        match self.call(Operation::GetRecords, shard, asked, evaluate).await? {
            Reply::Page(page) => Ok(page),
            _ => panic!("the script answers GetRecords with something else"),
        }
    }

    async fn call(
        &self,
        operation: Operation,
        shard: Option<ShardRef>,
        asked: Asked,
        evaluate: impl FnOnce(&mut State) -> Result<Reply, ErrorClass>,
    ) -> Result<Reply, UpstreamError> {
        let course = self.inner.state.lock().course(operation, shard.as_ref());
        let running = self.begin(operation, shard, asked);
        tokio::time::sleep(course.before).await;
        let result = match course.script {
            Some(Answer::Page(page)) => Ok(Reply::Page(page)),
            Some(Answer::Describe(page)) => Ok(Reply::Describe(page)),
            Some(Answer::Streams(page)) => Ok(Reply::Streams(page)),
            script => {
                if let Some(Answer::Wait(gate)) = &script {
                    gate.passed().await;
                }
                let fault =
                    if let Some(Answer::Fail(fault)) = script { Some(fault) } else { course.fault };
                match suffer(operation, fault).await {
                    Some(error) => Err(error),
                    None => self.evaluate(operation, evaluate),
                }
            }
        };
        tokio::time::sleep(course.after).await;
        running.finish(match &result {
            Ok(Reply::Streams(page)) => Outcome::Rows(page.streams.len()),
            Ok(Reply::Describe(page)) => Outcome::Rows(page.shards.len()),
            Ok(Reply::Iterator(_, index)) => Outcome::Iterator(*index),
            Ok(Reply::Page(page)) => {
                Outcome::Page { entries: page.entries.len(), more: page.next_iterator.is_some() }
            }
            Err(error) => Outcome::Failed(error.class),
        });
        result
    }

    fn evaluate(
        &self,
        operation: Operation,
        evaluate: impl FnOnce(&mut State) -> Result<Reply, ErrorClass>,
    ) -> Result<Reply, UpstreamError> {
        let now = self.now();
        let mut state = self.inner.state.lock();
        state.age(self.inner.base, now);
        evaluate(&mut state).map_err(|class| failure(operation, class))
    }
}

impl State {
    fn course(&mut self, operation: Operation, shard: Option<&ShardRef>) -> Course {
        let Self { shards, script, chance, listing, .. } = self;
        let shard = shard.and_then(|name| shards.iter_mut().find(|shard| shard.name == *name));
        let (script, chance, latency, faults) = match shard {
            Some(shard) => (
                &mut shard.script,
                &mut shard.chance,
                shard.behaviour.latency,
                shard.behaviour.faults,
            ),
            None => (script, chance, listing.latency, listing.faults),
        };
        let micros = |duration: Duration| duration.as_micros() as u64;
        let whole = chance.u64(micros(latency.0)..=micros(latency.1));
        let before = chance.u64(0..=whole);
        let fault = faults.draw(chance);
        let script = script.get_mut(&operation).and_then(|answers| answers.pop_front());
        let (before, after) =
            (Duration::from_micros(before), Duration::from_micros(whole - before));
        // A laid-down `Pass` is an answer without a fault.
        let fault = if script.is_some() { None } else { fault };
        Course { before, after, fault, script }
    }
}

/// Lives through a fault; `None` when the call goes on to its right answer.
async fn suffer(operation: Operation, fault: Option<Fault>) -> Option<UpstreamError> {
    let class = match fault? {
        Fault::Throttle => ErrorClass::Throttled,
        Fault::ThrottleFor(wait) => {
            let error = failure(operation, ErrorClass::Throttled);
            return Some(UpstreamError { retry_after: Some(wait), ..error });
        }
        Fault::Unavailable => ErrorClass::Unavailable,
        Fault::Denied => ErrorClass::AccessDenied,
        Fault::Expired => ErrorClass::ExpiredIterator,
        Fault::Trimmed => ErrorClass::Trimmed,
        Fault::NotFound => ErrorClass::NotFound,
        Fault::Invalid => ErrorClass::Invalid,
        Fault::Hang => std::future::pending().await,
        Fault::Timeout(time) => {
            tokio::time::sleep(time).await;
            ErrorClass::Unavailable
        }
    };
    Some(failure(operation, class))
}

/// An error as AWS words it.
fn failure(operation: Operation, class: ErrorClass) -> UpstreamError {
    let code = match (class, operation) {
        (ErrorClass::Throttled, Operation::GetRecords) => "LimitExceededException",
        (ErrorClass::Throttled, _) => "ThrottlingException",
        (ErrorClass::Unavailable, _) => "InternalServerError",
        (ErrorClass::ExpiredIterator, _) => "ExpiredIteratorException",
        (ErrorClass::Trimmed, _) => "TrimmedDataAccessException",
        (ErrorClass::NotFound, _) => "ResourceNotFoundException",
        (ErrorClass::AccessDenied, _) => "AccessDeniedException",
        (ErrorClass::Invalid, _) => "ValidationException",
    };
    let message = "the fake was told so".into();
    UpstreamError { operation, class, code: Some(code.into()), message, retry_after: None }
}
