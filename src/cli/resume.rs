//! How to go on from where a command stopped: a command line to copy.

use super::text::{safe, shell_word};
use crate::pb::ShardName;

/// What the command to resume with says beside the token.
#[derive(Clone, Debug)]
pub struct Resume {
    /// The shard, as requests name it.
    pub shard: ShardName,
    /// The server's URL, where it has to be said.
    pub server: Option<String>,
}

impl Resume {
    /// The command that goes on from `token`.
    pub fn command(&self, verb: &str, token: &str) -> String {
        let mut words = vec!["shardstream", verb, &self.shard.stream];
        if !self.shard.shard_id.is_empty() {
            words.push(&self.shard.shard_id);
        }
        words.extend(["--from", token]);
        if let Some(server) = &self.server {
            words.extend(["--server", server]);
        }
        words.iter().map(|word| shell_word(&safe(word))).collect::<Vec<_>>().join(" ")
    }
}
