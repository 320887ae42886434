//! The connection to a server, and the calls that take more than one request.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, join, split};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tower::service_fn;

use super::failure::{Failure, Result};
use super::grpc_status::root;
use crate::clock::Clock;
use crate::config::{ClientFlags, ClientTlsFiles, Server};
use crate::exit::Exit;
use crate::pb::{
    self, server_service_client::ServerServiceClient, shard_service_client::ShardServiceClient,
    stream_service_client::StreamServiceClient,
};
use crate::tls::client::{ClientTls, explain};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait, after a handshake of TLS, for the first byte of the server: in TLS 1.3 it says
/// only then that it does not accept the client's certificate. Some servers wait for the client.
const FIRST_WORD: Duration = Duration::from_secs(1);

/// The ports of URLs that name none.
const USUAL_PORTS: (u16, u16) = (80, 443);

/// The most bytes of a token.
const MOST_TOKEN: usize = 8 << 10;

/// When an idle connection is pinged, and how long a ping may stay unanswered before the connection
/// is closed.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// The timeout of a call. Listings of large streams wait for their turn at AWS.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The largest response accepted, in bytes: the default of every gRPC library.
const MAX_ANSWER: usize = 4 << 20;

/// The services of one server.
#[derive(Clone, Debug)]
pub(super) struct Client {
    /// Calls about one shard.
    pub shards: ShardServiceClient<Calls>,
    /// Calls about whole streams.
    pub streams: StreamServiceClient<Calls>,
    /// Calls about the server itself.
    pub server: ServerServiceClient<Calls>,
}

/// A channel whose calls say who calls.
pub(super) type Calls = InterceptedService<Channel, Bearer>;

/// Adds the token to each call, if there is one.
#[derive(Clone, Debug, Default)]
pub(super) struct Bearer {
    /// The file that holds it, read for each call: tokens are renewed while a command runs.
    file: Option<PathBuf>,
}

/// Connects to the server that `flags` name.
pub(super) async fn connect(flags: &ClientFlags) -> Result<Client> {
    let server = flags.server();
    let bearer = Bearer { file: flags.secure.token_file.clone() };
    bearer.value().map_err(|told| Failure::new(Exit::Usage, told))?;
    let connected = match (flags.tls(), &server) {
        (None, _) | (_, Server::Unix(_)) => channel(&server).await,
        (Some(files), Server::Url(uri)) => {
            let (endpoint, uri) = (over_own_tls(uri)?, uri.clone());
            // Whatever is wrong with the files is told as such, once.
            tls(&files, &uri).await.map_err(|told| Failure::new(Exit::Usage, told))?;
            let connector = service_fn(move |_| {
                let (files, uri) = (files.clone(), uri.clone());
                async move { secured(&files, &uri).await.map(TokioIo::new) }
            });
            endpoint.connect_with_connector(connector).await
        }
    };
    let channel = connected.map_err(|error| match explain(&error) {
        Some((what, next)) => {
            let told = format!("cannot connect to {server}: {what}");
            Failure::new(Exit::Unavailable, told).next(next)
        }
        None => nobody(&server, &root(&error)),
    })?;
    Ok(Client::with(channel, bearer))
}

/// A connection to the server without TLS.
pub async fn channel(server: &Server) -> std::result::Result<Channel, tonic::transport::Error> {
    match server {
        Server::Url(uri) => endpoint(uri.clone()).connect().await,
        Server::Unix(path) => {
            let path = path.clone();
            let connector = service_fn(move |_| {
                let path = path.clone();
                async move { UnixStream::connect(path).await.map(TokioIo::new) }
            });
            // What it says is the `:authority` of calls.
            let uri = Uri::from_static("http://localhost");
            endpoint(uri).connect_with_connector(connector).await
        }
    }
}

/// The endpoint at `uri` for a connector that brings TLS itself: where any crate of the build turns
/// tonic's own on, tonic refuses https without it. Calls say https all the same.
fn over_own_tls(uri: &Uri) -> Result<Endpoint> {
    let mut parts = uri.clone().into_parts();
    parts.scheme = Some(Scheme::HTTP);
    let plain = Uri::from_parts(parts)
        .map_err(|error| Failure::new(Exit::Usage, format!("{uri} cannot be used: {error}")))?;
    Ok(endpoint(plain).origin(uri.clone()))
}

fn endpoint(uri: Uri) -> Endpoint {
    Endpoint::from(uri)
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1)
        .keep_alive_while_idle(true)
        .http2_adaptive_window(true)
        .user_agent(concat!("shardstream-cli/", env!("CARGO_PKG_VERSION")))
        .expect("a header of letters")
}

