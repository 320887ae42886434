//! What `tree --watch` knows of a stream's shards, and what each message changes.

use super::progress::{self, Progress};
use crate::pb::{ShardProgress, StreamStatus, WatchShardsResponse};

/// A stream as the server has reported it so far.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// Its ARN. Empty before the first message.
    pub stream_arn: String,
    /// The stream's status.
    pub status: StreamStatus,
    /// Its shards, by id.
    pub shards: Progress,
    /// Show only this shard and its descendants; `None`: all.
    below: Option<String>,
}

/// A change to be shown.
#[derive(Debug, PartialEq)]
pub(super) enum Change {
    /// The stream or its status.
    Stream,
    /// The shard or its progress.
    Shard(Box<ShardProgress>),
    /// The shard is no longer listed.
    Removed(String),
}

impl Watched {
    /// Nothing known yet. `below`: only this shard and its descendants are shown.
    pub(super) fn new(below: Option<String>) -> Self {
        Self { below, ..Self::default() }
    }

    /// Applies a message, and returns what it changed: nothing where it repeats what is known.
    pub(super) fn apply(&mut self, message: WatchShardsResponse) -> Vec<Change> {
        let mut changes = Vec::new();
        if (&self.stream_arn, self.status) != (&message.stream_arn, message.status()) {
            self.status = message.status();
            self.stream_arn = message.stream_arn;
            changes.push(Change::Stream);
        }
        for shard in message.shards {
            let id = progress::id(&shard).to_owned();
            if !self.is_of_interest(&shard) {
                continue;
            }
            if self.shards.get(&id) != Some(&shard) {
                self.shards.insert(id, shard.clone());
                changes.push(Change::Shard(Box::new(shard)));
            }
        }
        let gone = message.removed_shard_ids;
        changes.extend(
            gone.into_iter().filter(|id| self.shards.remove(id).is_some()).map(Change::Removed),
        );
        changes
    }

    /// Relies on parents being reported before their children.
    fn is_of_interest(&self, progress: &ShardProgress) -> bool {
        let parent = progress.shard.as_ref().map_or("", |shard| &shard.parent_shard_id);
        match &self.below {
            None => true,
            Some(below) => below == progress::id(progress) || self.shards.contains_key(parent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::{ReadingState, Shard};

    fn at(id: &str, parent: &str, state: ReadingState) -> ShardProgress {
        let shard =
            Shard { shard_id: id.into(), parent_shard_id: parent.into(), ..Default::default() };
        ShardProgress { shard: Some(shard), state: state.into(), ..Default::default() }
    }

    fn message(
        shards: Vec<ShardProgress>,
        removed: &[&str],
        complete: bool,
    ) -> WatchShardsResponse {
        WatchShardsResponse {
            stream_arn: "arn".into(),
            status: StreamStatus::Enabled.into(),
            shards,
            removed_shard_ids: removed.iter().map(|id| (*id).to_owned()).collect(),
            complete,
            ..Default::default()
        }
    }

    #[test]
    fn only_what_differs_is_a_change_also_after_a_reconnect() {
        let (unread, tip) = (ReadingState::Unread, ReadingState::AtTip);
        let changed = |shard: &ShardProgress| Change::Shard(Box::new(shard.clone()));
        let mut watched = Watched::new(None);
        let (a, b, c) = (at("a", "", unread), at("b", "a", unread), at("c", "a", unread));
        assert_eq!(
            watched.apply(message(vec![a.clone()], &[], false)),
            [Change::Stream, changed(&a)]
        );
        assert_eq!(
            watched.apply(message(vec![b.clone(), c.clone()], &[], true)),
            [changed(&b), changed(&c)]
        );
        let b = at("b", "a", tip);
        let removed = Change::Removed("a".into());
        assert_eq!(
            watched.apply(message(vec![b.clone()], &["a", "never"], true)),
            [changed(&b), removed]
        );
        let read = at("c", "a", tip);
        assert_eq!(watched.apply(message(vec![read.clone()], &[], false)), [changed(&read)]);
        assert_eq!(watched.apply(message(vec![], &["b"], true)), [Change::Removed("b".into())]);
        assert_eq!(watched.shards.into_keys().collect::<Vec<_>>(), ["c"]);
    }

    #[test]
    fn below_a_shard_nothing_else_counts() {
        let state = ReadingState::Unread;
        let mut watched = Watched::new(Some("b".into()));
        let all =
            [at("a", "", state), at("b", "a", state), at("c", "a", state), at("d", "b", state)];
        assert_eq!(watched.apply(message(all.to_vec(), &[], true)).len(), 3);
        assert_eq!(watched.shards.into_keys().collect::<Vec<_>>(), ["b", "d"]);
    }
}
