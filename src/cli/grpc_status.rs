//! What a gRPC status says about the call: whether it reached the server, and why it failed.

use std::error::Error;
use std::time::Duration;

use tonic::Status;
use tonic_types::StatusExt;

/// The server's reason (docs/errors.md names them); empty when it gives none.
pub(super) fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

/// How long the server asks to wait before a retry; `None` when it does not.
pub(super) fn retry_delay(status: &Status) -> Option<Duration> {
    status.get_details_retry_info().and_then(|info| info.retry_delay)
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
