//! How far AWS's clock is from ours, so that requests are signed with its time: AWS refuses those
//! that are more than some minutes off.
//!
//! By the rules of the SDK, which keeps its own to itself.

use std::sync::atomic::{AtomicI64, Ordering};

use aws_sdk_dynamodbstreams::primitives::{DateTime, DateTimeFormat};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

/// A round trip that took longer says nothing.
const LONGEST_TRIP: i64 = 15 * 60 * 1_000;

/// What moves further than this between two answers is a clock that was set.
const STEP: u64 = 60 * 1_000;

/// Milliseconds that AWS's clock is ahead of ours.
#[derive(Debug, Default)]
pub(super) struct ClockSkew(AtomicI64);

impl ClockSkew {
    /// What is known of it.
    pub(super) fn millis(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether a clock was set since it was `before`.
    pub(super) fn has_moved_since(&self, before: i64) -> bool {
        self.millis().abs_diff(before) > STEP
    }

    /// The time to sign with, when our clock shows `now`.
    pub(super) fn corrected(&self, now: DateTime) -> DateTime {
        let millis = now.to_millis().ok().and_then(|now| now.checked_add(self.millis()));
        millis.map_or(now, DateTime::from_millis)
    }

    /// Takes AWS's time from an answer to a request that was sent and answered at these times of
    /// our clock.
    pub(super) fn heard(&self, answer: &HttpResponse, sent: DateTime, received: DateTime) {
        // One out of a cache bears the time at which it was put there.
        if answer.headers().get("age").is_some() {
            return;
        }
        let date = answer.headers().get("date");
        let date = date.and_then(|text| DateTime::from_str(text, DateTimeFormat::HttpDate).ok());
        let millis = |time: DateTime| time.to_millis().ok();
        let (Some(date), Some(sent), Some(received)) =
            (date.and_then(millis), millis(sent), millis(received))
        else {
            return;
        };
        let trip = received.saturating_sub(sent).max(0);
        if trip <= LONGEST_TRIP {
            let ours = sent.saturating_add(trip / 2);
            self.0.store(date.saturating_sub(ours), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_smithy_types::body::SdkBody;

    fn answer(headers: &[(&'static str, &'static str)]) -> HttpResponse {
        let mut answer = HttpResponse::new(200.try_into().expect("a status"), SdkBody::empty());
        for (name, value) in headers {
            answer.headers_mut().insert(*name, *value);
        }
        answer
    }

    #[test]
    fn the_date_of_an_answer_is_that_of_half_its_way() {
        let (skew, at) = (ClockSkew::default(), DateTime::from_secs);
        let date = ("date", "Tue, 14 Nov 2023 22:13:20 GMT");
        skew.heard(&answer(&[date]), at(1_699_999_700), at(1_699_999_720));
        assert_eq!(skew.millis(), 290_000);
        assert_eq!(skew.corrected(at(1_000)), at(1_290));
        assert!(skew.has_moved_since(0) && !skew.has_moved_since(250_000));
        // Later ones count, earlier ones do not.
        skew.heard(&answer(&[date]), at(1_700_000_100), at(1_700_000_100));
        assert_eq!(skew.corrected(at(1_000)), at(900));
        for (headers, took) in [
            (vec![date, ("age", "3")], 0),
            (vec![("date", "yesterday")], 0),
            (vec![], 0),
            (vec![date], 901),
        ] {
            skew.heard(&answer(&headers), at(1_700_000_000), at(1_700_000_000 + took));
            assert_eq!(skew.millis(), -100_000, "{headers:?} {took}");
        }
    }
}
