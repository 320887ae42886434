//! The connection to a server, and the calls that take more than one request.

use std::time::Duration;

use http::Uri;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

use super::failure::{Failure, Result};
use super::status::root;
use crate::exit::Exit;
use crate::pb::{
    self, server_service_client::ServerServiceClient, shard_service_client::ShardServiceClient,
    stream_service_client::StreamServiceClient,
};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// When an idle connection is pinged, and how long a ping may stay unanswered before the connection
/// is closed.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// The timeout of a call. Listings of large streams wait for their turn at AWS.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The largest response accepted, in bytes: the default of every gRPC library.
const MAX_ANSWER: usize = 4 << 20;

/// The services of one server.
#[derive(Clone, Debug)]
pub struct Client {
    /// Calls about one shard.
    pub shards: ShardServiceClient<Channel>,
    /// Calls about whole streams.
    pub streams: StreamServiceClient<Channel>,
    /// Calls about the server itself.
    pub server: ServerServiceClient<Channel>,
}

/// Connects to the server at `uri`.
pub async fn connect(uri: &Uri) -> Result<Channel> {
    let endpoint = Endpoint::from(uri.clone())
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1)
        .keep_alive_while_idle(true)
        .http2_adaptive_window(true)
        .user_agent(concat!("shardstream-cli/", env!("CARGO_PKG_VERSION")))
        .map_err(|error| Failure::new(Exit::Usage, format!("{uri} cannot be used: {error}")))?;
    endpoint.connect().await.map_err(|error| {
        Failure::new(Exit::Unavailable, format!("no server answers at {uri}: {}", root(&error)))
            .next("start one (`shardstream dev` needs nothing else, `shardstream serve` reads from AWS),")
            .line("      or say where it is with --server URL")
    })
}

impl Client {
    /// The services behind `channel`.
    pub fn new(channel: Channel) -> Self {
        Self {
            shards: ShardServiceClient::new(channel.clone()).max_decoding_message_size(MAX_ANSWER),
            streams: StreamServiceClient::new(channel.clone())
                .max_decoding_message_size(MAX_ANSWER),
            server: ServerServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER),
        }
    }

    /// Every stream, or every stream of one table.
    pub async fn list_streams(&mut self, table_name: &str) -> Result<Vec<pb::StreamSummary>> {
        let mut streams = Vec::new();
        let mut page_token = String::new();
        loop {
            let request =
                pb::ListStreamsRequest { table_name: table_name.into(), page_size: 0, page_token };
            let page = self.streams.list_streams(unary(request)).await?.into_inner();
            streams.extend(page.streams);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(streams);
            }
        }
    }

    /// Every shard of a stream.
    pub async fn list_shards(&mut self, stream: &str) -> Result<Vec<pb::Shard>> {
        let mut shards = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = pb::ListShardsRequest { stream: stream.into(), page_size: 0, page_token };
            let page = self.streams.list_shards(unary(request)).await?.into_inner();
            shards.extend(page.shards);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(shards);
            }
        }
    }

    /// A shard and its descendants.
    pub async fn walk_tree(&mut self, shard: pb::ShardName) -> Result<Vec<pb::Shard>> {
        let request =
            pb::WalkTreeRequest { target: Some(pb::walk_tree_request::Target::Shard(shard)) };
        let mut walk = self.shards.walk_tree(unary(request)).await?.into_inner();
        let mut shards = Vec::new();
        while let Some(step) = walk.message().await? {
            shards.extend(step.shard);
        }
        Ok(shards)
    }
}

/// A request with a timeout of [`ANSWER_TIMEOUT`].
pub fn unary<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(ANSWER_TIMEOUT);
    request
}
