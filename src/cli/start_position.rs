//! Converts start positions from the command line to those of the client.

use shardstream_client::Start;

use super::time;
use crate::config::StartPosition;
use crate::model::Timestamp;

/// The start position that `from` means at the time `now`.
pub(super) fn resolve(from: &StartPosition, now: Timestamp) -> Start {
    match from {
        StartPosition::TrimHorizon => Start::TrimHorizon,
        StartPosition::Latest => Start::Latest,
        StartPosition::Time(when) => {
            let time = time::to_message(when.resolve(now)).try_into();
            Start::Time(time.expect("the years 1 to 9999"))
        }
        StartPosition::At(number) => Start::AtSequenceNumber(number.as_str().to_owned()),
        StartPosition::After(number) => Start::AfterSequenceNumber(number.as_str().to_owned()),
        StartPosition::Token(token) => Start::Token(token.clone()),
    }
}
