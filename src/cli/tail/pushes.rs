//! One response stream of a shard or of a whole stream, with messages of the same type.

use tonic::{Response, Status, Streaming};

use super::bookmark::Bookmark;
use super::following::{Followed, Following};
use crate::cli::client::Client;
use crate::pb::{StreamRecordsResponse, SubscribeResponse};

/// An open response stream.
pub(super) enum Pushes {
    /// Of one shard.
    Shard(Streaming<StreamRecordsResponse>),
    /// Of a whole stream.
    Stream(Streaming<SubscribeResponse>),
}

impl Pushes {
    /// Opens a response stream that continues from `bookmark` after `printed` records; returns the
    /// server's `Date`, too.
    pub(super) async fn open(
        client: &mut Client,
        following: &Following,
        bookmark: &Bookmark,
        printed: u64,
    ) -> Result<(Self, Option<String>), Status> {
        match &following.followed {
            Followed::Shard(shard) => {
                let request = following.stream_records(shard.clone(), bookmark, printed);
                Ok(dated(client.shards.stream_records(request).await?, Self::Shard))
            }
            Followed::Stream { name, order } => {
                let request = following.subscribe(name, *order, bookmark, printed);
                Ok(dated(client.streams.subscribe(request).await?, Self::Stream))
            }
        }
    }

    /// The next message. Cancel-safe: a message is taken from the stream whole or not at all.
    pub(super) async fn next(&mut self) -> Result<Option<SubscribeResponse>, Status> {
        match self {
            Self::Shard(stream) => Ok(stream.message().await?.map(SubscribeResponse::from)),
            Self::Stream(stream) => stream.message().await,
        }
    }
}

fn dated<T>(
    answer: Response<Streaming<T>>,
    pushes: fn(Streaming<T>) -> Pushes,
) -> (Pushes, Option<String>) {
    let date = answer.metadata().get("date").and_then(|date| date.to_str().ok()).map(str::to_owned);
    (pushes(answer.into_inner()), date)
}
