//! What a status says about the call: whether it was heard, whether a repeat may help, and when.

use std::error::Error;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// The reason that the server gives (docs/errors.md names them); empty when it gives none.
pub fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

/// How long the server asks to wait before a repeat.
pub fn retry_delay(status: &Status) -> Option<Duration> {
    status.get_details_retry_info().and_then(|info| info.retry_delay)
}

/// Whether the same call may succeed later: the server says so, or it was never heard.
pub fn may_pass(status: &Status) -> bool {
    let unheard = is_unheard(status);
    match status.code() {
        Code::Unavailable => true,
        Code::ResourceExhausted => unheard || retry_delay(status).is_some(),
        // What this side makes of a connection that breaks; the server's own end with ErrorInfo.
        Code::Cancelled | Code::Unknown | Code::Internal => {
            unheard
                || (status.code() == Code::Cancelled && status.get_details_error_info().is_none())
        }
        _ => false,
    }
}

/// The error at the bottom, which says what happened; those above it say "transport error".
pub fn root(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Whether this side made the status, of a connection that broke.
pub fn is_unheard(status: &Status) -> bool {
    Error::source(status).is_some()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let status = |code: Code, reason: &str| {
            let details = tonic_types::ErrorDetails::with_error_info(reason, "shardstream", []);
            Status::with_error_details(code, "said the server", details)
        };
        assert!(may_pass(&status(Code::Unavailable, "DRAINING")));
        assert!(!may_pass(&status(Code::ResourceExhausted, "STREAM_LIMIT")));
        assert!(!may_pass(&status(Code::Internal, "BUG")));
        assert!(may_pass(&Status::from_error(Box::new(io::Error::from(
            io::ErrorKind::ConnectionReset
        )))));
        assert_eq!(reason(&status(Code::Internal, "BUG")), "BUG");
    }
}
