//! Times and durations as text. All times are UTC.

use std::time::Duration;

use crate::model::Timestamp;

/// Converts a message's time; `None` when it is out of range.
pub(super) fn of_message(time: &prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(time.seconds, u32::try_from(time.nanos).ok()?)
}

/// Converts a time to a message's.
pub(super) fn to_message(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.seconds(), nanos: time.nanos() as i32 }
}

/// A message's time in RFC 3339; `?` when it is out of range.
pub(super) fn rfc3339(time: &prost_types::Timestamp) -> String {
    of_message(time).map_or_else(|| "?".into(), |time| time.to_string())
}

/// The time of day: enough for records, which live for 24 hours. Dashes when there is none.
pub(super) fn of_day(time: Option<&prost_types::Timestamp>) -> String {
    let text = time.map(rfc3339).unwrap_or_default();
    text.get(11..19).unwrap_or("--:--:--").to_owned()
}

/// A duration in its two largest units: `3h12m`, `45s`.
pub(super) fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (0, _, _) => format!("{hours}h{minutes:02}m"),
        (_, _, _) => format!("{days}d{hours:02}h"),
    }
}

/// A duration as protobuf's JSON has it: `1.5s`.
pub(super) fn seconds(duration: Duration) -> String {
    let nanos = format!("{:09}", duration.subsec_nanos());
    let fraction = nanos.trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    format!("{}{dot}{fraction}s", duration.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        let cases = [(5, "5s"), (65, "1m05s"), (11_520, "3h12m"), (90_000, "1d01h")];
        for (seconds, text) in cases {
            assert_eq!(short(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn durations_for_programs_are_exact() {
        let cases = [
            (Duration::ZERO, "0s"),
            (Duration::from_millis(1_500), "1.5s"),
            (Duration::from_nanos(10), "0.00000001s"),
        ];
        for (duration, text) in cases {
            assert_eq!(seconds(duration), text);
        }
    }

    #[test]
    fn the_time_of_day_is_utc() {
        let ten = prost_types::Timestamp { seconds: 1_795_428_000, nanos: 0 };
        assert_eq!((of_day(Some(&ten)).as_str(), of_day(None).as_str()), ("10:00:00", "--:--:--"));
        assert_eq!(rfc3339(&ten), "2026-11-23T10:00:00Z");
        assert_eq!(rfc3339(&prost_types::Timestamp { seconds: i64::MAX, nanos: -1 }), "?");
    }
}
