//! `children`: prints the child shards of a shard.

use owo_colors::OwoColorize;
use serde_json::Value as Json;

use super::client::Client;
use super::failure::Result;
use super::output::Output;
use super::{choose, shard};
use crate::config::ChildrenArgs;
use crate::exit::Exit;
use crate::model::Timestamp;

/// Runs the command.
pub(super) async fn run(
    client: &Client,
    args: &ChildrenArgs,
    now: Timestamp,
    out: &mut Output,
) -> Result<Exit> {
    let name = choose::named(client, &args.stream, &args.shard).await?;
    let answer = client.once.list_children(&name.stream, &name.shard_id).await?;
    for child in &answer.children {
        if out.is_json() {
            out.json(&Json::Object(shard::json(child)))?;
        } else {
            // Whole ids, to be copied into the next command.
            out.line(&shard::line(child, now))?;
        }
    }
    out.flush()?;
    match (answer.children.is_empty(), answer.complete) {
        (true, true) => out.say("it has no children and will have none".dimmed()),
        (true, false) => out.say("it has no children yet".dimmed()),
        (false, true) => out.say("these are all it will have".dimmed()),
        (false, false) => out.say("not complete: more may appear, ask again later".yellow()),
    }
    Ok(Exit::Ok)
}