fn nobody(server: &Server, why: &str) -> Failure {
    Failure::new(Exit::Unavailable, format!("no server answers at {server}: {why}"))
        .next(
            "start one (`shardstream dev` needs nothing else, `shardstream serve` reads from AWS),",
        )
        .line("      or say where it is with --server URL")
}

/// The TLS to the server at `uri`, by files as they are now: certificates are renewed while a
/// command runs.
async fn tls(files: &ClientTlsFiles, uri: &Uri) -> std::result::Result<ClientTls, String> {
    let now = Clock::system().now().wall;
    let tls = ClientTls::new(files, uri.host().unwrap_or_default(), now).await;
    tls.map_err(|error| error.to_string())
}

/// A connection by TLS, on which the server has begun to speak.
async fn secured(
    files: &ClientTlsFiles,
    uri: &Uri,
) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>> {
    let tls = tls(files, uri).await.map_err(io::Error::other)?;
    let usual = if uri.scheme() == Some(&Scheme::HTTPS) { USUAL_PORTS.1 } else { USUAL_PORTS.0 };
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(usual))).await?;
    // Messages are written whole: waiting to fill packets would only delay them.
    stream.set_nodelay(true)?;
    let mut stream = tls.connect(stream).await?;
    let mut first = vec![0];
    match timeout(FIRST_WORD, stream.read(&mut first)).await {
        Ok(read) => first.truncate(read?),
        Err(_) => first.clear(),
    }
    let (read, write) = split(stream);
    Ok(join(io::Cursor::new(first).chain(read), write))
}

impl Bearer {
    /// The header; `Err` says what is wrong with the file, and nothing of the token.
    fn value(&self) -> std::result::Result<Option<MetadataValue<Ascii>>, String> {
        let Some(file) = &self.file else { return Ok(None) };
        let text = read(file)?;
        let refused = || {
            format!("--token-file {} holds no token: one line of text is wanted", file.display())
        };
        let token = text.trim();
        if token.is_empty() || token.len() > MOST_TOKEN || token.contains(char::is_whitespace) {
            return Err(refused());
        }
        let mut value: MetadataValue<Ascii> =
            format!("Bearer {token}").parse().map_err(|_| refused())?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

fn read(file: &Path) -> std::result::Result<String, String> {
    std::fs::read_to_string(file)
        .map_err(|error| format!("--token-file {} cannot be read: {error}", file.display()))
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> std::result::Result<Request<()>, Status> {
        if let Some(value) = self.value().map_err(Status::unauthenticated)? {
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

impl Client {
    /// The services behind `channel`, whose calls say nothing of who calls.
    pub(super) fn new(channel: Channel) -> Self {
        Self::with(channel, Bearer::default())
    }

    fn with(channel: Channel, bearer: Bearer) -> Self {
        let calls = InterceptedService::new(channel, bearer);
        Self {
            shards: ShardServiceClient::new(calls.clone()).max_decoding_message_size(MAX_ANSWER),
            streams: StreamServiceClient::new(calls.clone()).max_decoding_message_size(MAX_ANSWER),
            server: ServerServiceClient::new(calls).max_decoding_message_size(MAX_ANSWER),
        }
    }

    /// Every stream, or every stream of one table.
    pub(super) async fn list_streams(
        &mut self,
        table_name: &str,
    ) -> Result<Vec<pb::StreamSummary>> {
        let mut streams = Vec::new();
        let mut page_token = String::new();
        loop {
            let request =
                pb::ListStreamsRequest { table_name: table_name.into(), page_size: 0, page_token };
            let page = self.streams.list_streams(unary(request)).await?.into_inner();
            streams.extend(page.streams);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(streams);
            }
        }
    }

    /// Every shard of a stream.
    pub(super) async fn list_shards(&mut self, stream: &str) -> Result<Vec<pb::Shard>> {
        let mut shards = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = pb::ListShardsRequest { stream: stream.into(), page_size: 0, page_token };
            let page = self.streams.list_shards(unary(request)).await?.into_inner();
            shards.extend(page.shards);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(shards);
            }
        }
    }

    /// A shard and its descendants.
    pub(super) async fn walk_tree(&mut self, shard: pb::ShardName) -> Result<Vec<pb::Shard>> {
        let request =
            pb::WalkTreeRequest { target: Some(pb::walk_tree_request::Target::Shard(shard)) };
        let mut walk = self.shards.walk_tree(unary(request)).await?.into_inner();
        let mut shards = Vec::new();
        while let Some(step) = walk.message().await? {
            shards.extend(step.shard);
        }
        Ok(shards)
    }
}

/// A request with a timeout of [`ANSWER_TIMEOUT`].
pub(super) fn unary<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(ANSWER_TIMEOUT);
    request
}
