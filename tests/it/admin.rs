//! The admin port, as a probe and a scraper see it.

use std::net::SocketAddr;

use shardstream::admin::{Admin, Phase, Readiness};
use shardstream::metrics::Metrics;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

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
    let (metrics, readiness, shutdown) = (Metrics::new(), Readiness::new(), CancellationToken::new());
    let any = "127.0.0.1:0".parse().unwrap();
    let admin = Admin::bind(any, metrics.clone(), readiness.clone()).await.unwrap();
    let address = admin.local_addr();
    let probing = async {
        assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200"));
        for (phase, status, word) in
            [(Phase::Starting, 503, "starting"), (Phase::Serving, 200, "serving"), (Phase::Draining, 503, "draining")]
        {
            readiness.set(phase);
            let answer = get(address, "/readyz").await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains(word), "{answer}");
        }
        assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200"));
        let _session = metrics.session();
        let answer = get(address, "/metrics").await;
        assert!(answer.contains("content-type: application/openmetrics-text"), "{answer}");
        assert!(answer.contains("shardstream_sessions_active 1\n") && answer.ends_with("# EOF\n"), "{answer}");
        assert!(get(address, "/nothing").await.starts_with("HTTP/1.1 404"));
        shutdown.cancel();
    };
    let (served, ()) = tokio::join!(admin.serve(shutdown.clone()), probing);
    served.unwrap();
    TcpStream::connect(address).await.expect_err("the port is closed");
}
