//! How far the server has read the shards of a stream.

use std::collections::BTreeSet;

use tokio::time::{Instant, sleep_until};
use tonic::{Status, Streaming};

use crate::backoff::Backoff;
use crate::client::{Client, streams_of};
use crate::connect::Connection;
use crate::error::Error;
use crate::v1::{WatchShardsRequest, WatchShardsResponse};

/// The shards of a stream, as far as the server has read each: all of them first, then each change.
/// It goes on by itself when the connection breaks: then all come again, and those that are gone by
/// then are among the removed. Dropping it closes it at once.
pub struct ShardWatch {
    client: Client,
    stream: String,
    backoff: Backoff,
    watched: Watched,
    open: Option<(Connection, Streaming<WatchShardsResponse>)>,
    /// When to come again after a failure.
    resumes: Option<Instant>,
    renewed: bool,
    ended: bool,
}

impl ShardWatch {
    pub(crate) fn new(client: Client, stream: &str) -> Self {
        let timing = client.shared.timing;
        Self {
            client,
            stream: stream.to_owned(),
            backoff: Backoff::new(timing, timing.patience, Instant::now()),
            watched: Watched::default(),
            open: None,
            resumes: None,
            renewed: false,
            ended: false,
        }
    }

    /// The next message; `None` when the server has no more of them. An error ends the watch.
    ///
    /// Cancel-safe: a message is taken whole or not at all.
    pub async fn next(&mut self) -> Option<Result<WatchShardsResponse, Error>> {
        let next = self.step().await;
        if !matches!(next, Ok(Some(_))) {
            self.ended = true;
            self.open = None;
        }
        next.transpose()
    }

    async fn step(&mut self) -> Result<Option<WatchShardsResponse>, Error> {
        while !self.ended {
            if let Some(when) = self.resumes {
                sleep_until(when).await;
                self.resumes = None;
            }
            match self.receive().await? {
                Ok(None) => break,
                Ok(Some(mut row)) => {
                    self.renewed = false;
                    self.backoff.heard(true, Instant::now());
                    self.watched.take(&mut row);
                    return Ok(Some(row));
                }
                Err((connection, status)) => self.again(&connection, &status)?,
            }
        }
        Ok(None)
    }

    /// The next message, of a stream that is opened if need be. The outer error is the program's
    /// own, the inner one of the call.
    async fn receive(
        &mut self,
    ) -> Result<Result<Option<WatchShardsResponse>, (Connection, Status)>, Error> {
        if self.open.is_none() {
            self.watched.begin();
            self.backoff.opening(Instant::now());
            let connection = self.client.shared.connections.for_stream()?;
            let message = WatchShardsRequest { stream: self.stream.clone(), interval: None };
            let request = self.client.request("StreamService/WatchShards", message).await?;
            match streams_of(connection.channel.clone()).watch_shards(request).await {
                Ok(rows) => self.open = Some((connection, rows.into_inner())),
                Err(status) => return Ok(Err((connection, status))),
            }
        }
        let Some((connection, rows)) = &mut self.open else { unreachable!("opened above") };
        Ok(rows.message().await.map_err(|status| (connection.clone(), status)))
    }

    /// Decides whether to come again, and when.
    fn again(&mut self, connection: &Connection, status: &Status) -> Result<(), Error> {
        self.open = None;
        let (error, now) = (Error::of(status, None), Instant::now());
        let connections = &self.client.shared.connections;
        connections.retire(connection, &error);
        if !self.renewed && connections.renews(&error) {
            self.renewed = true;
            return Ok(());
        }
        let (pause, error) = self.backoff.pause(error, now)?;
        tracing::info!(?pause, %error, "again");
        self.client.shared.hooks.resume(&error, pause);
        self.resumes = Some(now + pause);
        Ok(())
    }
}

/// The shards that a watch has told of, across all its connections.
#[derive(Debug, Default)]
struct Watched {
    known: BTreeSet<String>,
    /// Of a new connection: what was known before it and was not told again yet.
    before: BTreeSet<String>,
}

impl Watched {
    /// A connection is opened: it tells of all shards again, and not of those that went away
    /// meanwhile.
    fn begin(&mut self) {
        self.before.append(&mut self.known);
    }

    /// A message. The last one of the first round gets what went away among the removed.
    fn take(&mut self, row: &mut WatchShardsResponse) {
        for shard in row.shards.iter().filter_map(|progress| progress.shard.as_ref()) {
            self.known.insert(shard.shard_id.clone());
            self.before.remove(&shard.shard_id);
        }
        for id in &row.removed_shard_ids {
            self.known.remove(id);
            self.before.remove(id);
        }
        if row.complete {
            row.removed_shard_ids.extend(std::mem::take(&mut self.before));
        }
    }
}
