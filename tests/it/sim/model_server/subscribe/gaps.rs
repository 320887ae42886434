//! What the model says of losses.

use super::super::Bug;
use super::serve::Serving;
use super::state::Cursor;
use crate::sim::fake::ShardGlance;
use crate::sim::history::EndReason;
use crate::sim::history::subscribed::{Cause, Gap, What};

impl Serving {
    /// Tells every loss that is known now; whether the subscription goes on.
    pub(super) fn tell_losses(&mut self, family: &[ShardGlance]) -> bool {
        let mut told = false;
        for shard in family {
            told |= self.tell_loss(shard);
        }
        if told && !self.wish.pass_gaps && !self.server.has(Bug::IgnoresGapPolicy) {
            self.end(EndReason::Gap);
            return false;
        }
        true
    }

    /// Whether a gap was told of it.
    fn tell_loss(&mut self, shard: &ShardGlance) -> bool {
        let fake = self.server.fake.clone();
        let mut cursor = self.state.cursor(&fake, shard);
        if cursor.done {
            return false;
        }
        let gone = !shard.listed && shard.listed_from <= fake.now();
        let lost = cursor.index.max(cursor.excused) < shard.trimmed;
        let after = cursor.index.checked_sub(1).filter(|_| cursor.begun);
        let after = after.map(|last| fake.entries(&shard.name, last..last + 1)[0].number);
        if gone {
            // Nobody knows of a shard that left the listing unread, unless trimmed records show
            // that it was there.
            let tell = (lost || cursor.begun) && cursor.index < shard.written;
            (cursor.done, cursor.index) = (true, shard.written);
            let silent = self.server.has(Bug::SilentExpiry);
            if tell && !silent {
                self.put(shard, cursor);
                let gap = Gap {
                    after,
                    before: None,
                    cause: Cause::ShardExpired,
                    certain: true,
                    ..gap_of(shard)
                };
                self.push(What::Gap(gap), Some(shard.ordinal));
                self.end_shard(shard);
                return true;
            }
            let opened = self.opened.contains(&shard.ordinal);
            self.put(shard, cursor);
            if opened {
                self.end_shard(shard);
            }
            return false;
        }
        let false_alarm =
            self.server.has(Bug::FalseGap) && self.cry_wolf.remove(&shard.ordinal) && cursor.begun;
        if !lost && !false_alarm {
            return false;
        }
        cursor.index = cursor.index.max(shard.trimmed);
        (cursor.begun, cursor.excused) = (true, 0);
        self.put(shard, cursor);
        if self.server.has(Bug::SilentTrim) {
            return false;
        }
        self.open(shard);
        let gap =
            Gap { after, before: None, cause: Cause::Trimmed, certain: true, ..gap_of(shard) };
        self.push(What::Gap(gap), Some(shard.ordinal));
        true
    }

    /// The stream is gone; whether the subscription goes on.
    pub(super) fn tell_replacement(&mut self, family: &[ShardGlance]) -> bool {
        let stream = self.state.stream.clone();
        let new = self.state.over.insert(stream.clone());
        if !self.state.by_name {
            for shard in family {
                let cursor = self.state.cursor(&self.server.fake, shard);
                if cursor.index < shard.written && !cursor.done {
                    self.put(shard, Cursor { done: true, index: shard.written, ..cursor });
                    self.push(
                        What::Gap(Gap { cause: Cause::ShardExpired, ..gap_of(shard) }),
                        Some(shard.ordinal),
                    );
                }
            }
            for shard in family
                .iter()
                .filter(|shard| self.opened.contains(&shard.ordinal))
                .cloned()
                .collect::<Vec<_>>()
            {
                self.end_shard(&shard);
            }
            if new && !self.wish.pass_gaps && self.lost() {
                self.end(EndReason::Gap);
            } else {
                self.push(What::StreamEnd { stream, next: None }, None);
                self.end(EndReason::StreamEnd);
            }
            return false;
        }
        if !new {
            return true;
        }
        if !self.server.has(Bug::SilentReplacement) {
            let gap = Gap {
                shard: String::new(),
                after: None,
                before: None,
                cause: Cause::StreamReplaced,
                certain: false,
            };
            self.push(What::Gap(gap), None);
            if !self.wish.pass_gaps {
                self.end(EndReason::Gap);
                return false;
            }
        }
        true
    }
}

fn gap_of(shard: &ShardGlance) -> Gap {
    Gap {
        shard: shard.name.shard.to_string(),
        after: None,
        before: None,
        cause: Cause::Trimmed,
        certain: true,
    }
}
