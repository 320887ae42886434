//! The server put together: configuration in, addresses bound, parts connected; then run until told
//! to stop.

mod access_files;
#[cfg(feature = "embedded")]
pub mod dev;
mod invocation;
mod jwks;
pub mod reload;
pub mod serve;
#[cfg(feature = "embedded")]
pub mod simulate;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use tokio::time::error::Elapsed;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic_health::server::HealthReporter;
use tracing::{Instrument as _, info_span};

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
use crate::grpc::server::{GrpcServer, end_watches, set_serving};
use crate::grpc::standing::Standing;
use crate::grpc::transport::listener::Incoming;
use crate::hub::{Hub, Runtime, restarted};
use crate::metrics::Metrics;
use crate::session::Sessions;
use crate::telemetry::Log;
use crate::tls::{ServerTls, TlsFileError};
use crate::upstream::Upstream;
use crate::upstream::aws::{AwsOptions, AwsUpstream, ConnectError};

pub use access_files::AccessFileError;
use access_files::AccessReloader;
pub use invocation::run;
use reload::{LogReloader, Reloading};

/// How long tasks may take to end after the drain: they were told to, and wait for no client.
const LAST_TASKS: Duration = Duration::from_secs(2);

/// A server whose sockets are bound and whose parts are wired; nothing runs yet.
pub struct App {
    grpc: GrpcServer,
    incoming: Incoming,
    /// `None`: gRPC is served in plain text.
    tls: Option<ServerTls>,
    audit: Audit,
    /// `None` without an audit log.
    audit_writer: Option<AuditWriter>,
    reloading: Reloading,
    /// Notified when the files are to be read again at once.
    reload: Arc<Notify>,
    admin: Option<Admin>,
    health: HealthReporter,
    readiness: Readiness,
    sessions: Sessions,
    metrics: Metrics,
    grpc_address: SocketAddr,
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
        let (metrics, readiness) = (Metrics::new(), Readiness::new());
        let (drain, stop, tasks) =
            (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let clock = Clock::system();
        let guards = Guards::load(config, &clock, &metrics).await?;
        let limits = Arc::new(config.limits.clone());
        let seed = fastrand::u64(..);
        let runtime = Runtime {
            clock: clock.clone(),
            metrics: metrics.clone(),
            tasks: tasks.clone(),
            stop: stop.clone(),
            seed,
        };
        let hub = Hub::new(upstream, limits.reading.clone(), runtime);
        let sessions =
            Sessions::new(limits.sessions.sessions, clock.clone(), metrics.clone(), random_id);
        let streams = Arc::new(Semaphore::new(limits.streams.streams));
        let context = Context {
            hub,
            sessions: sessions.clone(),
            limits: limits.clone(),
            metrics: metrics.clone(),
            drain: drain.clone(),
            chance: Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))),
            streams,
            standing: Standing::default(),
            audit: None,
        };
        let listen = config.listen;
        let incoming = Incoming::bind(listen, &limits.transport, metrics.clone()).await;
        let failed = |error| BuildError::Listen(listen, error, "--listen");
        let incoming = incoming.map_err(failed)?;
        let grpc_address = incoming.local_addr().map_err(failed)?;
        let admin = bind_admin(config, metrics.clone(), readiness.clone()).await?;
        let Guards { tls, access, audit, audit_writer, reloading } = guards;
        let guards = (access, audit.clone());
        let grpc = GrpcServer::new(context, guards, config.reflection, embedded).await;
        Ok(Self {
            health: grpc.health(),
            grpc,
            incoming,
            tls,
            audit,
            audit_writer,
            reloading,
            reload: Arc::default(),
            admin,
            readiness,
            sessions,
            metrics,
            grpc_address,
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

    /// The bound address of gRPC.
    pub fn grpc_address(&self) -> SocketAddr {
        self.grpc_address
    }

    /// The bound address of the admin port; `None` when it is off.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(Admin::local_addr)
    }

    /// Has the files of TLS read again whenever `told` is notified, as SIGHUP does.
    pub fn reload_on(self, told: Arc<Notify>) -> Self {
        Self { reload: told, ..self }
    }

    /// Has `log` follow the configuration, which says `current` now.
    pub fn logging(mut self, log: &Log, current: &str) -> Self {
        self.reloading.log = Some(LogReloader::new(log.filter(), current));
        self
    }

    /// The one line that a server prints when it is ready: its bound addresses.
    pub fn ready_line(&self) -> String {
        let admin = self
            .admin_address()
            .map_or_else(String::new, |address| format!(" admin=http://{address}"));
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!(
            "shardstream {} ready grpc={scheme}://{}{admin}",
            env!("CARGO_PKG_VERSION"),
            self.grpc_address
        )
    }

    /// Serves until `shutdown` resolves, then drains: health turns NOT_SERVING, streams end with
    /// their tokens, and all is over inside the drain limit.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), Infallible> {
        let Self {
            grpc,
            incoming,
            tls,
            audit,
            audit_writer,
            reloading,
            reload,
            admin,
            health,
            readiness,
            sessions,
            metrics,
            drain,
            stop,
            tasks,
            drain_limit,
            ..
        } = self;
        let over = stop.clone();
        let expiry = async move {
            restarted(&metrics, || sessions.clone().expire(over.clone()), || {}).await;
        };
        tasks.spawn(expiry.instrument(info_span!(parent: None, "session_expiry")));
        if let Some(admin) = admin {
            let serving = admin.serve(stop.clone());
            tasks.spawn(serving.instrument(info_span!(parent: None, "admin")));
        }
        if let Some(writer) = audit_writer {
            let writing = writer.run(stop.clone());
            tasks.spawn(writing.instrument(info_span!(parent: None, "audit")));
        }
        audit.tell(Event::start());
        let reloading = reloading.run(reload, stop.clone());
        tasks.spawn(reloading.instrument(info_span!(parent: None, "reload")));
        let mut serving = std::pin::pin!(grpc.serve(incoming, tls, drain.clone()));
        readiness.set(ServerPhase::Serving);
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
        set_serving(&health, false).await;
        drain.cancel();
        end_watches(health).await;
        let result = match result {
            Some(result) => result,
            None => tokio::time::timeout_at(by, serving).await.unwrap_or_else(cut_off),
        };
        audit.tell(Event::stop());
        stop.cancel();
        end_tasks(&tasks, by).await;
        result
    }
}

