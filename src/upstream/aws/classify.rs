//! The class of a failed call: by error code, HTTP status and kind of failure, never by its
//! message.
//!
//! Messages differ between AWS and every emulator, and the SDK renders all of them as "service
//! error".

use std::error::Error;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodbstreams::error::ProvideErrorMetadata;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;

use super::body_capture::ChecksumMismatch;
use super::bounded::TooLarge;
use crate::upstream::{ErrorClass, Operation, UpstreamError};

/// The longest message kept, in characters.
const MESSAGE_CHARS: usize = 300;

/// Gives a failed SDK call its class.
pub(super) fn error<E>(operation: Operation, error: &SdkError<E, HttpResponse>) -> UpstreamError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ServiceError(refused) => {
            let (raw, told) = (refused.raw(), refused.err());
            let status = raw.status().as_u16();
            // The SDK's own error quotes a response that it could not parse, so only the service's
            // message is used.
            let message = match told.message() {
                Some(message) if !message.is_empty() => message.to_owned(),
                _ if told.code().is_none() => format!("HTTP {status}, and not in DynamoDB's form"),
                _ => format!("HTTP {status}"),
            };
            UpstreamError {
                operation,
                class: class(told.code(), status),
                code: told.code().map(clip),
                message: clip(&message),
                retry_after: retry_after(raw),
            }
        }
        SdkError::TimeoutError(_) => plain(operation, ErrorClass::Unavailable, "no answer in time"),
        SdkError::ResponseError(broken) => {
            let ours = |cause: &&(dyn Error + 'static)| {
                cause.is::<ChecksumMismatch>() || cause.is::<TooLarge>()
            };
            let why = causes(error)
                .find(ours)
                .map_or_else(|| "the answer broke off".to_owned(), ToString::to_string);
            let text = format!("HTTP {}, and {why}", broken.raw().status().as_u16());
            plain(operation, ErrorClass::Unavailable, &text)
        }
        other if lacks_credentials(other) => {
            plain(operation, ErrorClass::AccessDenied, &chain(other))
        }
        SdkError::ConstructionFailure(_) => plain(operation, ErrorClass::Invalid, &chain(error)),
        other => plain(operation, ErrorClass::Unavailable, &chain(other)),
    }
}

/// Whether AWS no longer accepts the credentials, does not know them, or there were none: they may
/// have been renewed or written elsewhere since.
pub(super) fn is_outdated<E: ProvideErrorMetadata + Error + 'static>(
    error: &SdkError<E, HttpResponse>,
) -> bool {
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    let refused = matches!(
        code,
        Some(
            "ExpiredToken"
                | "ExpiredTokenException"
                | "InvalidAccessKeyId"
                | "InvalidClientTokenId"
                | "UnrecognizedClientException"
        )
    );
    refused || lacks_credentials(error)
}

/// The error for a response about another stream than the requested one, which no longer exists.
pub(super) fn replaced(operation: Operation) -> UpstreamError {
    plain(operation, ErrorClass::NotFound, "the upstream answered for a newer stream of the table")
}

/// The error for a request that was not sent, because the upstream does not support it.
pub(super) fn not_asked(operation: Operation, why: &str) -> UpstreamError {
    plain(operation, ErrorClass::Invalid, why)
}

fn plain(operation: Operation, class: ErrorClass, message: &str) -> UpstreamError {
    UpstreamError { operation, class, code: None, message: clip(message), retry_after: None }
}

fn class(code: Option<&str>, status: u16) -> ErrorClass {
    if let Some(class) = code.and_then(by_code) {
        return class;
    }
    match (status, code) {
        (429, _) => ErrorClass::Throttled,
        (401 | 403, _) => ErrorClass::AccessDenied,
        (408, _) => ErrorClass::Unavailable,
        // Without a code the response is not DynamoDB's, but from a proxy or a half-started
        // emulator.
        (400..=499, Some(_)) => ErrorClass::Invalid,
        _ => ErrorClass::Unavailable,
    }
}

fn by_code(code: &str) -> Option<ErrorClass> {
    Some(match code {
        "BandwidthLimitExceeded"
        | "LimitExceededException"
        | "ProvisionedThroughputExceededException"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "SlowDown"
        | "ThrottledException"
        | "Throttling"
        | "ThrottlingException"
        | "TooManyRequestsException" => ErrorClass::Throttled,
        "InternalFailure"
        | "InternalServerError"
        | "RequestTimeout"
        | "RequestTimeoutException"
        | "ServiceUnavailable"
        | "ServiceUnavailableException" => ErrorClass::Unavailable,
        "ExpiredIteratorException" => ErrorClass::ExpiredIterator,
        "TrimmedDataAccessException" => ErrorClass::Trimmed,
        "ResourceNotFoundException" => ErrorClass::NotFound,
        "AccessDenied"
        | "AccessDeniedException"
        | "AuthFailure"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "InvalidAccessKeyId"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "NotAuthorized"
        | "OptInRequired"
        | "RequestExpired"
        | "SignatureDoesNotMatch"
        | "UnauthorizedOperation"
        | "UnrecognizedClientException" => ErrorClass::AccessDenied,
        _ => return None,
    })
}

/// Whether the call was never sent because there were no credentials to sign it with.
fn lacks_credentials(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|error| error.is::<CredentialsError>())
}

/// The error chain as text: from us, the SDK and the operating system, nothing from a response.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut words: Vec<String> = Vec::new();
    for error in causes(error) {
        let text = error.to_string();
        // Errors often repeat the text of the error they wrap.
        if !words.iter().any(|said| said.contains(&text)) {
            words.push(text);
        }
    }
    words.join(": ")
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

fn retry_after(answer: &HttpResponse) -> Option<Duration> {
    let number = |name: &str| answer.headers().get(name)?.trim().parse::<u32>().ok().map(u64::from);
    let millis = number("x-amz-retry-after").map(Duration::from_millis);
    millis.or_else(|| number("retry-after").map(Duration::from_secs))
}

fn clip(text: &str) -> String {
    text.chars().take(MESSAGE_CHARS).collect()
}
