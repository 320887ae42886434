//! A DynamoDB Streams endpoint that answers from a script: for each operation a queue of answers,
//! the last of which stays. It speaks just enough HTTP/1.1 for the AWS SDK, and can break off or
//! fall silent where a server never would.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// One prepared answer.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    manner: Manner,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    Whole,
    BreakOff,
    InPieces,
    Unannounced,
    Stalled,
    Silent,
    Endless,
    Dripping,
    Closing,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), manner: Manner::Whole }
    }

    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200, body)
    }

    /// An error as DynamoDB writes one.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        let body = serde_json::json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": message });
        Self::new(status, body.to_string())
    }

    /// The connection ends in the middle of the body.
    pub fn broken_off(body: impl Into<Vec<u8>>) -> Self {
        Self { manner: Manner::BreakOff, ..Self::ok(body) }
    }

    /// The body comes in a few pieces, with pauses between.
    pub fn in_pieces(body: impl Into<Vec<u8>>) -> Self {
        Self { manner: Manner::InPieces, ..Self::ok(body) }
    }

    /// The body's length is not said: it ends with the connection.
    pub fn unannounced(body: impl Into<Vec<u8>>) -> Self {
        Self { manner: Manner::Unannounced, ..Self::ok(body) }
    }

    /// The whole body, and then the connection is closed, which nobody said.
    pub fn closing(body: impl Into<Vec<u8>>) -> Self {
        Self { manner: Manner::Closing, ..Self::ok(body) }
    }

    /// Half the body, and then nothing, on an open connection.
    pub fn stalled(body: impl Into<Vec<u8>>) -> Self {
        Self { manner: Manner::Stalled, ..Self::ok(body) }
    }

    /// The body again and again, of no length, for as long as somebody reads it.
    pub fn endless(body: impl Into<Vec<u8>>) -> Self {
        Self { manner: Manner::Endless, ..Self::ok(body) }
    }

    /// The body byte by byte, with pauses between.
    pub fn dripping(body: impl Into<Vec<u8>>) -> Self {
        Self { manner: Manner::Dripping, ..Self::ok(body) }
    }

    pub fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// No answer, on an open connection.
    pub fn silence() -> Self {
        Self { manner: Manner::Silent, ..Self::ok("") }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

#[derive(Default)]
struct Script {
    answers: HashMap<&'static str, VecDeque<Answer>>,
    requests: Vec<Request>,
    connections: usize,
    /// Bytes of endless bodies that were sent.
    sent: usize,
}

/// What was asked.
#[derive(Clone, Debug)]
pub struct Request {
    pub operation: String,
    pub body: serde_json::Value,
    /// As it came.
    pub raw: Vec<u8>,
    /// The first line and the headers.
    pub head: String,
}

impl Request {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut found = lines.filter(|(key, _)| key.trim().eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.trim())
    }

    /// Whether it is the AWS SDK's, which numbers its calls.
    pub fn is_by_sdk(&self) -> bool {
        self.header("amz-sdk-invocation-id").is_some()
    }
}

/// The certificate of the authority that the endpoint's own is signed by.
pub const ROOT: &str = include_str!("trust/root.pem");

/// The endpoint; gone when dropped.
pub struct ScriptedHttp {
    pub url: String,
    script: Arc<Mutex<Script>>,
    task: JoinHandle<()>,
}

impl ScriptedHttp {
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// With TLS, by a certificate that only [`ROOT`] vouches for.
    pub async fn start_tls() -> Self {
        let certificate = CertificateDer::from_pem_slice(include_bytes!("trust/server.pem"))
            .expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("trust/server.key")).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let config = config
            .with_safe_default_protocol_versions()
            .expect("those it knows")
            .with_no_client_auth();
        let config =
            config.with_single_cert(vec![certificate], key).expect("the key of the certificate");
        Self::start_with(Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().expect("bound"));
        let script = Arc::new(Mutex::new(Script::default()));
        let shared = Arc::clone(&script);
        let task = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (tls, shared) = (tls.clone(), Arc::clone(&shared));
                shared.lock().expect("whole").connections += 1;
                tokio::spawn(async move {
                    match tls {
                        None => serve(connection, shared).await,
                        Some(tls) => {
                            if let Ok(connection) = tls.accept(connection).await {
                                serve(connection, shared).await;
                            }
                        }
                    }
                });
            }
        });
        Self { url, script, task }
    }

    /// The answers to `operation` from now on; the last one stays.
    pub fn answer(&self, operation: &'static str, answers: impl IntoIterator<Item = Answer>) {
        self.script.lock().expect("whole").answers.insert(operation, answers.into_iter().collect());
    }

    /// How the requests were signed, in the order in which they came.
    pub fn signatures(&self) -> Vec<String> {
        let script = self.script.lock().expect("whole");
        let signature = |asked: &Request| asked.header("authorization").unwrap_or("").to_owned();
        script.requests.iter().map(signature).collect()
    }

    /// The connections that were opened so far.
    pub fn connections(&self) -> usize {
        self.script.lock().expect("whole").connections
    }

    /// Forgets what was asked, and the answers.
    pub fn forget(&self) {
        let mut script = self.script.lock().expect("whole");
        (script.requests, script.answers) = Default::default();
    }

    /// The requests for `operation` so far, in the order in which they came.
    pub fn asked(&self, operation: &str) -> Vec<Request> {
        let script = self.script.lock().expect("whole");
        script.requests.iter().filter(|asked| asked.operation == operation).cloned().collect()
    }

    /// The bytes of endless bodies that were sent.
    pub fn sent(&self) -> usize {
        self.script.lock().expect("whole").sent
    }

    /// The bodies of the requests for `operation` so far, retries included.
    pub fn requests(&self, operation: &str) -> Vec<serde_json::Value> {
        self.asked(operation).into_iter().map(|asked| asked.body).collect()
    }
}

