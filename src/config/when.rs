//! Places in a stream as people write them: a word, a time, a sequence number, or a token.

use std::str::FromStr;
use std::time::Duration;

use crate::model::{SequenceNumber, Timestamp};

/// A point in time, perhaps relative to now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// This very time.
    At(Timestamp),
    /// So long ago.
    Ago(Duration),
}

/// Where reading begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartPosition {
    /// The oldest record that is still kept.
    TrimHorizon,
    /// After the newest record.
    Latest,
    /// The first record of this time or later.
    Time(When),
    /// The record of this number in a shard, or the first one after it.
    At(SequenceNumber),
    /// Directly after the record of this number in a shard.
    After(SequenceNumber),
    /// Directly after what the token covers. Only the server can tell whether it is one.
    Token(String),
}

/// Why a place or a time was refused; the text is for whoever wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WhenError {
    /// Not a time.
    #[error(
        "a time is written as 2026-11-23T10:00:00Z, 2026-11-23 (midnight UTC), 1795428000 (seconds since 1970, milliseconds \
         and microseconds too), or 10m (ten minutes ago)"
    )]
    Time,
    /// Not a sequence number.
    #[error(
        "a sequence number is 1 to 40 digits: at:NUMBER begins with its record, after:NUMBER behind it"
    )]
    Number,
    /// Not a place.
    #[error(
        "give trim-horizon, latest, a time (2026-11-23T10:00:00Z, 2026-11-23, 1795428000, or 10m for ten minutes ago), \
         at:NUMBER or after:NUMBER in a shard, or a token"
    )]
    Position,
}

impl When {
    /// The time this names, when it is `now`.
    pub fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::Ago(ago) => now.minus(ago),
        }
    }
}

impl FromStr for When {
    type Err = WhenError;

    fn from_str(text: &str) -> Result<Self, WhenError> {
        if let Ok(ago) = humantime::parse_duration(text) {
            return Ok(Self::Ago(ago));
        }
        if let Some(time) = since_1970(text) {
            return Ok(Self::At(time));
        }
        let time: jiff::Timestamp = text
            .parse()
            .or_else(|_| format!("{text}T00:00:00Z").parse())
            .map_err(|_| WhenError::Time)?;
        let nanos = u32::try_from(time.subsec_nanosecond()).map_err(|_| WhenError::Time)?;
        Timestamp::new(time.as_second(), nanos).map(Self::At).ok_or(WhenError::Time)
    }
}

/// A number of this length is a time of our days in one unit only: seconds until the year 5138,
/// milliseconds and microseconds from 1973 on.
fn since_1970(text: &str) -> Option<Timestamp> {
    let per_second = match text.len() {
        9..=11 => 1,
        12..=14 => 1_000,
        15..=17 => 1_000_000,
        _ => return None,
    };
    let number: i64 =
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())??;
    Timestamp::new(number / per_second, (number % per_second * (1_000_000_000 / per_second)) as u32)
}

impl FromStr for StartPosition {
    type Err = WhenError;

    fn from_str(text: &str) -> Result<Self, WhenError> {
        match text.to_ascii_lowercase().replace('_', "-").as_str() {
            "trim-horizon" => return Ok(Self::TrimHorizon),
            "latest" => return Ok(Self::Latest),
            _ => {}
        }
        let number = |text: &str| SequenceNumber::parse(text).map_err(|_| WhenError::Number);
        match text.split_once(':') {
            Some((word, digits)) if word.eq_ignore_ascii_case("at") => {
                return number(digits).map(Self::At);
            }
            Some((word, digits)) if word.eq_ignore_ascii_case("after") => {
                return number(digits).map(Self::After);
            }
            Some(_) | None => {}
        }
        if let Ok(time) = text.parse() {
            return Ok(Self::Time(time));
        }
        // Shorter than any token is a word mistyped; bloop's tokens are JSON objects.
        let opaque = text.len() >= 16
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'='));
        let json = text.starts_with('{') && text.ends_with('}');
        if opaque || json { Ok(Self::Token(text.to_owned())) } else { Err(WhenError::Position) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_word_a_time_or_a_token() {
        assert_eq!("TRIM_HORIZON".parse(), Ok(StartPosition::TrimHorizon));
        assert_eq!("latest".parse(), Ok(StartPosition::Latest));
        assert_eq!("10m".parse(), Ok(StartPosition::Time(When::Ago(Duration::from_secs(600)))));
        let ten = Timestamp::from_millis(1_795_428_000_000).expect("a time");
        assert_eq!("2026-11-23T10:00:00Z".parse(), Ok(StartPosition::Time(When::At(ten))));
        assert_eq!("2026-11-23T12:00:00+02:00".parse(), Ok(StartPosition::Time(When::At(ten))));
        assert_eq!("2026-11-23".parse(), Ok(When::At(ten.minus(Duration::from_secs(36_000)))));
        assert_eq!(
            "AbCd_-0123456789xyz".parse(),
            Ok(StartPosition::Token("AbCd_-0123456789xyz".to_owned()))
        );
        assert!(matches!(r#"{"shard_id": "s"}"#.parse(), Ok(StartPosition::Token(_))));
        for bad in ["", "lates", "yesterday at noon, perhaps", "2026-13-45"] {
            assert_eq!(bad.parse::<StartPosition>(), Err(WhenError::Position), "{bad}");
        }
    }

    #[test]
    fn a_number_alone_is_a_time_since_1970_in_whatever_unit() {
        let ten = Timestamp::from_millis(1_795_428_000_000).expect("a time");
        assert_eq!("1795428000".parse(), Ok(When::At(ten)));
        assert_eq!("1795428000123".parse(), Ok(When::At(ten.plus(Duration::from_millis(123)))));
        assert_eq!(
            "1795428000123456".parse(),
            Ok(StartPosition::Time(When::At(ten.plus(Duration::from_micros(123_456)))))
        );
        for bad in ["12345678", "123456789012345678", "1795428000x", "-1795428000"] {
            assert_eq!(bad.parse::<When>(), Err(WhenError::Time), "{bad}");
        }
    }

    #[test]
    fn a_record_is_named_by_its_number() {
        let number = SequenceNumber::parse("4421584500000000017450439091").expect("a number");
        assert_eq!("at:4421584500000000017450439091".parse(), Ok(StartPosition::At(number)));
        assert_eq!("AFTER:4421584500000000017450439091".parse(), Ok(StartPosition::After(number)));
        for bad in ["at:", "at:x", "after:-1", "at:12345678901234567890123456789012345678901"] {
            assert_eq!(bad.parse::<StartPosition>(), Err(WhenError::Number), "{bad}");
        }
    }

    #[test]
    fn ago_is_counted_from_now() {
        let now = Timestamp::from_millis(1_000_000).expect("a time");
        assert_eq!(When::Ago(Duration::from_secs(1)).resolve(now).millis(), 999_000);
    }
}
