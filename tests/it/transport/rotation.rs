//! Rotation under load: a hundred streams, and certificates, CAs, tokens and rules that are all
//! replaced fifty times. No stream ends but those of callers who are let in no more, and whoever
//! comes with what is newest is served.

use std::sync::Arc;
use std::time::Duration;

use shardstream::access::static_tokens;
use shardstream::config::{AccessConfig, ClientAuth, ClientTlsFiles};
use shardstream::limits::Limits;
use shardstream::pb::server_service_client::ServerServiceClient;
use shardstream::pb::shard_service_client::ShardServiceClient;
use shardstream::pb::{
    GetServerInfoRequest, StreamRecordsRequest, StreamRecordsResponse, stream_records_request,
};
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};

use crate::sim::fake::{FakeUpstream, ShardRef};
use crate::support::pki::{Ca, Issued, Pems};
use crate::support::server::{Server, in_time};
use crate::transport::connections::horizon;

const ROUNDS: usize = 50;

/// Streams of one connection, and how many connections callers with tokens have.
const EACH: usize = 10;
const CONNECTIONS: usize = 8;

/// Callers with tokens who lose their rights, one every fifth round.
const LEAVING: usize = 10;

/// Streams by certificate: of the CA that stays, and of the one that is taken out in this round.
const CERTIFIED: usize = 5;
const TAKEN_OUT: usize = 25;

fn secret(caller: usize) -> String {
    static_tokens::token([caller as u8 + 1; 32])
}

/// All callers' tokens, and one more of the first caller's that is new in each round.
fn tokens(round: usize) -> String {
    let mut file: String = (0..=LEAVING)
        .map(|caller| static_tokens::entry(&format!("c{caller}"), &secret(caller)).expect("a name"))
        .collect();
    file += &static_tokens::entry("c0", &newest(round)).expect("a name");
    file
}

fn newest(round: usize) -> String {
    static_tokens::token([100 + round as u8; 32])
}

/// The callers who may read after so many rounds, in other words each time.
fn policy(round: usize) -> String {
    let rule = |who: &str| {
        format!(
            "[[rule]]\nprincipals = [{who:?}]\nactions = [\"read\"]\nstreams = [\"*\"]\n\
             quota = \"load\"\n"
        )
    };
    let stays = |caller: &usize| *caller == 0 || round < 5 * caller;
    let mut rules: Vec<String> = (0..=LEAVING)
        .filter(stays)
        .map(|caller| rule(&format!("token:c{caller}")))
        .chain([rule("mtls:spiffe://test/*"), rule(&format!("token:nobody-{round}"))])
        .collect();
    let many = rules.len();
    rules.rotate_left(round % many);
    rules.concat() + "[quota.load]\nstreams = 200\n"
}

/// What is replaced, and who vouches for clients.
struct Files {
    pems: Pems,
    kept: Ca,
    dropped: Ca,
}

impl Files {
    /// All files as they are in this round; clients trust the newest CA alone.
    fn write(&self, round: usize) {
        let ca = Ca::new(&format!("server CA {round}"));
        self.pems.identity("server", &ca.server(|_| {}));
        self.pems.write("ca.pem", &ca.pem());
        let mut clients = Ca::new(&format!("client CA {round}")).pem() + &self.kept.pem();
        if round < TAKEN_OUT {
            clients += &self.dropped.pem();
        }
        self.pems.write("client-ca.pem", &clients);
        self.pems.write("tokens.toml", &tokens(round));
        self.pems.write("policy.toml", &policy(round));
    }

    fn client(&self, identity: Option<(&str, &Issued)>) -> ClientTlsFiles {
        let identity = identity.map(|(name, issued)| self.pems.identity(name, issued));
        ClientTlsFiles { identity, ..self.pems.client(None) }
    }
}

/// One stream, and the numbers of the records that it gave.
struct Reading {
    stream: Streaming<StreamRecordsResponse>,
    records: usize,
}

impl Reading {
    async fn open(
        channel: &Channel,
        shard: &ShardRef,
        token: Option<&str>,
    ) -> Result<Self, Status> {
        let source = Some(stream_records_request::Source::Start(horizon(shard)));
        let request = shown(StreamRecordsRequest { source, ..Default::default() }, token);
        let mut shards = ShardServiceClient::new(channel.clone());
        let stream = in_time("an answer", shards.stream_records(request)).await?.into_inner();
        Ok(Self { stream, records: 0 })
    }

