//! TLS on the gRPC port: who is let in, who is not and is told why, and what a handshake may hold.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use rustls::{AlertDescription, ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use shardstream::config::{ClientAuth, ServerTlsFiles, TlsVersion};
use shardstream::limits::Limits;
use shardstream::pb::server_service_client::ServerServiceClient;
use shardstream::pb::shard_service_client::ShardServiceClient;
use shardstream::pb::{GetServerInfoRequest, StreamRecordsRequest, stream_records_request};
use shardstream::tls::client::explain;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::sim::fake::{FakeUpstream, ShardRef};
use crate::support::pki::{Ca, Issued, Pems, expired, not_yet_valid};
use crate::support::raw::{GOAWAY, Raw};
use crate::support::server::{Server, in_time};
use crate::transport::connections::horizon;

/// What must not end in a test does so long after it.
const LATER: Duration = Duration::from_secs(3_600);

const SOON: Duration = Duration::from_millis(500);

const HANDSHAKES: &str = "shardstream_tls_handshakes_total";

async fn serve(
    files: ServerTlsFiles,
    change: impl FnOnce(&mut Limits),
) -> (Server, FakeUpstream, ShardRef) {
    let (fake, shard) = FakeUpstream::with_shard(3);
    let mut limits = Limits::default();
    change(&mut limits);
    (Server::start_tls(Arc::new(fake.clone()), limits, files).await, fake, shard)
}

/// A server with a certificate that a CA has signed.
fn plain_pki() -> (Ca, Pems) {
    let ca = Ca::new("server CA");
    let pems = Pems::of_server(&ca, &ca.server(|_| {}));
    (ca, pems)
}

/// A call over TLS of a client that shows this, and why it failed.
async fn call(server: &Server, pems: &Pems, shown: Option<&Issued>) -> Result<(), String> {
    let client = TlsConnector::from(Arc::new(config(pems, shown, &[b"h2"])));
    let stream = TcpStream::connect(server.address).await.expect("listens");
    let mut stream = client.connect(name(), stream).await.map_err(|error| told(&error))?;
    // In TLS 1.3 a client hears only now what the server thinks of it.
    in_time("the server's settings", stream.read_exact(&mut [0; 9])).await.map_err(|e| told(&e))?;
    let channel = server.secure_channel(&pems.client(shown)).await.expect("as well as the other");
    let mut info = ServerServiceClient::new(channel);
    let asked = info.get_server_info(GetServerInfoRequest {});
    in_time("an answer", asked).await.map(drop).map_err(|status| status.to_string())
}

/// A client that trusts `ca.pem`, shows this and offers these protocols.
fn config(pems: &Pems, shown: Option<&Issued>, protocols: &[&[u8]]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let pem = std::fs::read(pems.path("ca.pem")).expect("read");
    roots.add(CertificateDer::from_pem_slice(&pem).expect("PEM")).expect("a CA");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("those it knows")
        .with_root_certificates(roots);
    let mut config = match shown {
        None => config.with_no_client_auth(),
        Some(Issued { certificate, key }) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")];
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
            config.with_client_auth_cert(chain, key).expect("its key")
        }
    };
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    config
}

/// The server's name.
fn name() -> ServerName<'static> {
    std::net::IpAddr::from([127, 0, 0, 1]).into()
}

fn told(error: &io::Error) -> String {
    explain(error).map_or_else(|| format!("not TLS: {error:?}"), |(what, _)| what)
}

