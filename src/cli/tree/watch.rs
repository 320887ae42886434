//! `tree --watch`: follows the tree across failures. Drawn in place on a terminal, else one JSON
//! object per change.

use std::io;
use std::time::Duration;

use owo_colors::OwoColorize;
use serde_json::{Map, Value as Json};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::changes::{Change, Watched};
use super::live_frame::LiveFrame;
use super::progress;
use crate::cli::client::{ANSWER_TIMEOUT, Client};
use crate::cli::failure::Result;
use crate::cli::output::Output;
use crate::cli::reconnect::{ReconnectPolicy, ReconnectReason, waited};
use crate::cli::record::put;
use crate::cli::shard;
use crate::clock::Clock;
use crate::exit::Exit;
use crate::pb::{StreamStatus, WatchShardsRequest, WatchShardsResponse};

/// How often the screen is redrawn when nothing changed: ages grow, and windows are resized.
const TICK: Duration = Duration::from_secs(1);

struct Watch<'a> {
    client: Client,
    stream: &'a str,
    out: &'a mut Output,
    watched: Watched,
    patience: ReconnectPolicy,
    clock: Clock,
}

/// Watches `stream`, or only one shard and its descendants, until cancelled.
pub(super) async fn run(
    client: Client,
    stream: &str,
    below: Option<String>,
    out: &mut Output,
    cancel: &CancellationToken,
) -> Result<Exit> {
    let (watched, patience, clock) =
        (Watched::new(below), ReconnectPolicy::default(), Clock::system());
    let mut watch = Watch { client, stream, out, watched, patience, clock };
    while let Some(again) = watch.once(cancel).await? {
        let delay = watch.patience.pause(&again)?;
        let trouble = format!("{}; going on in {:.1} s", again.why, delay.as_secs_f64());
        if watch.out.has_screen() {
            watch.draw(&trouble)?;
        } else {
            watch.out.say(trouble.yellow());
        }
        if !waited(delay, cancel).await {
            break;
        }
    }
    Ok(Exit::Interrupted)
}

impl Watch<'_> {
    /// Reads one response stream; `None` when cancelled.
    async fn once(&mut self, cancel: &CancellationToken) -> Result<Option<ReconnectReason>> {
        self.patience.opening();
        let request = WatchShardsRequest { stream: self.stream.to_owned(), interval: None };
        // Cancel-safe: nothing was received yet.
        let opened = tokio::select! {
            biased;
            () = cancel.cancelled() => return Ok(None),
            opened = timeout(ANSWER_TIMEOUT, self.client.streams.watch_shards(request)) => opened,
        };
        let mut rounds = match opened {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) => return self.patience.refused(status).map(Some),
            Err(_) => {
                return self
                    .patience
                    .refused(Status::deadline_exceeded("the server does not answer"))
                    .map(Some);
            }
        };
        self.watched.reopen();
        loop {
            // Cancel-safe: a message is taken from the stream whole or not at all, and drawing
            // takes no time.
            let received = tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(None),
                received = rounds.message() => received,
                () = tokio::time::sleep(TICK), if self.out.has_screen() => {
                    self.draw("")?;
                    continue;
                }
            };
            match received {
                Ok(Some(message)) => self.take(message)?,
                Ok(None) => {
                    return Ok(Some(ReconnectReason::new(
                        "the server ended the stream without a word",
                        None,
                    )));
                }
                Err(status) => return self.patience.refused(status).map(Some),
            }
        }
    }

    fn take(&mut self, message: WatchShardsResponse) -> io::Result<()> {
        self.patience.heard();
        self.patience.served();
        let complete = message.complete;
        let changes = self.watched.apply(message);
        if !self.out.has_screen() {
            for change in &changes {
                self.out.json(&Json::Object(self.object(change)))?;
            }
            self.out.flush()
        } else if complete {
            self.draw("")
        } else {
            Ok(())
        }
    }

    fn draw(&mut self, trouble: &str) -> io::Result<()> {
        let frame = LiveFrame {
            stream: self.stream,
            watched: &self.watched,
            now: self.clock.now().wall,
            trouble,
        };
        self.out.redraw(|width, height| frame.lines(width, height))
    }

    fn object(&self, change: &Change) -> Map<String, Json> {
        let mut object = Map::new();
        match change {
            Change::Stream => {
                put(&mut object, "stream_arn", &self.watched.stream_arn);
                if self.watched.status != StreamStatus::Unspecified {
                    let status =
                        self.watched.status.as_str_name().trim_start_matches("STREAM_STATUS_");
                    put(&mut object, "status", status);
                }
            }
            Change::Shard(told) => {
                object = shard::json(&progress::shard(told));
                object.insert("progress".into(), Json::Object(progress::json(told)));
            }
            Change::Removed(id) => {
                put(&mut object, "stream_arn", &self.watched.stream_arn);
                put(&mut object, "shard_id", id);
                object.insert("removed".into(), true.into());
            }
        }
        object
    }
}
