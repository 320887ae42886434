//! gRPC-Web as a browser speaks it: HTTP/1.1 made of bytes, CORS, and callers who are asked who
//! they are.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use prost::Message as _;
use shardstream::access::static_tokens;
use shardstream::config::AccessConfig;
use shardstream::limits::Limits;
use shardstream::pb::{self, stream_records_request::Source};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::sim::fake::{FakeUpstream, ShardRef, Writing};
use crate::support::pki::{Ca, Pems};
use crate::support::raw::{self, Raw};
use crate::support::server::{Server, in_time};
use crate::transport::connections::horizon;

const PAGE: &str = "https://app.example";
const INFO: &str = "/shardstream.v1.ServerService/GetServerInfo";
const RECORDS: &str = "/shardstream.v1.ShardService/StreamRecords";

/// A message as gRPC frames it.
fn framed(message: &[u8]) -> Vec<u8> {
    [&[0], &(message.len() as u32).to_be_bytes()[..], message].concat()
}

/// A request of gRPC-Web, with more headers.
fn request(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: server\r\nContent-Type: application/grpc-web+proto\r\n\
         X-Grpc-Web: 1\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// What comes after these bytes until the server closes.
pub(super) async fn said(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> Vec<u8> {
    // It may be refused before it is here whole.
    let _ = stream.write_all(bytes).await;
    let mut said = vec![];
    let _ = in_time("the end", stream.read_to_end(&mut said)).await;
    said
}

/// The same as text.
async fn told(server: &Server, bytes: &[u8]) -> String {
    let stream = TcpStream::connect(server.address).await.expect("listens");
    String::from_utf8_lossy(&said(stream, bytes).await).into_owned()
}

/// One that is closed behind its answer.
fn last(path: &str, headers: &str) -> Vec<u8> {
    request(path, &format!("Connection: close\r\n{headers}"), &framed(&[]))
}

async fn open(origins: &[&str]) -> (Server, FakeUpstream, ShardRef) {
    let (fake, shard) = FakeUpstream::with_shard(3);
    fake.write(&shard, 3);
    let server = Server::web(Arc::new(fake.clone()), None, AccessConfig::default(), origins).await;
    (server, fake, shard)
}

#[tokio::test]
async fn a_call_over_http_1_is_answered_and_says_how_it_ended() {
    let (server, ..) = open(&[]).await;
    let answer = told(&server, &last(INFO, "")).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("content-type: application/grpc-web+proto\r\n"), "{answer}");
    assert!(answer.contains("grpc-status:0"), "{answer}");
    let unknown = told(&server, &last("/shardstream.v1.ServerService/Nothing", "")).await;
    assert!(unknown.contains("grpc-status: 12"), "{unknown}");
    // Two calls over one connection, the second its last.
    let two = [request(INFO, "", &framed(&[])), last(INFO, "")].concat();
    assert_eq!(told(&server, &two).await.matches("grpc-status:0").count(), 2);
    let get = told(&server, b"GET / HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n").await;
    assert!(get.starts_with("HTTP/1.1 400 "), "{get}");
    // gRPC goes on beside it.
    server.info().await.get_server_info(pb::GetServerInfoRequest {}).await.expect("answered");
    server.end().await;
}

#[tokio::test]
async fn records_stream_over_http_1_as_they_are_written() {
    let (server, fake, shard) = open(&[]).await;
    let source = Some(Source::Start(horizon(&shard)));
    let message = pb::StreamRecordsRequest { source, ..Default::default() };
    let mut stream = TcpStream::connect(server.address).await.expect("listens");
    let request = request(RECORDS, "", &framed(&message.encode_to_vec()));
    stream.write_all(&request).await.expect("written");
    let mut came = Records::default();
    in_time("three records", came.read(&mut stream, 3)).await;
    fake.write(&shard, 2);
    in_time("two more", came.read(&mut stream, 5)).await;
    let open = "shardstream_streams_active{rpc=\"StreamRecords\"} ";
    assert!(server.metrics().await.contains(&format!("{open}1\n")));
    drop(stream);
    let gone = async {
        while !server.metrics().await.contains(&format!("{open}0\n")) {
            tokio::task::yield_now().await;
        }
    };
    in_time("the end of its stream", gone).await;
    server.end().await;
}

/// Records that came in messages in chunks of HTTP/1.1.
#[derive(Default)]
struct Records {
    raw: Vec<u8>,
    body: Vec<u8>,
    begun: bool,
    records: usize,
}

impl Records {
    async fn read(&mut self, stream: &mut TcpStream, until: usize) {
        while self.records < until {
            assert_ne!(stream.read_buf(&mut self.raw).await.expect("read"), 0, "closed");
            self.take();
        }
        assert_eq!(self.records, until);
    }

    fn take(&mut self) {
        let end = |raw: &[u8], mark: &[u8]| raw.windows(mark.len()).position(|at| at == mark);
        if !self.begun {
            let Some(head) = end(&self.raw, b"\r\n\r\n") else { return };
            assert!(self.raw.starts_with(b"HTTP/1.1 200 OK\r\n"));
            self.raw.drain(..head + 4);
            self.begun = true;
        }
        while let Some(line) = end(&self.raw, b"\r\n") {
            let size = std::str::from_utf8(&self.raw[..line]).expect("text");
            let size = usize::from_str_radix(size, 16).expect("a size");
            if self.raw.len() < line + 2 + size + 2 {
                break;
            }
            self.body.extend_from_slice(&self.raw[line + 2..line + 2 + size]);
            self.raw.drain(..line + 2 + size + 2);
        }
        while self.body.len() >= 5 {
            let size = u32::from_be_bytes([self.body[1], self.body[2], self.body[3], self.body[4]]);
            let end = 5 + size as usize;
            if self.body.len() < end {
                break;
            }
            assert_eq!(self.body[0], 0, "no trailers yet");
            let message = pb::StreamRecordsResponse::decode(&self.body[5..end]).expect("a message");
            self.records += message.records.len();
            self.body.drain(..end);
        }
    }
}

#[tokio::test]
async fn pages_of_these_origins_may_call_and_no_others() {
    let (server, ..) = open(&[PAGE, "http://localhost:3000"]).await;
    let preflight = |origin: &str| {
        format!(
            "OPTIONS {INFO} HTTP/1.1\r\nHost: server\r\nOrigin: {origin}\r\nConnection: close\r\n\
             Access-Control-Request-Method: POST\r\n\
             Access-Control-Request-Headers: authorization,content-type,x-grpc-web\r\n\r\n"
        )
    };
    for origin in [PAGE, "http://localhost:3000"] {
        let allowed = told(&server, preflight(origin).as_bytes()).await;
        assert!(allowed.starts_with("HTTP/1.1 200 OK\r\n"), "{allowed}");
        let may = format!("access-control-allow-origin: {origin}\r\n");
        assert!(allowed.contains(&may), "{allowed}");
        for header in ["authorization", "x-grpc-web", "grpc-timeout", "traceparent"] {
            assert!(allowed.contains(header), "{allowed}");
        }
        let called = told(&server, &last(INFO, &format!("Origin: {origin}\r\n"))).await;
        assert!(called.contains("grpc-status:0") && called.contains(&may), "{called}");
        let read = "access-control-expose-headers: \
                    grpc-status,grpc-message,grpc-status-details-bin,date\r\n";
        assert!(called.contains(read), "{called}");
    }
    for origin in ["https://evil.example", "http://app.example", "https://app.example:444", "null"]
    {
        let refused = told(&server, preflight(origin).as_bytes()).await;
        assert!(!refused.contains("access-control-allow-origin"), "{refused}");
        let called = told(&server, &last(INFO, &format!("Origin: {origin}\r\n"))).await;
        assert!(
            called.starts_with("HTTP/1.1 403 ") && !called.contains("grpc-status:"),
            "{called}"
        );
    }
    server.end().await;
}

#[tokio::test]
async fn callers_of_the_web_are_asked_who_they_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = static_tokens::token([9; 32]);
    let tokens = folder.path().join("tokens.toml");
    let entry = static_tokens::entry("page", &secret).expect("a name");
    std::fs::write(&tokens, entry).expect("written");
    let access = AccessConfig { tokens: Some(tokens), ..AccessConfig::default() };
    let (fake, _) = FakeUpstream::with_shard(3);
    let server = Server::web(Arc::new(fake), None, access, &["*"]).await;
    for (headers, status) in [
        ("Origin: https://any.example\r\n", "grpc-status: 16"),
        ("Authorization: Bearer sst_other\r\n", "grpc-status: 16"),
        (&format!("Authorization: Bearer {secret}\r\n"), "grpc-status:0"),
    ] {
        let answer = told(&server, &last(INFO, headers)).await;
        assert!(answer.contains(status), "{headers}: {answer}");
    }
    let listed = last("/shardstream.v1.StreamService/ListShards", "");
    assert!(told(&server, &listed).await.contains("grpc-status: 16"));
    server.end().await;
}

