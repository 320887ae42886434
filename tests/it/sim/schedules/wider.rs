//! What happens to streams and their listings, drawn apart: plans stay as they are in everything
//! else.

use std::time::Duration;

use super::draw::Draw;
use super::*;

/// How long a stream takes to be closed: longer than children take to be listed.
const CLOSING: Duration = Duration::from_secs(130);

/// Longer than a listing is remembered.
const HIDDEN: Duration = Duration::from_secs(150);

impl Plan {
    /// Adds what happens to streams and their listings.
    pub fn widen(&mut self) {
        let mut draw = Draw::with_seed(self.seed ^ 0x71de);
        self.listings = draw.listings();
        for _ in 0..if draw.one_in(2) { draw.chance.usize(1..=3) } else { 0 } {
            let (at, shard) = (draw.within(self.until), draw.chance.usize(0..4));
            // All are listed at the end: what was written is to arrive.
            let lasts = draw.within(HIDDEN).min(self.until - at);
            draw.step(at, Do::Hide { shard, lasts });
        }
        for _ in 0..if draw.one_in(3) { draw.chance.usize(1..=2) } else { 0 } {
            let at = self.until / 8 + draw.within(self.until / 2);
            let same_id = draw.chance.bool();
            draw.step(at, Do::Recreate { same_id });
            if at + CLOSING < self.until {
                draw.step(at + CLOSING, Do::Disabled);
            }
        }
        if draw.one_in(3) {
            let at = draw.within(self.until);
            let rates =
                Rates { throttle: 0.2, unavailable: 0.1, denied: 0.05, hang: 0.02, not_found: 0.0 };
            draw.step(at, Do::FailListings { rates });
            let lasts = draw.within(self.until / 4);
            draw.step(at + lasts, Do::FailListings { rates: Rates::NONE });
        }
        for _ in 0..draw.chance.usize(2..12) {
            let (at, shard) = (draw.within(self.until), draw.chance.usize(0..6));
            let by_table = draw.one_in(4);
            draw.step(at, Do::Ask { shard, by_table });
        }
        self.steps.append(&mut draw.steps);
    }
}

impl Draw {
    fn listings(&mut self) -> Listings {
        use ListingOrder::{ById, Mixed, Reversed, Shuffled};
        let children = [
            Some(ChildShards::Known),
            None,
            Some(ChildShards::Ignored),
            Some(ChildShards::Itself),
            Some(ChildShards::Half),
            Some(ChildShards::Nothing),
        ];
        Listings {
            shards: [1, 2, 100][self.chance.usize(0..3)],
            order: [ById, Reversed, Mixed, Shuffled][self.chance.usize(0..4)],
            children: children[self.chance.usize(0..children.len())],
        }
    }
}
