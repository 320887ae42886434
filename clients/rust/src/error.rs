//! What calls fail with: one kind for each thing that a program may want to do about it.

use std::collections::HashMap;
use std::error::Error as _;
use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use tonic::{Code, Status, TimeoutExpired};
use tonic_types::StatusExt as _;

use crate::record::Event;
use crate::v1;

/// What a program may want to do about a failed call. Reasons of the server that this release does
/// not know get the kind of their status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is wrong and stays wrong.
    InvalidRequest,
    /// The token is damaged, or belongs to another stream or shard, or to a newer server.
    InvalidToken,
    /// There is no such stream or shard.
    NotFound,
    /// The session is gone: open the shard again from the newest token.
    LeaseNotFound,
    /// Records are gone. Starting from [`ErrorDetails::token`] accepts the loss.
    RecordsTrimmed,
    /// A record cannot be read. Starting from [`ErrorDetails::token`] passes it.
    RecordUnreadable,
    /// The session has no position yet: `jump` or `seek` first.
    NotPositioned,
    /// AWS does not let the server read this, or the server does not let this client.
    AccessDenied,
    /// The credentials were refused, and so were those that were fetched anew.
    Unauthenticated,
    /// A newer call on the same session took this one's place, or the session was closed. Do not
    /// repeat the call.
    Superseded,
    /// A limit of the server is reached; `metadata["limit"]` names it.
    LimitReached,
    /// The server, or DynamoDB behind it, could not be reached for as long as the client's
    /// patience lasts.
    Unavailable,
    /// The call took longer than its timeout.
    DeadlineExceeded,
    /// The program's own store or credentials failed.
    Local,
    /// Anything else, such as a fault in the server.
    Other,
}

/// A call failed; its fields say how.
#[derive(Clone, Debug)]
pub struct Error(pub(crate) Box<ErrorDetails>);

impl Deref for Error {
    type Target = ErrorDetails;

    fn deref(&self) -> &ErrorDetails {
        &self.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = if self.reason.is_empty() { self.code.description() } else { &self.reason };
        write!(f, "{reason}: {}", self.message)
    }
}

impl std::error::Error for Error {}

/// The fields of an [`Error`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ErrorDetails {
    /// What to do about it.
    pub kind: ErrorKind,
    /// gRPC's code.
    pub code: Code,
    /// The server's reason, as docs/errors.md of shardstream names it; empty when it gave none.
    pub reason: String,
    /// Text for people.
    pub message: String,
    /// What the server says beside it, such as the field or the limit.
    pub metadata: HashMap<String, String>,
    /// How long the server asks to wait before the next attempt.
    pub retry_delay: Option<Duration>,
    /// Where to go on; empty when that is not known.
    pub token: String,
    /// The gaps and unreadable records that were the cause.
    pub losses: Vec<Event>,
    /// gRPC's own account, where there is one: it knows more details, and whether the connection
    /// broke and why.
    pub status: Option<Status>,
}

impl Error {
    pub(crate) fn local(message: impl ToString) -> Self {
        Self::new(ErrorKind::Local, Code::Unknown, message.to_string())
    }

    pub(crate) fn silence(time: Duration) -> Self {
        Self::broken(&format!("nothing heard of the server for {time:?}, not even a heartbeat"))
    }

    /// The stream broke off, and not by the server's word.
    pub(crate) fn broken(message: &str) -> Self {
        Self::new(ErrorKind::Unavailable, Code::Unavailable, message.to_owned())
    }

    pub(crate) fn overdue() -> Self {
        let message = "the call was not answered in its time".to_owned();
        Self::new(ErrorKind::DeadlineExceeded, Code::DeadlineExceeded, message)
    }

    fn new(kind: ErrorKind, code: Code, message: String) -> Self {
        Self(Box::new(ErrorDetails {
            kind,
            code,
            reason: String::new(),
            message,
            metadata: HashMap::new(),
            retry_delay: None,
            token: String::new(),
            losses: Vec::new(),
            status: None,
        }))
    }

    /// The error of a failed call; `end` is the last message of its stream.
    pub(crate) fn of(status: &Status, end: Option<&v1::End>) -> Self {
        // This side makes these codes of a connection that breaks, or of a timeout, with its cause
        // as the source.
        let (code, message) = match root(status) {
            None => (status.code(), status.message().to_owned()),
            Some(cause) if cause.is::<TimeoutExpired>() => {
                (Code::DeadlineExceeded, cause.to_string())
            }
            Some(cause) => (Code::Unavailable, cause.to_string()),
        };
        let mut error = Self::new(ErrorKind::Other, code, message);
        let details = &mut *error.0;
        details.status = Some(status.clone());
        if let Some(info) = status.get_details_error_info() {
            details.reason = info.reason;
            details.metadata = info.metadata;
        }
        details.kind = kind(code, &details.reason);
        if code == Code::OutOfRange && details.reason.is_empty() && end.is_none() {
            // This side's own word for a message larger than it takes: no loss.
            details.kind = ErrorKind::Other;
        }
        details.token = details.metadata.get("token").cloned().unwrap_or_default();
        details.retry_delay = status.get_details_retry_info().and_then(|info| info.retry_delay);
        if let Some(delay) = end.and_then(|end| end.retry_delay) {
            details.retry_delay = Duration::try_from(delay).ok();
        }
        error
    }

    /// Whether the same call may succeed later. Never true of ABORTED: two programs that repeat
    /// push each other out.
    pub(crate) fn may_pass(&self) -> bool {
        match self.code {
            Code::Unavailable => true,
            // Without a delay it is not a limit of the server but a message too large for us.
            Code::ResourceExhausted => self.retry_delay.is_some(),
            // A server that found this client too slow; its other cancellations have a reason.
            Code::Cancelled => self.reason.is_empty(),
            Code::DeadlineExceeded => self.reason == "REQUEST_TIMEOUT",
            _ => false,
        }
    }
}

/// The innermost cause, which says what happened; the outer ones say "transport error".
fn root(status: &Status) -> Option<&(dyn std::error::Error + 'static)> {
    std::iter::successors(status.source(), |&error| error.source()).last()
}

fn kind(code: Code, reason: &str) -> ErrorKind {
    match (reason, code) {
        ("LEASE_NOT_FOUND", _) => ErrorKind::LeaseNotFound,
        ("NOT_POSITIONED", _) => ErrorKind::NotPositioned,
        ("TOKEN_MALFORMED" | "TOKEN_WRONG_KIND" | "TOKEN_MISMATCH" | "TOKEN_VERSION", _) => {
            ErrorKind::InvalidToken
        }
        (_, Code::InvalidArgument) => ErrorKind::InvalidRequest,
        (_, Code::NotFound) => ErrorKind::NotFound,
        (_, Code::OutOfRange) => ErrorKind::RecordsTrimmed,
        (_, Code::DataLoss) => ErrorKind::RecordUnreadable,
        (_, Code::FailedPrecondition | Code::PermissionDenied) => ErrorKind::AccessDenied,
        (_, Code::Unauthenticated) => ErrorKind::Unauthenticated,
        (_, Code::Aborted) => ErrorKind::Superseded,
        (_, Code::ResourceExhausted) => ErrorKind::LimitReached,
        (_, Code::Unavailable) => ErrorKind::Unavailable,
        (_, Code::DeadlineExceeded) => ErrorKind::DeadlineExceeded,
        _ => ErrorKind::Other,
    }
}
