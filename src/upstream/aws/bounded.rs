//! The HTTP client of every call, with limits: a response is read no further than the largest that
//! DynamoDB can send, whichever server sends it.
//!
//! How long a response may take is limited by the attempt timeout, which includes reading the body.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aws_sdk_dynamodbstreams::config::http::HttpRequest;
use aws_sdk_dynamodbstreams::config::{ConfigBag, RuntimeComponents};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::upstream::Operation;

/// The most bytes read of a page of records. AWS's hold a megabyte of items; with every character
/// escaped that is six.
const MOST_OF_RECORDS: u64 = 16 << 20;

/// The most bytes read of any other response: a page of a listing has a hundred rows on AWS, and
/// some thousands elsewhere.
const MOST_OF_A_LISTING: u64 = 4 << 20;

/// The most bytes read of an error response: its status and its beginning say all that is needed.
const MOST_OF_A_REFUSAL: u64 = 64 << 10;

/// Wraps `client` in these limits.
pub(super) fn bounded(client: SharedHttpClient) -> SharedHttpClient {
    SharedHttpClient::new(Bounded(client))
}

/// The error of a body that is larger than its limit. The text goes to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer is larger than {most} bytes")]
pub(super) struct TooLarge {
    most: u64,
}

/// An HTTP client whose responses are limited.
#[derive(Debug)]
struct Bounded(SharedHttpClient);

impl HttpClient for Bounded {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(BoundedConnector(self.0.http_connector(settings, components)))
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.validate_base_client_config(components, config)
    }

    fn validate_final_config(
        &self,
        components: &RuntimeComponents,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.validate_final_config(components, config)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.0.connector_metadata()
    }
}

#[derive(Debug)]
struct BoundedConnector(SharedHttpConnector);

impl HttpConnector for BoundedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target");
        let records = target.is_some_and(|target| target.ends_with(Operation::GetRecords.name()));
        let most = if records { MOST_OF_RECORDS } else { MOST_OF_A_LISTING };
        let answer = self.0.call(request);
        HttpConnectorFuture::new(async move {
            let answer = answer.await?;
            let bound = match answer.status().is_success() {
                true => Bound { most, cuts: false },
                false => Bound { most: MOST_OF_A_REFUSAL, cuts: true },
            };
            Ok(answer.map(|body| SdkBody::from_body_1_x(BoundedBody { body, bound, read: 0 })))
        })
    }
}

/// How many bytes of a body are read, and what happens to a larger one.
#[derive(Clone, Copy, Debug)]
struct Bound {
    most: u64,
    /// True for error responses: the rest of the body is left out. False: the body fails with
    /// [`TooLarge`].
    cuts: bool,
}

struct BoundedBody {
    body: SdkBody,
    bound: Bound,
    read: u64,
}

impl Body for BoundedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let left = self.bound.most - self.read;
        if !self.bound.cuts && self.body.size_hint().lower() > left {
            return Poll::Ready(Some(Err(TooLarge { most: self.bound.most }.into())));
        }
        if self.bound.cuts && left == 0 {
            return Poll::Ready(None);
        }
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            other => return Poll::Ready(other),
        };
        let Ok(mut chunk) = frame.into_data() else {
            // Trailers end a body; DynamoDB sends none.
            return Poll::Ready(None);
        };
        if chunk.len() as u64 > left {
            if !self.bound.cuts {
                return Poll::Ready(Some(Err(TooLarge { most: self.bound.most }.into())));
            }
            chunk.truncate(left as usize);
        }
        self.read += chunk.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn size_hint(&self) -> SizeHint {
        match self.bound.cuts {
            true => SizeHint::default(),
            false => self.body.size_hint(),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
