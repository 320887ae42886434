//! Sequence numbers of AWS's form: 21 to 40 digits, rising, neither dense nor padded.

use std::fmt;
use std::str::FromStr;

use fastrand::Rng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Digits of the lower part.
const LOW_DIGITS: usize = 36;

/// What the lower part stays below.
const LOW: u128 = 10u128.pow(36);

/// The most that a number is above the one before.
const STEP: u128 = 1_000_000_000;

/// A sequence number. 40 digits fit no integer of the language, so it has two parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SequenceNumber {
    high: u16,
    low: u128,
}

impl SequenceNumber {
    /// Where a stream begins. Most have 26 or 28 digits; one in four has 21 that soon become 22, so
    /// that who compares numbers as text is found out, and one in eight has 40.
    pub(crate) fn first(chance: &mut Rng) -> Self {
        let digits = match chance.u8(0..8) {
            0 | 1 => return Self { high: 0, low: 10u128.pow(21) - 1 - chance.u128(0..STEP * 20) },
            2 => return Self { high: chance.u16(1_000..9_999), low: chance.u128(0..LOW / 2) },
            3..=5 => 26,
            _ => 28,
        };
        let least = 10u128.pow(digits - 1);
        Self { high: 0, low: chance.u128(least..least * 9) }
    }

    /// A later number.
    pub(crate) fn next(self, chance: &mut Rng) -> Self {
        let low = self.low + chance.u128(1..=STEP);
        if low < LOW { Self { low, ..self } } else { Self { high: self.high + 1, low: low - LOW } }
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.high {
            0 => write!(f, "{}", self.low),
            high => write!(f, "{high}{:0width$}", self.low, width = LOW_DIGITS),
        }
    }
}

/// Not a sequence number: other than digits, or more than 40.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotANumber;

impl fmt::Display for NotANumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a sequence number")
    }
}

impl FromStr for SequenceNumber {
    type Err = NotANumber;

    fn from_str(text: &str) -> Result<Self, NotANumber> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let short = text.trim_start_matches('0');
        if !digits || short.len() > LOW_DIGITS + 4 {
            return Err(NotANumber);
        }
        let (high, low) = short.split_at(short.len().saturating_sub(LOW_DIGITS));
        let part = |text: &str| if text.is_empty() { Ok(0) } else { text.parse::<u128>() };
        let high = part(high).ok().and_then(|high| u16::try_from(high).ok()).ok_or(NotANumber)?;
        Ok(Self { high, low: part(low).map_err(|_| NotANumber)? })
    }
}

impl Serialize for SequenceNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SequenceNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
