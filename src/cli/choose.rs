//! Chooses the stream when none is named, and finds the shard of a whole or shortened id.

use std::collections::BTreeSet;

use super::client::Client;
use super::failure::{Failure, Result};
use super::shard::short_id;
use super::text::safe;
use crate::exit::Exit;
use crate::model::{ShardId, StreamRef};
use crate::pb::{Shard, ShardName};

/// The most shards or streams listed in an error message.
const LISTED: usize = 20;

/// The stream as requests name it.
pub(super) fn stream_name(stream: &StreamRef) -> &str {
    match stream {
        StreamRef::Arn(arn) => arn.as_str(),
        StreamRef::Table(name) => name.as_str(),
    }
}

/// The named stream, or else the only one that exists. Of a table with several streams, the table's
/// name stands for the newest.
pub(super) async fn stream(client: &Client, named: Option<&StreamRef>) -> Result<StreamRef> {
    if let Some(named) = named {
        return Ok(named.clone());
    }
    let streams = client.once.list_streams("").await?;
    let tables: BTreeSet<&str> = streams.iter().map(|stream| stream.table_name.as_str()).collect();
    let only = match (streams.as_slice(), tables.iter().next()) {
        ([stream], Some(&"")) => Some(stream.stream_arn.as_str()),
        (_, Some(table)) if tables.len() == 1 && !table.is_empty() => Some(*table),
        _ => None,
    };
    if let Some(stream) = only.and_then(|name| StreamRef::parse(name).ok()) {
        return Ok(stream);
    }
    if streams.is_empty() {
        return Err(Failure::new(Exit::NotFound, "there is no stream".to_owned())
            .next("enable one on a table (aws dynamodb update-table --stream-specification)"));
    }
    let mut failure = Failure::new(Exit::Usage, format!("there are {} streams", streams.len()));
    for stream in streams.iter().take(LISTED) {
        failure = failure.line(safe(if stream.table_name.is_empty() {
            &stream.stream_arn
        } else {
            &stream.table_name
        }));
    }
    Err(failure.next("name one"))
}

/// The shard with this id: a whole id is used unchecked, a short one (as `tree` prints it, or the
/// last part of an id) is looked up among the stream's shards.
pub(super) async fn named(client: &Client, stream: &StreamRef, id: &ShardId) -> Result<ShardName> {
    let stream = stream_name(stream).to_owned();
    if id.as_str().starts_with("shardId-") {
        return Ok(ShardName { stream, shard_id: id.as_str().to_owned() });
    }
    let shards = client.once.list_shards(&stream).await?;
    let shard_id = among(&shards, id.as_str())?;
    Ok(ShardName { stream, shard_id })
}

fn among(shards: &[Shard], text: &str) -> Result<String> {
    if let Some(shard) = shards.iter().find(|shard| shard.shard_id == text) {
        return Ok(shard.shard_id.clone());
    }
    let part = format!("-{text}");
    let fits =
        |shard: &&Shard| short_id(&shard.shard_id) == text || shard.shard_id.ends_with(&part);
    let fitting: Vec<&Shard> = shards.iter().filter(fits).collect();
    match fitting.as_slice() {
        [shard] => Ok(shard.shard_id.clone()),
        // The server reports an unknown shard best, under the name that was given.
        [] => Ok(text.to_owned()),
        several => Err(list(
            Failure::new(Exit::Usage, format!("{} shards are named so", several.len())),
            several,
        )
        .next("give the whole id of one")),
    }
}

fn list(mut failure: Failure, shards: &[&Shard]) -> Failure {
    for shard in shards.iter().take(LISTED) {
        failure = failure.line(safe(&shard.shard_id));
    }
    match shards.len().checked_sub(LISTED) {
        Some(more @ 1..) => failure.line(format!("… and {more} more")),
        Some(0) | None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::ShardState;

    fn shard(id: &str, parent: &str, state: ShardState) -> Shard {
        Shard {
            shard_id: id.into(),
            parent_shard_id: parent.into(),
            state: state.into(),
            ..Default::default()
        }
    }

    #[test]
    fn a_short_id_is_enough_where_it_fits_one() {
        let shards = [
            shard("shardId-00000001477207595861-d35d208d", "", ShardState::Closed),
            shard("shardId-00000001477207595862-d35d208e", "", ShardState::Open),
            shard("shardId-00000001477207595863-d35d208e", "", ShardState::Open),
        ];
        for text in ["d35d208d", "1477207595861-d35d208d", "00000001477207595861-d35d208d"] {
            assert_eq!(among(&shards, text).expect(text), shards[0].shard_id);
        }
        assert!(among(&shards, "d35d208e").is_err());
        assert_eq!(among(&shards, "nothing").expect("left to the server"), "nothing");
    }
}
