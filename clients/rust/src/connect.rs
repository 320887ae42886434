//! Connections to one server: TLS, who calls, and as many connections as the streams need.

use std::fmt;
use std::future::{Future, ready};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use parking_lot::Mutex;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::error::{Error, ErrorKind};
use crate::store::StoreError;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// When a connection is pinged, and how long a ping may stay unanswered before it is closed.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// TLS with PEM files, read for each connection: the CA if it is not the system's; for mTLS the
/// client's certificate and key.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    ca: Option<PathBuf>,
    identity: Option<(PathBuf, PathBuf)>,
}

impl Tls {
    /// TLS with the certificates that the system trusts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts what is in this file and nothing else.
    pub fn ca(mut self, file: impl AsRef<Path>) -> Self {
        self.ca = Some(file.as_ref().to_owned());
        self
    }

    /// Shows this certificate to the server.
    pub fn identity(mut self, certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        self.identity = Some((certificate.as_ref().to_owned(), key.as_ref().to_owned()));
        self
    }

    fn config(&self) -> Result<ClientTlsConfig, Error> {
        let mut config = ClientTlsConfig::new();
        config = match &self.ca {
            Some(ca) => config.ca_certificate(Certificate::from_pem(read(ca)?)),
            None => config.with_native_roots(),
        };
        if let Some((certificate, key)) = &self.identity {
            config = config.identity(Identity::from_pem(read(certificate)?, read(key)?));
        }
        Ok(config)
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Error> {
    let told = |error| Error::local(format!("{} cannot be read: {error}", file.display()));
    std::fs::read(file).map_err(told)
}

type Fetch =
    dyn Fn() -> Pin<Box<dyn Future<Output = Result<String, StoreError>> + Send>> + Send + Sync;

/// A bearer token: a text, or a function that fetches one. It is kept until the server refuses it.
#[derive(Clone)]
pub struct Credentials {
    fetch: Arc<Fetch>,
    /// Whether `fetch` always gives the same.
    fixed: bool,
    held: Arc<Mutex<Option<String>>>,
    /// Locked while a token is fetched: calls at once fetch one.
    fetching: Arc<tokio::sync::Mutex<()>>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl Credentials {
    /// Always this token.
    pub fn token(token: impl Into<String>) -> Self {
        let token = token.into();
        let fetched = Self::fetched(move || ready(Ok(token.clone())));
        Self { fixed: true, ..fetched }
    }

    /// The token that `fetch` gives, fetched anew when the server refuses it.
    pub fn fetched<F, T>(fetch: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = Result<String, StoreError>> + Send + 'static,
    {
        let fetch: Arc<Fetch> = Arc::new(move || Box::pin(fetch()));
        Self { fetch, fixed: false, held: Arc::default(), fetching: Arc::default() }
    }

    async fn header(&self) -> Result<AsciiMetadataValue, Error> {
        let _alone = self.fetching.lock().await;
        let held = self.held.lock().clone();
        let token = match held {
            Some(token) => token,
            None => {
                let token = (self.fetch)().await.map_err(Error::local)?;
                self.held.lock().insert(token).clone()
            }
        };
        let mut value: AsciiMetadataValue = bearer(&token)
            .parse()
            .map_err(|_| Error::local("the bearer token has characters that no header takes"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// What metrics and tracing want to know. Every method must be quick.
pub trait Hooks: Send + Sync {
    /// The W3C `traceparent` to send with a call of this method; `None` sends none.
    fn traceparent(&self, method: &str) -> Option<String> {
        let _ = method;
        None
    }

    /// A message is about to be given to the program.
    fn message(&self, message: &crate::Message) {
        let _ = message;
    }

    /// A call failed and is made again after `pause`.
    fn resume(&self, error: &Error, pause: Duration) {
        let _ = (error, pause);
    }
}

pub(crate) struct NoHooks;

impl Hooks for NoHooks {}

/// Makes a connection.
pub(crate) type Channels = dyn Fn() -> Result<Channel, Error> + Send + Sync;

/// Connections to the server at `uri`.
pub(crate) fn channels(uri: Uri, tls: Option<Tls>) -> Result<Box<Channels>, Error> {
    let endpoint = Endpoint::from(uri)
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1)
        .http2_adaptive_window(true)
        .user_agent(concat!("shardstream-rust/", env!("CARGO_PKG_VERSION")))
        .map_err(Error::local)?;
    Ok(Box::new(move || {
        let mut endpoint = endpoint.clone();
        if let Some(tls) = &tls {
            endpoint = endpoint.tls_config(tls.config()?).map_err(Error::local)?;
        }
        Ok(endpoint.connect_lazy())
    }))
}

/// The connections to one server.
pub(crate) struct Connections {
    make: Box<Channels>,
    credentials: Option<Credentials>,
    /// The most streams of one connection.
    streams: usize,
    /// Connections that take new calls, each with a count of its streams.
    open: Mutex<Vec<Connection>>,
}

/// A connection. Streams hold it, so that the count of references is that of its streams.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) channel: Channel,
    streams: Arc<()>,
}

/// How a call was sent.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) connection: Connection,
    /// The header that said who calls.
    pub(crate) caller: Option<AsciiMetadataValue>,
}

impl Connections {
    pub(crate) fn new(
        make: Box<Channels>,
        credentials: Option<Credentials>,
        streams: usize,
    ) -> Self {
        Self { make, credentials, streams, open: Mutex::default() }
    }

    /// A connection for a unary call.
    pub(crate) fn any(&self) -> Result<Connection, Error> {
        self.take(usize::MAX)
    }

    /// A connection for a stream, which holds it as long as it lives.
    pub(crate) fn for_stream(&self) -> Result<Connection, Error> {
        self.take(self.streams)
    }

    fn take(&self, most: usize) -> Result<Connection, Error> {
        let mut open = self.open.lock();
        if let Some(connection) = open.iter().find(|one| Arc::strong_count(&one.streams) <= most) {
            return Ok(connection.clone());
        }
        let connection = Connection { channel: (self.make)()?, streams: Arc::default() };
        open.push(connection.clone());
        Ok(connection)
    }

    /// No new calls on a connection that may be dead, as an error says that is not the server's
    /// own. Streams that still live on it go on.
    pub(crate) fn retire(&self, connection: &Connection, error: &Error) {
        if error.reason.is_empty() {
            self.open.lock().retain(|one| !Arc::ptr_eq(&one.streams, &connection.streams));
        }
    }

    /// Who calls, and whatever else `hooks` want to send with a call of `method`.
    pub(crate) async fn metadata(
        &self,
        hooks: &dyn Hooks,
        method: &str,
    ) -> Result<MetadataMap, Error> {
        let mut metadata = MetadataMap::new();
        if let Some(credentials) = &self.credentials {
            metadata.insert("authorization", credentials.header().await?);
        }
        if let Some(value) = hooks.traceparent(method).and_then(|text| text.parse().ok()) {
            metadata.insert("traceparent", value);
        }
        Ok(metadata)
    }

    /// Whether the call was refused for its token, and there is or will be another: one that
    /// another call fetched meanwhile, or else, once for a call or stream, a new one.
    pub(crate) fn renews(&self, sent: &Sent, error: &Error, renewed: &mut bool) -> bool {
        let Some(credentials) = &self.credentials else { return false };
        if credentials.fixed || error.kind != ErrorKind::Unauthenticated {
            return false;
        }
        let mut held = credentials.held.lock();
        let caller = sent.caller.as_ref().and_then(|value| value.to_str().ok());
        if held.as_deref().map(bearer).as_deref() != caller {
            return true;
        }
        if !*renewed {
            *held = None;
        }
        !std::mem::replace(renewed, true)
    }
}

/// An error where credentials would travel for everybody to read.
pub(crate) fn refuse_unprotected(
    uri: &Uri,
    tls: Option<&Tls>,
    credentials: Option<&Credentials>,
) -> Result<(), Error> {
    if credentials.is_some() && tls.is_none() && !is_here(uri) {
        return Err(Error::local("credentials travel by TLS, or to this machine only: give `tls`"));
    }
    Ok(())
}

/// Whether the server is on this machine.
fn is_here(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
