//! Any bytes as any request: an answer or a refusal that says why, never a panic.

use std::time::Duration;

use proptest::prelude::*;
use shardstream::model::{Checkpoint, Position, SequenceNumber, Timestamp};
use shardstream::pb;
use shardstream::token::ShardToken;
use tokio::runtime::{Builder, Runtime};
use tonic_types::StatusExt as _;

use super::fields;
use super::fixture::{Bed, Call, check};

/// Longer than anything a call may take by itself.
const TOO_LONG: Duration = Duration::from_secs(600);

fn paused() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime")
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Sends it, and sees that a refusal has its reason and is small enough.
async fn try_out(bed: &Bed, call: Call) {
    let shown = format!("{call:?}");
    let answer = tokio::time::timeout(TOO_LONG, bed.send(call)).await;
    if let Err(status) = answer.unwrap_or_else(|_| panic!("no answer to {shown}")) {
        let info =
            status.get_details_error_info().unwrap_or_else(|| panic!("{status:?} to {shown}"));
        check(&status, status.code(), &info.reason);
    }
}

#[test]
fn any_bytes_are_a_request_or_none() {
    let runtime = paused();
    let bed = runtime.block_on(Bed::new());
    let request = (0..Call::NAMES.len(), proptest::collection::vec(any::<u8>(), 0..200));
    proptest!(config(512), |((which, bytes) in request)| {
        if let Some(call) = Call::decode(Call::NAMES[which], &bytes) {
            runtime.block_on(try_out(&bed, call));
        }
    });
}

#[test]
fn requests_with_damaged_bytes_are_answered_or_refused() {
    let runtime = paused();
    let bed = runtime.block_on(Bed::new());
    let cases = runtime.block_on(fields::table(&bed)).all;
    let good: Vec<(&str, Vec<u8>)> = cases
        .iter()
        .map(|case| (case.path.split('.').next().expect("a message"), case.call.encode()))
        .filter(|(_, bytes)| bytes.len() < 1_000)
        .collect();
    let damage = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    proptest!(config(512), |(which in any::<prop::sample::Index>(), damage in damage)| {
        let (name, mut bytes) = good[which.index(good.len())].clone();
        for (at, byte) in damage {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] ^= byte;
            }
        }
        if let Some(call) = Call::decode(name, &bytes) {
            runtime.block_on(try_out(&bed, call));
        }
    });
}

fn checkpoint() -> impl Strategy<Value = Checkpoint> {
    let number = || "[0-9]{1,40}".prop_map(|text| SequenceNumber::parse(&text).expect("digits"));
    let time = || {
        prop_oneof![
            Just(-62_135_596_800),
            Just(253_402_300_799),
            -62_135_596_800i64..253_402_300_799,
            0..2_000_000_000i64
        ]
        .prop_map(|seconds| Timestamp::new(seconds, 0).expect("in range"))
    };
    let position = prop_oneof![
        Just(Position::TrimHorizon),
        number().prop_map(Position::AtSequenceNumber),
        number().prop_map(Position::AfterSequenceNumber),
        time().prop_map(Position::AtTimestamp),
    ];
    (position, any::<u16>(), proptest::option::of(time()))
        .prop_map(|(position, skip, time)| Checkpoint { position, skip, time })
}

/// A token is untrusted also where its checksum is right.
#[test]
fn whatever_a_whole_token_says_is_answered_or_refused() {
    let runtime = paused();
    let bed = runtime.block_on(Bed::new());
    proptest!(config(128), |(checkpoint in checkpoint(), call in 0..5)| {
        let (stream, shard) = (bed.shard.stream.clone(), bed.shard.shard.clone());
        let token = ShardToken { stream, shard, checkpoint }.encode();
        let start =
            pb::ShardStart { shard: None, start: Some(pb::shard_start::Start::Token(token.clone())) };
        let lease_id = bed.lease.clone();
        let call = match call {
            0 => Call::OpenShardRequest(pb::OpenShardRequest {
                start: Some(pb::open_shard_request::Start::Token(token)),
                lease_duration: Some(Default::default()),
                ..Default::default()
            }),
            1 => Call::JumpToRequest(pb::JumpToRequest { lease_id, start: Some(pb::jump_to_request::Start::Token(token)) }),
            2 => Call::GetRecordsRequest(pb::GetRecordsRequest {
                source: Some(pb::get_records_request::Source::Start(start)),
                ..Default::default()
            }),
            3 => Call::StreamRecordsRequest(pb::StreamRecordsRequest {
                source: Some(pb::stream_records_request::Source::Start(start)),
                ..Default::default()
            }),
            _ => Call::StreamRecordsRequest(pb::StreamRecordsRequest {
                source: Some(pb::stream_records_request::Source::LeaseId(lease_id)),
                token,
                ..Default::default()
            }),
        };
        runtime.block_on(try_out(&bed, call));
    });
}
