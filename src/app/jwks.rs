//! Fetches the keys by which JWTs are checked, from where their issuer publishes them.
//!
//! Once an hour, and sooner when a token names a key that is not known, but at most once a minute:
//! anybody can make such tokens. What was fetched last stays in force for a day.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body::Body as _;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::access::jwt::{JwksError, KeySet, KeysFreshness};
use crate::clock::Clock;
use crate::model::Timestamp;
use crate::tls::ClientTls;

/// How often the keys are fetched.
const OFTEN: Duration = Duration::from_secs(3_600);

/// The shortest time between two fetches.
const APART: Duration = Duration::from_secs(60);

/// How long one fetch may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// For how long keys are believed that cannot be fetched anew.
const BELIEVED: Duration = Duration::from_secs(24 * 3_600);

/// The largest answer that is read, in bytes.
const MOST_BYTES: usize = 64 << 10;

/// Why keys could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum JwksFetchError {
    /// No answer.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Silence,
    /// The connection failed.
    #[error(transparent)]
    Connection(#[from] io::Error),
    /// It is not HTTP.
    #[error(transparent)]
    Http(#[from] hyper::Error),
    /// Another answer than the keys; redirects are not followed.
    #[error("the answer is {0}, not 200")]
    Status(StatusCode),
    /// The answer is too long, or no text.
    #[error("the answer is no text of at most {MOST_BYTES} bytes")]
    Body,
    /// The answer is no key set.
    #[error(transparent)]
    Keys(#[from] JwksError),
}

/// Fetches the keys of one issuer.
#[derive(Debug)]
pub(super) struct JwksFetcher {
    url: Uri,
    tls: ClientTls,
    clock: Clock,
    freshness: KeysFreshness,
    tried: Option<Instant>,
    /// Somebody has asked for it since: whoever runs the server may have taken a key away.
    told: bool,
    failed: bool,
    /// What was fetched last and is a key set.
    text: Option<String>,
}

impl JwksFetcher {
    /// Will fetch from this URL, and says in `freshness` how old the keys are: too old for now.
    pub(super) fn new(url: Uri, tls: ClientTls, clock: Clock, freshness: KeysFreshness) -> Self {
        freshness.believe_until(clock.now().wall);
        Self { url, tls, clock, freshness, tried: None, told: false, failed: false, text: None }
    }

    /// The text of the keys; `None` before the first fetch.
    pub(super) fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// Fetches, if it is time to; `told`: somebody asks for it.
    pub(super) async fn look(&mut self, told: bool) -> Result<(), JwksFetchError> {
        self.told |= told;
        let since = self.tried.map(|tried| tried.elapsed());
        let is_due = since.is_none_or(|since| {
            since >= OFTEN
                || since >= APART && (self.told || self.failed || self.freshness.take_wanted())
        });
        if !is_due {
            return Ok(());
        }
        self.tried = Some(Instant::now());
        self.told = false;
        self.failed = true;
        let fetched = timeout(PATIENCE, fetch(&self.url, &self.tls)).await;
        let text = fetched.unwrap_or(Err(JwksFetchError::Silence))?;
        KeySet::parse(&text)?;
        self.failed = false;
        self.text = Some(text);
        let until = self.clock.now().wall.seconds() + BELIEVED.as_secs() as i64;
        self.freshness.believe_until(Timestamp::new(until, 0).unwrap_or(self.clock.now().wall));
        Ok(())
    }
}

async fn fetch(url: &Uri, tls: &ClientTls) -> Result<String, JwksFetchError> {
    let authority = url.authority().ok_or(io::ErrorKind::InvalidInput).map_err(io::Error::from)?;
    let port = authority.port_u16().unwrap_or(443);
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let stream = tls.connect(TcpStream::connect((host, port)).await?).await?;
    let (mut requests, connection) =
        http1::handshake::<_, http_body_util::Empty<Bytes>>(TokioIo::new(stream)).await?;
    let mut request = Request::new(http_body_util::Empty::new());
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let named = HeaderValue::from_str(authority.as_str());
    request
        .headers_mut()
        .insert(header::HOST, named.map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?);
    let answer = async {
        let answer = requests.send_request(request).await?;
        if answer.status() != StatusCode::OK {
            return Err(JwksFetchError::Status(answer.status()));
        }
        let (mut body, mut bytes) = (answer.into_body(), Vec::new());
        while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            bytes.extend(frame?.into_data().unwrap_or_default());
            if bytes.len() > MOST_BYTES {
                return Err(JwksFetchError::Body);
            }
        }
        String::from_utf8(bytes).map_err(|_| JwksFetchError::Body)
    };
    let mut answer = std::pin::pin!(answer);
    // Both are cancel-safe: the answer is polled on, and the connection has no use without it.
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        ended = connection => {
            ended?;
            answer.await
        }
    }
}
