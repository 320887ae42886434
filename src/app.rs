//! The server put together: configuration in, addresses bound, parts connected; then run until told
//! to stop.

mod access_files;
mod background;
#[cfg(feature = "embedded")]
pub mod dev;
mod doctor;
mod invocation;
mod jwks;
pub mod reload;
pub mod serve;
#[cfg(feature = "embedded")]
pub mod simulate;
mod sockets;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic_health::server::HealthReporter;

use crate::access::current::CurrentAccess;
use crate::access::principal::BadName;
use crate::admin::{Admin, Readiness, ServerPhase};
use crate::audit::Audit;
use crate::audit::event::Event;
use crate::audit::writer::{AuditFileError, AuditWriter};
use crate::clock::Clock;
use crate::config::{ServeConfig, UpstreamConfig};
use crate::exit::Exit;
use crate::grpc::context::Context;
use crate::grpc::middleware::web::WebOrigins;
use crate::grpc::server::{GrpcServer, end_watches, set_serving};
use crate::grpc::standing::Standing;
use crate::grpc::transport::listener::Incoming;
use crate::grpc::transport::serving::Until;
use crate::grpc::transport::socket::BoundAddress;
use crate::hub::{Hub, Runtime};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::session::Sessions;
use crate::systemd::{PassedSockets, ServiceManager};
use crate::telemetry::Log;
use crate::tls::{ServerTls, TlsFileError};
use crate::traces::exporter::traces;
use crate::upstream::Upstream;
use crate::upstream::aws::{AwsOptions, AwsUpstream, ConnectError};

pub use access_files::AccessFileError;
use access_files::AccessReloader;
use background::Background;
pub use invocation::run;
use reload::{LogReloader, Reloading};
pub use sockets::SocketError;
use sockets::Sockets;

/// How long calls may take to end that are cut off.
const LAST_CALLS: Duration = Duration::from_secs(1);

/// How long tasks may take to end after the drain: they were told to, and wait for no client.
const LAST_TASKS: Duration = Duration::from_secs(2);

/// A server whose sockets are bound and whose parts are wired; nothing runs yet.
pub struct App {
    grpc: GrpcServer,
    incoming: Incoming,
    /// `None`: gRPC is served in plain text.
    tls: Option<ServerTls>,
    audit: Audit,
    background: Background,
    /// Told how far the server is.
    manager: ServiceManager,
    health: HealthReporter,
    readiness: Readiness,
    metrics: Metrics,
    addresses: Vec<BoundAddress>,
    /// Cancelled when the drain begins.
    drain: CancellationToken,
    /// Cancelled when the drain is over: no call is served any more.
    stop: CancellationToken,
    tasks: TaskTracker,
    drain_limit: Duration,
}