/// A connection by TLS that offers these protocols; `Err`: the handshake failed.
pub(super) async fn offering(
    address: SocketAddr,
    pems: &Pems,
    offered: &[&[u8]],
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(pems.path("ca.pem")).expect("PEM");
    roots.add(ca).expect("a root");
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions().expect("those it knows");
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = offered.iter().map(|protocol| protocol.to_vec()).collect();
    let stream = TcpStream::connect(address).await.expect("listens");
    let name = ServerName::try_from("127.0.0.1").expect("an address");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

#[tokio::test]
async fn http_1_by_tls_is_spoken_with_the_web_alone() {
    let ca = Ca::new("server CA");
    let pems = Pems::of_server(&ca, &ca.server(|_| {}));
    let (fake, _) = FakeUpstream::with_shard(3);
    let (fake, access) = (Arc::new(fake), AccessConfig::default());
    let server = Server::web(fake.clone(), Some(pems.server()), access, &[PAGE]).await;
    for offered in [&[&b"http/1.1"[..]][..], &[]] {
        let stream = offering(server.address, &pems, offered).await.expect("a handshake");
        let answer = said(stream, &last(INFO, "")).await;
        assert!(String::from_utf8_lossy(&answer).contains("grpc-status:0"));
    }
    let both = offering(server.address, &pems, &[b"h2", b"http/1.1"]).await.expect("a handshake");
    assert_eq!(both.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let channel = server.secure_channel(&pems.client(None)).await.expect("connects");
    let mut info = pb::server_service_client::ServerServiceClient::new(channel);
    info.get_server_info(pb::GetServerInfoRequest {}).await.expect("answered");
    drop(both);
    server.end().await;

    let server = Server::start_tls(fake, Limits::default(), pems.server()).await;
    let refused = offering(server.address, &pems, &[b"http/1.1"]).await.expect_err("no protocol");
    assert!(refused.to_string().contains("NoApplicationProtocol"), "{refused}");
    server.end().await;
}

#[tokio::test]
async fn without_the_flag_there_is_no_http_1() {
    let (fake, _) = FakeUpstream::with_shard(3);
    let server = Server::start(Arc::new(fake), Limits::default()).await;
    let answer = told(&server, &last(INFO, "")).await;
    assert!(!answer.contains("HTTP/1.1") && !answer.contains("grpc-status"), "{answer}");
    server.end().await;
}

#[tokio::test]
async fn a_client_that_takes_no_answer_is_not_waited_for() {
    let (fake, shard) = FakeUpstream::with_shard(3);
    fake.write_with(&shard, Writing { count: 100, padding: 100_000, ..Writing::default() });
    let mut limits = Limits::default();
    limits.transport.stall = Duration::from_millis(200);
    let server = Server::web_within(Arc::new(fake), limits).await;
    let source = Some(Source::Start(horizon(&shard)));
    let message = pb::StreamRecordsRequest { source, ..Default::default() };
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("set");
    let mut stream = socket.connect(server.address).await.expect("listens");
    let request = request(RECORDS, "", &framed(&message.encode_to_vec()));
    stream.write_all(&request).await.expect("written");
    stream.read_exact(&mut [0; 15]).await.expect("it begins to answer");
    let gone = async {
        while !server.metrics().await.contains("shardstream_connections_active 0\n") {
            tokio::task::yield_now().await;
        }
    };
    in_time("the end of its connection", gone).await;
    drop(stream);
    server.end().await;
}

#[tokio::test]
async fn an_answer_without_a_body_does_not_make_its_connection_stand_still() {
    let (fake, _) = FakeUpstream::with_shard(3);
    let mut limits = Limits::default();
    limits.transport.stall = Duration::from_millis(100);
    let server = Server::web_within(Arc::new(fake), limits).await;
    let mut stream = TcpStream::connect(server.address).await.expect("listens");
    for (path, status) in [("/shardstream.v1.ServerService/Nothing", "12"), (INFO, "0")] {
        stream.write_all(&request(path, "", &framed(&[]))).await.expect("written");
        let mut said = vec![];
        let ended = [format!("grpc-status: {status}"), format!("grpc-status:{status}")];
        let answered = async {
            while !ended.iter().any(|end| String::from_utf8_lossy(&said).contains(end)) {
                assert_ne!(stream.read_buf(&mut said).await.expect("read"), 0, "closed");
            }
        };
        in_time("an answer", answered).await;
        // What is left of the answer, and then nothing: above all no end.
        let longer = Duration::from_millis(300);
        let on = tokio::time::timeout(longer, async {
            while stream.read_buf(&mut said).await.expect("read") > 0 {}
        });
        on.await.expect_err("the connection is there for the next call");
    }
    drop(stream);
    server.end().await;
}

#[tokio::test]
async fn answers_in_base64_that_nobody_reads_are_held_within_the_pool() {
    const MIB: u64 = 1 << 20;
    let (fake, shard) = FakeUpstream::with_shard(3);
    fake.write_with(&shard, Writing { count: 200, padding: 2_000, ..Writing::default() });
    let mut limits = Limits::default();
    limits.reading.held_bytes = 4 << 20;
    limits.transport.stall = Duration::from_secs(3_600);
    let server = Server::web_within(Arc::new(fake), limits).await;
    let source = Some(pb::get_records_request::Source::Start(horizon(&shard)));
    let message = pb::GetRecordsRequest { source, max_bytes: 40_000, ..Default::default() };
    let body = BASE64_STANDARD.encode(framed(&message.encode_to_vec()));
    let text = [("content-type", "application/grpc-web-text")];
    let path = "/shardstream.v1.ShardService/GetRecords";
    let mut unread = vec![];
    for _ in 0..3 {
        // Room for the first bytes of an answer, so that all of it is made, and not sent.
        let mut raw = Raw::begin(server.address, &[(4, 200)]).await;
        for call in 0..50 {
            let head = raw::bare_head(1 + 2 * call, "POST", path, &text);
            let body = raw::frame(raw::DATA, raw::END, 1 + 2 * call, body.as_bytes());
            raw.send(&[head, body].concat()).await;
        }
        unread.push(raw);
    }
    let filled = async {
        while server.counted("shardstream_held_bytes").await < 2 * MIB {
            tokio::task::yield_now().await;
        }
    };
    in_time("answers that nobody reads", filled).await;
    for _ in 0..20 {
        server.info().await.get_server_info(pb::GetServerInfoRequest {}).await.expect("answered");
        let held = server.counted("shardstream_held_bytes").await;
        assert!(held < 6 * MIB, "{held} bytes are held");
    }
    drop(unread);
    in_time("the last byte", async {
        while server.counted("shardstream_held_bytes").await > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.end().await;
}

#[tokio::test]
async fn half_a_head_is_waited_for_no_longer_than_a_preface() {
    let (fake, _) = FakeUpstream::with_shard(3);
    let mut limits = Limits::default();
    limits.transport.first_byte = Duration::from_millis(50);
    let server = Server::web_within(Arc::new(fake), limits).await;
    for half in ["P", "POST", &format!("POST {INFO} HTTP/1.1\r\nHost: ser")] {
        // The end comes, whatever is said before.
        told(&server, half.as_bytes()).await;
    }
    server.end().await;
}
