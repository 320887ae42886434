//! What all response streams with records have in common: their options, what ends them besides what they read, and what
//! happens when one of them faults.

pub mod life;
pub mod options;

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use futures::stream::{BoxStream, StreamExt};
use tonic::Status;

use crate::metrics::Metrics;

/// A response stream as a state that is asked for one message after the other.
pub trait Steps: Send + Sized + 'static {
    /// What it sends.
    type Message: Send + 'static;

    /// The next message, and the state to ask again; `None` when all is said.
    fn step(self) -> impl Future<Output = Option<(Result<Self::Message, Status>, Self)>> + Send;
}

/// The messages of a stream, each made when the connection asks for it. A fault in it ends this stream and nothing else.
pub fn messages<S: Steps>(stream: S, metrics: Metrics) -> BoxStream<'static, Result<S::Message, Status>> {
    let steps = futures::stream::unfold(Some(stream), move |stream| {
        let metrics = metrics.clone();
        async move {
            match AssertUnwindSafe(stream?.step()).catch_unwind().await {
                Ok(step) => step.map(|(item, stream)| (item, Some(stream))),
                Err(_) => {
                    metrics.panic();
                    Some((Err(Status::internal("a fault in the server; it was logged")), None))
                }
            }
        }
    });
    steps.boxed()
}