/// Waits until so many handshakes ended so.
async fn counted(server: &Server, result: &str, many: u64) {
    let line = format!("{HANDSHAKES}{{result=\"{result}\"}} {many}");
    in_time(&line, async {
        while !server.metrics().await.lines().any(|told| told == line) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn calls_and_streams_run_over_tls() {
    let (ca, pems) = plain_pki();
    drop(ca);
    for min_version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let files = ServerTlsFiles { min_version, ..pems.server() };
        let (server, fake, shard) = serve(files, |_| {}).await;
        fake.write(&shard, 3);
        let channel = server.secure_channel(&pems.client(None)).await.expect("connects");
        let source = Some(stream_records_request::Source::Start(horizon(&shard)));
        let request = StreamRecordsRequest { source, ..Default::default() };
        let opened = ShardServiceClient::new(channel.clone()).stream_records(request).await;
        let mut stream = opened.expect("streams").into_inner();
        let first = in_time("records", stream.message()).await.expect("well").expect("some");
        assert_eq!(first.records.len(), 3);
        ServerServiceClient::new(channel)
            .get_server_info(GetServerInfoRequest {})
            .await
            .expect("ok");
        counted(&server, "ok", 1).await;
        let metrics = server.metrics().await;
        // 2120-01-01.
        let expiry = "shardstream_tls_certificate_expiry_timestamp_seconds{certificate=\"server\"} 4733510400";
        assert!(metrics.lines().any(|line| line == expiry), "{metrics}");
        assert!(!metrics.contains("client_ca"), "{metrics}");
        drop(stream);
        server.end().await;
    }
}

#[tokio::test]
async fn who_has_no_right_certificate_is_told_so_and_counted() {
    let (_, pems) = plain_pki();
    let (ca, other) = (Ca::new("client CA"), Ca::new("another CA"));
    let (server, ..) = serve(pems.mutual(&ca, ClientAuth::Required), |_| {}).await;
    let cases: [(Option<Issued>, &str, &str); 6] = [
        (None, "no_certificate", "the server wants a certificate of its clients"),
        (Some(other.client(|_| {})), "bad_certificate", "does not accept this client's"),
        (Some(ca.client(expired)), "bad_certificate", "does not accept this client's"),
        (Some(ca.client(not_yet_valid)), "bad_certificate", "does not accept this client's"),
        // For servers only.
        (Some(ca.server(|_| {})), "bad_certificate", "does not accept this client's"),
        (
            Some(ca.client(|params| {
                params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            })),
            "bad_certificate",
            "does not accept this client's",
        ),
    ];
    for (at, (shown, _, words)) in cases.iter().enumerate() {
        let refused = call(&server, &pems, shown.as_ref()).await.expect_err("refused");
        assert!(refused.contains(words), "{at}: {refused}");
    }
    counted(&server, "no_certificate", 1).await;
    counted(&server, "bad_certificate", 5).await;
    call(&server, &pems, Some(&ca.client(|_| {}))).await.expect("let in");
    server.end().await;
}

#[tokio::test]
async fn where_certificates_are_only_requested_none_will_do_and_a_bad_one_will_not() {
    let (_, pems) = plain_pki();
    let (ca, other) = (Ca::new("client CA"), Ca::new("another CA"));
    let (server, ..) = serve(pems.mutual(&ca, ClientAuth::Requested), |_| {}).await;
    call(&server, &pems, None).await.expect("none will do");
    call(&server, &pems, Some(&ca.client(|_| {}))).await.expect("a good one will do");
    call(&server, &pems, Some(&other.client(|_| {}))).await.expect_err("a bad one will not");
    server.end().await;
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_server_is_counted() {
    let (_, pems) = plain_pki();
    let (server, ..) = serve(pems.server(), |_| {}).await;
    pems.write("ca.pem", &Ca::new("another CA").pem());
    let why = call(&server, &pems, None).await.expect_err("nobody it trusts");
    assert!(why.contains("not signed by anybody who is trusted"), "{why}");
    counted(&server, "refused", 1).await;
    server.end().await;
}

#[tokio::test]
async fn plain_text_to_the_tls_port_is_told_so_in_http2() {
    let (_, pems) = plain_pki();
    let (server, ..) = serve(pems.server(), |_| {}).await;
    let mut raw = Raw::begin(server.address, &[]).await;
    let (.., content) = in_time("the end", raw.until(GOAWAY)).await.expect("told before the end");
    assert_eq!(content[4..8], [0, 0, 0, 12], "INADEQUATE_SECURITY");
    assert!(content.ends_with(b"connect with https, not in plain"), "{content:?}");
    assert_eq!(in_time("the end", raw.next()).await, None);
    let mut other = Raw::connect(server.address).await;
    other.send(b"GET / HTTP/1.1\r\n\r\n").await;
    let mut all = vec![];
    let _ = in_time("the end", other.socket.read_to_end(&mut all)).await;
    assert!(all.is_empty(), "{all:?}");
    counted(&server, "no_tls", 2).await;
    call(&server, &pems, None).await.expect("others are served");
    server.end().await;
}

#[tokio::test]
async fn tls_to_a_plain_port_ends_at_once() {
    let (_, pems) = plain_pki();
    let (fake, _) = FakeUpstream::with_shard(3);
    let mut limits = Limits::default();
    limits.transport.first_byte = LATER;
    let server = Server::start(Arc::new(fake), limits).await;
    in_time("the end", server.secured(&pems.client(None))).await.expect_err("no TLS there");
    let mut info = server.info().await;
    info.get_server_info(GetServerInfoRequest {}).await.expect("others are served");
    server.end().await;
}

/// What a client of rustls says first.
async fn hello(pems: &Pems) -> Vec<u8> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let client = TlsConnector::from(Arc::new(config(pems, None, &[b"h2"])));
    let client = tokio::spawn(async move {
        let stream = TcpStream::connect(address).await.expect("connects");
        let _ = client.connect(name(), stream).await;
    });
    let (mut heard, _) = listener.accept().await.expect("accepted");
    let mut bytes = vec![0; 64 << 10];
    let read = in_time("a hello", heard.read(&mut bytes)).await.expect("read");
    bytes.truncate(read);
    drop(heard);
    client.await.expect("no panic");
    bytes
}

#[tokio::test]
async fn a_handshake_that_does_not_come_whole_holds_its_connection_until_the_deadline() {
    let (_, pems) = plain_pki();
    let (server, ..) = serve(pems.server(), |limits| limits.transport.first_byte = SOON).await;
    let hello = hello(&pems).await;
    let mut held = vec![];
    for bytes in [0, 1, 5, 50, hello.len() - 1] {
        let mut raw = Raw::connect(server.address).await;
        raw.send(&hello[..bytes]).await;
        held.push(raw);
    }
    // The whole of it, and nothing more: the server waits for the client's end of the handshake.
    let mut whole = Raw::connect(server.address).await;
    whole.send(&hello).await;
    held.push(whole);
    // And a handshake with nothing behind it.
    let mut shaken = server.secured(&pems.client(None)).await.expect("trusted");
    let ends = join_all(held.iter_mut().map(|raw| async {
        let _ = raw.socket.read_to_end(&mut vec![]).await;
    }));
    in_time("the ends", ends).await;
    let _ = in_time("the end", shaken.read_to_end(&mut vec![])).await;
    counted(&server, "timeout", 5).await;
    counted(&server, "ok", 1).await;
    in_time("nobody is left", async {
        while !server.metrics().await.contains("shardstream_connections_active 0\n") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.end().await;
}

#[tokio::test]
async fn a_handshake_that_does_not_come_whole_does_not_hold_the_drain() {
    let (_, pems) = plain_pki();
    let (server, ..) = serve(pems.server(), |limits| {
        (limits.transport.first_byte, limits.transport.drain) = (LATER, LATER);
    })
    .await;
    let hello = hello(&pems).await;
    let mut held = vec![];
    for bytes in [1, hello.len() - 1, hello.len()] {
        let mut raw = Raw::connect(server.address).await;
        raw.send(&hello[..bytes]).await;
        held.push(raw);
    }
    held.push(Raw {
        socket: server.secured(&pems.client(None)).await.expect("trusted").into_inner().0,
    });
    in_time("all are here", async {
        while !server.metrics().await.contains("shardstream_connections_active 4\n") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    in_time("the end", server.end()).await;
}

#[tokio::test]
async fn a_handshake_has_no_more_bytes_than_it_needs() {
    let (_, pems) = plain_pki();
    let (server, ..) = serve(pems.server(), |limits| limits.transport.first_byte = LATER).await;
    let mut raw = Raw::connect(server.address).await;
    // A hello of 60,000 bytes, in records of 1,000.
    let mut head = vec![1, 0, 0xea, 0x60];
    for _ in 0..30 {
        head.resize(1_000, 0);
        raw.send(&[&[22, 3, 1, 3, 0xe8], &head[..]].concat()).await;
        head.clear();
    }
    let _ = in_time("the end", raw.socket.read_to_end(&mut vec![])).await;
    counted(&server, "too_large", 1).await;
    server.end().await;
}

#[tokio::test]
async fn only_http2_is_spoken() {
    let (_, pems) = plain_pki();
    let (server, ..) = serve(pems.server(), |_| {}).await;
    let client = |protocols| TlsConnector::from(Arc::new(config(&pems, None, protocols)));
    let stream = TcpStream::connect(server.address).await.expect("listens");
    let refused = client(&[b"http/1.1"]).connect(name(), stream).await;
    let refused = refused.expect_err("told by TLS");
    let alert = refused.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let expected = rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol);
    assert_eq!(alert, Some(&expected));
    let stream = TcpStream::connect(server.address).await.expect("listens");
    let mut silent = client(&[]).connect(name(), stream).await.expect("TLS is well");
    let _ = silent.write_all(b"GET / HTTP/1.1\r\n\r\n").await;
    let mut all = vec![];
    let _ = in_time("the end", silent.read_to_end(&mut all)).await;
    assert!(all.is_empty(), "{all:?}");
    counted(&server, "no_http2", 2).await;
    server.end().await;
}

#[tokio::test]
async fn an_old_version_is_refused_where_a_new_one_is_wanted() {
    let (_, pems) = plain_pki();
    let files = ServerTlsFiles { min_version: TlsVersion::Tls13, ..pems.server() };
    let (server, ..) = serve(files, |_| {}).await;
    let mut roots = RootCertStore::empty();
    let pem = std::fs::read(pems.path("ca.pem")).expect("read");
    roots.add(CertificateDer::from_pem_slice(&pem).expect("PEM")).expect("a CA");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .expect("known");
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(server.address).await.expect("listens");
    TlsConnector::from(Arc::new(config)).connect(name(), stream).await.expect_err("too old");
    counted(&server, "incompatible", 1).await;
    server.end().await;
}

#[tokio::test]
async fn a_crowd_of_handshakes_comes_in_and_so_do_the_calls_of_others() {
    let (_, pems) = plain_pki();
    let (server, ..) = serve(pems.server(), |_| {}).await;
    let files = pems.client(None);
    let mut info = ServerServiceClient::new(server.secure_channel(&files).await.expect("connects"));
    let crowd = join_all((0..200).map(|_| server.secured(&files)));
    let mut crowd = Box::pin(crowd);
    let mut calls = 0;
    let all = loop {
        tokio::select! {
            biased;
            answer = info.get_server_info(GetServerInfoRequest {}) => {
                answer.expect("answered");
                calls += 1;
            }
            all = in_time("the crowd", &mut crowd) => break all,
        }
    };
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert!(calls > 0, "others are served meanwhile");
    drop(crowd);
    server.end().await;
}
