//! The files of TLS replaced while the server runs: what is well is in force at once, what is not
//! changes nothing, and what runs goes on.

use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use shardstream::app::reload::next_look;
use shardstream::clock::Clock;
use shardstream::config::ClientAuth;
use shardstream::limits::Limits;
use shardstream::metrics::Metrics;
use shardstream::model::Timestamp;
use shardstream::pb::server_service_client::ServerServiceClient;
use shardstream::pb::shard_service_client::ShardServiceClient;
use shardstream::pb::{GetServerInfoRequest, StreamRecordsRequest, stream_records_request};
use shardstream::tls::{PeerCertificates, ServerTls};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::sim::fake::FakeUpstream;
use crate::support::pki::{Ca, Pems};
use crate::support::server::{Server, in_time};
use crate::transport::connections::horizon;

const RELOADS: &str = "shardstream_tls_reloads_total";

/// Waits until the files were read again so often, with this result.
async fn reloaded(server: &Server, result: &str, many: u64) {
    server.reload.notify_one();
    let line = format!("{RELOADS}{{result=\"{result}\"}} {many}");
    in_time(&line, async {
        while !server.metrics().await.lines().any(|told| told == line) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Whether a new client that trusts `ca.pem` is served.
async fn is_served(server: &Server, pems: &Pems) -> bool {
    let Ok(channel) = server.secure_channel(&pems.client(None)).await else { return false };
    let mut info = ServerServiceClient::new(channel);
    in_time("an answer", info.get_server_info(GetServerInfoRequest {})).await.is_ok()
}

#[tokio::test]
async fn new_clients_get_the_new_certificate_and_streams_go_on() {
    let (old, new) = (Ca::new("old"), Ca::new("new"));
    let pems = Pems::of_server(&old, &old.server(|_| {}));
    let (fake, shard) = FakeUpstream::with_shard(3);
    let mut limits = Limits::default();
    limits.reading.shard_calls_per_second = 1_000.0;
    limits.reading.idle_poll_interval = Duration::from_millis(20);
    let server = Server::start_tls(Arc::new(fake.clone()), limits, pems.server()).await;
    let channel = server.secure_channel(&pems.client(None)).await.expect("connects");
    let source = Some(stream_records_request::Source::Start(horizon(&shard)));
    let request = StreamRecordsRequest { source, ..Default::default() };
    let opened = ShardServiceClient::new(channel).stream_records(request).await;
    let mut stream = opened.expect("streams").into_inner();
    for round in 1..=5 {
        let to = if round % 2 == 1 { &new } else { &old };
        pems.identity("server", &to.server(|_| {}));
        reloaded(&server, "ok", round).await;
        assert!(!is_served(&server, &pems).await, "the old CA vouches for it no more");
        pems.write("ca.pem", &to.pem());
        assert!(is_served(&server, &pems).await, "the new one does");
        fake.write(&shard, 1);
        let record = async {
            while stream.message().await.expect("well").expect("not ended").records.is_empty() {}
        };
        in_time("a record", record).await;
    }
    drop(stream);
    server.end().await;
}

#[tokio::test]
async fn the_cas_of_clients_are_replaced_too() {
    let (ca, first, second) = (Ca::new("server CA"), Ca::new("first"), Ca::new("second"));
    let pems = Pems::of_server(&ca, &ca.server(|_| {}));
    let (fake, _) = FakeUpstream::with_shard(3);
    let files = pems.mutual(&first, ClientAuth::Required);
    let server = Server::start_tls(Arc::new(fake), Limits::default(), files).await;
    let (of_first, of_second) = (first.client(|_| {}), second.client(|_| {}));
    let answers = async |issued| {
        let channel = server.secure_channel(&pems.client(Some(issued))).await.expect("connects");
        let mut info = ServerServiceClient::new(channel);
        in_time("an answer", info.get_server_info(GetServerInfoRequest {})).await.is_ok()
    };
    assert!(answers(&of_first).await && !answers(&of_second).await);
    pems.write("client-ca.pem", &second.pem());
    reloaded(&server, "ok", 1).await;
    assert!(!answers(&of_first).await && answers(&of_second).await);
    server.end().await;
}

#[tokio::test]
async fn what_is_not_well_changes_nothing_until_it_is() {
    let ca = Ca::new("server CA");
    let pems = Pems::of_server(&ca, &ca.server(|_| {}));
    let (fake, _) = FakeUpstream::with_shard(3);
    let server = Server::start_tls(Arc::new(fake), Limits::default(), pems.server()).await;
    let next = ca.server(|_| {});
    let whole = next.certificate.clone();
    let bad: [(&str, &str, String); 5] = [
        ("a certificate whose key is another", "server.pem", whole.clone()),
        ("half a certificate", "server.pem", whole[..whole.len() / 2].to_owned()),
        ("an empty file", "server.pem", String::new()),
        ("no key", "server.key", whole.clone()),
        ("an expired certificate", "server.pem", {
            let expired = ca.server(crate::support::pki::expired);
            pems.write("server.key", &expired.key);
            expired.certificate
        }),
    ];
    for (at, (what, file, text)) in bad.iter().enumerate() {
        pems.write(file, text);
        reloaded(&server, "failed", at as u64 + 1).await;
        assert!(is_served(&server, &pems).await, "after {what}");
    }
    std::fs::remove_file(pems.path("server.key")).expect("removed");
    reloaded(&server, "failed", 6).await;
    assert!(is_served(&server, &pems).await, "after a key was lost");
    pems.identity("server", &next);
    reloaded(&server, "ok", 1).await;
    assert!(is_served(&server, &pems).await);
    server.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_changed_is_seen_within_ten_seconds_and_told_once() {
    let ca = Ca::new("server CA");
    let pems = Pems::of_server(&ca, &ca.server(|_| {}));
    let metrics = Metrics::new();
    let loaded = ServerTls::load(pems.server(), Clock::system(), metrics.clone()).await;
    let (tls, mut reloader) = loaded.expect("well");
    let stop = CancellationToken::new();
    let ends = stop.clone();
    let running = tokio::spawn(async move {
        while let Some(told) = next_look(&Notify::new(), &ends).await {
            reloader.look(told).await;
        }
    });
    let reloads = || {
        let text = metrics.render();
        let line = |line: &&str| line.starts_with(RELOADS);
        text.lines().filter(line).map(str::to_owned).collect::<Vec<_>>()
    };
    let pass = async |seconds| tokio::time::sleep(Duration::from_secs(seconds)).await;
    let before = tls.current();
    pass(60).await;
    assert!(reloads().is_empty() && Arc::ptr_eq(&before, &tls.current()), "nothing has changed");
    let next = ca.server(|_| {});
    pems.write("server.pem", &next.certificate);
    pass(60).await;
    assert_eq!(reloads(), [format!("{RELOADS}{{result=\"failed\"}} 1")], "told once");
    assert!(Arc::ptr_eq(&before, &tls.current()), "the old one stays in force");
    pems.write("server.key", &next.key);
    pass(11).await;
    assert!(reloads().contains(&format!("{RELOADS}{{result=\"ok\"}} 1")), "{:?}", reloads());
    assert!(!Arc::ptr_eq(&before, &tls.current()));
    stop.cancel();
    running.await.expect("ends");
}

#[tokio::test]
async fn who_is_accepted_no_more_is_told_to_go_and_the_others_stay() {
    let (ca, first, second) = (Ca::new("server CA"), Ca::new("first"), Ca::new("second"));
    let pems = Pems::of_server(&ca, &ca.server(|_| {}));
    let files = pems.mutual(&first, ClientAuth::Required);
    pems.write("client-ca.pem", &(first.pem() + &second.pem()));
    let (fake, shard) = FakeUpstream::with_shard(3);
    let mut limits = Limits::default();
    limits.reading.idle_poll_interval = Duration::from_millis(20);
    limits.transport.age_grace = Duration::from_millis(200);
    let server = Server::start_tls(Arc::new(fake.clone()), limits, files).await;
    let streaming = async |of: &Ca| {
        let identity = of.client(|_| {});
        let channel = server.secure_channel(&pems.client(Some(&identity))).await.expect("connects");
        let source = Some(stream_records_request::Source::Start(horizon(&shard)));
        let request = StreamRecordsRequest { source, ..Default::default() };
        let opened = ShardServiceClient::new(channel).stream_records(request).await;
        opened.expect("streams").into_inner()
    };
    let (mut of_first, mut of_second) = (streaming(&first).await, streaming(&second).await);
    pems.write("client-ca.pem", &second.pem());
    reloaded(&server, "ok", 1).await;
    in_time("the end", async { while let Ok(Some(_)) = of_first.message().await {} }).await;
    fake.write(&shard, 1);
    let record = async {
        while of_second.message().await.expect("well").expect("not ended").records.is_empty() {}
    };
    in_time("a record", record).await;
    drop((of_first, of_second));
    server.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_accepted_until_it_expires() {
    let (ca, clients) = (Ca::new("server CA"), Ca::new("client CA"));
    let pems = Pems::of_server(&ca, &ca.server(|_| {}));
    let files = pems.mutual(&clients, ClientAuth::Required);
    // An hour before 2027.
    let clock = Clock::starting_at(Timestamp::new(1_798_761_600 - 3_600, 0).expect("a time"));
    let (tls, _reloader) = ServerTls::load(files, clock, Metrics::new()).await.expect("well");
    let issued = clients.client(|params| params.not_after = rcgen::date_time_ymd(2027, 1, 1));
    let chain = [CertificateDer::from_pem_slice(issued.certificate.as_bytes()).expect("PEM")];
    let shown = PeerCertificates::new(Some(&chain)).expect("some");
    assert_eq!(shown.uris(), ["spiffe://test/client"]);
    let begun = tokio::time::Instant::now();
    tls.acceptance(shown).lost().await;
    let after = begun.elapsed().as_secs();
    assert!((3_600..3_605).contains(&after), "{after}");
}
