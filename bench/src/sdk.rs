//! The plain loop of the AWS SDK for Rust: what a program without this server would do.

use std::time::Duration;

use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodbstreams::operation::get_records::GetRecordsOutput;
use aws_sdk_dynamodbstreams::types::ShardIteratorType;
use futures::future::try_join_all;
use tokio::time::{Instant, MissedTickBehavior};

use super::clock::monotonic;
use super::order::Rising;
use super::plan::{Reader, Told};

/// How long a loop that waits for a page rests after an empty answer.
const REST: Duration = Duration::from_millis(2);

/// An SDK client of the upstream, and what it reads.
#[derive(Debug)]
pub struct SdkReader {
    client: Client,
    plan: Reader,
}

impl SdkReader {
    /// With credentials that mean nothing.
    pub fn new(plan: &Reader) -> Self {
        let config = aws_sdk_dynamodbstreams::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .endpoint_url(&plan.upstream)
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("nobody", "nothing", None, None, "made up"));
        Self { client: Client::from_conf(config.build()), plan: plan.clone() }
    }

    /// Connects, and reads a little.
    pub async fn warm_up(&self) -> anyhow::Result<()> {
        self.shard(&self.plan.warm_shard, self.plan.warm_records).await.map(drop)
    }

    /// Reads all shards, one after another.
    pub async fn read(&self) -> anyhow::Result<Told> {
        let mut records = 0;
        for shard in &self.plan.shards {
            records +=
                self.shard(shard, self.plan.shard_records.min(self.plan.records - records)).await?;
        }
        Ok(Told { records, pages: vec![] })
    }

    /// Reads the first shard as its pages come, and notes when each was returned.
    pub async fn pages(&self) -> anyhow::Result<Told> {
        let (mut order, mut pages) = (Rising::default(), vec![]);
        let mut next = Some(self.iterator(&self.plan.shards[0]).await?);
        while let Some(iterator) = next.filter(|_| order.seen() < self.plan.records) {
            let page = self.get(iterator).await?;
            if page.records().is_empty() {
                tokio::time::sleep(REST).await;
            } else {
                pages.push(monotonic());
            }
            note(&page, &mut order)?;
            next = page.next_shard_iterator;
        }
        Ok(Told { records: order.seen(), pages })
    }

    /// Asks for an iterator of every shard and looks there once, as the server has when its
    /// measured time begins.
    pub async fn placed(&self) -> anyhow::Result<Vec<String>> {
        let placing = self.plan.shards.iter().map(|shard| async move {
            let (_, next) = self.poll(self.iterator(shard).await?).await?;
            Ok::<_, anyhow::Error>(next)
        });
        try_join_all(placing).await
    }

    /// Looks at every shard each `pause`, spread evenly, for `time`.
    pub async fn follow(&self, placed: Vec<String>) -> anyhow::Result<Told> {
        let (pause, time) =
            (Duration::from_millis(self.plan.pause), Duration::from_millis(self.plan.time));
        let (begin, shards) = (Instant::now(), self.plan.shards.len() as u32);
        let loops = placed.into_iter().zip(0..).map(|(mut iterator, at)| async move {
            let mut ticks = tokio::time::interval_at(begin + pause * at / shards, pause);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut records = 0;
            while begin.elapsed() < time {
                ticks.tick().await;
                let (seen, next) = self.poll(iterator).await?;
                (records, iterator) = (records + seen, next);
            }
            Ok::<_, anyhow::Error>(records)
        });
        Ok(Told { records: try_join_all(loops).await?.iter().sum(), pages: vec![] })
    }

    /// Reads the shard's first `records`, in whole pages; says how many came.
    async fn shard(&self, shard: &str, records: usize) -> anyhow::Result<usize> {
        let mut order = Rising::default();
        let mut next = if records == 0 { None } else { Some(self.iterator(shard).await?) };
        while let Some(iterator) = next.filter(|_| order.seen() < records) {
            let page = self.get(iterator).await?;
            note(&page, &mut order)?;
            next = page.next_shard_iterator;
        }
        Ok(order.seen())
    }

    /// A look at a shard that stays open.
    async fn poll(&self, iterator: String) -> anyhow::Result<(usize, String)> {
        let page = self.get(iterator).await?;
        let records = page.records().len();
        Ok((
            records,
            page.next_shard_iterator.ok_or_else(|| anyhow::anyhow!("an idle shard ended"))?,
        ))
    }

    async fn iterator(&self, shard: &str) -> anyhow::Result<String> {
        let call = self.client.get_shard_iterator().stream_arn(&self.plan.stream).shard_id(shard);
        let answer = call.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await?;
        answer.shard_iterator.ok_or_else(|| anyhow::anyhow!("no iterator"))
    }

    async fn get(&self, iterator: String) -> anyhow::Result<GetRecordsOutput> {
        Ok(self.client.get_records().shard_iterator(iterator).send().await?)
    }
}

fn note(page: &GetRecordsOutput, order: &mut Rising) -> anyhow::Result<()> {
    for record in page.records() {
        order.note(
            record.dynamodb().and_then(|change| change.sequence_number()).unwrap_or_default(),
        )?;
    }
    Ok(())
}
