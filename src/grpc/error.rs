//! All errors of calls, and the one place that turns them into a gRPC status with details.
//!
//! `docs/errors.md` explains each reason to users; a test checks that the two agree.

mod causes;

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::access::CredentialsError;
use crate::held_bytes::HeldBytes;
use crate::hub::discovery::ListingError;
use crate::hub::{Gap, GapCause, NotAllowed};
use crate::session::Superseded;
use crate::token::TokenError;
use crate::upstream::{ErrorClass, Operation, UpstreamError};

/// The `ErrorInfo.domain` of all our reasons.
pub const DOMAIN: &str = "shardstream";

/// The longest message of a status, in bytes after percent-encoding: together with the longest
/// names and tokens the status stays below 4 KiB; larger trailers break clients.
const MESSAGE: usize = 400;

/// The longest text from a record or the upstream in the metadata, in bytes.
const WORDS: usize = 200;

/// The default retry delay.
const RETRY: Duration = Duration::from_secs(1);

/// Why a call is refused.
#[derive(Clone, Debug)]
pub enum CallError {
    /// A field is malformed: the reason, the field, what is wrong.
    Malformed(&'static str, &'static str, String),
    /// Neither a position nor a token nor a lease was given.
    StartMissing,
    /// Two starts were given, but only one is allowed.
    StartAmbiguous,
    /// The time lies too far ahead of our clock.
    TimeInFuture,
    /// The text is not a valid token of the expected kind.
    Token(TokenError),
    /// The token is of another stream or shard than the one named.
    TokenMismatch,
    /// The stream or the shard does not exist, or could not be looked up.
    Listing(ListingError),
    /// The token's shard is not in its stream's listing any more.
    ShardExpired(String),
    /// The lease is unknown, malformed or has ended.
    LeaseNotFound,
    /// Records at the position are gone. The token resumes after the gap; `None` if a message
    /// carried it already, or if nothing follows the gap.
    Trimmed(Box<Gap>, Option<String>),
    /// The session has no position yet.
    NotPositioned,
    /// A newer call took over the session, or its lease ended.
    Superseded(Superseded),
    /// The upstream failed.
    Upstream(UpstreamError),
    /// One of our limits is reached: which one, and a description.
    Limit(&'static str, String),
    /// The peer has used its share of a limit: which one. The rest is kept for other peers.
    PeerLimit(&'static str),
    /// The caller calls more often than its quota lets it: when it may again.
    Pace(Duration),
    /// The request did not arrive completely in time.
    RequestTimeout,
    /// The request is compressed.
    Compressed,
    /// The server is draining, or the stream reached its maximum age: retry after this delay.
    Draining(Duration),
    /// A record that cannot be read: its sequence number, the cause, and the token after it; the
    /// token is `None` if a message carried it already.
    Unreadable(Option<String>, String, Option<String>),
    /// The client's deadline passed first.
    Deadline,
    /// It is not known who calls: why, and what callers may show.
    Credentials(CredentialsError, &'static str),
    /// The caller may not do this.
    NotAllowed(NotAllowed),
    /// The audit log cannot tell of the call, and nothing may go untold.
    Untold,
}

/// An error that always has the same text: its code, its reason and its message.
type Fixed = (Code, &'static str, &'static str);

const START_MISSING: Fixed =
    (Code::InvalidArgument, "START_MISSING", "give a position, a token or a lease to start from");
const START_AMBIGUOUS: Fixed =
    (Code::InvalidArgument, "START_AMBIGUOUS", "give one start, not two");
const TIME_IN_FUTURE: Fixed = (
    Code::InvalidArgument,
    "TIME_IN_FUTURE",
    "the time lies more than 5 s ahead of the server's clock",
);
const TOKEN_MISMATCH: Fixed = (
    Code::InvalidArgument,
    "TOKEN_MISMATCH",
    "the token is of another stream or shard than the one named",
);
const NOT_POSITIONED: Fixed = (
    Code::FailedPrecondition,
    "NOT_POSITIONED",
    "the session has no place yet: JumpTo or SeekTo first",
);
const REQUEST_TIMEOUT: Fixed =
    (Code::DeadlineExceeded, "REQUEST_TIMEOUT", "the request did not come whole in time");
const COMPRESSION_UNSUPPORTED: Fixed =
    (Code::Unimplemented, "COMPRESSION_UNSUPPORTED", "send requests without compression");
const DRAINING: Fixed =
    (Code::Unavailable, "DRAINING", "the server is going away; ask again, another will answer");
const AUDIT_UNAVAILABLE: Fixed = (
    Code::Unavailable,
    "AUDIT_UNAVAILABLE",
    "this server's audit log cannot be written, and it serves nothing that it cannot tell of",
);
const DEADLINE: Fixed =
    (Code::DeadlineExceeded, "DEADLINE", "the deadline came before the answer; nothing was moved");
const LEASE_NOT_FOUND: Fixed = (
    Code::NotFound,
    "LEASE_NOT_FOUND",
    "no such lease: it has ended or was never given; open the shard again from your token",
);

fn fixed((code, reason, message): Fixed) -> (Code, &'static str, String) {
    (code, reason, message.into())
}

impl CallError {
    /// Too many positions behind a shard's window are waiting to be read.
    pub fn catch_up_limit() -> Self {
        Self::Limit(
            "CATCH_UP_LIMIT",
            "too many places behind this shard's window are waiting for their turn".into(),
        )
    }

    /// The memory held for clients is full. Counts the refusal in the metrics.
    pub fn held_limit(held: &HeldBytes) -> Self {
        held.count_refusal();
        Self::Limit("HELD_LIMIT", "too much is on its way to clients that do not take it".into())
    }

    /// The status that is sent to the client.
    pub fn status(&self) -> Status {
        self.status_as(self.parts().0)
    }

    /// The same status under another code: an error that is final for one call may be worth a
    /// retry with a new call.
    pub fn status_as(&self, code: Code) -> Status {
        let (_, reason, message) = self.parts();
        let message = clip(&message, MESSAGE, travelling);
        let mut details = ErrorDetails::with_error_info(reason, DOMAIN, self.metadata());
        match self {
            Self::Malformed(_, field, why) => {
                details.add_bad_request_violation(*field, why.clone());
            }
            Self::Token(_) | Self::TokenMismatch | Self::StartAmbiguous => {
                details.add_bad_request_violation("token", message.clone());
            }
            Self::StartMissing | Self::TimeInFuture => {
                let field = if matches!(self, Self::StartMissing) { "start" } else { "time" };
                details.add_bad_request_violation(field, message.clone());
            }
            Self::Listing(ListingError::StreamNotFound(name)) => {
                details.set_resource_info("dynamodb.Stream", name.clone(), "", "");
            }
            Self::Listing(ListingError::ShardNotFound(stream, shard)) => {
                details.set_resource_info("dynamodb.Shard", shard.as_str(), stream.resource(), "");
            }
            Self::Limit(limit, description) => {
                details.add_quota_failure_violation(*limit, description.clone());
                details.set_retry_info(Some(RETRY));
            }
            Self::Upstream(error) if code == Code::Unavailable => {
                details.set_retry_info(Some(error.retry_after.unwrap_or(RETRY)));
            }
            Self::Upstream(_) if code == Code::InvalidArgument => {
                details.add_bad_request_violation(
                    if reason == "STREAM_MALFORMED" { "stream" } else { "position" },
                    message.clone(),
                );
            }
            Self::PeerLimit(_) | Self::Pace(_) => {
                let delay = if let Self::Pace(delay) = self { *delay } else { RETRY };
                details.add_quota_failure_violation(reason, message.clone());
                details.set_retry_info(Some(delay));
            }
            Self::Draining(delay) => {
                details.set_retry_info(Some(*delay));
            }
            Self::Listing(ListingError::NotReady(_) | ListingError::Busy(_)) | Self::Untold => {
                details.set_retry_info(Some(RETRY));
            }
            Self::Listing(_)
            | Self::ShardExpired(_)
            | Self::LeaseNotFound
            | Self::Trimmed(..)
            | Self::NotPositioned
            | Self::Superseded(_)
            | Self::Upstream(_)
            | Self::Unreadable(..)
            | Self::RequestTimeout
            | Self::Compressed
            | Self::Credentials(..)
            | Self::NotAllowed(_)
            | Self::Deadline => {}
        }
        Status::with_error_details(code, message, details)
    }

    /// The reason (`ErrorInfo.reason`) by which programs recognise the error.
    pub fn reason(&self) -> &'static str {
        self.parts().1
    }

    fn parts(&self) -> (Code, &'static str, String) {
        match self {
            Self::Malformed(reason, field, why) => {
                (Code::InvalidArgument, reason, format!("{field}: {why}"))
            }
            Self::StartMissing => fixed(START_MISSING),
            Self::StartAmbiguous => fixed(START_AMBIGUOUS),
            Self::TimeInFuture => fixed(TIME_IN_FUTURE),
            Self::Token(error) => token(error),
            Self::TokenMismatch => fixed(TOKEN_MISMATCH),
            Self::Listing(error) => listings(error),
            Self::ShardExpired(shard) => {
                let message = format!("{shard} has expired: whatever of it was not read is gone");
                (Code::OutOfRange, "RECORDS_TRIMMED", message)
            }
            Self::LeaseNotFound => fixed(LEASE_NOT_FOUND),
            Self::Trimmed(gap, token) => {
                let surely = if gap.certain { "records are gone" } else { "records may be gone" };
                let place = if token.is_some() { "in the metadata" } else { "of the last message" };
                let message = format!(
                    "{surely}: {}; the token {place} stands behind the loss",
                    gap.cause.words()
                );
                (Code::OutOfRange, "RECORDS_TRIMMED", message)
            }
            Self::NotPositioned => fixed(NOT_POSITIONED),
            Self::Superseded(by) => superseded(*by),
            Self::Upstream(error) => upstream(error),
            Self::Limit(reason, description) => {
                (Code::ResourceExhausted, reason, description.clone())
            }
            Self::PeerLimit(what) => {
                let message = format!(
                    "your address has its share of this server's {what}; the rest is for others"
                );
                (Code::ResourceExhausted, "PEER_LIMIT", message)
            }
            Self::Pace(_) => {
                let message = "you call more often than your quota lets you".into();
                (Code::ResourceExhausted, "QUOTA_CALLS", message)
            }
            Self::RequestTimeout => fixed(REQUEST_TIMEOUT),
            Self::Compressed => fixed(COMPRESSION_UNSUPPORTED),
            Self::Draining(_) => fixed(DRAINING),
            Self::Unreadable(_, cause, _) => {
                (Code::DataLoss, "RECORD_UNREADABLE", format!("a record cannot be read: {cause}"))
            }
            Self::Deadline => fixed(DEADLINE),
            Self::Credentials(error, _) => fixed(credentials(*error)),
            Self::NotAllowed(error) => not_allowed(error),
            Self::Untold => fixed(AUDIT_UNAVAILABLE),
        }
    }

    fn metadata(&self) -> HashMap<String, String> {
        let pairs: Vec<(&str, String)> = match self {
            Self::Malformed(_, field, _) => vec![("field", (*field).to_owned())],
            Self::Listing(ListingError::StreamNotFound(stream)) => {
                vec![("stream", stream.clone())]
            }
            Self::Listing(ListingError::ShardNotFound(stream, shard)) => {
                vec![("stream", stream.to_string()), ("shard_id", shard.to_string())]
            }
            Self::ShardExpired(shard) => {
                vec![("shard_id", shard.clone()), ("cause", "SHARD_EXPIRED".into())]
            }
            Self::Trimmed(gap, token) => vec![
                ("token", token.clone().unwrap_or_default()),
                ("cause", cause_name(gap.cause).into()),
                ("certain", gap.certain.to_string()),
            ],
            Self::Upstream(error) | Self::Listing(ListingError::Upstream(error)) => {
                let code = clip(error.code.as_deref().unwrap_or_default(), WORDS, bytes);
                vec![("operation", error.operation.name().into()), ("upstream_code", code)]
            }
            Self::Limit(limit, _) => vec![("limit", (*limit).to_owned())],
            Self::PeerLimit(what) => vec![("limit", (*what).to_owned())],
            Self::Pace(_) => vec![("limit", "calls".into())],
            Self::Unreadable(number, cause, token) => vec![
                ("sequence_number", number.clone().unwrap_or_default()),
                ("cause", clip(cause, WORDS, bytes)),
                ("token", token.clone().unwrap_or_default()),
            ],
            Self::Credentials(_, accepts) => vec![("accepts", (*accepts).into())],
            Self::NotAllowed(error) | Self::Listing(ListingError::NotAllowed(error)) => vec![
                ("principal", error.principal.to_string()),
                ("action", error.action.to_owned()),
                ("stream", clip(&error.stream, WORDS, bytes)),
            ],
            Self::StartMissing
            | Self::StartAmbiguous
            | Self::TimeInFuture
            | Self::Token(_)
            | Self::TokenMismatch
            | Self::Listing(ListingError::NotReady(_) | ListingError::Busy(_))
            | Self::LeaseNotFound
            | Self::NotPositioned
            | Self::Superseded(_)
            | Self::RequestTimeout
            | Self::Compressed
            | Self::Draining(_)
            | Self::Untold
            | Self::Deadline => vec![],
        };
        let said = pairs.into_iter().filter(|(name, value)| *name != "token" || !value.is_empty());
        said.map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

impl From<CallError> for Status {
    fn from(refusal: CallError) -> Self {
        refusal.status()
    }
}

fn token(error: &TokenError) -> (Code, &'static str, String) {
    let reason = match error {
        TokenError::Malformed => "TOKEN_MALFORMED",
        TokenError::WrongKind(_) => "TOKEN_WRONG_KIND",
        TokenError::Version(_) => "TOKEN_VERSION",
    };
    (Code::InvalidArgument, reason, error.to_string())
}

fn listings(error: &ListingError) -> (Code, &'static str, String) {
    match error {
        ListingError::StreamNotFound(_) => (Code::NotFound, "STREAM_NOT_FOUND", error.to_string()),
        ListingError::ShardNotFound(..) => (Code::NotFound, "SHARD_NOT_FOUND", error.to_string()),
        ListingError::NotReady(_) => (Code::Unavailable, "STREAM_NOT_READY", error.to_string()),
        ListingError::Busy(busy) => (Code::ResourceExhausted, "LISTING_LIMIT", busy.to_string()),
        ListingError::Upstream(error) => upstream(error),
        ListingError::NotAllowed(error) => not_allowed(error),
    }
}

/// The same words for all that is invalid: what was wrong helps only those who guess.
fn credentials(error: CredentialsError) -> Fixed {
    let (reason, message) = match error {
        CredentialsError::Unverifiable => {
            let message = "the keys by which tokens are checked cannot be fetched: try again later";
            return (Code::Unavailable, "CREDENTIALS_UNVERIFIABLE", message);
        }
        CredentialsError::Missing => {
            ("CREDENTIALS_MISSING", "this server wants to know who calls: show what it accepts")
        }
        CredentialsError::Invalid => ("CREDENTIALS_INVALID", "these credentials are nobody's"),
        CredentialsError::Expired => {
            ("CREDENTIALS_EXPIRED", "these credentials have expired: get others")
        }
    };
    (Code::Unauthenticated, reason, message)
}

fn not_allowed(error: &NotAllowed) -> (Code, &'static str, String) {
    (Code::PermissionDenied, "NOT_ALLOWED", error.to_string())
}

fn superseded(by: Superseded) -> (Code, &'static str, String) {
    match by {
        Superseded::ByNewer => (
            Code::Aborted,
            "SUPERSEDED",
            "a newer call on this lease took its place; nothing was moved".into(),
        ),
        Superseded::ByClose => (
            Code::Aborted,
            "LEASE_CLOSED",
            "the lease was closed while the call ran; nothing was moved".into(),
        ),
    }
}

fn upstream(error: &UpstreamError) -> (Code, &'static str, String) {
    let (code, reason) = match error.class {
        ErrorClass::Throttled => (Code::Unavailable, "UPSTREAM_THROTTLED"),
        ErrorClass::AccessDenied => (Code::FailedPrecondition, "UPSTREAM_ACCESS_DENIED"),
        ErrorClass::Unavailable => (Code::Unavailable, "UPSTREAM_UNAVAILABLE"),
        ErrorClass::Invalid => match error.operation {
            Operation::ListStreams | Operation::DescribeStream => {
                (Code::InvalidArgument, "STREAM_MALFORMED")
            }
            Operation::GetShardIterator => (Code::InvalidArgument, "POSITION_MALFORMED"),
            // The iterator came from the upstream itself, so the request is not at fault.
            Operation::GetRecords => (Code::Unavailable, "UPSTREAM_UNAVAILABLE"),
        },
        // The hub recovers from these; if one persists, the upstream is failing, not the client.
        ErrorClass::ExpiredIterator | ErrorClass::Trimmed | ErrorClass::NotFound => {
            (Code::Unavailable, "UPSTREAM_UNAVAILABLE")
        }
    };
    (code, reason, error.to_string())
}

/// The longest prefix of `text` whose characters cost at most `most` in total.
fn clip(text: &str, most: usize, cost: fn(char) -> usize) -> String {
    let mut left = most;
    let fits = |letter: &char| left.checked_sub(cost(*letter)).map(|rest| left = rest).is_some();
    text.chars().take_while(fits).collect()
}

/// The bytes of a character in `grpc-message`, where all but plain ASCII is written as `%XX`.
fn travelling(letter: char) -> usize {
    if letter.is_ascii_alphanumeric() || "!$&'()*+,-./:;=@[]^_|~\\".contains(letter) {
        1
    } else {
        3 * letter.len_utf8()
    }
}

fn bytes(letter: char) -> usize {
    letter.len_utf8()
}

fn cause_name(cause: GapCause) -> &'static str {
    match cause {
        GapCause::Trimmed => "TRIMMED",
        GapCause::ShardExpired => "SHARD_EXPIRED",
        GapCause::StreamReplaced => "STREAM_REPLACED",
    }
}
