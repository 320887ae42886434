//! `StreamService`: lists streams and shards, and opens subscriptions and shard watches.

mod subscribe;
mod watch_shards;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::stream::BoxStream;
use tonic::{Request, Response, Status};

use crate::hub::discovery::Paging;
use crate::model::{ShardId, StreamArn, TableName};
use crate::pb;
use crate::upstream::{Operation, UpstreamError};

use super::context::{Context, SharedContext};
use super::encoded;
use super::error::CallError;
use super::generated::stream_service_server::StreamService;
use super::request;
use super::wire;

/// The largest and the default `page_size`, in rows.
pub const PAGE_SIZE: usize = 100;

/// The implementation of `StreamService`.
#[derive(Clone, Debug)]
pub struct StreamApi {
    context: SharedContext,
}

impl StreamApi {
    /// A service over the shared `context`.
    pub fn new(context: Context) -> Self {
        Self { context: SharedContext::new(context) }
    }

    async fn list(
        context: &Context,
        request: pb::ListStreamsRequest,
    ) -> Result<pb::ListStreamsResponse, CallError> {
        context.admit()?;
        let table = request::table(&request.table_name)?;
        context.permission().map_or(Ok(()), |permit| permit.may_take_it_anywhere())?;
        let size = request::size(request.page_size.into(), "page_size", PAGE_SIZE, 1, PAGE_SIZE)?;
        let walk = format!("streams of {}", request.table_name);
        let start = page_token(&request.page_token, &walk, |text| Some(text.to_owned()))?;
        let (told, next) = rows(context, table.as_ref(), start, size).await?;
        let next_page_token = next.map(|next| encode_page_token(&walk, &next)).unwrap_or_default();
        let streams = told.iter().map(wire::stream_summary).collect();
        Ok(pb::ListStreamsResponse { streams, next_page_token })
    }

    async fn describe(
        context: &Context,
        request: pb::DescribeStreamRequest,
    ) -> Result<pb::DescribeStreamResponse, CallError> {
        context.admit()?;
        let stream = context.stream(&request::stream(&request.stream)?).await?;
        let description = context.hub.listings().describe(&stream).await?;
        Ok(pb::DescribeStreamResponse { description: Some(wire::description(&description)) })
    }

    async fn shards(
        context: &Context,
        request: pb::ListShardsRequest,
    ) -> Result<pb::ListShardsResponse, CallError> {
        context.admit()?;
        let stream = request::stream(&request.stream)?;
        let size = request::size(request.page_size.into(), "page_size", PAGE_SIZE, 1, PAGE_SIZE)?;
        let listings = context.hub.listings();
        let stream = context.stream(&stream).await?;
        let walk = format!("shards of {stream}");
        let after = page_token(&request.page_token, &walk, |text| ShardId::parse(text).ok())?;
        let listing = match after {
            Some(_) => listings.same_listing(&stream).await?,
            None => listings.listing(&stream).await?,
        };
        let first =
            after.map_or(0, |after| listing.shards.partition_point(|shard| shard.id <= after));
        let more = listing.shards.len() - first > size;
        let shards = &listing.shards[first..listing.shards.len().min(first + size)];
        let last =
            shards.last().filter(|_| more).map(|shard| encode_page_token(&walk, shard.id.as_str()));
        let shards = shards.iter().map(|shard| wire::shard(stream.arn(), shard)).collect();
        let shards_not_understood = wire::count(listing.unreadable);
        Ok(pb::ListShardsResponse {
            shards,
            next_page_token: last.unwrap_or_default(),
            shards_not_understood,
        })
    }
}

#[tonic::async_trait]
impl StreamService for StreamApi {
    type SubscribeStream = BoxStream<'static, Result<encoded::SubscribeResponse, Status>>;
    type WatchShardsStream = BoxStream<'static, Result<pb::WatchShardsResponse, Status>>;

    async fn subscribe(
        &self,
        request: Request<pb::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let by = request::answer_by(request.metadata(), request.extensions());
        let context = self.context.of(request.extensions());
        let request = request.into_inner();
        Ok(context.unless_draining(subscribe::open(&context, by, request)).await?.answer())
    }

    async fn watch_shards(
        &self,
        request: Request<pb::WatchShardsRequest>,
    ) -> Result<Response<Self::WatchShardsStream>, Status> {
        let by = request::answer_by(request.metadata(), request.extensions());
        let context = self.context.of(request.extensions());
        let request = request.into_inner();
        Ok(context.unless_draining(watch_shards::open(&context, by, request)).await?.answer())
    }

