//! Why a command failed, and what to do next.

use std::io;

use shardstream_client::{Error, ErrorKind, Timing};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::advice::Advice;
use super::grpc_status::{is_unheard, reason, retry_delay};
use super::output::Output;
use super::text::safe;
use super::time;
use crate::exit::Exit;

/// An error that ends a command.
#[derive(Debug)]
pub(super) struct Failure {
    exit: Exit,
    /// What happened; `None` when there is nothing to report.
    what: Option<String>,
    /// What to do next and other hints, one line each.
    more: Vec<String>,
}

/// The result of the commands.
pub(super) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure with this exit code and this description.
    pub(super) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: Some(what.into()), more: Vec::new() }
    }

    /// Adds what to do next.
    pub(super) fn next(mut self, next: impl AsRef<str>) -> Self {
        self.more.push(format!("next: {}", next.as_ref()));
        self
    }

    /// Adds one line.
    pub(super) fn line(mut self, line: impl Into<String>) -> Self {
        self.more.push(line.into());
        self
    }

    /// Prints the failure, and returns the exit code of the process.
    pub(super) fn report(&self, out: &mut Output) -> Exit {
        if let Some(what) = &self.what {
            out.error(what);
            self.more.iter().for_each(|line| out.say(format!("  {line}")));
        }
        self.exit
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // The reader of the pipe has enough, as with `| head`: not a failure.
            io::ErrorKind::BrokenPipe => Self { exit: Exit::Ok, what: None, more: Vec::new() },
            _ => Self::new(Exit::Failure, format!("cannot print: {error}")),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match &error.status {
            Some(status) => status.clone().into(),
            // Of this side: the token's file, or a server that does not answer.
            None if error.kind == ErrorKind::Local => {
                Status::unauthenticated(&error.message).into()
            }
            None => Status::new(error.code, &error.message).into(),
        }
    }
}

/// Why a stream is opened again, for the person.
pub(super) fn why(error: &Error) -> String {
    match &error.status {
        None => safe(&error.message),
        Some(status) if is_unheard(status) => {
            format!("the connection broke: {}", safe(&error.message))
        }
        Some(_) if error.message.is_empty() => "the server is not available".to_owned(),
        Some(_) => format!("the server is not available: {}", safe(&error.message)),
    }
}

/// What ends a stream that was heard before: where its failure may pass, that of all attempts.
pub(super) fn given_up(error: Error) -> Failure {
    if error.kind != ErrorKind::Unavailable {
        return error.into();
    }
    let patience = time::short(Timing::default().patience);
    let what = format!("given up after {patience}: {}", why(&error));
    Failure::new(Exit::Unavailable, what).next("try again later")
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let info = status.get_details_error_info();
        let reason = &reason(&status);
        let advice = Advice::of(reason, &status);
        let mut what = advice.words.to_owned();
        if !status.message().is_empty() {
            what = format!("{what}: {}", safe(status.message()));
        }
        if !reason.is_empty() {
            what = format!("{what} ({})", safe(reason));
        }
        let exit =
            if is_unheard(&status) { Exit::Unavailable } else { exit(reason, status.code()) };
        let mut failure = Self::new(exit, what).next(advice.next);
        for violation in
            status.get_details_bad_request().into_iter().flat_map(|bad| bad.field_violations)
        {
            failure = failure.line(format!(
                "{}: {}",
                safe(&violation.field),
                safe(&violation.description)
            ));
        }
        if let Some(token) = info.as_ref().and_then(|info| info.metadata.get("token")) {
            failure = failure.line(format!("behind the gap: --from {}", safe(token)));
        }
        match retry_delay(&status) {
            Some(delay) if !delay.is_zero() => {
                failure.line(format!("the server asks to wait {delay:?}"))
            }
            Some(_) | None => failure,
        }
    }
}

fn exit(reason: &str, code: Code) -> Exit {
    match (reason, code) {
        ("UPSTREAM_ACCESS_DENIED", _) | (_, Code::PermissionDenied | Code::Unauthenticated) => {
            Exit::Denied
        }
        (_, Code::InvalidArgument) => Exit::Usage,
        (_, Code::NotFound) => Exit::NotFound,
        (_, Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted) => {
            Exit::Unavailable
        }
        _ => Exit::Failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: Code, reason: &str) -> Status {
        let info = [("token".to_owned(), "t0ken".to_owned())];
        let details = tonic_types::ErrorDetails::with_error_info(reason, "shardstream", info);
        Status::with_error_details(code, "said the server", details)
    }

    #[test]
    fn exit_codes_follow_the_status() {
        let cases = [
            (Code::NotFound, "SHARD_NOT_FOUND", Exit::NotFound),
            (Code::InvalidArgument, "TOKEN_MALFORMED", Exit::Usage),
            (Code::FailedPrecondition, "UPSTREAM_ACCESS_DENIED", Exit::Denied),
            (Code::PermissionDenied, "", Exit::Denied),
            (Code::Unavailable, "UPSTREAM_THROTTLED", Exit::Unavailable),
            (Code::ResourceExhausted, "SESSION_LIMIT", Exit::Unavailable),
            (Code::OutOfRange, "RECORDS_TRIMMED", Exit::Failure),
            (Code::Internal, "", Exit::Failure),
        ];
        for (code, reason, exit) in cases {
            assert_eq!(Failure::from(status(code, reason)).exit, exit, "{reason}");
        }
    }

    #[test]
    fn a_failure_says_what_to_do_next() {
        let failure = Failure::from(status(Code::OutOfRange, "RECORDS_TRIMMED"));
        let what = failure.what.as_deref().expect("told");
        assert!(
            what.contains("24 hours") && what.contains("said the server (RECORDS_TRIMMED)"),
            "{what}"
        );
        assert_eq!(failure.more[0], "next: --from trim-horizon reads the oldest that are left");
        assert_eq!(failure.more[1], "behind the gap: --from t0ken");
    }

    #[test]
    fn a_broken_pipe_is_quiet() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((failure.exit, failure.what), (Exit::Ok, None));
    }
}
