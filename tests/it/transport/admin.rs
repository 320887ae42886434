//! The admin port, as a probe and a scraper see it.

use std::net::SocketAddr;
use std::sync::Arc;

use shardstream::admin::{Admin, Readiness, ServerPhase};
use shardstream::config::{ClientAuth, ServerTlsFiles};
use shardstream::limits::Limits;
use shardstream::metrics::Metrics;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::web::{offering, said};
use crate::sim::fake::FakeUpstream;
use crate::support::pki::{Ca, Pems};
use crate::support::server::{Server, in_time};

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn probes_and_scrapers_are_answered_until_the_end() {
    let (metrics, readiness, shutdown) =
        (Metrics::new(), Readiness::new(), CancellationToken::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let admin = Admin::new(listener, address, metrics.clone(), readiness.clone());
    let probing = async {
        assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200"));
        for (phase, status, word) in [
            (ServerPhase::Starting, 503, "starting"),
            (ServerPhase::Serving, 200, "serving"),
            (ServerPhase::Draining, 503, "draining"),
        ] {
            readiness.set(phase);
            let answer = get(address, "/readyz").await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains(word),
                "{answer}"
            );
        }
        assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200"));
        let _session = metrics.session();
        let answer = get(address, "/metrics").await;
        assert!(answer.contains("content-type: application/openmetrics-text"), "{answer}");
        assert!(
            answer.contains("shardstream_sessions_active 1\n") && answer.ends_with("# EOF\n"),
            "{answer}"
        );
        assert!(get(address, "/nothing").await.starts_with("HTTP/1.1 404"));
        shutdown.cancel();
    };
    let (served, ()) = tokio::join!(admin.serve(shutdown.clone()), probing);
    served.unwrap();
    TcpStream::connect(address).await.expect_err("the port is closed");
}

/// The port by itself, until the test ends.
async fn serving() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let admin = Admin::new(listener, address, Metrics::new(), Readiness::new());
    tokio::spawn(admin.serve(CancellationToken::new()));
    address
}