    async fn list_streams(
        &self,
        request: Request<pb::ListStreamsRequest>,
    ) -> Result<Response<pb::ListStreamsResponse>, Status> {
        let context = self.context.of(request.extensions());
        Ok(Response::new(
            context.unless_draining(Self::list(&context, request.into_inner())).await?,
        ))
    }

    async fn describe_stream(
        &self,
        request: Request<pb::DescribeStreamRequest>,
    ) -> Result<Response<pb::DescribeStreamResponse>, Status> {
        let context = self.context.of(request.extensions());
        Ok(Response::new(
            context.unless_draining(Self::describe(&context, request.into_inner())).await?,
        ))
    }

    async fn list_shards(
        &self,
        request: Request<pb::ListShardsRequest>,
    ) -> Result<Response<pb::ListShardsResponse>, Status> {
        let context = self.context.of(request.extensions());
        Ok(Response::new(
            context.unless_draining(Self::shards(&context, request.into_inner())).await?,
        ))
    }
}

/// The rows of one page that begins after `start`, at most `size`, and what the next page begins
/// after; `None`: there is none. Whatever the caller may not list is left out, so that the upstream
/// is asked on until there is a row to tell.
async fn rows(
    context: &Context,
    table: Option<&TableName>,
    start: Option<String>,
    size: usize,
) -> Result<(Vec<StreamArn>, Option<String>), CallError> {
    // Some emulators list the streams of all tables, whichever table was requested.
    let asked = |arn: &StreamArn| table.is_none_or(|table| arn.is_of(table));
    let may_be_told = |arn: &StreamArn| asked(arn) && context.hub.may_reach(arn).is_ok();
    let (listings, mut paging) = (context.hub.listings(), Paging::default());
    let (mut told, mut from, mut limit) = (Vec::new(), start, size);
    loop {
        let page = listings.list_streams(table, from.as_deref(), limit as u32).await?;
        let mut arns: Vec<_> = page.streams.into_iter().map(|stream| stream.arn).collect();
        // Some return all rows from the first one, whatever was requested.
        if let Some(at) = arns.iter().position(|arn| Some(arn.as_str()) == from.as_deref()) {
            arns.drain(..=at);
        }
        let count = arns.len();
        let mut rest = arns.into_iter().filter(may_be_told);
        told.extend(rest.by_ref().take(size));
        // The last row that was told, and none that was left out: anybody can read a page token.
        let last_told = told.last().map(ToString::to_string);
        if rest.next().is_some() {
            return Ok((told, last_told));
        }
        let next = paging.next(count, page.last_evaluated).map_err(|error| {
            CallError::Upstream(UpstreamError::nonsense(Operation::ListStreams, &error.to_string()))
        })?;
        let Some(last) = next else { return Ok((told, None)) };
        // AWS goes on after a stream's name, Alternator after a mark that names none.
        let is_name = StreamArn::parse(&last).is_ok();
        if last_told.is_some() {
            return Ok((told, if is_name { last_told } else { Some(last) }));
        }
        // More rows than are told can only be gone on from by a name.
        limit = if is_name { PAGE_SIZE } else { size };
        from = Some(last);
    }
}

/// A page token: the last row's name, with a checksum over it and over what is listed, so that a
/// damaged token or one of another listing is refused.
fn encode_page_token(walk: &str, last: &str) -> String {
    let sum = page_sum(walk, last.as_bytes());
    URL_SAFE_NO_PAD.encode([&sum[..], last.as_bytes()].concat())
}

fn page_sum(walk: &str, last: &[u8]) -> [u8; 4] {
    let mut sum = crc32fast::Hasher::new();
    // Names have no zero byte, so it separates `walk` and `last` unambiguously.
    for part in [walk.as_bytes(), &[0], last] {
        sum.update(part);
    }
    sum.finalize().to_be_bytes()
}

fn page_token<T>(
    text: &str,
    walk: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, CallError> {
    if text.is_empty() {
        return Ok(None);
    }
    let read = || {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (sum, name) = bytes.split_first_chunk::<4>()?;
        let whole = page_sum(walk, name) == *sum;
        whole.then(|| std::str::from_utf8(name).ok().and_then(&parse)).flatten()
    };
    let refuse = || {
        CallError::Malformed(
            "TOKEN_MALFORMED",
            "page_token",
            "not a page token of this call".into(),
        )
    };
    read().map(Some).ok_or_else(refuse)
}
