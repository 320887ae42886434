//! Parses a whole page: with the SDK's own parser, and where that refuses, leniently.
//!
//! Slow, and the reference for what is correct. Pages come here only when the encoder cannot read
//! them.

use std::sync::LazyLock;

use aws_sdk_dynamodbstreams::config::ConfigBag;
use aws_sdk_dynamodbstreams::operation::get_records::{GetRecords, GetRecordsOutput};
use aws_smithy_runtime_api::client::interceptors::context::{Error, Output};
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::runtime_plugin::RuntimePlugin;
use aws_smithy_runtime_api::client::ser_de::{DeserializeResponse, SharedResponseDeserializer};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::FrozenLayer;

use super::{convert, lenient};
use crate::model::Page;

/// The SDK's configuration of GetRecords, which contains its parser.
static OPERATION: LazyLock<Option<FrozenLayer>> = LazyLock::new(|| GetRecords::new().config());

/// Parses the body of a GetRecords response. A page that the SDK's parser refuses is parsed
/// leniently: each bad record becomes an entry of its own. `Err` when the body as a whole is not a
/// page.
pub fn read_page(body: &[u8]) -> Result<Page, &'static str> {
    match parse(body).filter(|answer| !names_nobody(answer)) {
        Some(answer) => convert::page(answer),
        None => lenient::page(body),
    }
}

/// Whether a record's user identity lacks its type or principal: the SDK skips field names it does
/// not know.
fn names_nobody(answer: &GetRecordsOutput) -> bool {
    let mut identities = answer.records().iter().filter_map(|record| record.user_identity());
    identities.any(|who| who.r#type().is_none() || who.principal_id().is_none())
}

/// Parses the body with the SDK; `None` when it refuses.
fn parse(body: &[u8]) -> Option<GetRecordsOutput> {
    let response = HttpResponse::new(200.try_into().ok()?, SdkBody::from(body.to_vec()));
    deserialize(&response)?.ok()?.downcast().ok()
}

/// What the SDK makes of an answer to GetRecords, whose body is read; `None` if it lends nothing.
pub(super) fn deserialize(
    answer: &HttpResponse,
) -> Option<Result<Output, OrchestratorError<Error>>> {
    let parser = OPERATION.as_ref()?.load::<SharedResponseDeserializer>()?;
    Some(parser.deserialize_nonstreaming_with_config(answer, &ConfigBag::base()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [`parse`] relies on SDK internals; if it found no parser, everything would be parsed
    /// leniently and nobody would notice.
    #[test]
    fn the_sdk_lends_its_parser() {
        assert!(
            parse(br#"{"Records":[{"eventID":"x"}]}"#)
                .is_some_and(|page| page.records().len() == 1)
        );
        assert!(parse(br#"{"Records":[7]}"#).is_none());
    }
}