/// Why a server could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// An address cannot be bound.
    #[error("cannot listen on {0}: {1}; choose another with {2}")]
    Listen(SocketAddr, io::Error, &'static str),
    /// A Unix socket, or one of systemd's, cannot be listened on.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// A file of TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsFileError),
    /// The upstream cannot be set up.
    #[error(transparent)]
    Upstream(#[from] ConnectError),
    /// A file that says who may call is none.
    #[error(transparent)]
    Access(#[from] AccessFileError),
    /// The audit log cannot be written.
    #[error(transparent)]
    Audit(#[from] AuditFileError),
}

impl App {
    /// Binds the addresses and connects all parts to `upstream`. `embedded`: the upstream runs in
    /// this process.
    pub async fn build(
        config: &ServeConfig,
        upstream: Arc<dyn Upstream>,
        embedded: bool,
    ) -> Result<Self, BuildError> {
        Self::build_on(config, upstream, embedded, PassedSockets::default()).await
    }

    /// The same, on the sockets that systemd has passed where `config` says so.
    pub async fn build_on(
        config: &ServeConfig,
        upstream: Arc<dyn Upstream>,
        embedded: bool,
        passed: PassedSockets,
    ) -> Result<Self, BuildError> {
        let (metrics, readiness) = (Metrics::new(), Readiness::new());
        let (drain, stop, tasks) =
            (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let clock = Clock::system();
        let guards = Guards::load(config, &clock, &metrics).await?;
        let limits = Arc::new(config.limits.clone());
        let (seed, stopped) = (fastrand::u64(..), stop.clone());
        let (tracker, counted) = (tasks.clone(), metrics.clone());
        let runtime = Runtime { clock, metrics: counted, tasks: tracker, stop: stopped, seed };
        let context = shared(upstream, &limits, runtime, drain.clone());
        let sockets = Sockets::bind(config, passed).await?;
        let incoming = Incoming::new(sockets.grpc, &limits.transport, metrics.clone());
        let secured = guards.tls.clone();
        let admin = sockets.admin.map(|(listener, address)| {
            let admin = Admin::new(listener, address, metrics.clone(), readiness.clone());
            admin_port(admin, config, secured)
        });
        let Guards { tls, access, audit, audit_writer, reloading } = guards;
        let guards = (access, audit.clone());
        let sessions = context.sessions.clone();
        let grpc = GrpcServer::new(context, guards, config.reflection, embedded).await;
        let grpc = grpc.with_web(config.web.as_deref().map(WebOrigins::new));
        let chance = fastrand::Rng::with_seed(fastrand::u64(..));
        let traced = |config| traces(config, Clock::system(), chance, metrics.clone());
        let (traces, exporter) = config.traces.clone().map(traced).unzip();
        let grpc = grpc.traced(traces);
        Ok(Self {
            health: grpc.health(),
            grpc,
            incoming,
            tls,
            audit,
            background: Background {
                sessions,
                admin,
                audit_writer,
                exporter,
                reloading,
                reload: Arc::default(),
            },
            manager: ServiceManager::default(),
            readiness,
            metrics,
            addresses: sockets.addresses,
            drain,
            stop,
            tasks,
            drain_limit: limits.transport.drain,
        })
    }

    /// The server's metrics.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Where gRPC is bound.
    pub fn grpc_addresses(&self) -> &[BoundAddress] {
        &self.addresses
    }

    /// The bound address of the admin port; `None` when it is off.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.background.admin.as_ref().map(Admin::local_addr)
    }

    /// Has the files of TLS read again whenever `told` is notified, as SIGHUP does.
    pub fn reload_on(mut self, told: Arc<Notify>) -> Self {
        self.background.reload = told;
        self
    }

    /// Has `log` follow the configuration, which says `current` now.
    pub fn logging(mut self, log: &Log, current: &str) -> Self {
        let log = LogReloader::new(log.filter(), current);
        self.background.reloading = self.background.reloading.and(log);
        self
    }

    /// Has `manager` told when the server is ready, reads its files again and stops, and that it
    /// lives.
    pub fn managed_by(self, manager: ServiceManager) -> Self {
        Self { manager, ..self }
    }

    /// The one line that a server prints when it is ready, the first of its stdout: its bound
    /// addresses.
    pub fn ready_line(&self) -> String {
        let admin = self.background.admin.as_ref().map(|admin| format!(" admin={}", admin.url()));
        let admin = admin.unwrap_or_default();
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let grpc = self.addresses.iter().map(|address| match address {
            BoundAddress::Tcp(address) => format!(" grpc={scheme}://{address}"),
            BoundAddress::Unix(path) => format!(" grpc=unix:{}", path.display()),
        });
        let grpc: String = grpc.collect();
        format!("shardstream {} ready{grpc}{admin}", env!("CARGO_PKG_VERSION"))
    }

    /// Serves until `shutdown` resolves, then drains: health turns NOT_SERVING, streams end with
    /// their tokens, and all is over inside the drain limit.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), Infallible> {
        let Self {
            grpc,
            incoming,
            tls,
            audit,
            background,
            manager,
            health,
            readiness,
            metrics,
            drain,
            stop,
            tasks,
            drain_limit,
            ..
        } = self;
        background.begin(manager, metrics, &tasks, &stop);
        audit.tell(Event::start());
        let until = Until { drain: drain.clone(), cut: CancellationToken::new() };
        let mut serving = std::pin::pin!(grpc.serve(incoming, tls, until.clone()));
        readiness.set(ServerPhase::Serving);
        manager.ready();
        // Both are cancel-safe: serving is polled on afterwards, and the shutdown is not needed
        // again.
        let result = tokio::select! {
            biased;
            result = &mut serving => Some(result),
            () = shutdown => None,
        };
        let by = Instant::now() + drain_limit;
        readiness.set(ServerPhase::Draining);
        audit.tell(Event::drain());
        manager.stopping();
        set_serving(&health, false).await;
        drain.cancel();
        end_watches(health).await;
        let result = match result {
            Some(result) => result,
            None => match tokio::time::timeout_at(by, serving.as_mut()).await {
                Ok(result) => result,
                Err(_) => {
                    tracing::warn!("some calls did not end in time and are cut off");
                    audit.cuts_off();
                    until.cut.cancel();
                    // What they leave is told before the log ends.
                    tokio::time::timeout(LAST_CALLS, serving).await.unwrap_or(Ok(()))
                }
            },
        };
        audit.tell(Event::stop());
        stop.cancel();
        end_tasks(&tasks, by).await;
        result
    }
}

/// What all calls share, over `upstream`.
fn shared(
    upstream: Arc<dyn Upstream>,
    limits: &Arc<Limits>,
    runtime: Runtime,
    drain: CancellationToken,
) -> Context {
    let (clock, metrics) = (runtime.clock.clone(), runtime.metrics.clone());
    let chance = fastrand::Rng::with_seed(runtime.seed);
    Context {
        hub: Hub::new(upstream, limits.reading.clone(), runtime),
        sessions: Sessions::new(limits.sessions.sessions, clock, metrics.clone(), random_id),
        limits: limits.clone(),
        metrics,
        drain,
        chance: Arc::new(Mutex::new(chance)),
        streams: Arc::new(Semaphore::new(limits.streams.streams)),
        standing: Standing::default(),
        audit: None,
    }
}

/// Waits for tasks that were told to end, until `by` and a moment at least.
async fn end_tasks(tasks: &TaskTracker, by: Instant) {
    tasks.close();
    if tokio::time::timeout_at(by.max(Instant::now() + LAST_TASKS), tasks.wait()).await.is_err() {
        tracing::warn!("some tasks did not end in time");
    }
}

/// The admin port, limited and by TLS as `config` says.
fn admin_port(admin: Admin, config: &ServeConfig, tls: Option<ServerTls>) -> Admin {
    let tls = tls.filter(|_| config.listen.admin_tls);
    admin.at_most(config.limits.transport.admin_connections).by_tls(tls)
}

/// What stands between callers and what they want.
struct Guards {
    tls: Option<ServerTls>,
    access: CurrentAccess,
    audit: Audit,
    audit_writer: Option<AuditWriter>,
    /// Who reads their files again.
    reloading: Reloading,
}

impl Guards {
    async fn load(
        config: &ServeConfig,
        clock: &Clock,
        metrics: &Metrics,
    ) -> Result<Self, BuildError> {
        let tls = match config.tls.clone() {
            Some(files) => Some(ServerTls::load(files, clock.clone(), metrics.clone()).await?),
            None => None,
        };
        let (tls, tls_reloader) = tls.unzip();
        let certificates = config.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        let (files, clock, metrics) = (config.access.clone(), clock.clone(), metrics.clone());
        let counted = metrics.clone();
        let load = AccessReloader::load(files, certificates, clock.clone(), metrics.clone());
        let (access, access_reloader) = load.await?;
        let (audit, audit_writer) = match &config.access.audit {
            Some(config) => {
                let (audit, writer) = Audit::open(config, clock, metrics).await?;
                (audit, Some(writer))
            }
            None => (Audit::off(), None),
        };
        let mut reloading = Reloading::new(audit.clone(), counted);
        if let Some(tls) = tls_reloader {
            reloading = reloading.and(tls);
        }
        let reloading = reloading.and(access_reloader);
        Ok(Self { tls, access, audit, audit_writer, reloading })
    }
}

/// The exit code for a program that ends with this error.
pub fn exit_of(error: &anyhow::Error) -> Exit {
    if error.is::<BadName>() {
        return Exit::Usage;
    }
    match error.downcast_ref() {
        // A file is a setting, too.
        Some(BuildError::Tls(_) | BuildError::Access(_) | BuildError::Audit(_)) => Exit::Usage,
        Some(BuildError::Socket(error)) if !error.is_in_use() => Exit::Usage,
        Some(BuildError::Socket(_) | BuildError::Listen(..) | BuildError::Upstream(_)) | None => {
            Exit::Failure
        }
    }
}

/// Connects to the configured upstream: AWS, or a stand-in.
pub async fn connect(config: &UpstreamConfig) -> Result<Arc<dyn Upstream>, ConnectError> {
    Ok(Arc::new(AwsUpstream::connect(options(config)).await?))
}

fn options(config: &UpstreamConfig) -> AwsOptions {
    AwsOptions {
        endpoint_url: config.endpoint_url.clone(),
        region: config.region.clone(),
        static_credentials: config.fake_credentials,
        at_timestamp: config.at_timestamp,
        child_shards: config.child_shards,
        ca_bundle: config.ca_bundle.clone(),
        sdk_only: config.sdk_only,
        connect_timeout: config.connect_timeout,
        attempt_timeout: config.attempt_timeout,
        operation_timeout: config.call_timeout,
        max_attempts: config.attempts,
    }
}

/// 128 random bits from the operating system.
fn random_id() -> u128 {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    u128::from_ne_bytes(bytes)
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}
