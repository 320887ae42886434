//! The position of `tail`: the tokens that resume after everything printed.

use std::collections::BTreeMap;

use crate::pb::{SubscribeResponse, subscribe_response::Event};

/// The most shard tokens that a server accepts beside a stream's token.
const MOST_SHARD_TOKENS: usize = 10_000;

/// The newest token, and per shard the newest shard token received since.
#[derive(Debug, Default)]
pub(super) struct Bookmark {
    token: String,
    /// Kept after a shard's end: only a newer `token` knows that the shard is finished.
    shard_tokens: BTreeMap<String, String>,
    uncovered: u64,
}

impl Bookmark {
    /// Call when the message has been printed: its tokens count from now on.
    pub(super) fn cover(&mut self, message: SubscribeResponse) {
        if !message.token.is_empty() {
            *self = Self { token: message.token, ..Self::default() };
            return;
        }
        self.uncovered += message.records.len() as u64;
        if !message.shard_token.is_empty() {
            let shard_id = match message.event {
                Some(Event::Unreadable(unreadable)) => unreadable.shard_id,
                Some(Event::Gap(gap)) => gap.shard_id,
                _ => message.shard_id,
            };
            self.shard_tokens.insert(shard_id, message.shard_token);
        }
    }

    /// The token. Used alone, it repeats [`Self::uncovered`] records. Empty while there is none.
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// Shard tokens to use beside the token: with these no record is repeated.
    pub(super) fn shard_tokens(&self) -> Vec<String> {
        self.shard_tokens.values().take(MOST_SHARD_TOKENS).cloned().collect()
    }

    /// Records printed since the token was received.
    pub(super) fn uncovered(&self) -> u64 {
        self.uncovered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::{ChangeRecord, ShardEnd, Unreadable};

    fn records(shard: &str, shard_token: &str, token: &str) -> SubscribeResponse {
        SubscribeResponse {
            records: vec![ChangeRecord::default(); 2],
            shard_id: shard.into(),
            shard_token: shard_token.into(),
            token: token.into(),
            ..Default::default()
        }
    }

    #[test]
    fn each_shards_newest_token_counts_until_the_streams_comes() {
        let mut bookmark = Bookmark::default();
        bookmark.cover(records("a", "a1", "t1"));
        assert_eq!(
            (bookmark.token(), bookmark.shard_tokens(), bookmark.uncovered()),
            ("t1", vec![], 0)
        );
        for message in [records("a", "a2", ""), records("b", "b1", ""), records("a", "a3", "")] {
            bookmark.cover(message);
        }
        let unreadable = Unreadable { shard_id: "b".into(), ..Default::default() };
        let skipped = Event::Unreadable(unreadable);
        bookmark.cover(SubscribeResponse {
            event: Some(skipped),
            shard_token: "b2".into(),
            ..Default::default()
        });
        let ended = Event::ShardEnd(ShardEnd { shard_id: "a".into(), ..Default::default() });
        bookmark.cover(SubscribeResponse { event: Some(ended), ..Default::default() });
        let both = vec!["a3".to_owned(), "b2".to_owned()];
        assert_eq!(
            (bookmark.token(), bookmark.shard_tokens(), bookmark.uncovered()),
            ("t1", both, 6)
        );
        bookmark.cover(SubscribeResponse { token: "t2".into(), ..Default::default() });
        assert_eq!(
            (bookmark.token(), bookmark.shard_tokens(), bookmark.uncovered()),
            ("t2", vec![], 0)
        );
    }
}
