//! The client: how it is made, and calls that are answered once.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::backoff::{Backoff, Timing};
use crate::connect::{
    Channels, Connections, Credentials, Hooks, NoHooks, Sent, Tls, channels, refuse_unprotected,
};
use crate::error::Error;
use crate::following::{Policy, Source, Start, open_start, shard_start, unreadable_policy};
use crate::record::{Batch, Record};
use crate::session::Session;
use crate::subscription::SubscriptionBuilder;
use crate::v1::{
    self, get_records_request, server_service_client::ServerServiceClient,
    shard_service_client::ShardServiceClient, stream_service_client::StreamServiceClient,
};
use crate::watch::ShardWatch;

/// How long a call that is answered once may take. Listings of large streams wait at AWS.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How long a seek may take: it may read a whole shard.
pub(crate) const SEEK_TIMEOUT: Duration = Duration::from_secs(300);

/// The largest message that is taken, in bytes.
pub(crate) const LARGEST: usize = 32 << 20;

/// A server, over as many connections as its streams need. A cheap clone.
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) connections: Connections,
    pub(crate) timing: Timing,
    pub(crate) hooks: Box<dyn Hooks>,
}

/// How a [`Client`] is made.
#[must_use]
pub struct ClientBuilder {
    target: String,
    tls: Option<Tls>,
    credentials: Option<Credentials>,
    timing: Timing,
    hooks: Box<dyn Hooks>,
    streams: usize,
    channels: Option<Box<Channels>>,
}

impl ClientBuilder {
    /// Connects by TLS.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Says who calls. Without TLS it is said to this machine only.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// How long the client waits.
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// What metrics and tracing want to know.
    pub fn hooks(mut self, hooks: impl Hooks + 'static) -> Self {
        self.hooks = Box::new(hooks);
        self
    }

    /// A server takes 100 calls on a connection; past this many streams (90) another is opened.
    pub fn streams_per_connection(mut self, streams: usize) -> Self {
        self.streams = streams.max(1);
        self
    }

    /// Makes each connection by `make` instead: to a Unix socket, say, or by TLS of one's own. The
    /// target then only says whether credentials would travel unprotected.
    pub fn channels(mut self, make: impl Fn() -> Channel + Send + Sync + 'static) -> Self {
        self.channels = Some(Box::new(move || Ok(make())));
        self
    }

    /// The client. It connects when it is first used.
    ///
    /// # Errors
    /// When the target is no URL, or credentials would travel unprotected.
    pub fn build(self) -> Result<Client, Error> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let url = match self.target.contains("://") {
            true => self.target,
            false => format!("{scheme}://{}", self.target),
        };
        let uri: Uri = url.parse().map_err(|error| Error::local(format!("{url}: {error}")))?;
        if self.tls.is_some() && uri.scheme_str() != Some("https") {
            return Err(Error::local(format!("{uri}: TLS needs https")));
        }
        let tls = self.tls.or_else(|| (uri.scheme_str() == Some("https")).then(Tls::new));
        refuse_unprotected(&uri, tls.as_ref(), self.credentials.as_ref())?;
        let make = match self.channels {
            Some(make) => make,
            None => channels(uri, tls)?,
        };
        let connections = Connections::new(make, self.credentials, self.streams);
        let (timing, hooks) = (self.timing, self.hooks);
        Ok(Client { shared: Arc::new(Shared { connections, timing, hooks }) })
    }
}

impl Client {
    /// A client of the server at `target`: `host:port`, or a URL with `http` or `https`.
    ///
    /// # Errors
    /// When the target is no URL.
    pub fn new(target: impl Into<String>) -> Result<Self, Error> {
        Self::builder(target).build()
    }

    /// A client with TLS, credentials, or settings of its own.
    pub fn builder(target: impl Into<String>) -> ClientBuilder {
        ClientBuilder {
            target: target.into(),
            tls: None,
            credentials: None,
            timing: Timing::default(),
            hooks: Box::new(NoHooks),
            streams: 90,
            channels: None,
        }
    }

    /// Every record of a stream, by its table's name or its ARN (empty where a token as the start
    /// names it); goes on by itself when the connection breaks.
    pub fn subscribe(&self, stream: impl Into<String>) -> SubscriptionBuilder {
        SubscriptionBuilder::new(self, Source::Stream(stream.into()))
    }

    /// The records of one shard, as [`Self::subscribe`] gives those of a stream.
    pub fn stream_shard(&self, stream: &str, shard_id: &str) -> SubscriptionBuilder {
        SubscriptionBuilder::new(self, Source::Shard(shard_name(stream, shard_id)))
    }

