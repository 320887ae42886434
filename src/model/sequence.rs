//! Sequence numbers: decimal numbers of up to 40 digits, which fit no machine integer.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use super::Timestamp;

/// The longest sequence number AWS documents, in digits.
const MAX_DIGITS: usize = 40;

/// ScyllaDB's numbers: how many low bits are random, and the least value of those bits in
/// ScyllaDB's order, which compares signed bytes.
const CHANCE: (u32, u128) = (64, 0x8080_8080_8080_8080);

/// A record's number within its shard: 1 to 40 ASCII digits, compared as an integer.
///
/// The text is kept as AWS wrote it (emulators pad with zeros and want their padding back);
/// equality, order and hash look only at the number: leading zeros stripped, then length, then
/// bytes.
#[derive(Clone, Copy)]
pub struct SequenceNumber {
    digits: [u8; MAX_DIGITS],
    len: u8,
    zeros: u8,
}

/// Why a text is not a sequence number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a sequence number is 1 to 40 ASCII digits")]
pub struct SequenceError;

impl SequenceNumber {
    /// Parses 1 to 40 ASCII digits.
    pub fn parse(text: &str) -> Result<Self, SequenceError> {
        Self::parse_bytes(text.as_bytes())
    }

    /// As [`Self::parse`], of a text that is not known to be UTF-8.
    pub fn parse_bytes(bytes: &[u8]) -> Result<Self, SequenceError> {
        if bytes.is_empty() || bytes.len() > MAX_DIGITS || !bytes.iter().all(u8::is_ascii_digit) {
            return Err(SequenceError);
        }
        let mut digits = [b'0'; MAX_DIGITS];
        digits[..bytes.len()].copy_from_slice(bytes);
        let zeros = bytes.iter().take_while(|&&digit| digit == b'0').count();
        Ok(Self { digits, len: bytes.len() as u8, zeros: zeros as u8 })
    }

    /// The text as it was parsed, leading zeros included.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.digits[..usize::from(self.len)])
            .expect("only ASCII digits are stored")
    }

    /// The least number of the same moment. ScyllaDB makes its numbers of a time and random bits,
    /// and sorts numbers of the same time by those bits in an order of its own: so for ScyllaDB all
    /// numbers of one time count as one.
    pub fn moment(&self) -> Self {
        let least =
            self.ticks().map(|ticks| (u128::from(ticks) << CHANCE.0 | CHANCE.1).to_string());
        least.and_then(|text| Self::parse(&text).ok()).unwrap_or(*self)
    }

    /// The time in a number that ScyllaDB made.
    pub fn made(&self) -> Option<Timestamp> {
        Timestamp::from_uuid_ticks(self.ticks()?)
    }

    fn ticks(&self) -> Option<u64> {
        let value: u128 = self.as_str().parse().ok()?;
        u64::try_from(value >> CHANCE.0).ok().filter(|ticks| *ticks > 0)
    }

    /// The digits without leading zeros: empty for zero.
    fn significant(&self) -> &[u8] {
        &self.digits[usize::from(self.zeros)..usize::from(self.len)]
    }
}

impl Ord for SequenceNumber {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (self.significant(), other.significant());
        a.len().cmp(&b.len()).then_with(|| a.cmp(b))
    }
}

impl PartialOrd for SequenceNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for SequenceNumber {
    fn eq(&self, other: &Self) -> bool {
        self.significant() == other.significant()
    }
}

impl Eq for SequenceNumber {}

impl Hash for SequenceNumber {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.significant().hash(state);
    }
}

impl fmt::Debug for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn n(text: &str) -> SequenceNumber {
        SequenceNumber::parse(text).expect("digits")
    }

    #[test]
    fn compares_as_integers_and_keeps_the_text() {
        assert!(n("9") < n("10"));
        assert!(n("00009") < n("10"));
        assert_eq!(n("0"), n("000"));
        assert_eq!(n("007").as_str(), "007");
        let long = "9".repeat(40);
        assert!(n(&long) > n(&format!("1{}", "0".repeat(38))));
    }

    #[test]
    fn refuses_what_is_not_one_to_forty_digits() {
        for bad in ["", "-1", "1a", " 1", "१", &"1".repeat(41)] {
            assert_eq!(SequenceNumber::parse(bad).err(), Some(SequenceError), "{bad}");
        }
    }

    #[test]
    fn numbers_of_one_moment_are_one_to_scylladb() {
        let of = |ticks: u128, chance: u64| n(&(ticks << 64 | u128::from(chance)).to_string());
        let ticks = 139_876_746_484_740_000;
        assert_eq!(
            of(ticks, 0x8001_ff00_0000_0001).moment(),
            of(ticks, 0xbfff_7f00_0000_0000).moment()
        );
        assert!(of(ticks, u64::MAX).moment() < of(ticks + 1, 0).moment());
        assert_eq!(of(ticks, 7).made().map(|time| time.millis()), Some(1_768_381_848_474));
        for other in ["7", "0", &"9".repeat(40)] {
            assert_eq!((n(other).moment(), n(other).made()), (n(other), None));
        }
    }

    proptest! {
        #[test]
        fn orders_like_u128(a in any::<u64>(), b in any::<u128>(), pad in 0usize..2) {
            let b = b / 10;
            let padded = format!("{}{b}", "0".repeat(pad));
            prop_assert_eq!(n(&a.to_string()).cmp(&n(&padded)), u128::from(a).cmp(&b));
        }
    }
}
