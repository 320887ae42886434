//! `get`: reads one shard once, from a position to its end, its tip or a number of records.

use std::time::Duration;

use shardstream_client::{Policy, Read, Start};
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::event::Tokens;
use super::failure::{Failure, Result};
use super::line_style::LineStyle;
use super::output::Output;
use super::resume::Resume;
use super::{choose, event, start_position};
use crate::config::{GetArgs, UnreadablePolicy};
use crate::exit::Exit;
use crate::model::Timestamp;
use crate::pb;

/// The most records requested in one call.
const PAGE_RECORDS: u64 = 1_000;

/// The pause after a response that had no records and was not the tip.
const EMPTY_PAUSE: Duration = Duration::from_millis(200);

/// Why reading ended.
enum StopReason {
    Shard,
    Tip,
    Count,
    Interrupted,
}

/// The state of reading one shard: the newest token, and how many records were printed.
struct ShardRead<'a> {
    client: &'a Client,
    args: &'a GetArgs,
    shard: pb::ShardName,
    token: Option<String>,
    printed: u64,
}

/// Runs the command.
pub(super) async fn run(
    client: &Client,
    args: &GetArgs,
    now: Timestamp,
    out: &mut Output,
    cancel: &CancellationToken,
) -> Result<Exit> {
    let shard = choose::named(client, &args.stream, &args.shard).await?;
    let resume = Resume { shard: shard.clone(), server: super::said_server(&args.client) };
    let mut reading = ShardRead { client, args, shard, token: None, printed: 0 };
    let ended = reading.read(start_position::resolve(&args.from, now), out, cancel).await;
    let goes_on =
        reading.token.map(|token| format!("go on with: {}", resume.command("get", &token)));
    let ended = match ended {
        Ok(ended) => ended,
        Err(failure) => return Err(goes_on.into_iter().fold(failure, Failure::line)),
    };
    let why = match ended {
        StopReason::Shard => "the shard has ended",
        StopReason::Tip => "nothing newer is there yet",
        StopReason::Count => "more may follow",
        StopReason::Interrupted => "interrupted",
    };
    out.say(format_args!("{}; {why}", event::count(reading.printed, "record")));
    if !matches!(ended, StopReason::Shard) {
        goes_on.iter().for_each(|line| out.say(line));
    }
    Ok(if matches!(ended, StopReason::Interrupted) { Exit::Interrupted } else { Exit::Ok })
}

impl ShardRead<'_> {
    /// Prints the records after `start` until there is a reason to stop.
    async fn read(
        &mut self,
        mut from: Start,
        out: &mut Output,
        cancel: &CancellationToken,
    ) -> Result<StopReason> {
        loop {
            let left = self.args.count.map_or(PAGE_RECORDS, |count| count.get() - self.printed);
            let read = Read {
                max_records: left.min(PAGE_RECORDS) as i32,
                on_unreadable: on_unreadable(self.args.unreadable),
                ..Read::default()
            };
            let pb::ShardName { stream, shard_id } = &self.shard;
            // Cancel-safe: without a lease, dropping a response moves nothing on the server.
            let answer = tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(StopReason::Interrupted),
                answer = self.client.once.get_records(stream, shard_id, from, read) => answer?,
            };
            for record in &answer.unreadable {
                event::unreadable(out, record, Tokens::default())?;
            }
            let tokens = Tokens { all: &answer.token, ..Tokens::default() };
            let records: Vec<_> = answer.records.into_iter().map(|record| record.raw).collect();
            event::records(out, LineStyle::Plain, shard_id, &records, tokens)?;
            self.printed += records.len() as u64;
            self.token = Some(answer.token.clone());
            if answer.exhausted {
                return Ok(StopReason::Shard);
            }
            if self.args.count.is_some_and(|count| self.printed >= count.get()) {
                return Ok(StopReason::Count);
            }
            if answer.at_tip {
                return Ok(StopReason::Tip);
            }
            if records.is_empty() {
                // Cancel-safe: no call is under way.
                tokio::select! {
                    biased;
                    () = cancel.cancelled() => return Ok(StopReason::Interrupted),
                    () = tokio::time::sleep(EMPTY_PAUSE) => {}
                }
            }
            from = Start::Token(answer.token);
        }
    }
}

/// The policy as the client takes it.
pub(super) fn on_unreadable(policy: UnreadablePolicy) -> Policy {
    match policy {
        UnreadablePolicy::Fail => Policy::Fail,
        UnreadablePolicy::Skip => Policy::Continue,
    }
}