async fn sent(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// Whatever it says at its end, closing is what counts.
async fn closed(mut stream: TcpStream) -> String {
    let mut said = vec![];
    let _ = stream.read_to_end(&mut said).await;
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn those_who_say_nothing_make_way_for_those_who_ask() {
    let address = serving().await;
    let mut held = vec![];
    for at in 0..200 {
        held.push(sent(address, ["GET /livez HTTP/1.1\r\nHost: ad", "", "G"][at % 3]).await);
        if at % 50 == 49 {
            assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200"), "after {at}");
        }
    }
    assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200"));
    for oldest in held.drain(..200 - 64) {
        closed(oldest).await;
    }
    // The others may still say what they want.
    let mut newest = held.pop().unwrap();
    newest.write_all(b"GET /livez HTTP/1.1\r\nHost: admin\r\n\r\n").await.unwrap();
    assert!(closed(newest).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(start_paused = true)]
async fn a_request_is_here_in_time_or_not_at_all() {
    let address = serving().await;
    for half in ["", "GET /livez HTT", "GET /livez HTTP/1.1\r\nHost: admin\r\n"] {
        let begun = tokio::time::Instant::now();
        closed(sent(address, half).await).await;
        let taken = begun.elapsed().as_secs();
        assert!((9..=30).contains(&taken), "{half:?} was waited for {taken} s");
    }
}

#[tokio::test]
async fn headers_are_bounded() {
    let address = serving().await;
    let large = format!("X-Large: {}\r\n", "x".repeat(20 << 10));
    let many: String = (0..100).map(|at| format!("X-{at}: x\r\n")).collect();
    for headers in [large, many] {
        let request = format!("GET /livez HTTP/1.1\r\nHost: admin\r\n{headers}\r\n");
        let mut stream = TcpStream::connect(address).await.unwrap();
        // It may be refused before it is here whole.
        let _ = stream.write_all(request.as_bytes()).await;
        let said = closed(stream).await;
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 431"), "{said}");
    }
    assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn everything_that_a_server_shows_is_in_the_page_of_metrics() {
    let (fake, shard) = FakeUpstream::with_shard(3);
    fake.write(&shard, 3);
    let server = Server::start(Arc::new(fake), Limits::default()).await;
    let request = shardstream::pb::DescribeStreamRequest { stream: shard.stream.to_string() };
    server.streams().await.describe_stream(request).await.expect("described");
    let text = server.metrics().await;
    let page = include_str!("../../../docs/metrics.md");
    let types: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    for line in &types {
        let (name, kind) = line.split_once(' ').expect("a name and a type");
        let end = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let is_it = |row: &&str| {
            let rest = row.strip_prefix(&format!("| `{name}{end}"));
            rest.is_some_and(|rest| {
                rest.starts_with(['`', '{']) && rest.contains(&format!("| {kind} |"))
            })
        };
        assert!(page.lines().any(|row| is_it(&row)), "{line} is not in docs/metrics.md");
    }
    let figure = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.map(|value| value.parse::<f64>().expect("a number"))
    };
    assert!(figure("shardstream_runtime_tasks").is_some_and(|tasks| tasks > 1.0), "{text}");
    if cfg!(target_os = "linux") {
        for (name, least) in [
            ("process_open_fds", 5.0),
            ("process_max_fds", 20.0),
            ("process_threads", 1.0),
            ("process_resident_memory_bytes", 1e6),
            ("process_cpu_seconds_total", 0.0),
        ] {
            assert!(figure(name).is_some_and(|value| value >= least), "{name}: {text}");
        }
    }
    server.end().await;
}

#[tokio::test]
async fn by_tls_it_answers_by_the_newest_certificate_and_nothing_in_plain() {
    let (first, second) = (Ca::new("first"), Ca::new("second"));
    let pems = Pems::of_server(&first, &first.server(|_| {}));
    let files = ServerTlsFiles { admin: true, ..pems.server() };
    let (fake, _) = FakeUpstream::with_shard(3);
    let server = Server::start_tls(Arc::new(fake), Limits::default(), files).await;
    let request = b"GET /livez HTTP/1.1\r\nHost: admin\r\n\r\n";
    let alive = async |offered: &[&[u8]]| {
        let stream = offering(server.admin, &pems, offered).await?;
        Ok::<_, std::io::Error>(said(stream, request).await.starts_with(b"HTTP/1.1 200 "))
    };
    for offered in [&[&b"http/1.1"[..]][..], &[], &[b"h2", b"http/1.1"]] {
        assert!(alive(offered).await.expect("a handshake"));
    }
    assert!(alive(&[b"h2"]).await.is_err(), "it speaks HTTP/1.1 alone");
    let plain =
        closed(sent(server.admin, "GET /livez HTTP/1.1\r\nHost: admin\r\n\r\n").await).await;
    assert!(!plain.contains("HTTP/1.1"), "{plain}");
    pems.identity("server", &second.server(|_| {}));
    server.reload.notify_one();
    pems.write("ca.pem", &second.pem());
    in_time("the new certificate", async {
        while alive(&[]).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.end().await;
}

#[tokio::test]
async fn by_tls_it_asks_for_certificates_as_the_server_does() {
    let ca = Ca::new("CA");
    let pems = Pems::of_server(&ca, &ca.server(|_| {}));
    let files = ServerTlsFiles { admin: true, ..pems.mutual(&ca, ClientAuth::Required) };
    let (fake, _) = FakeUpstream::with_shard(3);
    let server = Server::start_tls(Arc::new(fake), Limits::default(), files).await;
    let answer = match offering(server.admin, &pems, &[b"http/1.1"]).await {
        // In TLS 1.3 the client hears of it after its handshake.
        Ok(stream) => said(stream, b"GET /metrics HTTP/1.1\r\nHost: admin\r\n\r\n").await,
        Err(_) => vec![],
    };
    assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    server.end().await;
}
