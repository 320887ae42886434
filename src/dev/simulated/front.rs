//! The endpoint: what a call is about, and who answers it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use parking_lot::Mutex;
use shardstream_simulator::{
    Answer, Disturbance, KeyElement, Millis, Model, Refusal, Rule, ViewType,
};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, info_span};

use super::broken::Broken;
use super::clock::SimulatedClock;
use super::feed::Feed;
use super::tables::{self, Kind, Wish};
use crate::dev::DevError;

/// The largest request: DynamoDB takes 16 MB.
const REQUEST_BYTES: usize = 16 << 20;

/// How many writes may be under way; whoever manages tables takes all places.
const WRITES: u32 = 1 << 10;

/// What `X-Amz-Target` of the Streams API begins with.
const STREAMS: &str = "DynamoDBStreams_20120810.";

/// Everything that calls need.
#[derive(Debug)]
pub(super) struct Front {
    /// The URL of the embedded database.
    inside: String,
    client: Client<HttpConnector, Body>,
    model: Arc<Mutex<Model>>,
    feed: Arc<Feed>,
    clock: SimulatedClock,
    /// A place for each write under way: a stream begins and ends between writes, never amid them.
    writes: Semaphore,
    tracker: TaskTracker,
    /// Keeping what changed fails, and that was told.
    failing: AtomicBool,
    /// Records that had gone before their time at the last look.
    trimmed_early: AtomicU64,
}

/// What the database answered.
struct Answered {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// The routes: DynamoDB has one.
pub(super) fn router(front: Arc<Front>) -> Router {
    Router::new().fallback(call).with_state(front)
}

async fn call(State(front): State<Arc<Front>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let target = target.unwrap_or_default().to_owned();
    let Ok(body) = to_bytes(body, REQUEST_BYTES).await else {
        let refusal = Refusal::Serialization("the body is too large, or broke off".into());
        return front.respond(refusal.answer());
    };
    if target.starts_with(STREAMS) {
        let answer = front.model.lock().answer(&target, &body, front.clock.now());
        if let Some(Disturbance::Hang(time)) = answer.disturbance {
            tokio::time::sleep(time).await;
        }
        return front.respond(answer);
    }
    let operation = target.strip_prefix(tables::TARGET).unwrap_or_default().to_owned();
    let request = (parts.method, parts.uri.path().to_owned(), parts.headers);
    // A task of its own: what has begun is done to its end though the client goes away, or a table
    // would be left without its stream.
    let working = front.clone();
    let work = async move { working.of_tables(&operation, request, body).await };
    let worked = front.tracker.spawn(work.instrument(info_span!("table_call"))).await;
    match worked.unwrap_or(Err(Refusal::Internal)) {
        Ok(answered) => front.pass_on(answered),
        Err(refusal) => front.respond(refusal.answer()),
    }
}

impl Front {
    pub(super) fn new(inside: String, feed: Feed, tracker: TaskTracker) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let (model, clock) = (feed.model().clone(), feed.clock().clone());
        let (feed, writes) = (Arc::new(feed), Semaphore::new(WRITES as usize));
        let (failing, trimmed_early) = (AtomicBool::new(false), AtomicU64::new(0));
        Self { inside, client, model, feed, clock, writes, tracker, failing, trimmed_early }
    }

    /// Begins the stream of a table that no call made; its ARN.
    pub(super) async fn enable(
        &self,
        table: &str,
        view: ViewType,
        keys: Vec<KeyElement>,
    ) -> Result<String, DevError> {
        let name = table.to_owned();
        self.feed(move |feed| feed.enable(name, view, keys)).await?;
        self.take().await;
        let model = self.model.lock();
        Ok(model.enabled(table).map(|(arn, ..)| arn.to_owned()).unwrap_or_default())
    }

    /// Takes what changed without a call, and lets happen in the model what is due.
    pub(super) async fn look(&self) {
        let taken = self.feed(Feed::take).await;
        self.model.lock().tick(self.clock.now());
        let kept = self.feed(Feed::keep).await;
        let worked = taken.and(kept);
        if worked.is_ok() {
            self.failing.store(false, Ordering::Relaxed);
        }
        self.tell(worked);
        self.tell_of_trims();
    }

    /// Lets calls fail by these rules, and by no others.
    pub(super) fn set_faults(&self, rules: Vec<Rule>) {
        self.model.lock().set_faults(rules);
    }

    /// Moves the simulated clock, after all changes of before are taken.
    pub(super) async fn advance(&self, by: Duration) -> Result<(), DevError> {
        let by = Millis::try_from(by.as_millis()).unwrap_or(Millis::MAX);
        self.feed(move |feed| feed.advance(by)).await?;
        self.model.lock().tick(self.clock.now());
        Ok(())
    }

    /// What there is.
    pub(super) fn state(&self) -> serde_json::Value {
        let mut model = self.model.lock();
        let now = self.clock.now();
        model.tick(now);
        model.summary(now)
    }

    async fn of_tables(
        &self,
        operation: &str,
        request: (axum::http::Method, String, HeaderMap),
        body: Bytes,
    ) -> Result<Answered, Refusal> {
        match Kind::of(operation) {
            Kind::Read => self.forward(request, body).await,
            Kind::Write => {
                let _place = self.writes.acquire().await;
                let answered = self.forward(request, body).await;
                // Whatever was answered: what it changed can be read from here on.
                self.take().await;
                answered
            }
            Kind::Manage => {
                let _all = self.writes.acquire_many(WRITES).await;
                self.manage(operation, request, body).await
            }
            Kind::Other => {
                let (inside, _) = tables::request(operation, &body);
                let mut answered = self.forward(request, inside.into()).await?;
                answered.body = tables::answer(&answered.body, &self.model.lock()).into();
                Ok(answered)
            }
        }
    }

