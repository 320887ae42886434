//! Chance that depends on what it is for and on nothing that happened before: so the order in which
//! things are looked at changes nothing.

use fastrand::Rng;

/// What a draw is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// Where a stream's sequence numbers begin.
    Numbers = 1,
    /// How far a sequence number is from the one before.
    Step,
    /// What a shard's life is like.
    Shard,
    /// In which order shards are listed.
    Listing,
    /// How many empty pages come before data.
    Empties,
    /// A record's id.
    Event,
    /// Whether a fault happens.
    Fault,
}

/// A source of chance for one purpose about the things that `about` counts.
pub(crate) fn draw(seed: u64, purpose: Purpose, about: &[u64]) -> Rng {
    let mixed = about.iter().fold(mix(seed ^ mix(purpose as u64)), |sum, n| mix(sum ^ mix(*n)));
    Rng::with_seed(mixed)
}

/// Where a partition key lies among the hash ranges of the shards.
pub(crate) fn hash(text: &str) -> u64 {
    let fold = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    mix(text.bytes().fold(0xcbf2_9ce4_8422_2325, fold))
}

/// Spreads a number over all 64 bits.
fn mix(mut n: u64) -> u64 {
    n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}
