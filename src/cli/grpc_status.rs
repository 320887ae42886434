//! What a gRPC status says about the call: whether it reached the server, whether to retry, and
//! when.

use std::error::Error;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// The server's reason (docs/errors.md names them); empty when it gives none.
pub(super) fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

/// How long the server asks to wait before a retry; `None` when it does not.
pub(super) fn retry_delay(status: &Status) -> Option<Duration> {
    status.get_details_retry_info().and_then(|info| info.retry_delay)
}

/// Whether a retry may succeed: the server says so, or the call never reached it.
pub(super) fn may_pass(status: &Status) -> bool {
    let unheard = is_unheard(status);
    match status.code() {
        Code::Unavailable => true,
        Code::ResourceExhausted => unheard || retry_delay(status).is_some(),
        // This side makes these of a connection that breaks; the server's own carry ErrorInfo.
        Code::Cancelled | Code::Unknown | Code::Internal => {
            unheard
                || (status.code() == Code::Cancelled && status.get_details_error_info().is_none())
        }
        _ => false,
    }
}

/// The innermost error, which says what happened; the outer ones say "transport error".
pub(super) fn root(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Whether this side made the status, because the connection broke.
pub(super) fn is_unheard(status: &Status) -> bool {
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
