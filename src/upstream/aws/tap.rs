//! Takes the body of a page before the SDK parses it.
//!
//! The SDK still signs, sends, times out and retries. Only where it would parse a successful answer
//! it is given another body, which passes the real one's bytes to us and then reads as `{}`: all
//! fields of a page are optional. A body that breaks off is as broken for the SDK as before; so is
//! one that is not what its checksum says. How large it may be is bounded before it comes here.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use aws_sdk_dynamodbstreams::config::ConfigBag;
use aws_sdk_dynamodbstreams::config::RuntimeComponents;
use aws_sdk_dynamodbstreams::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame};
use parking_lot::Mutex;

/// What the SDK parses instead: a page in which everything is left out.
const NOTHING: &[u8] = b"{}";

/// Where DynamoDB says the checksum of a body, in decimal.
const CHECKSUM: &str = "x-amz-crc32";

/// Catches the body of one call's answer. One per call: each attempt begins anew, so what stays is
/// the last whole body.
#[derive(Clone, Debug, Default)]
pub struct BodyTap(Arc<Mutex<Option<Bytes>>>);

impl BodyTap {
    /// The body, once the call has succeeded.
    pub fn take(&self) -> Option<Bytes> {
        self.0.lock().take()
    }
}

impl Intercept for BodyTap {
    fn name(&self) -> &'static str {
        "BodyTap"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        *self.0.lock() = None;
        let response = context.response_mut();
        // Refusals are parsed by the SDK: their codes say what they mean. No page comes with
        // another status.
        if response.status().as_u16() == 200 {
            let checksum =
                response.headers().get(CHECKSUM).and_then(|text| text.trim().parse().ok());
            let body = std::mem::replace(response.body_mut(), SdkBody::taken());
            let tapped = Tapped {
                body,
                checksum,
                first: Bytes::new(),
                read: Vec::new(),
                tap: Some(self.clone()),
            };
            *response.body_mut() = SdkBody::from_body_1_x(tapped);
        }
        Ok(())
    }
}

/// A body is not taken, although the connection brought it: something on the way changed it. The
/// text goes to clients.
#[derive(Debug, thiserror::Error)]
#[error("the answer is not what its checksum says")]
pub struct Spoilt;

/// A body that keeps what it reads.
struct Tapped {
    body: SdkBody,
    /// What its checksum has to be, if the upstream said so.
    checksum: Option<u32>,
    /// The only chunk so far, which is not copied unless there is another.
    first: Bytes,
    read: Vec<u8>,
    /// Where the whole body goes; gone when it is there.
    tap: Option<BodyTap>,
}

impl Tapped {
    fn keep(&mut self, chunk: Bytes) {
        if self.first.is_empty() && self.read.is_empty() {
            self.first = chunk;
            return;
        }
        if self.read.is_empty() {
            let to_come = usize::try_from(self.body.size_hint().lower()).unwrap_or(0);
            self.read.reserve_exact(self.first.len() + chunk.len() + to_come);
            self.read.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.read.extend_from_slice(&chunk);
    }

    /// The whole body, once it has come to its end.
    fn whole(&mut self) -> Result<Bytes, Spoilt> {
        let whole = match self.read.is_empty() {
            true => std::mem::take(&mut self.first),
            false => std::mem::take(&mut self.read).into(),
        };
        match self.checksum {
            Some(checksum) if crc32fast::hash(&whole) != checksum => Err(Spoilt),
            Some(_) | None => Ok(whole),
        }
    }
}

impl Body for Tapped {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        while self.tap.is_some() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(chunk) = frame.into_data() {
                        self.keep(chunk);
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    let whole = self.whole()?;
                    if let Some(tap) = self.tap.take() {
                        *tap.0.lock() = Some(whole);
                        return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(NOTHING)))));
                    }
                }
            }
        }
        Poll::Ready(None)
    }
}
