//! Captures the `Date` header of a response, which the SDK does not pass on.

use std::sync::Arc;

use aws_sdk_dynamodbstreams::config::ConfigBag;
use aws_sdk_dynamodbstreams::config::RuntimeComponents;
use aws_sdk_dynamodbstreams::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_dynamodbstreams::primitives::{DateTime, DateTimeFormat};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use parking_lot::Mutex;

use super::convert;
use crate::model::Timestamp;

/// Captures the `Date` of one call's response. One per call: each attempt overwrites it, so the
/// last one stays.
#[derive(Clone, Debug, Default)]
pub(super) struct AnswerDate(Arc<Mutex<Option<Timestamp>>>);

impl AnswerDate {
    /// The date; `None` before the response, or when it had none.
    pub(super) fn get(&self) -> Option<Timestamp> {
        *self.0.lock()
    }
}

impl Intercept for AnswerDate {
    fn name(&self) -> &'static str {
        "AnswerDate"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        *self.0.lock() = date(context.response());
        Ok(())
    }
}

/// The date that an answer bears.
pub(super) fn date(answer: &HttpResponse) -> Option<Timestamp> {
    let date = DateTime::from_str(answer.headers().get("date")?, DateTimeFormat::HttpDate).ok()?;
    convert::timestamp(&date)
}
