//! The AWS SDK behind [`Upstream`]: only this module and its children name `aws_*` crates.
//!
//! One call here is one SDK call and one request: the SDK signs, resolves the endpoint and
//! refreshes credentials. GetRecords alone has a shorter way ([`direct`]). [`convert`] turns responses into model types; [`classify`] gives every
//! failure a class. [`body_capture`] takes pages of records from the SDK unparsed; what the encoder cannot
//! read of them is parsed by [`sdk_parser`] and [`lenient`]. [`bounded`] limits the size of every
//! response.

mod body_capture;
mod bounded;
mod classify;
mod clock_ahead;
mod connect;
mod convert;
mod direct;
mod http;
mod identity;
mod intercept;
mod lenient;
mod record_error;
mod renewing_client;
mod sdk_parser;

use async_trait::async_trait;
use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::primitives::DateTime;
use aws_sdk_dynamodbstreams::types::{ShardFilter, ShardFilterType, ShardIteratorType};

use super::{DescribePage, IssuedIterator, IteratorStart, Operation, StreamsPage};
use super::{Upstream, UpstreamError, UpstreamTraits};
use crate::model::{Fetched, Position, RawPage, ShardId, StreamArn, TableName, Timestamp};
use crate::upstream::ErrorClass;

use clock_ahead::ClockAhead;
use direct::{DirectPath, Told};
use renewing_client::{RenewingClient, Ways};

pub use connect::{AwsOptions, ConnectError};
pub use identity::caller_identity;
pub use sdk_parser::read_page;

/// DynamoDB Streams reached through the AWS SDK: AWS itself, or an endpoint that stands in for it.
#[derive(Clone, Debug)]
pub struct AwsUpstream {
    clients: RenewingClient,
    traits: UpstreamTraits,
    ahead: ClockAhead,
}

impl AwsUpstream {
    /// Finds credentials, region and endpoint as every AWS SDK does, except where `options` sets
    /// them. Sends no request yet, except those of the credential and region chain itself (instance
    /// metadata, where nothing better is configured).
    pub async fn connect(options: AwsOptions) -> Result<Self, ConnectError> {
        let (client, traits) = connect::connect(&options).await?;
        Ok(Self {
            clients: RenewingClient::new(client, options),
            traits,
            ahead: ClockAhead::default(),
        })
    }

    /// GetShardIterator; the time is the response's `Date`, by AWS's clock.
    async fn iterator(
        &self,
        stream: &StreamArn,
        shard: &ShardId,
        start: IteratorStart,
    ) -> (Result<Option<String>, UpstreamError>, Option<Timestamp>) {
        let (kind, number, time) = match start {
            IteratorStart::Latest => (ShardIteratorType::Latest, None, None),
            IteratorStart::Position(Position::TrimHorizon) => {
                (ShardIteratorType::TrimHorizon, None, None)
            }
            IteratorStart::Position(Position::AtSequenceNumber(number)) => {
                (ShardIteratorType::AtSequenceNumber, Some(number), None)
            }
            IteratorStart::Position(Position::AfterSequenceNumber(number)) => {
                (ShardIteratorType::AfterSequenceNumber, Some(number), None)
            }
            IteratorStart::Position(Position::AtTimestamp(time)) => {
                (ShardIteratorType::AtTimestamp, None, Some(time.floor()))
            }
        };
        let date = intercept::AnswerDate::default();
        let answer = self.clients.call(Operation::GetShardIterator, |Ways { client, .. }| {
            let call =
                client.get_shard_iterator().stream_arn(stream.as_str()).shard_id(shard.as_str());
            let call = call.shard_iterator_type(kind.clone());
            let call = call.set_sequence_number(number.map(|number| number.as_str().to_owned()));
            let call = call.set_timestamp(time.map(|time| DateTime::from_secs(time.seconds())));
            call.customize().interceptor(date.clone()).send()
        });
        let answer = answer.await.map(|answer| answer.shard_iterator);
        if let Some(date) = date.get() {
            self.ahead.heard(date);
        }
        (answer, date.get())
    }
}

#[async_trait]
impl Upstream for AwsUpstream {
    fn traits(&self) -> UpstreamTraits {
        self.traits.clone()
    }

