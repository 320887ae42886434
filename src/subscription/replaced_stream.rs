//! What may have been lost with a stream that AWS no longer has: reported before anything of the
//! table's next stream. Pure.

use std::collections::VecDeque;

use crate::hub::{Gap, GapCause, ReadPosition};
use crate::model::Timestamp;
use crate::token::stream::StreamToken;

use super::frontier::Lost;

/// A token of the stream that is gone, and its losses that are not reported yet: until all are, the
/// client's token stays one of the old stream.
#[derive(Debug)]
pub(super) struct ReplacedStream {
    token: StreamToken,
    untold: VecDeque<Lost>,
}

impl ReplacedStream {
    /// The rest of each shard begun and of its descendants may be lost; if none was begun, the
    /// descendants of the shards finished last.
    pub(super) fn new(token: StreamToken, now: Timestamp) -> Self {
        let gap = |after, after_time| Gap {
            after,
            after_time,
            before: None,
            cause: GapCause::StreamReplaced,
            certain: false,
            detected: now,
        };
        let begun = token.begun.iter().map(|(shard, checkpoint)| {
            let position = ReadPosition::restored(*checkpoint);
            Lost { shard: shard.clone(), gap: gap(position.number(), position.time), ends: false }
        });
        let mut untold: VecDeque<_> = begun.collect();
        if untold.is_empty() {
            let finished = token.finished.iter();
            untold.extend(finished.map(|(shard, done)| Lost {
                shard: shard.clone(),
                gap: gap(None, done.time),
                ends: false,
            }));
        }
        Self { token, untold }
    }

    /// The next loss to report. From now on it counts as reported.
    pub(super) fn tell(&mut self) -> Option<Lost> {
        let lost = self.untold.pop_front()?;
        self.token.begun.remove(&lost.shard);
        self.token.finished.remove(&lost.shard);
        Some(lost)
    }

    /// The old stream's token without the losses reported so far; `None` once all are reported.
    pub(super) fn token(&self) -> Option<&StreamToken> {
        (!self.untold.is_empty()).then_some(&self.token)
    }
}
