//! The connection to a server: how it is made. What goes over it is the client's for Rust.

use std::future::ready;
use std::io;
use std::path::Path;
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use hyper_util::rt::TokioIo;
use shardstream_client::{Credentials, Timing};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, join, split};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use super::failure::{Failure, Result};
use super::grpc_status::root;
use crate::clock::Clock;
use crate::config::{ClientFlags, ClientTlsFiles, Server};
use crate::exit::Exit;
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

/// One server.
#[derive(Clone)]
pub(super) struct Client {
    /// For calls that are answered once: what fails is told at once.
    pub once: shardstream_client::Client,
    /// For streams, which go on by themselves.
    pub streams: shardstream_client::Client,
}

/// Connects to the server that `flags` name.
pub(super) async fn connect(flags: &ClientFlags) -> Result<Client> {
    let server = flags.server();
    let token_file = flags.secure.token_file.as_deref();
    token_file.map(token).transpose().map_err(|told| Failure::new(Exit::Usage, told))?;
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
    Ok(Client::new(&channel, token_file))
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

/// The token in `file`; `Err` says what is wrong with it, and nothing of the token.
fn token(file: &Path) -> std::result::Result<String, String> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("--token-file {} cannot be read: {error}", file.display()))?;
    let token = text.trim();
    let is_header = token.bytes().all(|byte| byte.is_ascii_graphic());
    if token.is_empty() || token.len() > MOST_TOKEN || !is_header {
        return Err(format!(
            "--token-file {} holds no token: one line of text is wanted",
            file.display()
        ));
    }
    Ok(token.to_owned())
}

impl Client {
    /// The server behind `channel`. The token is read again when it is refused: tokens are renewed
    /// while a command runs.
    pub(super) fn new(channel: &Channel, token_file: Option<&Path>) -> Self {
        let with = |patience| {
            let channel = channel.clone();
            let timing = Timing { patience, least_heartbeat: Duration::ZERO, ..Timing::default() };
            // Whether a token may be sent, the flags have decided.
            let mut client = shardstream_client::Client::builder("localhost")
                .channels(move || channel.clone())
                .timing(timing);
            if let Some(file) = token_file.map(Path::to_owned) {
                let read = move || ready(token(&file).map_err(Into::into));
                client = client.credentials(Credentials::fetched(read));
            }
            client.build().expect("a target on this machine")
        };
        Self { once: with(Duration::ZERO), streams: with(Timing::default().patience) }
    }
}