    /// Makes, changes or deletes a table while nobody writes.
    async fn manage(
        &self,
        operation: &str,
        request: (axum::http::Method, String, HeaderMap),
        body: Bytes,
    ) -> Result<Answered, Refusal> {
        // What was written before belongs to the stream of before, and goes with it from the
        // database.
        if let Err(error) = self.feed(Feed::take).await {
            self.tell(Err(error));
            return Err(Refusal::Internal);
        }
        let (inside, wish) = tables::request(operation, &body);
        if let Some(refusal) = tables::refusal(operation, &body, wish, &self.model.lock()) {
            return Err(refusal);
        }
        let mut answered = self.forward(request, inside.into()).await?;
        if answered.status.is_success()
            && let Some((table, keys)) = tables::described(&answered.body)
        {
            let done = match wish {
                Some(Wish::Enable(view)) => {
                    self.feed(move |feed| feed.enable(table, view, keys)).await
                }
                Some(Wish::Disable) => self.feed(move |feed| feed.disable(table)).await,
                None => Ok(()),
            };
            if let Err(error) = done {
                tracing::error!(%error, "a table was changed, and its stream was not");
                return Err(Refusal::Internal);
            }
        }
        answered.body = tables::answer(&answered.body, &self.model.lock()).into();
        Ok(answered)
    }

    /// Takes all changes to the model. A failure is logged: they are taken later.
    async fn take(&self) {
        self.tell(self.feed(Feed::take).await);
    }

    /// Logs a failure of the feed, once until a whole look works again: a part of one says nothing,
    /// for it may have had nothing to note.
    fn tell(&self, worked: Result<(), DevError>) {
        if let Err(error) = worked
            && !self.failing.swap(true, Ordering::Relaxed)
        {
            tracing::error!(%error, "changes do not reach their streams; trying on");
        }
    }

    /// Logs that records go before their time, when they begin to.
    fn tell_of_trims(&self) {
        let early = self.model.lock().trimmed_early();
        if self.trimmed_early.swap(early, Ordering::Relaxed) == 0 && early > 0 {
            tracing::warn!(
                "--stream-bytes are full: the oldest records are trimmed before their time"
            );
        }
    }

    /// Works on the feed, on a thread that may block.
    async fn feed(
        &self,
        work: impl FnOnce(&Feed) -> Result<(), DevError> + Send + 'static,
    ) -> Result<(), DevError> {
        let feed = self.feed.clone();
        let worked = self.tracker.spawn_blocking(move || work(&feed)).await;
        worked.map_err(|_| DevError::Ended)?
    }

    /// Asks the database.
    async fn forward(
        &self,
        (method, path, mut headers): (axum::http::Method, String, HeaderMap),
        body: Bytes,
    ) -> Result<Answered, Refusal> {
        for name in
            [header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION]
        {
            headers.remove(name);
        }
        let request = Request::builder().method(method).uri(format!("{}{path}", self.inside));
        let mut request = request.body(Body::from(body)).map_err(|_| Refusal::Internal)?;
        *request.headers_mut() = headers;
        let failed = |error: &dyn std::error::Error| {
            tracing::warn!(%error, "the embedded DynamoDB did not answer");
            Refusal::Internal
        };
        let answer = self.client.request(request).await.map_err(|error| failed(&error))?;
        let (parts, body) = answer.into_parts();
        let body = to_bytes(Body::new(body), usize::MAX).await.map_err(|error| failed(&error))?;
        if parts.status.is_server_error() {
            // dynoxide says that it failed, and only the caller why: as when the disk is full.
            let answer: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
            let error = answer["message"].as_str().unwrap_or_default();
            tracing::error!(error, "the embedded DynamoDB cannot do what it is asked");
        }
        Ok(Answered { status: parts.status, headers: parts.headers, body })
    }

    fn pass_on(&self, answered: Answered) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = answered.status;
        *response.headers_mut() = answered.headers;
        self.finish(response, answered.body)
    }

    fn respond(&self, answer: Answer) -> Response {
        let mut response = Response::new(Body::empty());
        let status = StatusCode::from_u16(answer.status);
        *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let kind = HeaderValue::from_static("application/x-amz-json-1.0");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        let body = Bytes::from(answer.body);
        let broken = match answer.disturbance {
            Some(Disturbance::Truncate) => Some(Broken::half(&body)),
            Some(Disturbance::Lose) => Some(Broken::nothing(&body)),
            Some(Disturbance::Hang(_)) | None => None,
        };
        let mut response = self.finish(response, body);
        if let Some(broken) = broken {
            *response.body_mut() = Body::new(broken);
        }
        response
    }

    /// Sets what every answer has: AWS's id and checksum, and the simulated date.
    fn finish(&self, mut response: Response, body: Bytes) -> Response {
        let checksum = crc32fast::hash(&body);
        let id = format!("{:052X}", (u128::from(self.clock.now()) << 32) | u128::from(checksum));
        let texts = [
            ("x-amz-crc32", checksum.to_string()),
            ("x-amzn-requestid", id),
            ("date", self.clock.http_date()),
            ("content-length", body.len().to_string()),
        ];
        for (name, text) in texts {
            if let Ok(value) = HeaderValue::from_str(&text) {
                response.headers_mut().insert(name, value);
            }
        }
        *response.body_mut() = Body::from(body);
        response
    }
}
