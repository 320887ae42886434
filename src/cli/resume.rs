//! The command line that continues where a command stopped, to be copied.

use super::text::{safe, shell_word};
use crate::pb::ShardName;

/// What that command line contains beside the token.
#[derive(Clone, Debug)]
pub(super) struct Resume {
    /// The shard, as requests name it.
    pub shard: ShardName,
    /// The flags that say which server; none when it is the default.
    pub server: Vec<String>,
}

impl Resume {
    /// The command that continues from `token`.
    pub(super) fn command(&self, verb: &str, token: &str) -> String {
        let mut words = vec!["shardstream", verb, &self.shard.stream];
        if !self.shard.shard_id.is_empty() {
            words.push(&self.shard.shard_id);
        }
        words.extend(["--from", token]);
        words.extend(self.server.iter().map(String::as_str));
        words.iter().map(|word| shell_word(&safe(word))).collect::<Vec<_>>().join(" ")
    }
}
