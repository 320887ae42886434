//! Which seeds a test run plays, and how it plays many of them.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// What `SHARDSTREAM_TEST_SEED` asks for.
pub enum Chosen {
    /// One seed, with all that happens.
    One(u64),
    /// Many, of which only broken ones are shown.
    Many(Range<u64>),
}

impl Chosen {
    /// `7` is one seed, `500..1000` are many; unset are the first `usual` ones.
    #[allow(
        clippy::disallowed_methods,
        reason = "which seeds to look at is the developer's word, not the program's"
    )]
    pub fn or_first(usual: u64) -> Self {
        let Ok(text) = std::env::var("SHARDSTREAM_TEST_SEED") else { return Self::Many(0..usual) };
        let number = |text: &str| {
            text.parse().expect("SHARDSTREAM_TEST_SEED is a number, or two with .. between them")
        };
        match text.split_once("..") {
            Some((from, to)) => Self::Many(number(from)..number(to)),
            None => Self::One(number(&text)),
        }
    }
}

/// The seeds that `play` finds broken, on as many threads as there are cores.
pub fn broken<V: Send>(seeds: Range<u64>, play: impl Fn(u64) -> Option<V> + Sync) -> Vec<(u64, V)> {
    let (next, broken) = (AtomicU64::new(seeds.start), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    if let Some(what) = play(seed) {
                        broken.lock().expect("no holder panics").push((seed, what));
                    }
                }
            });
        }
    });
    let mut broken = broken.into_inner().expect("no holder panics");
    broken.sort_by_key(|(seed, _)| *seed);
    broken
}
