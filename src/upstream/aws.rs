//! The AWS SDK behind [`Upstream`]: the only module, with its children, that names `aws_*` crates.
//!
//! One call here is one SDK call: the SDK signs, resolves the endpoint, refreshes credentials and retries. What comes
//! back is turned into model types by [`convert`]; a page that the SDK refuses is read again by [`lenient`]; every
//! failure is given a class by [`classify`].

mod classify;
mod connect;
mod convert;
mod flaw;
mod intercept;
mod lenient;

use async_trait::async_trait;
use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::operation::get_records::GetRecordsError;
use aws_sdk_dynamodbstreams::primitives::DateTime;
use aws_sdk_dynamodbstreams::types::{ShardFilter, ShardFilterType, ShardIteratorType};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;

use super::{DescribePage, IssuedIterator, Operation, Start, StreamsPage};
use super::{Upstream, UpstreamError, UpstreamTraits};
use crate::model::{Page, Place, ShardId, StreamArn, TableName};

pub use connect::{AwsOptions, ConnectError};

/// DynamoDB Streams as the AWS SDK reaches it: AWS itself, or an endpoint that stands in for it.
#[derive(Clone, Debug)]
pub struct AwsUpstream {
    client: Client,
    traits: UpstreamTraits,
}

impl AwsUpstream {
    /// Finds credentials, region and endpoint as every AWS SDK does, but for what `options` says. Calls nothing yet,
    /// but for what the chain itself asks (instance metadata, where there is nothing better).
    pub async fn connect(options: AwsOptions) -> Result<Self, ConnectError> {
        let (client, traits) = connect::connect(options).await?;
        Ok(Self { client, traits })
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
        start: Option<&StreamArn>,
        limit: u32,
    ) -> Result<StreamsPage, UpstreamError> {
        let operation = Operation::ListStreams;
        let answer = self
            .client
            .list_streams()
            .set_table_name(table.map(|table| table.as_str().to_owned()))
            .set_exclusive_start_stream_arn(start.map(|arn| arn.as_str().to_owned()))
            .limit(limit.clamp(1, 100) as i32)
            .send()
            .await
            .map_err(|error| classify::error(operation, &error))?;
        convert::streams_page(answer).map_err(|what| classify::nonsense(operation, what))
    }

    async fn describe_stream(
        &self,
        stream: &StreamArn,
        children_of: Option<&ShardId>,
        start: Option<&ShardId>,
    ) -> Result<DescribePage, UpstreamError> {
        let operation = Operation::DescribeStream;
        let filter = children_of.filter(|_| self.traits.child_shards).map(|parent| {
            ShardFilter::builder().r#type(ShardFilterType::ChildShards).shard_id(parent.as_str()).build()
        });
        let answer = self
            .client
            .describe_stream()
            .stream_arn(stream.as_str())
            .set_shard_filter(filter)
            .set_exclusive_start_shard_id(start.map(|shard| shard.as_str().to_owned()))
            .send()
            .await
            .map_err(|error| classify::error(operation, &error))?;
        if convert::is_of_another(stream, &answer) {
            return Err(classify::replaced(operation));
        }
        convert::describe_page(stream, answer).map_err(|what| classify::nonsense(operation, what))
    }

    async fn shard_iterator(
        &self,
        stream: &StreamArn,
        shard: &ShardId,
        start: Start,
    ) -> Result<IssuedIterator, UpstreamError> {
        let operation = Operation::GetShardIterator;
        let call = self.client.get_shard_iterator().stream_arn(stream.as_str()).shard_id(shard.as_str());
        let call = match start {
            Start::Latest => call.shard_iterator_type(ShardIteratorType::Latest),
            Start::Place(Place::Horizon) => call.shard_iterator_type(ShardIteratorType::TrimHorizon),
            Start::Place(Place::At(number)) => {
                call.shard_iterator_type(ShardIteratorType::AtSequenceNumber).sequence_number(number.as_str())
            }
            Start::Place(Place::After(number)) => {
                call.shard_iterator_type(ShardIteratorType::AfterSequenceNumber).sequence_number(number.as_str())
            }
            Start::Place(Place::Since(time)) if self.traits.at_timestamp => {
                let second = DateTime::from_secs(time.floor().seconds());
                call.shard_iterator_type(ShardIteratorType::AtTimestamp).timestamp(second)
            }
            Start::Place(Place::Since(_)) => {
                return Err(classify::not_asked(operation, "AT_TIMESTAMP is not known here"));
            }
        };
        let date = intercept::AnswerDate::default();
        let answer = call
            .customize()
            .interceptor(date.clone())
            .send()
            .await
            .map_err(|error| classify::error(operation, &error))?;
        match answer.shard_iterator {
            Some(iterator) if !iterator.is_empty() => Ok(IssuedIterator { iterator, date: date.get() }),
            _ => Err(classify::nonsense(operation, "the answer bears no iterator")),
        }
    }

    async fn records(&self, iterator: &str, limit: u32) -> Result<Page, UpstreamError> {
        let operation = Operation::GetRecords;
        let call = self.client.get_records().shard_iterator(iterator).limit(limit.clamp(1, 1_000) as i32);
        let page = match call.send().await {
            Ok(answer) => convert::page(answer),
            Err(error) => match refused_page(&error) {
                Some(body) => lenient::page(body),
                None => return Err(classify::error(operation, &error)),
            },
        };
        page.map_err(|what| classify::nonsense(operation, what))
    }
}

/// The body of an answer that came whole and said success, but that the SDK could not read.
fn refused_page(error: &SdkError<GetRecordsError, HttpResponse>) -> Option<&[u8]> {
    match error {
        SdkError::ServiceError(refused) if refused.raw().status().is_success() => refused.raw().body().bytes(),
        _ => None,
    }
}
