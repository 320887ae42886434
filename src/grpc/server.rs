//! Assembles the gRPC server: services, health, reflection, middleware and transport limits.

use std::any::Any;
use std::convert::Infallible;
use std::sync::Arc;

use parking_lot::Mutex;
use tonic::service::Routes;
use tonic::{Code, Status};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::Layer;
use tower::util::MapResponseLayer;
use tower_http::catch_panic::CatchPanicLayer;

use crate::access::current::CurrentAccess;
use crate::audit::Audit;
use crate::held_bytes::HeldBytes;
use crate::limits::TransportLimits;
use crate::metrics::Metrics;
use crate::pb;
use crate::tls::ServerTls;
use crate::traces::call::Traces;

use super::callers::Callers;
use super::context::Context;
use super::generated::server_service_server::ServerServiceServer;
use super::generated::shard_service_server::ShardServiceServer;
use super::generated::stream_service_server::StreamServiceServer;
use super::middleware::authentication::AuthenticationLayer;
use super::middleware::call_limits::CallLimitsLayer;
use super::middleware::call_metrics::CallMetricsLayer;
use super::middleware::call_spans::spanned;
use super::middleware::call_traces::CallTraces;
use super::middleware::web::WebOrigins;
use super::response_stream::handover;
use super::server_service::ServerApi;
use super::shard_service::ShardApi;
use super::stream_service::StreamApi;
use super::transport::handshake::Handshakes;
use super::transport::listener::Incoming;
use super::transport::serving::{self, Door, Until};

/// The names for which the health service reports a status: the whole process, and each service.
const SERVICES: [&str; 4] = [
    "",
    "shardstream.v1.ShardService",
    "shardstream.v1.StreamService",
    "shardstream.v1.ServerService",
];

/// The server, ready to take connections.
pub(crate) struct GrpcServer {
    routes: Routes,
    health: HealthReporter,
    limits: TransportLimits,
    metrics: Metrics,
    held: HeldBytes,
    callers: Arc<Callers>,
    chance: Arc<Mutex<fastrand::Rng>>,
    authentication: AuthenticationLayer,
    web: Option<WebOrigins>,
    /// `None`: nobody takes traces.
    traces: Option<Traces>,
}

impl GrpcServer {
    /// All services over `context`, for callers of whom `access` says what they may do, and `audit` hears what they
    /// did. `embedded`:
    /// the upstream runs in this process.
    pub(crate) async fn new(
        context: Context,
        (access, audit): (CurrentAccess, Audit),
        reflection: bool,
        embedded: bool,
    ) -> Self {
        let (clock, metrics) = (context.hub.clock().clone(), context.metrics.clone());
        let authentication = AuthenticationLayer::new(access, clock, audit, metrics);
        let (health, health_service) = tonic_health::server::health_reporter();
        let limits = context.limits.transport.clone();
        let (metrics, held) = (context.metrics.clone(), context.hub.held().clone());
        let chance = context.chance.clone();
        let callers = Arc::new(Callers::new(&context.limits, held.clone(), metrics.clone()));
        let (request, response) = (limits.request_bytes, limits.response_bytes);
        macro_rules! bounded {
            ($server:expr) => {
                bounded!($server, request)
            };
            ($server:expr, $request:expr) => {
                $server.max_decoding_message_size($request).max_encoding_message_size(response)
            };
        }
        let mut routes =
            Routes::new(bounded!(ShardServiceServer::new(ShardApi::new(context.clone()))))
                .add_service(bounded!(
                    StreamServiceServer::new(StreamApi::new(context.clone())),
                    limits.subscribe_bytes
                ))
                .add_service(bounded!(ServerServiceServer::new(ServerApi::new(context, embedded))))
                .add_service(health_service);
        if reflection {
            let configure = || {
                tonic_reflection::server::Builder::configure()
                    .register_encoded_file_descriptor_set(pb::FILE_DESCRIPTOR_SET)
                    .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            };
            let ours = "the descriptor set was made by our own build";
            routes = routes
                .add_service(configure().build_v1().expect(ours))
                .add_service(configure().build_v1alpha().expect(ours));
        }
        let server = Self {
            routes,
            health,
            limits,
            metrics,
            held,
            callers,
            chance,
            authentication,
            web: None,
            traces: None,
        };
        server.set_serving(true).await;
        server
    }

    /// Speaks gRPC-Web, too, with pages of these origins.
    pub(crate) fn with_web(self, web: Option<WebOrigins>) -> Self {
        Self { web, ..self }
    }

    /// Tells `traces` of every call.
    pub(crate) fn traced(self, traces: Option<Traces>) -> Self {
        Self { traces, ..self }
    }

    /// The reporter of the standard health service.
    pub(crate) fn health(&self) -> HealthReporter {
        self.health.clone()
    }

    /// Serves `incoming`, by `tls` if there is any, until it drains; then takes no more calls and
    /// returns when the open ones have ended, by themselves or because they are cut off. Never
    /// fails.
    pub(crate) async fn serve(
        self,
        incoming: Incoming,
        tls: Option<ServerTls>,
        until: Until,
    ) -> Result<(), Infallible> {
        let metrics = self.metrics.clone();
        let on_panic = move |panic: Box<dyn Any + Send + 'static>| {
            metrics.panic();
            drop(panic);
            Status::new(Code::Internal, "a fault in the server; it was logged")
                .into_http::<tonic::body::Body>()
        };
        let held = self.held.clone();
        let service =
            CallLimitsLayer::new(self.held, self.limits.request).layer(self.routes.prepare());
        let service = self.authentication.layer(service);
        let service = CatchPanicLayer::custom(on_panic).layer(service);
        let service = MapResponseLayer::new(handover::body).layer(service);
        let handshakes = tls.map(|tls| Handshakes::new(tls, self.metrics.clone()));
        let service = spanned(CallMetricsLayer::new(self.metrics).layer(service));
        let service = CallTraces::new(service, self.traces);
        let http1 = self.web.is_some();
        let door = Door { incoming, handshakes, http1, chance: self.chance };
        let (limits, callers) = (&self.limits, self.callers);
        match self.web {
            Some(web) => {
                let service = web.layer(service, held);
                serving::serve(door, service, limits, callers, until).await
            }
            None => serving::serve(door, service, limits, callers, until).await,
        }
        Ok(())
    }

    async fn set_serving(&self, serving: bool) {
        set_serving(&self.health, serving).await;
    }
}

/// Reports all services, and the process as a whole, as serving or not.
pub(crate) async fn set_serving(health: &HealthReporter, serving: bool) {
    let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
    for service in SERVICES {
        health.set_service_status(service, status).await;
    }
}

/// Ends every watch of the health service after its last status: an open watch would delay the
/// shutdown.
pub(crate) async fn end_watches(mut health: HealthReporter) {
    for service in SERVICES {
        health.clear_service_status(service).await;
    }
}

impl std::fmt::Debug for GrpcServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrpcServer").field("limits", &self.limits).finish_non_exhaustive()
    }
}
