//! Quotas: what one caller may take, by whatever connections it comes, and what is left to others
//! at its address.

use super::*;

const QUOTAS: &str = r#"
[[rule]]
principals = ["token:all"]
actions = ["list", "inspect", "read"]
streams = ["*"]
quota = "few"

[[rule]]
principals = ["token:reads"]
actions = ["read"]
streams = ["*"]

[quota.few]
streams = 2
sessions = 3
calls-per-second = 0.01
burst = 12
"#;

async fn bed() -> Bed {
    let bed = Bed::with(|folder, access| {
        access.policy = written(folder, "policy.toml", QUOTAS.to_owned());
    });
    bed.await
}

fn exhausted(reason: &str) -> (Code, String) {
    (Code::ResourceExhausted, reason.to_owned())
}

#[tokio::test]
async fn a_caller_has_so_many_streams_by_whatever_connections() {
    let bed = bed().await;
    // Each by a connection of its own.
    let held = [bed.streaming("all").await, bed.streaming("all").await];
    let source = Some(pb::stream_records_request::Source::Start(pb::ShardStart {
        shard: Some(name(&bed.orders)),
        start: Some(pb::shard_start::Start::Position(position(pb::IteratorType::TrimHorizon))),
    }));
    let request = pb::StreamRecordsRequest { source, ..Default::default() }.encode_to_vec();
    let stream = "shardstream.v1.ShardService/StreamRecords";
    let refused = bed.called_by("all", stream, request).await;
    assert_eq!(refused.map(drop), Err(exhausted("QUOTA_STREAMS")));
    // Others at the same address have their own.
    let others =
        (bed.streaming("reads").await, bed.streaming("reads").await, bed.streaming("reads").await);
    let rejections = "shardstream_limit_rejections_total{limit=\"quota\"}";
    assert_eq!(bed.server.counted(rejections).await, 1);
    drop((held, others));
}

#[tokio::test]
async fn a_caller_has_so_many_sessions() {
    let bed = bed().await;
    let leases = [bed.lease("all").await, bed.lease("all").await, bed.lease("all").await];
    let open = pb::OpenShardRequest { shard: Some(name(&bed.orders)), ..Default::default() };
    let (open, method) = (open.encode_to_vec(), "shardstream.v1.ShardService/OpenShard");
    let refused = bed.called_by("all", method, open.clone()).await;
    assert_eq!(refused.map(drop), Err(exhausted("QUOTA_SESSIONS")));
    assert!(!bed.lease("reads").await.is_empty(), "others have their own");
    let close = pb::CloseShardRequest { lease_id: leases[0].clone() }.encode_to_vec();
    let closed = bed.called_by("all", "shardstream.v1.ShardService/CloseShard", close).await;
    assert!(closed.is_ok());
    assert!(bed.called_by("all", method, open).await.is_ok(), "what it gave back");
}

#[tokio::test]
async fn a_caller_makes_so_many_calls_and_is_told_when_to_come_again() {
    let bed = bed().await;
    let info = "shardstream.v1.ServerService/GetServerInfo";
    for _ in 0..12 {
        assert!(bed.called_by("all", info, vec![]).await.is_ok());
    }
    let refused = bed.called_by("all", info, vec![]).await;
    assert_eq!(refused, Err(exhausted("QUOTA_CALLS")));
    let mut request = Request::new(pb::GetServerInfoRequest {});
    request.metadata_mut().append("authorization", bearer("all").parse().expect("a header"));
    let status = bed.server.info().await.get_server_info(request).await.expect_err("refused");
    let details = status.get_error_details();
    let wait = details.retry_info().and_then(|info| info.retry_delay).expect("when");
    assert!((50..=100).contains(&wait.as_secs()), "{wait:?}");
    for _ in 0..30 {
        assert!(bed.called_by("reads", info, vec![]).await.is_ok(), "others have their own");
    }
    // Who is nobody costs somebody nothing.
    for _ in 0..30 {
        let unknown = bed.call(&[&bearer("stranger")], info, vec![]).await;
        assert_eq!(unknown, Err((Code::Unauthenticated, "CREDENTIALS_INVALID".into())));
    }
}
