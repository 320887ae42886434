//! The audit log: who was let in, who was not, and what was read; and what becomes of the server
//! when that cannot be written.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use shardstream::access::static_tokens;
use shardstream::config::{AccessConfig, AuditConfig, AuditTarget};
use shardstream::limits::Limits;
use shardstream::pb;
use shardstream::pb::shard_service_client::ShardServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use super::bad_input::fixture::{name, position};
use crate::sim::fake::{FakeUpstream, ShardRef};
use crate::support::server::{Server, in_time};

const POLICY: &str = r#"
[[rule]]
principals = ["token:other"]
actions = ["read"]
streams = ["*"]

[[rule]]
principals = ["token:bill*"]
actions = ["read", "inspect"]
streams = ["*"]
"#;

/// A server with an audit log, to which `billing` and `other` may come.
struct Bed {
    server: Server,
    fake: FakeUpstream,
    shard: ShardRef,
    log: PathBuf,
    folder: tempfile::TempDir,
}

fn token(caller: &str) -> String {
    let mut random = [9; 32];
    random[..caller.len()].copy_from_slice(caller.as_bytes());
    static_tokens::token(random)
}

impl Bed {
    /// The log is written to the file `log` makes of a folder.
    async fn new(strict: bool, log: impl FnOnce(&Path) -> PathBuf) -> Self {
        Self::within(Limits::default(), strict, log).await
    }

    /// The same, within `limits`.
    async fn within(limits: Limits, strict: bool, log: impl FnOnce(&Path) -> PathBuf) -> Self {
        let (fake, shard) = FakeUpstream::with_shard(11);
        fake.write(&shard, 3);
        let folder = tempfile::tempdir().expect("a folder");
        let log = log(folder.path());
        let file = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            Some(path)
        };
        let entry = |caller| static_tokens::entry(caller, &token(caller)).expect("a name");
        let tokens = ["billing", "other", "nothing"].map(entry).concat();
        let access = AccessConfig {
            tokens: file("tokens.toml", tokens),
            policy: file("policy.toml", POLICY.into()),
            reachable: true,
            audit: Some(AuditConfig { target: AuditTarget::File(log.clone()), strict }),
            ..AccessConfig::default()
        };
        let server = Server::guarded(Arc::new(fake.clone()), limits, None, access).await;
        Self { server, fake, shard, log, folder }
    }

    /// Events so far, each a line.
    fn events(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.log).expect("a log");
        let lines = text.lines().filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// Stops the server, and waits until it has.
    async fn end(&mut self) {
        self.server.stop.cancel();
        in_time("the end", &mut self.server.running).await.expect("no panic");
    }

    /// Waits until the transport was given more than so many records.
    async fn handed_over(&self, records: usize) {
        let more = |line: &str| {
            let count = line.strip_prefix("shardstream_records_delivered_total{")?;
            count.rsplit(' ').next()?.parse::<usize>().ok().filter(|count| *count > records)
        };
        let handed = async {
            while self.server.metrics().await.lines().find_map(more).is_none() {
                tokio::task::yield_now().await;
            }
        };
        in_time("another message", handed).await;
    }

    /// Waits for an event of which all `fields` are so.
    async fn told(&self, fields: &[(&str, &str)]) -> Value {
        let is = |event: &Value| fields.iter().all(|(field, value)| event[field] == *value);
        let told = async {
            loop {
                match self.events().into_iter().find(is) {
                    Some(event) => return event,
                    None => tokio::task::yield_now().await,
                }
            }
        };
        in_time(&format!("{fields:?}"), told).await
    }

    fn start(&self) -> pb::ShardStart {
        let start = pb::shard_start::Start::Position(position(pb::IteratorType::TrimHorizon));
        pb::ShardStart { shard: Some(name(&self.shard)), start: Some(start) }
    }

    /// Reads the shard without a lease.
    async fn read(&self, caller: &str) -> Result<(), Status> {
        let source = Some(pb::get_records_request::Source::Start(self.start()));
        let request = pb::GetRecordsRequest { source, ..Default::default() };
        self.server.shards().await.get_records(by(caller, request)).await.map(drop)
    }

    async fn open(&self, caller: &str) -> String {
        let shard = Some(name(&self.shard));
        let request = pb::OpenShardRequest { shard, ..Default::default() };
        let opened = self.server.shards().await.open_shard(by(caller, request)).await;
        let session = opened.expect("opened").into_inner().session;
        session.and_then(|session| session.lease).expect("a lease").lease_id
    }
}

