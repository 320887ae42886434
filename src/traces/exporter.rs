//! Sends spans to a collector, by OTLP over gRPC. Nobody waits for it, and what it keeps is
//! bounded: a collector that is away costs one warning, and the spans that find the queue full.

use std::future::pending;
use std::io;
use std::time::Duration;

use http::Uri;
use http::uri::{PathAndQuery, Scheme};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::client::Grpc;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;
use tower::service_fn;

use crate::clock::Clock;
use crate::config::{ClientTlsFiles, TracesConfig};
use crate::metrics::Metrics;
use crate::supervised::{REST, survived};
use crate::tls::client::{ClientTls, TlsStream};

use super::call::{EndedSpan, Traces};
use super::messages::{
    ExportTraceServiceRequest, ExportTraceServiceResponse, InstrumentationScope, KeyValue,
    Resource, ResourceSpans, ScopeSpans, Span,
};

/// The most spans that wait, and of one request.
const QUEUE: usize = 2_048;
const BATCH: usize = 512;

/// How long spans are gathered before they are sent.
const GATHER: Duration = Duration::from_secs(1);

/// How long one request may take, and the pause after one that failed.
const EXPORT: Duration = Duration::from_secs(5);

/// How long the last spans may take, at the end.
const LAST: Duration = Duration::from_millis(1_500);

/// The method of every collector.
const METHOD: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// The port of URLs with `https` that name none.
const USUAL_PORT: u16 = 443;

/// Takes spans out of the queue and sends them.
#[derive(Debug)]
pub struct TraceExporter {
    queue: mpsc::Receiver<EndedSpan>,
    config: TracesConfig,
    metrics: Metrics,
    /// Spans that are to be sent next.
    batch: Vec<Span>,
    /// Whether the newest request failed.
    failing: bool,
}

/// Spans of calls, and who sends them where `config` says. `chance` makes ids.
pub fn traces(
    config: TracesConfig,
    clock: Clock,
    chance: fastrand::Rng,
    metrics: Metrics,
) -> (Traces, TraceExporter) {
    let (queue, taken) = mpsc::channel(QUEUE);
    let traces = Traces::new(queue, clock, chance, metrics.clone());
    let (batch, failing) = (Vec::with_capacity(BATCH), false);
    (traces, TraceExporter { queue: taken, config, metrics, batch, failing })
}

impl TraceExporter {
    /// Sends spans until `stop`, then those that wait, for a moment. A panic costs what was to be
    /// sent.
    pub async fn run(mut self, stop: CancellationToken) {
        let metrics = self.metrics.clone();
        while survived(&metrics, self.send_until(&stop)).await.is_none() {
            metrics.spans("failed", self.batch.drain(..).len() as u64);
            sleep(REST).await;
        }
    }

