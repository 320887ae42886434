//! A real server on port 0, and clients of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use shardstream::app::App;
use shardstream::clock::Clock;
use shardstream::config::{
    AccessConfig, ClientTlsFiles, Listen, ListenConfig, LogConfig, LogFormat, ServeConfig,
    ServerTlsFiles, TracesConfig, UpstreamConfig,
};
use shardstream::grpc::transport::socket::BoundAddress;
use shardstream::limits::Limits;
use shardstream::pb::server_service_client::ServerServiceClient;
use shardstream::pb::shard_service_client::ShardServiceClient;
use shardstream::pb::stream_service_client::StreamServiceClient;
use shardstream::tls::ClientTls;
use shardstream::tls::client::TlsStream;
use shardstream::upstream::Upstream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, ToSocketAddrs};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

/// What must come does so long before this. Real sockets know no paused clock.
const NEVER: Duration = Duration::from_secs(60);

/// What must come, once it has.
pub async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(NEVER, work).await {
        Ok(done) => done,
        Err(_) => panic!("{what} never came"),
    }
}

/// All metrics of the server with this admin port.
pub async fn metrics(admin: impl ToSocketAddrs) -> String {
    let mut admin = TcpStream::connect(admin).await.expect("listens");
    admin
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n")
        .await
        .expect("written");
    let mut text = String::new();
    admin.read_to_string(&mut text).await.expect("answered");
    text
}

/// What a counter has counted according to these metrics, whatever its labels.
pub fn counted(metrics: &str, counter: &str) -> u64 {
    let values = metrics
        .lines()
        .filter(|line| line.starts_with(counter))
        .filter_map(|line| line.rsplit_once(' '));
    values.map(|(_, value)| value.parse::<u64>().expect("a count")).sum()
}

async fn secured(
    address: SocketAddr,
    files: &ClientTlsFiles,
) -> std::io::Result<TlsStream<TcpStream>> {
    let tls = ClientTls::new(files, &address.ip().to_string(), Clock::system().now().wall).await;
    tls.expect("well").connect(TcpStream::connect(address).await?).await
}

/// A channel by TLS to the server at `address`.
pub async fn secure_channel(
    address: SocketAddr,
    files: &ClientTlsFiles,
) -> Result<Channel, tonic::transport::Error> {
    let files = files.clone();
    let connector = service_fn(move |_| {
        let files = files.clone();
        async move { secured(address, &files).await.map(TokioIo::new) }
    });
    // Where tonic is built with a TLS of its own it takes no `https` by another's connector.
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let origin = format!("https://{address}").parse().expect("a URL");
    endpoint.origin(origin).connect_with_connector(connector).await
}

/// A server that runs until it is stopped or dropped.
pub struct Server {
    pub address: SocketAddr,
    pub admin: SocketAddr,
    pub stop: CancellationToken,
    /// Notify it, as SIGHUP does.
    pub reload: Arc<Notify>,
    pub running: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Serves `upstream` within `limits`, to anybody.
    pub async fn start(upstream: Arc<dyn Upstream>, limits: Limits) -> Self {
        Self::start_with(upstream, limits, None, AccessConfig::default(), None).await
    }

    /// The same, by TLS.
    pub async fn start_tls(
        upstream: Arc<dyn Upstream>,
        limits: Limits,
        tls: ServerTlsFiles,
    ) -> Self {
        Self::start_with(upstream, limits, Some(tls), AccessConfig::default(), None).await
    }

    /// The same, to whom `access` allows it.
    pub async fn guarded(
        upstream: Arc<dyn Upstream>,
        limits: Limits,
        tls: Option<ServerTlsFiles>,
        access: AccessConfig,
    ) -> Self {
        Self::start_with(upstream, limits, tls, access, None).await
    }

    /// Serves by gRPC-Web, too, within `limits`.
    pub async fn web_within(upstream: Arc<dyn Upstream>, limits: Limits) -> Self {
        let access = AccessConfig::default();
        Self::start_with(upstream, limits, None, access, Some(vec![])).await
    }