    /// The server's version, upstream, limits and defaults.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn server_info(&self) -> Result<v1::GetServerInfoResponse, Error> {
        let request = v1::GetServerInfoRequest::default();
        self.unary("ServerService/GetServerInfo", TIMEOUT, request, |channel, request| async {
            ServerServiceClient::new(channel).get_server_info(request).await
        })
        .await
    }

    /// The streams of one table, or all where its name is empty.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn list_streams(&self, table: &str) -> Result<Vec<v1::StreamSummary>, Error> {
        let mut request =
            v1::ListStreamsRequest { table_name: table.to_owned(), ..Default::default() };
        let mut streams = Vec::new();
        loop {
            let page = self.unary(
                "StreamService/ListStreams",
                TIMEOUT,
                request.clone(),
                |channel, request| async { streams_of(channel).list_streams(request).await },
            );
            let page = page.await?;
            streams.extend(page.streams);
            if page.next_page_token.is_empty() {
                return Ok(streams);
            }
            request.page_token = page.next_page_token;
        }
    }

    /// What a stream is.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn describe_stream(&self, stream: &str) -> Result<v1::StreamDescription, Error> {
        let request = v1::DescribeStreamRequest { stream: stream.to_owned() };
        let answer = self.unary(
            "StreamService/DescribeStream",
            TIMEOUT,
            request,
            |channel, request| async { streams_of(channel).describe_stream(request).await },
        );
        Ok(answer.await?.description.unwrap_or_default())
    }

    /// All shards of a stream.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn list_shards(&self, stream: &str) -> Result<Vec<v1::Shard>, Error> {
        let mut request = v1::ListShardsRequest { stream: stream.to_owned(), ..Default::default() };
        let mut shards = Vec::new();
        loop {
            let page = self.unary(
                "StreamService/ListShards",
                TIMEOUT,
                request.clone(),
                |channel, request| async { streams_of(channel).list_shards(request).await },
            );
            let page = page.await?;
            shards.extend(page.shards);
            if page.next_page_token.is_empty() {
                return Ok(shards);
            }
            request.page_token = page.next_page_token;
        }
    }

    /// A shard's children, and whether there can be more.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn list_children(
        &self,
        stream: &str,
        shard_id: &str,
    ) -> Result<v1::ListChildrenResponse, Error> {
        let target = shard_name(stream, shard_id).map(v1::list_children_request::Target::Shard);
        let request = v1::ListChildrenRequest { target };
        self.unary("ShardService/ListChildren", TIMEOUT, request, |channel, request| async {
            shards_of(channel).list_children(request).await
        })
        .await
    }

    /// A shard and its descendants, each with its depth.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn walk_tree(
        &self,
        stream: &str,
        shard_id: &str,
    ) -> Result<Vec<(i32, v1::Shard)>, Error> {
        let target = shard_name(stream, shard_id).map(v1::walk_tree_request::Target::Shard);
        let request = v1::WalkTreeRequest { target };
        let rows =
            self.unary("ShardService/WalkTree", TIMEOUT, request, |channel, request| async move {
                let mut rows = shards_of(channel).walk_tree(request).await?.into_inner();
                let mut found = VecDeque::new();
                while let Some(row) = rows.message().await? {
                    found.push_back((row.depth, row.shard.unwrap_or_default()));
                }
                Ok(Response::new(found))
            });
        Ok(rows.await?.into())
    }

    /// How far the server has read each shard: all of them first, then each change; goes on by
    /// itself when the connection breaks.
    pub fn watch_shards(&self, stream: &str) -> ShardWatch {
        ShardWatch::new(self.clone(), stream)
    }

    /// One read of a shard without a session; a start at `batch.token` reads on.
    ///
    /// # Errors
    /// Those of any call; records that are gone, with the token behind them.
    pub async fn get_records(
        &self,
        stream: &str,
        shard_id: &str,
        start: Start,
        read: Read,
    ) -> Result<Batch, Error> {
        let shard = shard_name(stream, shard_id);
        let start = v1::ShardStart { shard, start: shard_start(&start) };
        self.read(get_records_request::Source::Start(start), read).await
    }

    /// A session: a cursor on one shard that the server keeps under a lease. `None` opens it
    /// without a position.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn open_shard(
        &self,
        stream: &str,
        shard_id: &str,
        start: Option<Start>,
    ) -> Result<Session, Error> {
        let start = start.as_ref().and_then(open_start);
        let shard = shard_name(stream, shard_id);
        let request = v1::OpenShardRequest { shard, start, lease_duration: None };
        let answer =
            self.unary("ShardService/OpenShard", TIMEOUT, request, |channel, request| async {
                shards_of(channel).open_shard(request).await
            });
        Ok(Session::new(self.clone(), answer.await?.session.unwrap_or_default()))
    }

    pub(crate) async fn read(
        &self,
        source: get_records_request::Source,
        read: Read,
    ) -> Result<Batch, Error> {
        let timeout = TIMEOUT + read.wait;
        let request = v1::GetRecordsRequest {
            // A read whose answer was lost is repeated by its id, and moves nothing twice.
            request_id: request_id()?,
            source: Some(source),
            wait: prost_types::Duration::try_from(read.wait).ok(),
            unreadable_policy: unreadable_policy(read.on_unreadable).into(),
            max_records: read.max_records,
            max_bytes: read.max_bytes,
        };
        let answer =
            self.unary("ShardService/GetRecords", timeout, request, |channel, request| async {
                shards_of(channel).get_records(request).await
            });
        let answer = answer.await?;
        let shard_id = answer.session.map(|session| session.shard_id).unwrap_or_default();
        Ok(Batch {
            records: records(answer.records, &shard_id),
            token: answer.token,
            exhausted: answer.exhausted,
            at_tip: answer.at_tip,
            unreadable: answer.unreadable,
        })
    }

    /// One call, made again while its time lasts where that may help: a failed call has moved
    /// nothing.
    pub(crate) async fn unary<Q, A, F>(
        &self,
        method: &str,
        time: Duration,
        message: Q,
        call: impl Fn(Channel, Request<Q>) -> F,
    ) -> Result<A, Error>
    where
        Q: Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let deadline = Instant::now() + time;
        let Shared { connections, timing, hooks } = &*self.shared;
        let mut backoff = Backoff::new(*timing, Instant::now());
        let mut renewed = false;
        loop {
            let mut sent = Sent { connection: connections.any()?, caller: None };
            let channel = sent.connection.channel.clone();
            let answer = async {
                let mut request = self.request(method, &mut sent, message.clone()).await?;
                request.set_timeout(deadline - Instant::now());
                Ok::<_, Error>(call(channel, request).await)
            };
            let error = match timeout_at(deadline, answer).await {
                Ok(answer) => match answer? {
                    Ok(answer) => return Ok(answer.into_inner()),
                    Err(status) => Error::of(&status, None),
                },
                Err(_) => Error::overdue(),
            };
            connections.retire(&sent.connection, &error);
            if connections.renews(&sent, &error, &mut renewed) {
                continue;
            }
            let now = Instant::now();
            let (pause, error) = backoff.pause(error, now)?;
            if now + pause >= deadline {
                return Err(error);
            }
            tracing::info!(?pause, %error, "again");
            hooks.resume(&error, pause);
            sleep(pause).await;
        }
    }

    /// A request of `method`; notes in `sent` who it says calls.
    pub(crate) async fn request<Q>(
        &self,
        method: &str,
        sent: &mut Sent,
        message: Q,
    ) -> Result<Request<Q>, Error> {
        let Shared { connections, hooks, .. } = &*self.shared;
        let path = format!("/shardstream.v1.{method}");
        let metadata = connections.metadata(&**hooks, &path).await?;
        sent.caller = metadata.get("authorization").cloned();
        Ok(Request::from_parts(metadata, tonic::Extensions::default(), message))
    }
}

/// How to read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Read {
    /// How long the server may wait for records when there are none yet.
    pub wait: Duration,
    /// What to do about records that cannot be read.
    pub on_unreadable: Policy,
    /// The most records; 0 for the server's default.
    pub max_records: i32,
    /// The most bytes; 0 for the server's default.
    pub max_bytes: i32,
}

pub(crate) fn records(raw: Vec<v1::ChangeRecord>, shard_id: &str) -> Vec<Record> {
    raw.into_iter().map(|record| Record::new(record, shard_id)).collect()
}

pub(crate) fn streams_of(channel: Channel) -> StreamServiceClient<Channel> {
    StreamServiceClient::new(channel).max_decoding_message_size(LARGEST)
}

pub(crate) fn shards_of(channel: Channel) -> ShardServiceClient<Channel> {
    ShardServiceClient::new(channel).max_decoding_message_size(LARGEST)
}

/// None where a token names the shard.
fn shard_name(stream: &str, shard_id: &str) -> Option<v1::ShardName> {
    let (stream, shard_id) = (stream.to_owned(), shard_id.to_owned());
    (!shard_id.is_empty()).then_some(v1::ShardName { stream, shard_id })
}

fn request_id() -> Result<String, Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(Error::local)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}