fn by<T>(caller: &str, request: T) -> Request<T> {
    let mut request = Request::new(request);
    let value = format!("Bearer {}", token(caller)).parse().expect("a header");
    request.metadata_mut().insert("authorization", value);
    request
}

fn reason(status: &Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

#[tokio::test]
async fn who_is_let_in_and_what_it_reads_is_told() {
    let bed = Bed::new(false, |folder| folder.join("audit.log")).await;
    let stream = bed.shard.stream.to_string();
    bed.told(&[("event", "server"), ("result", "started")]).await;

    let source = Some(pb::stream_records_request::Source::Start(bed.start()));
    let until = Some(pb::Until { record_count: 2, ..Default::default() });
    let request = pb::StreamRecordsRequest { source, until, ..Default::default() };
    let mut request = by("billing", request);
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    request.metadata_mut().insert("traceparent", trace.parse().expect("a header"));
    let opened = bed.server.shards().await.stream_records(request).await;
    let mut records = opened.expect("allowed").into_inner();
    while records.message().await.expect("well").is_some() {}
    let method = "shardstream.v1.ShardService/StreamRecords";
    let call = [("principal", "token:billing"), ("kind", "token"), ("peer", "127.0.0.1")];
    let of_it =
        |fields: &[(&'static str, &'static str)]| [&call, fields, &[("method", method)]].concat();
    let allowed = bed.told(&of_it(&[("event", "authorization"), ("result", "allowed")])).await;
    assert_eq!((&allowed["action"], &allowed["stream"]), (&"read".into(), &stream.clone().into()));
    assert_eq!(allowed["rule"], 2, "the second of the file: {allowed}");
    bed.told(&of_it(&[("event", "stream"), ("result", "opened")])).await;
    let ended = of_it(&[("event", "stream"), ("result", "ended"), ("reason", "LIMIT")]);
    let ended = bed.told(&ended).await;
    assert_eq!((&ended["records"], &ended["shard"]), (&2.into(), &bed.shard.shard.as_str().into()));
    assert_eq!(ended["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert!(ended["bytes"].as_u64().is_some_and(|bytes| bytes > 20), "{ended}");

    // A stream that its client leaves.
    let request = pb::SubscribeRequest {
        stream: stream.clone(),
        start: Some(pb::subscribe_request::Start::Position(position(
            pb::IteratorType::TrimHorizon,
        ))),
        ..Default::default()
    };
    let opened = bed.server.streams().await.subscribe(by("other", request)).await;
    drop(opened.expect("allowed").into_inner().message().await.expect("well"));
    let left = [("event", "stream"), ("principal", "token:other"), ("reason", "CLIENT_WENT")];
    bed.told(&left).await;

    // Calls that read and open nothing are told once in a while.
    for _ in 0..20 {
        bed.read("billing").await.expect("allowed");
    }
    let reads = bed.events().into_iter().filter(|event| {
        event["method"] == "shardstream.v1.ShardService/GetRecords" && event["result"] == "allowed"
    });
    assert_eq!(reads.count(), 1);
    bed.server.stop.cancel();
    bed.told(&[("event", "server"), ("result", "draining")]).await;
    bed.told(&[("event", "server"), ("result", "stopped")]).await;
}

#[tokio::test]
async fn a_lease_is_told_by_its_first_digits_and_so_is_who_uses_anothers() {
    let bed = Bed::new(false, |folder| folder.join("audit.log")).await;
    let lease_id = bed.open("billing").await;
    let opened = bed.told(&[("event", "session"), ("result", "opened")]).await;
    assert_eq!(
        (&opened["lease"], &opened["principal"]),
        (&lease_id[..8].into(), &"token:billing".into())
    );
    let renew = pb::RenewLeaseRequest { lease_id: lease_id.clone() };
    let refused = bed.server.shards().await.renew_lease(by("other", renew)).await;
    assert_eq!(reason(&refused.expect_err("not its own")), "LEASE_NOT_FOUND");
    let foreign = bed.told(&[("event", "lease"), ("result", "denied")]).await;
    assert_eq!(
        (&foreign["lease"], &foreign["principal"]),
        (&lease_id[..8].into(), &"token:other".into())
    );
    let close = pb::CloseShardRequest { lease_id: lease_id.clone() };
    bed.server.shards().await.close_shard(by("billing", close)).await.expect("closed");
    bed.told(&[("event", "session"), ("result", "ended"), ("reason", "CLOSED")]).await;
    let text = std::fs::read_to_string(&bed.log).expect("a log");
    assert!(!text.contains(&lease_id) && !text.contains(&token("billing")), "{text}");
    let denied = "shardstream_calls_denied_total{reason=\"lease_of_another\"}";
    assert_eq!(bed.server.counted(denied).await, 1);
}

#[tokio::test]
async fn a_storm_of_refusals_is_some_lines_and_a_count() {
    let bed = Bed::new(false, |folder| folder.join("audit.log")).await;
    for _ in 0..60 {
        let refused = bed.read("nothing").await.expect_err("no rule");
        assert_eq!(refused.code(), Code::PermissionDenied);
        let refused = bed.read("stranger").await.expect_err("unknown");
        assert_eq!(refused.code(), Code::Unauthenticated);
    }
    let denied = [("event", "authorization"), ("result", "denied"), ("principal", "token:nothing")];
    let told = bed.told(&denied).await;
    assert_eq!(told["stream"], bed.shard.stream.as_str());
    assert_eq!(told.get("rule"), Some(&Value::Null), "no rule says that it may: {told}");
    let nobody =
        [("event", "authentication"), ("reason", "CREDENTIALS_INVALID"), ("peer", "127.0.0.1")];
    assert_eq!(bed.told(&nobody).await["principal"], Value::Null);
    for event in ["authorization", "authentication"] {
        let all = async {
            loop {
                let events = bed.events().into_iter().filter(|found| found["event"] == event);
                let times = |found: Value| found["repeated"].as_u64().unwrap_or(1);
                let (lines, times) =
                    events.fold((0, 0), |(lines, all), found| (lines + 1, all + times(found)));
                if times == 60 {
                    return lines;
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        let lines = in_time("a count of them", all).await;
        // Ten a second and a count, however slow this machine is.
        assert!(lines < 60, "{event}: {lines}");
    }
    for (reason, many) in [("not_allowed", 60), ("credentials_invalid", 60)] {
        let counter = format!("shardstream_calls_denied_total{{reason=\"{reason}\"}}");
        assert_eq!(bed.server.counted(&counter).await, many, "{reason}");
    }
}

#[tokio::test]
async fn the_file_is_opened_again_and_the_reload_told() {
    let bed = Bed::new(false, |folder| folder.join("audit.log")).await;
    bed.told(&[("event", "server")]).await;
    let old = bed.folder.path().join("audit.log.1");
    std::fs::rename(&bed.log, &old).expect("renamed");
    bed.server.reload.notify_one();
    in_time("a new file", async {
        while !bed.log.exists() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    bed.told(&[("event", "reload"), ("result", "ok"), ("action", "access")]).await;
    std::fs::write(bed.folder.path().join("policy.toml"), "[[rule]]\nnonsense = 1\n")
        .expect("written");
    bed.server.reload.notify_one();
    let failed = bed.told(&[("event", "reload"), ("result", "failed")]).await;
    assert!(
        failed["reason"].as_str().is_some_and(|reason| reason.contains("policy.toml")),
        "{failed}"
    );
    assert!(std::fs::read_to_string(&old).expect("it stays").contains("started"));
}

/// A link to a disk that is full, until it is replaced.
fn full(folder: &Path) -> PathBuf {
    let link = folder.join("audit.log");
    std::os::unix::fs::symlink("/dev/full", &link).expect("a link");
    link
}

#[tokio::test]
async fn on_a_full_disk_calls_are_served_and_what_was_told_comes_later() {
    let bed = Bed::new(false, full).await;
    in_time("a failure", async {
        while bed.server.counted("shardstream_audit_write_failures_total").await == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    bed.read("billing").await.expect("served");
    assert_eq!(bed.server.counted("shardstream_audit_written_total").await, 0);
    std::fs::remove_file(&bed.log).expect("removed");
    bed.server.reload.notify_one();
    in_time("a file", async {
        while !bed.log.exists() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    bed.told(&[("event", "server"), ("result", "started")]).await;
    bed.told(&[("event", "authorization"), ("principal", "token:billing")]).await;
    assert_eq!(bed.server.counted("shardstream_audit_dropped_total").await, 0);
}

#[tokio::test]
async fn with_audit_strict_nothing_is_served_that_cannot_be_told() {
    let bed = Bed::new(true, full).await;
    let refused = in_time("a refusal", async {
        loop {
            if let Err(refused) = bed.read("billing").await {
                return refused;
            }
        }
    })
    .await;
    assert_eq!((refused.code(), &*reason(&refused)), (Code::Unavailable, "AUDIT_UNAVAILABLE"));
    assert!(refused.get_error_details().retry_info().is_some());
    std::fs::remove_file(&bed.log).expect("removed");
    bed.server.reload.notify_one();
    in_time("an answer", async {
        while bed.read("billing").await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(bed.server.counted("shardstream_calls_denied_total{reason=\"audit\"}").await > 0);
}

#[tokio::test]
async fn what_is_counted_is_told_when_the_server_stops() {
    let mut bed = Bed::new(false, |folder| folder.join("audit.log")).await;
    for _ in 0..20 {
        bed.read("billing").await.expect("allowed");
        bed.read("stranger").await.expect_err("unknown");
    }
    bed.end().await;
    for event in ["authorization", "authentication"] {
        let of_it = bed.events().into_iter().filter(|found| found["event"] == event);
        let times: u64 = of_it.map(|found| found["repeated"].as_u64().unwrap_or(1)).sum();
        assert_eq!(times, 20, "{event}: {:?}", bed.events());
    }
}

#[tokio::test]
async fn a_stream_that_the_drain_cuts_off_is_told() {
    let mut limits = Limits::default();
    limits.transport.drain = std::time::Duration::from_millis(100);
    let mut bed = Bed::within(limits, false, |folder| folder.join("audit.log")).await;
    bed.fake.write(&bed.shard, 20_000);
    let source = Some(pb::stream_records_request::Source::Start(bed.start()));
    let request = pb::StreamRecordsRequest { source, ..Default::default() };
    let server = Channel::from_shared(format!("http://{}", bed.server.address));
    let server = server.expect("an address").initial_stream_window_size(65_535);
    let mut shards = ShardServiceClient::new(server.connect().await.expect("listens"));
    let opened = shards.stream_records(by("billing", request)).await;
    // One message is taken, and no other: behind the second, which does not fit into the window,
    // the end waits that the drain would tell.
    let mut records = opened.expect("allowed").into_inner();
    let first = records.message().await.expect("well").expect("records");
    bed.handed_over(first.records.len()).await;
    bed.end().await;
    let events = bed.events();
    let at = |field: &str, value: &str| events.iter().position(|event| event[field] == value);
    let cut = at("reason", "CUT_OFF").unwrap_or_else(|| panic!("{events:?}"));
    assert!(events[cut]["records"].as_u64().is_some_and(|records| records > 0), "{events:?}");
    assert!(Some(cut) < at("result", "stopped"), "{events:?}");
    drop(records);
}