impl Drop for ScriptedHttp {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut connection: impl AsyncRead + AsyncWrite + Unpin, script: Arc<Mutex<Script>>) {
    let mut read = Vec::new();
    while let Some(asked) = request(&mut connection, &mut read).await {
        let operation = asked.operation.clone();
        let answer = {
            let mut script = script.lock().expect("whole");
            script.requests.push(asked);
            match script.answers.get_mut(operation.as_str()) {
                Some(queue) if queue.len() > 1 => queue.pop_front(),
                Some(queue) => queue.front().cloned(),
                None => None,
            }
        };
        let answer = answer.unwrap_or_else(|| Answer::error(400, "NotScripted", &operation));
        if answer.manner == Manner::Endless {
            return pour(&mut connection, &answer, &script).await;
        }
        if !write(&mut connection, &answer).await {
            return;
        }
    }
}

async fn request(connection: &mut (impl AsyncRead + Unpin), read: &mut Vec<u8>) -> Option<Request> {
    loop {
        if let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end]).into_owned();
            let field = |name: &str| {
                let lines = head.lines().filter_map(|line| line.split_once(':'));
                lines
                    .filter(|(key, _)| key.trim().eq_ignore_ascii_case(name))
                    .map(|(_, value)| value.trim().to_owned())
                    .next()
            };
            let length: usize =
                field("content-length").map_or(0, |text| text.parse().expect("a length"));
            if read.len() >= end + 4 + length {
                let raw = read[end + 4..end + 4 + length].to_vec();
                let (operation, body) = match field("x-amz-target") {
                    Some(target) => {
                        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
                        (operation, serde_json::from_slice(&raw).expect("a JSON request"))
                    }
                    // STS is asked by a form: Action=GetCallerIdentity&Version=2011-06-15. A plain
                    // GET asks for nothing.
                    None => {
                        let form = String::from_utf8_lossy(&raw);
                        let action = form.split('&').find_map(|pair| pair.strip_prefix("Action="));
                        (action.unwrap_or_default().to_owned(), serde_json::Value::Null)
                    }
                };
                read.drain(..end + 4 + length);
                return Some(Request { operation, body, raw, head });
            }
        }
        if connection.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
}

/// Sends a body until nobody reads it any more.
async fn pour(connection: &mut (impl AsyncWrite + Unpin), answer: &Answer, script: &Mutex<Script>) {
    let head = format!("HTTP/1.1 {} Scripted\r\n\r\n", answer.status);
    let chunk = answer.body.repeat((64 << 10) / answer.body.len());
    let mut open = connection.write_all(head.as_bytes()).await.is_ok();
    while open {
        open = connection.write_all(&chunk).await.is_ok();
        script.lock().expect("whole").sent += chunk.len();
    }
}

/// Whether the connection can be used again.
async fn write(connection: &mut (impl AsyncWrite + Unpin), answer: &Answer) -> bool {
    if answer.manner == Manner::Silent {
        return std::future::pending().await;
    }
    let mut head = format!("HTTP/1.1 {} Scripted\r\n", answer.status);
    if answer.manner != Manner::Unannounced {
        head.push_str(&format!("content-length: {}\r\n", answer.body.len()));
    }
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let body = match answer.manner {
        Manner::BreakOff | Manner::Stalled => &answer.body[..answer.body.len() / 2],
        _ => &answer.body,
    };
    let mut sent = connection.write_all(head.as_bytes()).await.is_ok();
    let pieces = match answer.manner {
        Manner::InPieces => 4,
        Manner::Dripping => body.len(),
        _ => 1,
    };
    for piece in body.chunks(body.len().div_ceil(pieces).max(1)) {
        if pieces > 1 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        sent = sent && connection.write_all(piece).await.is_ok();
    }
    if answer.manner == Manner::Stalled {
        return std::future::pending().await;
    }
    sent && !matches!(answer.manner, Manner::BreakOff | Manner::Unannounced | Manner::Closing)
}
