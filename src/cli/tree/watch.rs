//! `tree --watch`: follows the tree across failures. Drawn in place on a terminal, else one JSON
//! object per change.

use std::io;
use std::time::Duration;

use owo_colors::OwoColorize;
use serde_json::{Map, Value as Json};
use shardstream_client::Step;
use tokio_util::sync::CancellationToken;

use super::changes::{Change, Watched};
use super::live_frame::LiveFrame;
use super::progress;
use crate::cli::client::Client;
use crate::cli::failure::{Result, given_up, why};
use crate::cli::output::Output;
use crate::cli::record::put;
use crate::cli::shard;
use crate::clock::Clock;
use crate::exit::Exit;
use crate::pb::{StreamStatus, WatchShardsResponse};

/// How often the screen is redrawn when nothing changed: ages grow, and windows are resized.
const TICK: Duration = Duration::from_secs(1);

struct Watch<'a> {
    stream: &'a str,
    out: &'a mut Output,
    watched: Watched,
    /// Whether anything was received: before that a failure ends it.
    heard: bool,
    clock: Clock,
}

/// Watches `stream`, or only one shard and its descendants, until cancelled.
pub(super) async fn run(
    client: &Client,
    stream: &str,
    below: Option<String>,
    out: &mut Output,
    cancel: &CancellationToken,
) -> Result<Exit> {
    let (watched, clock) = (Watched::new(below), Clock::system());
    let mut watch = Watch { stream, out, watched, heard: false, clock };
    let mut rounds = client.streams.watch_shards(stream);
    let mut trouble = String::new();
    loop {
        // Cancel-safe: a message is taken from the stream whole or not at all, and drawing takes no
        // time.
        let step = tokio::select! {
            biased;
            () = cancel.cancelled() => return Ok(Exit::Interrupted),
            step = rounds.step() => step,
            () = tokio::time::sleep(TICK), if watch.out.has_screen() => {
                watch.draw(&trouble)?;
                continue;
            }
        };
        match step {
            Some(Ok(Step::Message(message))) => {
                trouble.clear();
                watch.take(message)?;
            }
            Some(Ok(Step::Again { error, pause })) if watch.heard => {
                trouble = format!("{}; going on in {:.1} s", why(&error), pause.as_secs_f64());
                if watch.out.has_screen() {
                    watch.draw(&trouble)?;
                } else {
                    watch.out.say(trouble.yellow());
                }
            }
            Some(Ok(Step::Again { error, .. })) => return Err(error.into()),
            Some(Err(error)) if watch.heard => return Err(given_up(error)),
            Some(Err(error)) => return Err(error.into()),
            None => return Ok(Exit::Interrupted),
        }
    }
}

impl Watch<'_> {
    fn take(&mut self, message: WatchShardsResponse) -> io::Result<()> {
        self.heard = true;
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
