//! How far the server has read the shards of a stream.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::Streaming;

use crate::backoff::Backoff;
use crate::client::{Client, streams_of};
use crate::connect::{Connection, Sent};
use crate::error::Error;
use crate::subscription::Step;
use crate::v1::{WatchShardsRequest, WatchShardsResponse};

/// How long opening may take.
const OPENING: Duration = Duration::from_secs(60);

/// The shards of a stream, as far as the server has read each: all of them first, then each change.
/// It goes on by itself when the connection breaks: then all come again, and those that are gone by
/// then are among the removed. Dropping it closes it at once.
pub struct ShardWatch {
    client: Client,
    stream: String,
    backoff: Backoff,
    watched: Watched,
    /// Outlives a call with a timeout.
    opening: Option<Opening>,
    open: Option<Open>,
    /// When to come again after a failure.
    resumes: Option<Instant>,
    renewed: bool,
    ended: bool,
}

type Opening = BoxFuture<'static, Result<Result<Open, Failed>, Error>>;

/// The response stream, which counts as one of its connection.
struct Open {
    sent: Sent,
    rows: Streaming<WatchShardsResponse>,
}

/// How a response stream failed, or its opening.
type Failed = (Sent, Error);

impl ShardWatch {
    pub(crate) fn new(client: Client, stream: &str) -> Self {
        let backoff = Backoff::new(client.shared.timing, Instant::now());
        Self {
            client,
            stream: stream.to_owned(),
            backoff,
            watched: Watched::default(),
            opening: None,
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
        loop {
            let step = self.advance().await;
            match self.over(step).transpose()? {
                Ok(Step::Message(row)) => return Some(Ok(row)),
                Ok(Step::Again { .. }) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// The same, and each break; an end without a word of the server is one. Cancel-safe as
    /// [`Self::next`] is.
    pub async fn step(&mut self) -> Option<Result<Step<WatchShardsResponse>, Error>> {
        let mut step = self.advance().await;
        if matches!(step, Ok(None))
            && let Some(open) = self.open.take()
        {
            let error = Error::broken("the server ended the stream without a word");
            step = self.again((open.sent, error)).map(Some);
        }
        self.over(step).transpose()
    }

    /// What is not a step to another ends the watch.
    fn over<T>(&mut self, step: Result<Option<T>, Error>) -> Result<Option<T>, Error> {
        if !matches!(step, Ok(Some(_))) {
            self.ended = true;
            (self.opening, self.open) = (None, None);
        }
        step
    }

    async fn advance(&mut self) -> Result<Option<Step<WatchShardsResponse>>, Error> {
        if self.ended {
            return Ok(None);
        }
        if let Some(when) = self.resumes {
            sleep_until(when).await;
            self.resumes = None;
        }
        match self.receive().await? {
            Ok(None) => Ok(None),
            Ok(Some(mut row)) => {
                self.renewed = false;
                self.backoff.heard(true, Instant::now());
                self.watched.take(&mut row);
                Ok(Some(Step::Message(row)))
            }
            Err(failed) => self.again(failed).map(Some),
        }
    }

    /// The next message, of a stream that is opened if need be. The outer error is the program's
    /// own, the inner one of the call.
    async fn receive(&mut self) -> Result<Result<Option<WatchShardsResponse>, Failed>, Error> {
        if self.open.is_none() {
            let opening = match &mut self.opening {
                Some(opening) => opening,
                None => {
                    self.watched.begin();
                    self.backoff.opening(Instant::now());
                    let connection = self.client.shared.connections.for_stream()?;
                    let opening = open(self.client.clone(), connection, self.stream.clone());
                    self.opening.insert(Box::pin(opening))
                }
            };
            let opened = opening.await;
            self.opening = None;
            match opened? {
                Ok(open) => self.open = Some(open),
                Err(failed) => return Ok(Err(failed)),
            }
        }
        let Some(open) = &mut self.open else { unreachable!("opened above") };
        let row = open.rows.message().await;
        Ok(row.map_err(|status| (open.sent.clone(), Error::of(&status, None))))
    }

    /// Decides whether to come again, and when.
    fn again(&mut self, (sent, error): Failed) -> Result<Step<WatchShardsResponse>, Error> {
        self.open = None;
        let now = Instant::now();
        let connections = &self.client.shared.connections;
        connections.retire(&sent.connection, &error);
        if connections.renews(&sent, &error, &mut self.renewed) {
            return Ok(Step::Again { error, pause: Duration::ZERO });
        }
        let (pause, error) = self.backoff.pause(error, now)?;
        tracing::info!(?pause, %error, "again");
        self.client.shared.hooks.resume(&error, pause);
        self.resumes = Some(now + pause);
        Ok(Step::Again { error, pause })
    }
}

/// Opens a stream by `connection`.
async fn open(
    client: Client,
    connection: Connection,
    stream: String,
) -> Result<Result<Open, Failed>, Error> {
    let channel = connection.channel.clone();
    let mut sent = Sent { connection, caller: None };
    let opened = timeout(OPENING, async {
        let message = WatchShardsRequest { stream, interval: None };
        let request = client.request("StreamService/WatchShards", &mut sent, message).await?;
        Ok::<_, Error>(streams_of(channel).watch_shards(request).await)
    });
    let error = match opened.await {
        Ok(opened) => match opened? {
            Ok(rows) => return Ok(Ok(Open { sent, rows: rows.into_inner() })),
            Err(status) => Error::of(&status, None),
        },
        Err(_) => Error::broken("the server does not answer"),
    };
    Ok(Err((sent, error)))
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
