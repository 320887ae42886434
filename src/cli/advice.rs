//! Failures explained: what a reason means, and what to do next.

use tonic::{Code, Status};

use super::grpc_status::is_unheard;

/// What one kind of failure means.
pub(super) struct Advice {
    /// What happened.
    pub words: &'static str,
    /// What to do about it.
    pub next: &'static str,
}

impl Advice {
    /// The advice for the server's reason (docs/errors.md names them), else for the status code.
    pub(super) fn of(reason: &str, status: &Status) -> Self {
        let (words, next) = match reason {
            "STREAM_NOT_FOUND" => {
                ("there is no such stream", "`shardstream streams` lists those there are")
            }
            "STREAM_NOT_READY" => ("the stream is still being enabled", "try again in a moment"),
            "STREAM_MALFORMED" => {
                ("this names no stream", "give the table's name, or the ARN of its stream")
            }
            "SHARD_NOT_FOUND" => {
                ("there is no such shard", "`shardstream tree STREAM` shows those there are")
            }
            "SHARD_MALFORMED" => {
                ("this names no shard", "`shardstream tree STREAM --full` shows their ids")
            }
            "RECORDS_TRIMMED" => (
                "the records at this place are gone: they are kept for 24 hours",
                "--from trim-horizon reads the oldest that are left",
            ),
            "RECORD_UNREADABLE" => {
                ("a record cannot be read", "--unreadable skip names it and goes on behind it")
            }
            "TIME_IN_FUTURE" => {
                ("the time is in the future", "compare the clocks of this machine and the server")
            }
            "TOKEN_MISMATCH" => {
                ("the token belongs to another stream or shard", "name the one it was printed for")
            }
            "TOKEN_WRONG_KIND" => (
                "the token is of another kind",
                "a whole stream's token goes with no SHARD: `shardstream tail STREAM --from TOKEN`",
            ),
            "TOKEN_VERSION" => {
                ("the token was made by a newer server", "use a server of that release")
            }
            "TOKEN_MALFORMED" => {
                ("the token is damaged", "copy it whole, or begin at a time: --from 10m")
            }
            "UPSTREAM_ACCESS_DENIED" => (
                "AWS does not let the server read this",
                "give the server's role dynamodb:DescribeStream, GetRecords, GetShardIterator and ListStreams",
            ),
            "DRAINING" => ("the server is going away", "try again in a moment"),
            "CATCH_UP_LIMIT" => {
                ("too many clients read old records of this shard", "try again in a moment")
            }
            reason if reason.ends_with("_LIMIT") => {
                ("the server has reached a limit", "try again later")
            }
            reason if reason.starts_with("UPSTREAM_") => (
                "the server cannot read from DynamoDB Streams now",
                "try again in a moment; the server's log says more",
            ),
            reason => Self::of_callers(reason).unwrap_or_else(|| Self::by_code(status)),
        };
        Self { words, next }
    }

    /// What a server that asks who calls says.
    fn of_callers(reason: &str) -> Option<(&'static str, &'static str)> {
        Some(match reason {
            "CREDENTIALS_MISSING" => (
                "the server wants to know who calls",
                "--token-file FILE shows a token, --tls-cert and --tls-key a certificate",
            ),
            "CREDENTIALS_INVALID" | "CREDENTIALS_EXPIRED" => (
                "the server does not take this token or certificate, or not any more",
                "ask whoever runs the server for another",
            ),
            "NOT_ALLOWED" => (
                "the server's policy does not let you do this with this stream",
                "ask whoever runs the server; `shardstream streams` lists those that you may see",
            ),
            reason if reason.starts_with("QUOTA_") => (
                "you have as much of this server as your quota lets you",
                "end something else that calls by your name, or ask whoever runs the server",
            ),
            _ => return None,
        })
    }

    fn by_code(status: &Status) -> (&'static str, &'static str) {
        match status.code() {
            Code::Unimplemented => (
                "the server does not know this call",
                "is --server a shardstream server, of this release or newer?",
            ),
            Code::InvalidArgument => {
                ("the server refuses the request", "`shardstream help COMMAND` shows what it takes")
            }
            // As gRPC maps INADEQUATE_SECURITY, by which our server answers plain text on a TLS port.
            Code::PermissionDenied if is_unheard(status) => (
                "the server takes no connection in plain text",
                "connect by TLS: --tls, or https:// in --server",
            ),
            Code::Unauthenticated | Code::PermissionDenied => {
                ("the server does not let you do this", "ask whoever runs the server")
            }
            Code::Unavailable | Code::DeadlineExceeded => (
                "the server cannot be reached, or is not ready",
                "is it running? Then try again in a moment",
            ),
            _ if is_unheard(status) => (
                "the connection to the server broke",
                "is --server a shardstream server? Then try again",
            ),
            _ => ("the server failed", "the server's log says more"),
        }
    }
}