    async fn list_streams(
        &self,
        table: Option<&TableName>,
        start: Option<&str>,
        limit: u32,
    ) -> Result<StreamsPage, UpstreamError> {
        let operation = Operation::ListStreams;
        let ask = |Ways { client, .. }| {
            let call =
                client.list_streams().set_table_name(table.map(|table| table.as_str().to_owned()));
            let call = call.set_exclusive_start_stream_arn(start.map(str::to_owned));
            call.limit(limit.clamp(1, 100) as i32).send()
        };
        let answer = self.clients.call(operation, ask).await?;
        convert::streams_page(answer).map_err(|what| UpstreamError::nonsense(operation, what))
    }

    async fn describe_stream(
        &self,
        stream: &StreamArn,
        children_of: Option<&ShardId>,
        start: Option<&ShardId>,
    ) -> Result<DescribePage, UpstreamError> {
        let operation = Operation::DescribeStream;
        let filter = children_of.filter(|_| self.traits.child_shards).map(|parent| {
            ShardFilter::builder()
                .r#type(ShardFilterType::ChildShards)
                .shard_id(parent.as_str())
                .build()
        });
        let date = intercept::AnswerDate::default();
        let ask = |Ways { client, .. }| {
            let call = client
                .describe_stream()
                .stream_arn(stream.as_str())
                .set_shard_filter(filter.clone());
            let call =
                call.set_exclusive_start_shard_id(start.map(|shard| shard.as_str().to_owned()));
            call.customize().interceptor(date.clone()).send()
        };
        let answer = self.clients.call(operation, ask).await?;
        if convert::is_of_another(stream, &answer) {
            return Err(classify::replaced(operation));
        }
        let page = convert::describe_page(stream, answer, date.get());
        page.map_err(|what| UpstreamError::nonsense(operation, what))
    }

    async fn shard_iterator(
        &self,
        stream: &StreamArn,
        shard: &ShardId,
        start: IteratorStart,
    ) -> Result<IssuedIterator, UpstreamError> {
        let operation = Operation::GetShardIterator;
        let start = match start {
            IteratorStart::Position(Position::AtTimestamp(_)) if !self.traits.at_timestamp => {
                return Err(classify::not_asked(operation, "AT_TIMESTAMP is not known here"));
            }
            start => self.ahead.clamped(start),
        };
        let (mut answer, mut date) = self.iterator(stream, shard, start).await;
        // AWS refuses times in the future. Where our clock is ahead, the `Date` of its response
        // says by how much.
        let again = self.ahead.clamped(start);
        if again != start && matches!(&answer, Err(error) if error.class == ErrorClass::Invalid) {
            (answer, date) = self.iterator(stream, shard, again).await;
        }
        match answer? {
            Some(iterator) if !iterator.is_empty() => Ok(IssuedIterator { iterator, date }),
            _ => Err(UpstreamError::nonsense(operation, "the answer bears no iterator")),
        }
    }

    async fn records(&self, iterator: &str, limit: u32) -> Result<Fetched, UpstreamError> {
        let operation = Operation::GetRecords;
        let limit = limit.clamp(1, 1_000) as i32;
        let ask = |Ways { client, direct }| async move {
            match direct.get_records(iterator, limit).await {
                Some(told) => told,
                None => get_records(&client, &direct, iterator, limit).await,
            }
        };
        let (body, date) = self
            .clients
            .call(operation, ask)
            .await?
            .ok_or_else(|| UpstreamError::nonsense(operation, "the answer has no body"))?;
        Ok(Fetched::Raw(RawPage { body, date, reread: read_page }))
    }
}

/// GetRecords by way of the SDK. `direct` learns from it.
async fn get_records(client: &Client, direct: &DirectPath, iterator: &str, limit: i32) -> Told {
    let (tap, date) = (body_capture::BodyCapture::default(), intercept::AnswerDate::default());
    let call = client.get_records().shard_iterator(iterator).limit(limit);
    let mut call = call.customize().interceptor(tap.clone()).interceptor(date.clone());
    let lesson = direct.lesson();
    if let Some(lesson) = &lesson {
        call = call.interceptor(lesson.clone());
    }
    call.send().await?;
    if let Some(lesson) = &lesson {
        direct.learn(lesson).await;
    }
    Ok(tap.take().map(|body| (body, date.get())))
}
