//! What an answer is: a page, or what the SDK would tell of it.

use aws_sdk_dynamodbstreams::operation::get_records::GetRecordsError;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;

use super::super::{body_capture, intercept, sdk_parser};
use super::clock_skew::ClockSkew;
use super::template::Template;
use super::{Refused, Told};

/// Sends the request. What its answer comes to, and whether that is a page.
pub(super) async fn of(
    template: &Template,
    request: HttpRequest,
    skew: &ClockSkew,
) -> (Told, bool) {
    let sent = template.now();
    let mut answer = match template.send(request).await {
        Ok(answer) => answer,
        Err(error) => return (Err(SdkError::dispatch_failure(error)), false),
    };
    skew.heard(&answer, sent, template.now());
    let body = std::mem::replace(answer.body_mut(), SdkBody::taken());
    if answer.status().as_u16() != 200 {
        return match body_capture::whole(body, None).await {
            Ok(body) => (refused(answer, body).map_or(Ok(None), Err), false),
            Err(error) => (Err(SdkError::response_error(error, answer)), false),
        };
    }
    match body_capture::whole(body, body_capture::checksum(&answer)).await {
        Ok(body) => {
            let looks_like_a_page = is_json(&answer) && is_an_object(&body);
            (Ok(Some((body, intercept::date(&answer)))), looks_like_a_page)
        }
        Err(error) => (Err(SdkError::response_error(error, answer)), false),
    }
}

/// What the SDK reads in an answer that is no page; `None` when it sees no error there.
fn refused(mut answer: HttpResponse, body: Bytes) -> Option<Refused> {
    *answer.body_mut() = body.into();
    let error = match sdk_parser::deserialize(&answer) {
        Some(Err(error)) => error,
        Some(Ok(_)) => return None,
        None => return Some(SdkError::response_error("the answer cannot be read", answer)),
    };
    let mut told = None;
    let other = error.map_operation_error(|error| told = error.downcast::<GetRecordsError>().ok());
    Some(match told {
        Some(told) => SdkError::service_error(told, answer),
        None => SdkError::response_error(other.to_string(), answer),
    })
}

/// Whether it does not say that it is something else.
fn is_json(answer: &HttpResponse) -> bool {
    answer.headers().get("content-type").is_none_or(|kind| kind.contains("json"))
}

/// Whether it begins and ends as a page does. Only the encoder knows whether it is one.
fn is_an_object(body: &[u8]) -> bool {
    let body = body.trim_ascii();
    body.first() == Some(&b'{') && body.last() == Some(&b'}')
}
