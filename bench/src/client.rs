//! gRPC clients of the server: one or many, decoding or not.

mod raw;

use std::time::Duration;

use anyhow::Context;
use futures::future::try_join_all;
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Streaming};

use super::clock::monotonic;
use super::order::Rising;
use super::plan::{Manner, Reader, Told};
use raw::{RawCodec, RawMessage};
use shardstream::pb::{self, shard_service_client::ShardServiceClient};

/// The largest message that is taken.
const MAX_MESSAGE: usize = 4 << 20;

/// Streams that each of the subscribers of a plan may open over its connections, and what they
/// read.
#[derive(Debug)]
pub struct GrpcReader {
    channels: Vec<Channel>,
    plan: Reader,
}

impl GrpcReader {
    /// Opens the connections.
    pub async fn connect(plan: &Reader) -> anyhow::Result<Self> {
        let mut endpoint = Endpoint::from_shared(plan.server.clone())?.tcp_nodelay(true);
        if plan.large_frames {
            endpoint = endpoint
                .max_frame_size(1 << 20)
                .initial_stream_window_size(1 << 20)
                .initial_connection_window_size(2 << 20);
        }
        let mut channels = vec![];
        for _ in 0..plan.connections.max(1) {
            channels.push(endpoint.connect().await?);
        }
        Ok(Self { channels, plan: plan.clone() })
    }

    /// Reads a little.
    pub async fn warm_up(&self) -> anyhow::Result<()> {
        let Reader { warm_shard, warm_records, .. } = &self.plan;
        if *warm_records == 0 {
            return Ok(());
        }
        let read = self
            .channels
            .iter()
            .map(|channel| self.shard(channel.clone(), warm_shard, *warm_records));
        try_join_all(read).await.map(drop)
    }

    /// Reads all shards, one after another, so many times at once as there are subscribers.
    pub async fn read(&self) -> anyhow::Result<Told> {
        let channels = self.channels.iter().cycle().take(self.plan.subscribers);
        let read = channels.map(|channel| async move {
            let mut records = 0;
            for shard in &self.plan.shards {
                let wanted = self.plan.shard_records.min(self.plan.records - records);
                records +=
                    if wanted > 0 { self.shard(channel.clone(), shard, wanted).await? } else { 0 };
            }
            Ok::<_, anyhow::Error>(records)
        });
        Ok(Told { records: try_join_all(read).await?.iter().sum(), pages: vec![] })
    }

    /// Reads the first shard as its pages come, and notes when each is there to its last record.
    pub async fn pages(&self) -> anyhow::Result<Told> {
        let mut stream = self
            .raw_shard(self.channels[0].clone(), &self.plan.shards[0], self.plan.records)
            .await?;
        let (mut records, mut pages) = (0, vec![]);
        while let Some(message) = stream.message().await? {
            let now = monotonic();
            records += message.records()?;
            pages.extend((pages.len()..records / self.plan.page_records).map(|_| now));
        }
        Ok(Told { records, pages })
    }

    /// Follows the whole stream, all shards at once, until all records have come.
    pub async fn whole(&self) -> anyhow::Result<Told> {
        let request = self.subscription(self.plan.records);
        let mut stream = self.raw(self.channels[0].clone(), SUBSCRIBE, request).await?;
        let mut records = 0;
        while let Some(message) = stream.message().await? {
            records += message.records()?;
        }
        Ok(Told { records, pages: vec![] })
    }

    /// Subscribes to the whole stream, and waits until every shard is followed and known to be
    /// empty.
    pub async fn followed(&self) -> anyhow::Result<Following> {
        let mut stream =
            self.raw(self.channels[0].clone(), SUBSCRIBE, self.subscription(0)).await?;
        let mut begun = 0;
        while begun < self.plan.shards.len() {
            let message = stream.message().await?.context("the subscription ended")?;
            begun += usize::from(message.begins_a_shard()?);
        }
        Ok(Following { stream, time: Duration::from_millis(self.plan.time) })
    }

    fn subscription(&self, records: usize) -> pb::SubscribeRequest {
        pb::SubscribeRequest {
            stream: self.plan.stream.clone(),
            start: Some(pb::subscribe_request::Start::Position(horizon())),
            until: until(records),
            ..Default::default()
        }
    }

    async fn shard(&self, channel: Channel, shard: &str, records: usize) -> anyhow::Result<usize> {
        if self.plan.manner == Manner::Decoded {
            return self.decoded(channel, shard, records).await;
        }
        let mut stream = self.raw_shard(channel, shard, records).await?;
        let mut seen = 0;
        while let Some(message) = stream.message().await? {
            seen += message.records()?;
        }
        Ok(seen)
    }

    async fn decoded(
        &self,
        channel: Channel,
        shard: &str,
        records: usize,
    ) -> anyhow::Result<usize> {
        let mut client = ShardServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
        let mut stream = client.stream_records(self.request(shard, records)).await?.into_inner();
        let mut order = Rising::default();
        while let Some(message) = stream.message().await? {
            for record in &message.records {
                order.note(record.meta.as_ref().map_or("", |meta| &meta.sequence_number))?;
            }
        }
        Ok(order.seen())
    }

    async fn raw_shard(
        &self,
        channel: Channel,
        shard: &str,
        records: usize,
    ) -> anyhow::Result<Streaming<RawMessage>> {
        self.raw(channel, STREAM_RECORDS, self.request(shard, records)).await
    }

    async fn raw<T: prost::Message + 'static>(
        &self,
        channel: Channel,
        path: &'static str,
        request: T,
    ) -> anyhow::Result<Streaming<RawMessage>> {
        let mut client = Grpc::new(channel).max_decoding_message_size(MAX_MESSAGE);
        client.ready().await?;
        let codec = RawCodec::default();
        let answer = client
            .server_streaming(Request::new(request), PathAndQuery::from_static(path), codec)
            .await?;
        Ok(answer.into_inner())
    }

    fn request(&self, shard: &str, records: usize) -> pb::StreamRecordsRequest {
        let shard = pb::ShardName { stream: self.plan.stream.clone(), shard_id: shard.to_owned() };
        let start = pb::ShardStart {
            shard: Some(shard),
            start: Some(pb::shard_start::Start::Position(horizon())),
        };
        pb::StreamRecordsRequest {
            source: Some(pb::stream_records_request::Source::Start(start)),
            until: until(records),
            ..Default::default()
        }
    }
}

const STREAM_RECORDS: &str = "/shardstream.v1.ShardService/StreamRecords";
const SUBSCRIBE: &str = "/shardstream.v1.StreamService/Subscribe";

/// A whole stream that is being followed.
#[derive(Debug)]
pub struct Following {
    stream: Streaming<RawMessage>,
    time: Duration,
}

impl Following {
    /// Follows for the plan's `time`. The records that came: none, where all is idle.
    pub async fn go_on(mut self) -> anyhow::Result<Told> {
        let mut records = 0;
        let follow = async {
            while let Some(message) = self.stream.message().await? {
                records += message.records()?;
            }
            anyhow::bail!("the subscription ended")
        };
        match tokio::time::timeout(self.time, follow).await {
            Ok(ended) => ended,
            Err(_) => Ok(Told { records, pages: vec![] }),
        }
    }
}

fn horizon() -> pb::Position {
    pb::Position { iterator_type: pb::IteratorType::TrimHorizon.into(), ..Default::default() }
}

/// Without records there is no end.
fn until(records: usize) -> Option<pb::Until> {
    (records > 0).then(|| pb::Until { record_count: records as i64, ..Default::default() })
}
