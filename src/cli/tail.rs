//! `tail`: prints the records of a stream, or of one of its shards, as they arrive.

mod follow;

use std::time::Duration;

use owo_colors::OwoColorize;
use shardstream_client::Policy;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::choose;
use super::client::Client;
use super::failure::Result;
use super::output::Output;
use super::resume::Resume;
use super::shard::short_id;
use super::text::{safe, shell_word};
use super::{get, interrupt, start_position, time};
use crate::config::{GapPolicy, MergeOrder, StartPosition, TailArgs, Template, UnreadablePolicy};
use crate::exit::Exit;
use crate::model::{ShardId, StreamRef, Timestamp};
use crate::pb::{RecordOrder, ShardName, Until};
use follow::{Ended, Follower, Following};

/// The requested heartbeat interval.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The options of `tail`.
#[derive(Clone, Debug)]
pub struct Tail {
    /// The stream; `None`: the only one that exists.
    pub stream: Option<StreamRef>,
    /// The shard; `None`: all shards, or the one that the token names.
    pub shard: Option<ShardId>,
    /// Where to start.
    pub from: StartPosition,
    /// Stop before the first record created at this time or later.
    pub until: Option<Timestamp>,
    /// Stop after this many records.
    pub count: Option<u64>,
    /// Stop at the tip, where nothing newer is known to exist.
    pub exit_at_tip: bool,
    /// What to do where records were trimmed.
    pub gaps: GapPolicy,
    /// What to do at a record that cannot be read.
    pub unreadable: UnreadablePolicy,
    /// The order of records of different shards.
    pub order: MergeOrder,
    /// The template of a record's line; `None`: the usual line.
    pub format: Option<Template>,
    /// Whether to print when shards begin and end.
    pub verbose: bool,
    /// The flags that say which server, for the command to resume with; none when it is the
    /// default.
    pub server: Vec<String>,
}

impl Tail {
    /// All records of `stream`, starting at `from`.
    pub fn new(stream: StreamRef, from: StartPosition) -> Self {
        Self {
            stream: Some(stream),
            shard: None,
            from,
            until: None,
            count: None,
            exit_at_tip: false,
            gaps: GapPolicy::Fail,
            unreadable: UnreadablePolicy::Fail,
            order: MergeOrder::PerShard,
            format: None,
            verbose: false,
            server: Vec::new(),
        }
    }

    /// The options of a command line, with relative times resolved at `now`.
    pub fn of(args: &TailArgs, now: Timestamp) -> Self {
        Self {
            stream: args.stream.clone(),
            shard: args.shard.clone(),
            from: args.from.clone(),
            until: args.until.map(|when| when.resolve(now)),
            count: args.count.map(Into::into),
            exit_at_tip: args.exit_at_tip,
            gaps: args.gaps,
            unreadable: args.unreadable,
            order: args.order,
            format: args.format.clone(),
            verbose: args.verbose,
            server: super::said_server(&args.client),
        }
    }
}

/// Prints records of the server behind `channel` until the end, a limit, or `cancel`, and returns
/// the exit code of the process. Every failure is reported on `out`.
pub async fn tail_into(
    channel: Channel,
    tail: &Tail,
    now: Timestamp,
    out: &mut Output,
    cancel: &CancellationToken,
) -> Exit {
    let client = &Client::new(&channel, None);
    match interrupt::unless_told(cancel, run(client, tail, now, out, cancel)).await {
        Ok(exit) => exit,
        Err(failure) => failure.report(out),
    }
}

/// Runs the command.
pub(super) async fn run(
    client: &Client,
    tail: &Tail,
    now: Timestamp,
    out: &mut Output,
    cancel: &CancellationToken,
) -> Result<Exit> {
    let named = choose::stream(client, tail.stream.as_ref()).await?;
    let stream = choose::stream_name(&named).to_owned();
    let shard = match &tail.shard {
        None => None,
        Some(id) => Some(choose::named(client, &named, id).await?),
    };
    let of = shard
        .as_ref()
        .map(|shard| format!("{} of ", safe(short_id(&shard.shard_id))))
        .unwrap_or_default();
    out.say(
        format_args!("following {of}{}, {}; Ctrl-C stops", safe(&stream), words(&tail.from))
            .dimmed(),
    );

    let resumed =
        shard.clone().unwrap_or(ShardName { stream: stream.clone(), shard_id: String::new() });
    let order = match tail.order {
        MergeOrder::PerShard => RecordOrder::PerShard,
        MergeOrder::ByTime => RecordOrder::ByTime,
    };
    let following = Following {
        whole: shard.is_none(),
        place: resumed.clone(),
        order,
        start: start_position::resolve(&tail.from, now),
        until: Until {
            record_count: tail.count.map_or(0, |count| i64::try_from(count).unwrap_or(i64::MAX)),
            time: tail.until.map(time::to_message),
            at_tip: tail.exit_at_tip,
        },
        on_gap: match tail.gaps {
            GapPolicy::Fail => Policy::Fail,
            GapPolicy::Continue => Policy::Continue,
        },
        on_unreadable: get::on_unreadable(tail.unreadable),
        heartbeat: heartbeat(client).await,
        template: tail.format.clone(),
        verbose: tail.verbose,
        resume: Resume { shard: resumed, server: tail.server.clone() },
    };
    let ended = Follower::new(following, client, out).run(cancel).await?;
    Ok(match ended {
        Ended::Limit | Ended::Stream => Exit::Ok,
        Ended::Interrupted => Exit::Interrupted,
        Ended::Shard(end) => {
            for child in end.iter().flat_map(|end| &end.children) {
                let child = shell_word(&safe(&child.shard_id));
                let stream = shell_word(&safe(&stream));
                out.say(format_args!("  shardstream tail {stream} {child} --from trim-horizon"));
            }
            Exit::Ok
        }
    })
}

/// The heartbeat interval: [`HEARTBEAT`], within the server's limits.
async fn heartbeat(client: &Client) -> Duration {
    let Ok(info) = client.once.server_info().await else { return HEARTBEAT };
    let limits = info.limits.unwrap_or_default();
    let known = |limit: Option<prost_types::Duration>| {
        limit.and_then(|limit| Duration::try_from(limit).ok())
    };
    let (min, max) = (known(limits.min_heartbeat_interval), known(limits.max_heartbeat_interval));
    HEARTBEAT
        .max(min.unwrap_or(HEARTBEAT))
        .min(max.unwrap_or(Duration::MAX).max(Duration::from_millis(1)))
}

fn words(from: &StartPosition) -> &'static str {
    match from {
        StartPosition::TrimHorizon => "from the oldest record",
        StartPosition::Latest => "from now on",
        StartPosition::Time(_) => "from a time",
        StartPosition::At(_) | StartPosition::After(_) => "from a record",
        StartPosition::Token(_) => "from a token",
    }
}
