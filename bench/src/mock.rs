//! The upstream of a measurement: answers the four calls of DynamoDB Streams from prebuilt pages,
//! over plain HTTP/1.1.
//!
//! It is meant to cost next to nothing, so that what is measured is the readers. It does not limit,
//! check signatures, or look at `Limit`; an iterator is a shard and a page, so one from a sequence
//! number begins with the page that holds it.

mod answers;
mod body;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;

use super::plan::World;

pub use answers::Answers;

/// The upstream, bound and not yet served.
#[derive(Debug)]
pub struct Mock {
    listener: TcpListener,
    address: SocketAddr,
    answers: Arc<Answers>,
}

impl Mock {
    /// Builds all pages and takes a free port on loopback.
    pub async fn bind(world: &World) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, answers: Arc::new(Answers::new(world)) })
    }

    /// Where it listens: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Who knows what was asked, to be read while it serves.
    pub fn answers(&self) -> Arc<Answers> {
        self.answers.clone()
    }

    /// Serves until it is dropped.
    pub async fn serve(self) -> std::io::Result<()> {
        let router = Router::new().route("/", post(call)).with_state(self.answers);
        // An answer must not wait for the acknowledgement of the one before.
        let listener = self.listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        axum::serve(listener, router).await
    }
}

async fn call(State(answers): State<Arc<Answers>>, headers: HeaderMap, request: Bytes) -> Response {
    let target =
        headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    answers.answer(target.rsplit('.').next().unwrap_or_default(), &request)
}
