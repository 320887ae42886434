//! Points in time, and *now* as an argument.

use std::fmt;
use std::time::{Duration, Instant};

/// A point in time: seconds and nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    seconds: i64,
    nanos: u32,
}

/// What time it is, handed to whatever decides by it.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For intervals: never jumps.
    pub at: Instant,
    /// For comparison with AWS's own times.
    pub wall: Timestamp,
}

impl Timestamp {
    /// The earliest and latest seconds a protobuf Timestamp can hold (years 1 and 9999).
    const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self { seconds: 0, nanos: 0 };

    /// From seconds and nanoseconds; `None` outside the years 1 to 9999 or with a billion nanoseconds or more.
    pub fn new(seconds: i64, nanos: u32) -> Option<Self> {
        (Self::SECONDS.contains(&seconds) && nanos < 1_000_000_000).then_some(Self { seconds, nanos })
    }

    /// From milliseconds since 1970; `None` outside the years 1 to 9999.
    pub fn from_millis(millis: i64) -> Option<Self> {
        Self::new(millis.div_euclid(1_000), millis.rem_euclid(1_000) as u32 * 1_000_000)
    }

    /// From seconds since 1970 as JSON numbers have them; `None` outside the years 1 to 9999. Fractions of an `f64` are exact
    /// to a quarter of a microsecond at today's dates: rounded to whole ones, so that .123 stays .123.
    pub fn from_secs_f64(seconds: f64) -> Option<Self> {
        let whole = seconds.floor();
        let nanos = ((seconds - whole) * 1e9) as u32;
        let micros = (nanos + 500) / 1_000;
        Self::new((whole as i64).checked_add(i64::from(micros / 1_000_000))?, micros % 1_000_000 * 1_000)
    }

    /// Whole seconds since 1970, rounded down.
    pub fn seconds(&self) -> i64 {
        self.seconds
    }

    /// Nanoseconds past [`Self::seconds`].
    pub fn nanos(&self) -> u32 {
        self.nanos
    }

    /// Milliseconds since 1970, rounded down.
    pub fn millis(&self) -> i64 {
        self.seconds * 1_000 + i64::from(self.nanos / 1_000_000)
    }

    /// The whole second at or before this time: AWS stamps records so.
    pub fn floor(&self) -> Self {
        Self { seconds: self.seconds, nanos: 0 }
    }

    /// This time less `duration`, not before the year 1.
    pub fn minus(&self, duration: Duration) -> Self {
        let total = self.as_nanos() - duration.as_nanos() as i128;
        Self::from_nanos(total)
    }

    /// This time plus `duration`, not past the year 9999.
    pub fn plus(&self, duration: Duration) -> Self {
        let total = self.as_nanos() + duration.as_nanos() as i128;
        Self::from_nanos(total)
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(&self, earlier: Self) -> Duration {
        let nanos = (self.as_nanos() - earlier.as_nanos()).max(0);
        Duration::new((nanos / 1_000_000_000) as u64, (nanos % 1_000_000_000) as u32)
    }

    fn as_nanos(&self) -> i128 {
        i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanos)
    }

    fn from_nanos(nanos: i128) -> Self {
        let seconds = nanos.div_euclid(1_000_000_000);
        let clamped = seconds.clamp(i128::from(*Self::SECONDS.start()), i128::from(*Self::SECONDS.end()));
        Self { seconds: clamped as i64, nanos: nanos.rem_euclid(1_000_000_000) as u32 }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::new(self.seconds, self.nanos as i32) {
            Ok(time) => time.fmt(f),
            Err(_) => write!(f, "{}s", self.seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floors_and_measures() {
        let t = Timestamp::from_millis(-1).expect("in range");
        assert_eq!((t.seconds(), t.nanos()), (-1, 999_000_000));
        assert_eq!(t.floor().millis(), -1_000);
        assert_eq!(Timestamp::EPOCH.since(t), Duration::from_millis(1));
        assert_eq!(t.since(Timestamp::EPOCH), Duration::ZERO);
        assert!(Timestamp::EPOCH.minus(Duration::MAX).plus(Duration::MAX).seconds() > 0);
    }
}