    async fn send_until(&mut self, stop: &CancellationToken) {
        let channel = channel(&self.config.endpoint);
        loop {
            // Both are cancel-safe: a token, and spans that stay where they are.
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = self.gather() => {}
            }
            // Cancelled at the end only: a request may have arrived, and is not sent again.
            let sent = tokio::select! {
                biased;
                sent = self.send(&channel) => sent,
                () = a_moment_after(stop) => return self.give_up(),
            };
            // Both are cancel-safe: a token and a timer.
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = sleep(if sent { Duration::ZERO } else { EXPORT }) => {}
            }
        }
        let last = async {
            self.take();
            while !self.batch.is_empty() && self.send(&channel).await {
                self.take();
            }
        };
        let _ = timeout(LAST, last).await;
        self.give_up();
    }

    /// Waits for spans, and for more of them for a while. Cancel-safe: what was taken is in the
    /// batch.
    async fn gather(&mut self) {
        if self.batch.is_empty() {
            match self.queue.recv().await {
                Some(first) => self.batch.push(first.into()),
                // Nobody makes spans any more.
                None => return pending().await,
            }
        }
        if self.queue.len() + self.batch.len() < BATCH {
            sleep(GATHER).await;
        }
        self.take();
    }

    /// What was not sent is lost, and counted.
    fn give_up(&self) {
        let left = self.batch.len() + self.queue.len();
        self.metrics.spans("failed", left as u64);
    }

    /// Fills the batch with spans that wait.
    fn take(&mut self) {
        while self.batch.len() < BATCH
            && let Ok(span) = self.queue.try_recv()
        {
            self.batch.push(span.into());
        }
    }

    /// Sends the batch. `false`: it failed, and is kept to be sent again.
    async fn send(&mut self, channel: &Channel) -> bool {
        let answer = timeout(EXPORT, self.export(channel)).await;
        let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer")));
        let spans = self.batch.len() as u64;
        match answer {
            Ok(refused) => {
                self.metrics.spans("sent", spans.saturating_sub(refused));
                self.metrics.spans("failed", refused.min(spans));
                self.failing = false;
            }
            Err(status) => {
                if !std::mem::replace(&mut self.failing, true) {
                    let (endpoint, code) = (&self.config.endpoint, status.code());
                    let why = status.message();
                    tracing::warn!(%endpoint, %code, why, "a collector takes no spans");
                }
                if is_passing(status.code()) {
                    return false;
                }
                self.metrics.spans("failed", spans);
            }
        }
        self.batch.clear();
        true
    }

    /// Sends the batch; answers how many of its spans the collector refused.
    async fn export(&self, channel: &Channel) -> Result<u64, Status> {
        let mut collector = Grpc::new(channel.clone());
        collector.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let mut request = Request::new(self.request());
        *request.metadata_mut() = MetadataMap::from_headers(self.config.headers.clone());
        let method = PathAndQuery::from_static(METHOD);
        let codec: ProstCodec<ExportTraceServiceRequest, ExportTraceServiceResponse> =
            ProstCodec::default();
        let answer = collector.unary(request, method, codec).await?.into_inner();
        let refused = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
        Ok(u64::try_from(refused).unwrap_or(0))
    }

    fn request(&self) -> ExportTraceServiceRequest {
        let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        let attributes = vec![
            KeyValue::text("service.name", &self.config.service),
            KeyValue::text("service.version", version),
        ];
        let scope = Some(InstrumentationScope { name: name.into(), version: version.into() });
        let scope_spans = vec![ScopeSpans { scope, spans: self.batch.clone() }];
        let resource = Some(Resource { attributes });
        ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { resource, scope_spans }] }
    }
}

/// Resolves when the last spans should have been sent.
async fn a_moment_after(stop: &CancellationToken) {
    stop.cancelled().await;
    sleep(LAST).await;
}

/// Whether the same request may do well later.
fn is_passing(code: Code) -> bool {
    use Code::{Aborted, Cancelled, DeadlineExceeded, OutOfRange, ResourceExhausted, Unavailable};
    matches!(
        code,
        Cancelled | DeadlineExceeded | Aborted | OutOfRange | Unavailable | ResourceExhausted
    )
}

/// A connection to the collector, made when it is needed.
fn channel(endpoint: &Uri) -> Channel {
    if endpoint.scheme() != Some(&Scheme::HTTPS) {
        return Endpoint::from(endpoint.clone()).connect_lazy();
    }
    let mut plain = endpoint.clone().into_parts();
    plain.scheme = Some(Scheme::HTTP);
    let plain = Uri::from_parts(plain).expect("a URL by another scheme is one");
    let target = endpoint.clone();
    // TLS is brought here: where any crate of the build turns tonic's own on, it refuses https.
    Endpoint::from(plain).origin(endpoint.clone()).connect_with_connector_lazy(service_fn(
        move |_| {
            let target = target.clone();
            async move { secured(&target).await.map(TokioIo::new) }
        },
    ))
}

/// A connection by TLS to a host that the system's CAs vouch for.
async fn secured(target: &Uri) -> io::Result<TlsStream<TcpStream>> {
    let host = target.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let now = Clock::system().now().wall;
    let tls = ClientTls::new(&ClientTlsFiles::default(), host, now).await;
    let tls = tls.map_err(io::Error::other)?;
    let stream = TcpStream::connect((host, target.port_u16().unwrap_or(USUAL_PORT))).await?;
    tls.connect(stream).await
}
