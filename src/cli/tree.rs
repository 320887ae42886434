//! `tree`: prints the shards of a stream below their parents, once, live, or as a picture for
//! another program.

mod changes;
mod diagram;
mod forest;
mod live_frame;
mod progress;
mod text_tree;
mod watch;

use std::time::Duration;

use owo_colors::OwoColorize;
use serde_json::Value as Json;
use shardstream_client::Step;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::choose;
use super::client::Client;
use super::failure::Result;
use super::output::Output;
use super::shard;
use super::text::safe;
use crate::config::{TreeArgs, TreeOutput};
use crate::exit::Exit;
use crate::model::Timestamp;
use forest::Forest;
use progress::Progress;
use text_tree::TextTree;

/// How long to wait for the progress of the shards before drawing without it.
const PROGRESS_PATIENCE: Duration = Duration::from_secs(3);

/// Runs the command.
pub(super) async fn run(
    client: &Client,
    args: &TreeArgs,
    now: Timestamp,
    out: &mut Output,
    cancel: &CancellationToken,
) -> Result<Exit> {
    let named = choose::stream(client, args.stream.as_ref()).await?;
    let stream = choose::stream_name(&named);
    let below = match &args.shard {
        None => None,
        Some(id) => Some(choose::named(client, &named, id).await?),
    };
    if args.watch {
        return watch::run(client, stream, below.map(|name| name.shard_id), out, cancel).await;
    }
    let shards = match below {
        None => client.once.list_shards(stream).await?,
        Some(name) => {
            let rows = client.once.walk_tree(&name.stream, &name.shard_id).await?;
            rows.into_iter().map(|(_, shard)| shard).collect()
        }
    };
    // A tree without progress is still worth drawing, whatever the reason.
    let progress =
        timeout(PROGRESS_PATIENCE, progress_of(client, stream)).await.unwrap_or_default();
    let forest = Forest::of(&shards);
    match args.output {
        TreeOutput::Json => json(&forest, &progress, out)?,
        TreeOutput::Dot => out.text(&diagram::dot(stream, &forest, &progress))?,
        TreeOutput::Mermaid => out.text(&diagram::mermaid(&forest, &progress))?,
        TreeOutput::Table => {
            let (full, width) = (args.full, out.width().filter(|_| !args.full));
            let all = args.shard.is_none();
            let drawing = TextTree { forest: &forest, progress: &progress, now, full, width, all };
            out.text(drawing.draw(&safe(stream)).to_string().trim_end())?;
        }
    }
    out.flush()?;
    if shards.is_empty() {
        out.say("the stream has no shards yet".dimmed());
    }
    Ok(Exit::Ok)
}

fn json(forest: &Forest<'_>, progress: &Progress, out: &mut Output) -> std::io::Result<()> {
    for (shard, depth) in forest.walk() {
        let mut object = shard::json(shard);
        object.insert("depth".into(), depth.into());
        if let Some(progress) = progress.get(&shard.shard_id) {
            object.insert("progress".into(), Json::Object(progress::json(progress)));
        }
        out.json(&Json::Object(object))?;
    }
    Ok(())
}

/// The progress of all shards as the server first reports it; on a failure, what came until then.
async fn progress_of(client: &Client, stream: &str) -> Progress {
    let mut progress = Progress::new();
    let mut watch = client.streams.watch_shards(stream);
    while let Some(Ok(Step::Message(message))) = watch.step().await {
        let told = message.shards.into_iter().map(|shard| (progress::id(&shard).to_owned(), shard));
        progress.extend(told);
        if message.complete {
            break;
        }
    }
    progress
}