    /// The same, by gRPC-Web too, with pages of these origins.
    pub async fn web(
        upstream: Arc<dyn Upstream>,
        tls: Option<ServerTlsFiles>,
        access: AccessConfig,
        origins: &[&str],
    ) -> Self {
        let tls = tls.map(|tls| ServerTlsFiles { http1: true, ..tls });
        let origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
        Self::start_with(upstream, Limits::default(), tls, access, Some(origins)).await
    }

    /// Serves `upstream` within `limits`, and tells of each call to the collector at this URL.
    pub async fn traced(upstream: Arc<dyn Upstream>, limits: Limits, collector: &str) -> Self {
        let team =
            (http::HeaderName::from_static("x-team"), http::HeaderValue::from_static("data"));
        let traces = TracesConfig {
            endpoint: collector.parse().expect("a URL"),
            service: "tested".into(),
            headers: [team].into_iter().collect(),
        };
        let config = Self::config(limits, None, AccessConfig::default(), None);
        Self::run(upstream, ServeConfig { traces: Some(traces), ..config }).await
    }

    async fn start_with(
        upstream: Arc<dyn Upstream>,
        limits: Limits,
        tls: Option<ServerTlsFiles>,
        access: AccessConfig,
        web: Option<Vec<String>>,
    ) -> Self {
        Self::run(upstream, Self::config(limits, tls, access, web)).await
    }

    fn config(
        limits: Limits,
        tls: Option<ServerTlsFiles>,
        access: AccessConfig,
        web: Option<Vec<String>>,
    ) -> ServeConfig {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let log = LogConfig { filter: "warn".into(), format: LogFormat::Pretty };
        ServeConfig {
            listen: ListenConfig {
                admin: Some(Listen::Tcp(loopback)),
                admin_tls: tls.as_ref().is_some_and(|tls| tls.admin),
                ..ListenConfig::on(loopback)
            },
            tls,
            web,
            reflection: true,
            access,
            limits,
            upstream: UpstreamConfig::default(),
            log,
            traces: None,
        }
    }

    async fn run(upstream: Arc<dyn Upstream>, config: ServeConfig) -> Self {
        let app = App::build(&config, upstream, true).await.expect("loopback can be bound");
        let reload = Arc::new(Notify::new());
        let app = app.reload_on(reload.clone());
        let [BoundAddress::Tcp(address)] = app.grpc_addresses()[..] else { panic!("one") };
        let admin = app.admin_address().expect("asked for");
        let stop = CancellationToken::new();
        let told = stop.clone();
        let running =
            tokio::spawn(async move { app.run(told.cancelled_owned()).await.expect("serves") });
        Self { address, admin, stop, reload, running }
    }

    /// A connection of one's own.
    pub async fn channel(&self) -> Channel {
        let endpoint =
            Channel::from_shared(format!("http://{}", self.address)).expect("an address");
        endpoint.connect().await.expect("the server listens")
    }

    /// A connection by TLS, after the handshake.
    pub async fn secured(&self, files: &ClientTlsFiles) -> std::io::Result<TlsStream<TcpStream>> {
        secured(self.address, files).await
    }

    /// A channel by TLS. What is wrong with the client's certificate is told by its first call.
    pub async fn secure_channel(
        &self,
        files: &ClientTlsFiles,
    ) -> Result<Channel, tonic::transport::Error> {
        secure_channel(self.address, files).await
    }

    pub async fn shards(&self) -> ShardServiceClient<Channel> {
        ShardServiceClient::new(self.channel().await)
    }

    pub async fn streams(&self) -> StreamServiceClient<Channel> {
        StreamServiceClient::new(self.channel().await)
    }

    pub async fn info(&self) -> ServerServiceClient<Channel> {
        ServerServiceClient::new(self.channel().await)
    }

    /// All its metrics, as its admin port shows them.
    pub async fn metrics(&self) -> String {
        metrics(self.admin).await
    }

    /// What a counter has counted so far, whatever its labels.
    pub async fn counted(&self, counter: &str) -> u64 {
        counted(&self.metrics().await, counter)
    }

    /// Tells it to end, and waits until it has.
    pub async fn end(self) {
        self.stop.cancel();
        self.running.await.expect("ends without a panic");
    }
}
