//! Somebody who only wants to read, while others attack.

use std::time::{Duration, Instant};

use shardstream::pb;
use shardstream::pb::server_service_client::ServerServiceClient;
use shardstream::pb::shard_service_client::ShardServiceClient;
use tonic::Streaming;
use tonic::transport::Channel;

use crate::contract::bad_input::fixture::position;
use crate::support::server::in_time;

use super::upstream::number;
use super::{Bed, start, streaming};

/// Small calls for each record that comes.
const CALLS: usize = 10;

/// Follows the shard that grows, and calls a little.
pub struct Bystander<'a> {
    bed: &'a Bed,
    pushed: Streaming<pb::StreamRecordsResponse>,
    /// The place of the next record.
    next: usize,
    info: ServerServiceClient<Channel>,
}

/// What it sees: each the 99th of a hundred.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// The age of a record as it comes.
    pub push: Duration,
    /// How long a small call takes.
    pub small: Duration,
}

impl<'a> Bystander<'a> {
    pub async fn begin(bed: &'a Bed) -> Self {
        let request =
            streaming(start(&bed.upstream.growing(), position(pb::IteratorType::TrimHorizon)));
        let pushed = ShardServiceClient::new(bed.channel().await)
            .stream_records(request)
            .await
            .expect("streams")
            .into_inner();
        let mut bystander =
            Self { bed, pushed, next: 0, info: ServerServiceClient::new(bed.channel().await) };
        // What is old by now says nothing.
        bystander.watch(1).await;
        bystander
    }

    /// Goes on for so many messages with records. Each record must be the next one.
    pub async fn watch(&mut self, messages: usize) -> Figures {
        let (mut ages, mut calls) = (vec![], vec![]);
        while ages.len() < messages {
            let message = in_time("a message", self.pushed.message())
                .await
                .expect("it goes on")
                .expect("no end");
            assert!(
                !matches!(message.event, Some(pb::stream_records_response::Event::Gap(_))),
                "{message:?}"
            );
            let mut numbers = message
                .records
                .iter()
                .map(|record| &record.meta.as_ref().expect("set").sequence_number);
            for found in numbers.clone() {
                assert_eq!(*found, number(self.next), "each record once, in order");
                self.next += 1;
            }
            let Some(last) = numbers.next_back() else { continue };
            ages.push(self.bed.upstream.age(last));
            for _ in 0..CALLS {
                let begun = Instant::now();
                let call = self.info.get_server_info(pb::GetServerInfoRequest {});
                in_time("a small answer", call).await.expect("answered");
                calls.push(begun.elapsed());
            }
        }
        Figures { push: slowest(ages), small: slowest(calls) }
    }
}

/// The 99th of a hundred.
fn slowest(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[(times.len() - 1) * 99 / 100]
}
