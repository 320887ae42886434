//! The simulated time: it begins with ours and may run faster.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use shardstream_simulator::Millis;
use tokio::time::Instant;

/// The latest time that it shows, the year 9000: dates end a little later.
const LATEST: Millis = 221_845_392_000_000;

/// A clock. Clones show the same time.
#[derive(Clone, Debug)]
pub(super) struct SimulatedClock {
    began: Instant,
    base: Millis,
    scale: u32,
    /// By how much it was moved forward.
    moved: Arc<AtomicU64>,
    /// It stands still rather than show a later time than this.
    until: Arc<AtomicU64>,
}

impl SimulatedClock {
    /// A clock that shows the time of day now, or `earliest` where that is later, and runs `scale`
    /// times faster from here on. A `kept` one shows nothing later until it may.
    pub(super) fn begin(scale: u32, earliest: Millis, kept: bool) -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let base = Millis::try_from(wall.as_millis()).unwrap_or_default().max(earliest).min(LATEST);
        let until = Arc::new(AtomicU64::new(if kept { base } else { Millis::MAX }));
        Self { began: Instant::now(), base, scale: scale.max(1), moved: Arc::default(), until }
    }

    /// The simulated time.
    pub(super) fn now(&self) -> Millis {
        let passed = self.began.elapsed().as_micros() * u128::from(self.scale) / 1_000;
        let moved = self.moved.load(Ordering::Relaxed);
        let passed = Millis::try_from(passed).unwrap_or(Millis::MAX).saturating_add(moved);
        let now = self.base.saturating_add(passed).min(LATEST);
        now.min(self.until.load(Ordering::Relaxed))
    }

    /// How much simulated time passes in so much of ours.
    pub(super) fn scaled(&self, ours: Millis) -> Millis {
        ours.saturating_mul(u64::from(self.scale))
    }

    /// Lets it show times up to this one.
    pub(super) fn show_until(&self, at: Millis) {
        self.until.fetch_max(at, Ordering::Relaxed);
    }

    /// Whether it can be moved forward so far.
    pub(super) fn reaches(&self, by: Millis) -> bool {
        self.now().saturating_add(by) < LATEST
    }

    /// Moves it forward.
    pub(super) fn advance(&self, by: Millis) {
        self.moved.fetch_add(by, Ordering::Relaxed);
    }

    /// The simulated time as a `Date` header has it.
    pub(super) fn http_date(&self) -> String {
        let now = i64::try_from(self.now()).unwrap_or(i64::MAX);
        let time = jiff::Timestamp::from_millisecond(now).unwrap_or(jiff::Timestamp::MAX);
        time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }
}