fn cut_off<E>(_: Elapsed) -> Result<(), E> {
    tracing::warn!("some calls did not end in time and were cut off");
    Ok(())
}

/// Waits for tasks that were told to end, until `by` and a moment at least.
async fn end_tasks(tasks: &TaskTracker, by: Instant) {
    tasks.close();
    if tokio::time::timeout_at(by.max(Instant::now() + LAST_TASKS), tasks.wait()).await.is_err() {
        tracing::warn!("some tasks did not end in time");
    }
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
        let load = AccessReloader::load(files, certificates, clock.clone(), metrics.clone());
        let (access, access_reloader) = load.await?;
        let (audit, audit_writer) = match &config.access.audit {
            Some(config) => {
                let (audit, writer) = Audit::open(config, clock, metrics).await?;
                (audit, Some(writer))
            }
            None => (Audit::off(), None),
        };
        let reloading = Reloading {
            tls: tls_reloader,
            access: access_reloader,
            audit: audit.clone(),
            log: None,
        };
        Ok(Self { tls, access, audit, audit_writer, reloading })
    }
}

async fn bind_admin(
    config: &ServeConfig,
    metrics: Metrics,
    readiness: Readiness,
) -> Result<Option<Admin>, BuildError> {
    let Some(address) = config.admin_listen else { return Ok(None) };
    let admin = Admin::bind(address, metrics, readiness).await;
    let admin = admin.map_err(|error| BuildError::Listen(address, error, "--admin-listen"))?;
    Ok(Some(admin.at_most(config.limits.transport.admin_connections)))
}

/// The exit code for a program that ends with this error.
pub fn exit_of(error: &anyhow::Error) -> Exit {
    if error.is::<BadName>() {
        return Exit::Usage;
    }
    match error.downcast_ref() {
        // A file is a setting, too.
        Some(BuildError::Tls(_) | BuildError::Access(_) | BuildError::Audit(_)) => Exit::Usage,
        Some(BuildError::Listen(..) | BuildError::Upstream(_)) | None => Exit::Failure,
    }
}

/// Connects to the configured upstream: AWS, or a stand-in.
pub async fn connect(config: &UpstreamConfig) -> Result<Arc<dyn Upstream>, ConnectError> {
    let options = AwsOptions {
        endpoint_url: config.endpoint_url.clone(),
        region: config.region.clone(),
        static_credentials: config.fake_credentials,
        at_timestamp: config.at_timestamp,
        child_shards: config.child_shards,
        ca_bundle: config.ca_bundle.clone(),
        connect_timeout: config.connect_timeout,
        attempt_timeout: config.attempt_timeout,
        operation_timeout: config.call_timeout,
        max_attempts: config.attempts,
    };
    Ok(Arc::new(AwsUpstream::connect(options).await?))
}

/// 128 random bits from the operating system.
fn random_id() -> u128 {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    u128::from_ne_bytes(bytes)
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("grpc_address", &self.grpc_address).finish_non_exhaustive()
    }
}
