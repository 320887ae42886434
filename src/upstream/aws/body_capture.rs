//! Takes the body of a page before the SDK parses it.
//!
//! The SDK still signs, sends and times out. Only a successful response is replaced before parsing:
//! the replacement body passes the real bytes to us and then reads as `{}`, since all fields of a
//! page are optional. A body that breaks off still fails in the SDK, and so does one that does not
//! match its checksum. Its size is limited before it comes here.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use aws_sdk_dynamodbstreams::config::ConfigBag;
use aws_sdk_dynamodbstreams::config::RuntimeComponents;
use aws_sdk_dynamodbstreams::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame};
use parking_lot::Mutex;

/// What the SDK parses instead: a page without any field.
const NOTHING: &[u8] = b"{}";

/// The header with the CRC-32 of a DynamoDB body, in decimal.
const CHECKSUM: &str = "x-amz-crc32";

/// Captures the body of one call's response. One per call: each attempt starts over, so the last
/// whole body stays.
#[derive(Clone, Debug, Default)]
pub(super) struct BodyCapture(Arc<Mutex<Option<Bytes>>>);

impl BodyCapture {
    /// Takes the body; `Some` once the call has succeeded.
    pub(super) fn take(&self) -> Option<Bytes> {
        self.0.lock().take()
    }
}

impl Intercept for BodyCapture {
    fn name(&self) -> &'static str {
        "BodyCapture"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        *self.0.lock() = None;
        let response = context.response_mut();
        // Error responses are left to the SDK, which parses their codes. Pages only come with
        // status 200.
        if response.status().as_u16() == 200 {
            let gathered = Gathered::expecting(checksum(response));
            let body = std::mem::replace(response.body_mut(), SdkBody::taken());
            let tapped = CapturedBody { body, gathered, tap: Some(self.clone()) };
            *response.body_mut() = SdkBody::from_body_1_x(tapped);
        }
        Ok(())
    }
}

/// The body does not match its checksum: it was changed on the way. The text goes to clients.
#[derive(Debug, thiserror::Error)]
#[error("the answer is not what its checksum says")]
pub(super) struct ChecksumMismatch;

/// The checksum that the answer bears; `None` when it bears none.
pub(super) fn checksum(answer: &HttpResponse) -> Option<u32> {
    answer.headers().get(CHECKSUM).and_then(|text| text.trim().parse().ok())
}

/// Reads a body to its end, which has to match its checksum.
pub(super) async fn whole(mut body: SdkBody, checksum: Option<u32>) -> Result<Bytes, BoxError> {
    let mut gathered = Gathered::expecting(checksum);
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        if let Ok(chunk) = frame?.into_data() {
            gathered.keep(chunk, &body);
        }
    }
    Ok(gathered.whole()?)
}

/// What was read of a body.
#[derive(Debug)]
struct Gathered {
    /// The expected CRC-32; `None` when the upstream sent none.
    checksum: Option<u32>,
    /// The first chunk, while it is the only one: not copied unless another follows.
    first: Bytes,
    read: Vec<u8>,
}

impl Gathered {
    fn expecting(checksum: Option<u32>) -> Self {
        Self { checksum, first: Bytes::new(), read: Vec::new() }
    }

    /// Keeps the next chunk; `body` is what it was read from.
    fn keep(&mut self, chunk: Bytes, body: &SdkBody) {
        if self.first.is_empty() && self.read.is_empty() {
            self.first = chunk;
            return;
        }
        if self.read.is_empty() {
            let to_come = usize::try_from(body.size_hint().lower()).unwrap_or(0);
            self.read.reserve_exact(self.first.len() + chunk.len() + to_come);
            self.read.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.read.extend_from_slice(&chunk);
    }

    /// The whole body, after its end, if its checksum matches.
    fn whole(&mut self) -> Result<Bytes, ChecksumMismatch> {
        let whole = match self.read.is_empty() {
            true => std::mem::take(&mut self.first),
            false => std::mem::take(&mut self.read).into(),
        };
        match self.checksum {
            Some(checksum) if crc32fast::hash(&whole) != checksum => Err(ChecksumMismatch),
            Some(_) | None => Ok(whole),
        }
    }
}

/// A response body that keeps what is read from it.
struct CapturedBody {
    body: SdkBody,
    gathered: Gathered,
    /// Receives the whole body; `None` once it has.
    tap: Option<BodyCapture>,
}

impl Body for CapturedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self { body, gathered, tap } = &mut *self;
        while tap.is_some() {
            match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(chunk) = frame.into_data() {
                        gathered.keep(chunk, body);
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    let whole = gathered.whole()?;
                    if let Some(tap) = tap.take() {
                        *tap.0.lock() = Some(whole);
                        return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(NOTHING)))));
                    }
                }
            }
        }
        Poll::Ready(None)
    }
}