    /// Reads until so many records have come in all.
    async fn until(&mut self, records: usize) {
        while self.records < records {
            let message = in_time("a record", self.stream.message()).await.expect("not broken");
            self.records += message.expect("not ended").records.len();
        }
        assert_eq!(self.records, records, "none twice");
    }

    /// Reads on until its end, however it ends.
    async fn ends(&mut self) {
        let ended = async { while let Ok(Some(_)) = self.stream.message().await {} };
        in_time("its end", ended).await;
    }
}

fn shown<T>(message: T, token: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(token) = token {
        let bearer = format!("Bearer {token}").parse().expect("a header");
        request.metadata_mut().insert("authorization", bearer);
    }
    request
}

/// Has the files read, and waits until they are in force.
async fn reloaded(server: &Server, round: usize) {
    server.reload.notify_one();
    in_time("the files read again", async {
        loop {
            let metrics = server.metrics().await;
            let ok = |what| {
                metrics.contains(&format!(
                    "shardstream_{what}_reloads_total{{result=\"ok\"}} {round}\n"
                ))
            };
            if ok("tls") && ok("access") {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_replaced_under_load_ends_nobody_who_is_let_in_still() {
    let files = Files { pems: Pems::new(), kept: Ca::new("kept"), dropped: Ca::new("dropped") };
    files.write(0);
    let (fake, shard) = FakeUpstream::with_shard(3);
    let mut limits = Limits::default();
    limits.reading.shard_calls_per_second = 1_000.0;
    limits.reading.idle_poll_interval = Duration::from_millis(20);
    // Whose certificate is accepted no more goes soon.
    limits.transport.age_grace = Duration::from_millis(200);
    let access = AccessConfig {
        tokens: Some(files.pems.path("tokens.toml")),
        policy: Some(files.pems.path("policy.toml")),
        reachable: true,
        ..AccessConfig::default()
    };
    let tls = files.pems.mutual(&files.kept, ClientAuth::Requested);
    files.write(0);
    let server = Server::guarded(Arc::new(fake.clone()), limits, Some(tls), access).await;

    let mut staying = vec![];
    for _ in 0..CONNECTIONS {
        let channel = server.secure_channel(&files.client(None)).await.expect("connects");
        for _ in 0..EACH {
            let opened = Reading::open(&channel, &shard, Some(&secret(0))).await;
            staying.push(opened.expect("allowed"));
        }
    }
    let mut leaving = vec![];
    let channel = server.secure_channel(&files.client(None)).await.expect("connects");
    for caller in 1..=LEAVING {
        let opened = Reading::open(&channel, &shard, Some(&secret(caller))).await;
        leaving.push(opened.expect("allowed"));
    }
    let mut dropped = vec![];
    for (name, ca, readings) in
        [("kept", &files.kept, &mut staying), ("dropped", &files.dropped, &mut dropped)]
    {
        let identity = ca.client(|_| {});
        let shown = files.client(Some((name, &identity)));
        let channel = server.secure_channel(&shown).await.expect("connects");
        for _ in 0..CERTIFIED {
            readings.push(Reading::open(&channel, &shard, None).await.expect("allowed"));
        }
    }
    assert_eq!(staying.len() + leaving.len() + dropped.len(), 100);

    for round in 1..=ROUNDS {
        files.write(round);
        reloaded(&server, round).await;
        fake.write(&shard, 1);
        let channel = server.secure_channel(&files.client(None)).await;
        let channel = channel.unwrap_or_else(|error| panic!("round {round}: {error:?}"));
        let request = shown(GetServerInfoRequest {}, Some(&newest(round)));
        let answer = ServerServiceClient::new(channel).get_server_info(request).await;
        answer.unwrap_or_else(|status| panic!("round {round}: {status}"));
        if round % 5 == 0 {
            leaving[round / 5 - 1].ends().await;
        }
        if round == TAKEN_OUT {
            for reading in &mut dropped {
                reading.ends().await;
            }
        }
    }
    for reading in &mut staying {
        reading.until(ROUNDS).await;
    }
    // Whoever was sent away is refused when it comes again; the first caller is not.
    let channel = server.secure_channel(&files.client(None)).await.expect("connects");
    for caller in 1..=LEAVING {
        let refused = Reading::open(&channel, &shard, Some(&secret(caller))).await.err();
        assert_eq!(refused.map(|status| status.code()), Some(Code::PermissionDenied), "{caller}");
    }
    Reading::open(&channel, &shard, Some(&secret(0))).await.expect("allowed");
    drop((staying, leaving, dropped));
    server.end().await;
}
