//! The errors of upstream calls, and what each means for the caller.

use std::fmt;
use std::time::Duration;

/// Which call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// ListStreams.
    ListStreams,
    /// DescribeStream.
    DescribeStream,
    /// GetShardIterator.
    GetShardIterator,
    /// GetRecords.
    GetRecords,
}

/// What a failure means, and so how the caller reacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// AWS throttles: retry later, with the same iterator.
    Throttled,
    /// 5xx, a timeout, a lost connection, a malformed response: retry later, with the same
    /// iterator.
    Unavailable,
    /// The iterator is too old: get a new one at the current position.
    ExpiredIterator,
    /// The position is before the oldest record that is kept.
    Trimmed,
    /// The stream or the shard does not exist, or no longer exists.
    NotFound,
    /// Our credentials do not allow this. May pass: policies change and credentials are renewed.
    AccessDenied,
    /// AWS refuses the request as malformed: the same request will never work.
    Invalid,
}

/// A failed call. Classified by error code or typed variant, never by its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamError {
    /// Which call.
    pub operation: Operation,
    /// What it means.
    pub class: ErrorClass,
    /// The upstream's own error code; `None` when it sent none.
    pub code: Option<String>,
    /// The message of the upstream or of the transport, for people; at most a few hundred
    /// characters.
    pub message: String,
    /// How long the upstream asked to wait; `None` when it did not ask.
    pub retry_after: Option<Duration>,
}

impl Operation {
    /// AWS's name of the call.
    pub fn name(self) -> &'static str {
        match self {
            Self::ListStreams => "ListStreams",
            Self::DescribeStream => "DescribeStream",
            Self::GetShardIterator => "GetShardIterator",
            Self::GetRecords => "GetRecords",
        }
    }
}

impl ErrorClass {
    /// The metric label of this class.
    pub fn label(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::ExpiredIterator => "expired_iterator",
            Self::Trimmed => "trimmed",
            Self::NotFound => "not_found",
            Self::AccessDenied => "access_denied",
            Self::Invalid => "invalid",
        }
    }

    /// Whether the same call may succeed at once: worth a second attempt before the failure is
    /// reported.
    pub fn may_pass_soon(self) -> bool {
        match self {
            Self::Throttled | Self::Unavailable => true,
            Self::AccessDenied
            | Self::ExpiredIterator
            | Self::Trimmed
            | Self::NotFound
            | Self::Invalid => false,
        }
    }

    /// Whether the same call may succeed later.
    pub fn may_pass(self) -> bool {
        match self {
            Self::Throttled | Self::Unavailable | Self::AccessDenied => true,
            Self::ExpiredIterator | Self::Trimmed | Self::NotFound | Self::Invalid => false,
        }
    }
}

impl UpstreamError {
    /// The error for a position by time where records have no creation times: it cannot be found.
    pub fn no_times() -> Self {
        let message =
            "the records here bear no times, so a place by time cannot be found".to_owned();
        let (operation, class) = (Operation::GetShardIterator, ErrorClass::Invalid);
        Self { operation, class, code: None, message, retry_after: None }
    }

    /// A successful response whose content makes no sense: most likely not from DynamoDB, so it may
    /// pass. `what` quotes nothing of the response.
    pub fn nonsense(operation: Operation, what: &str) -> Self {
        Self {
            operation,
            class: ErrorClass::Unavailable,
            code: None,
            message: what.to_owned(),
            retry_after: None,
        }
    }
}

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed", self.operation.name())?;
        if let Some(code) = &self.code {
            write!(f, " with {code}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for UpstreamError {}
