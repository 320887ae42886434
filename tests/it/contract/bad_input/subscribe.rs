//! `Subscribe`, in every way in which it can be wrong.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shardstream::model::{Checkpoint, Position, StreamArn, Timestamp};
use shardstream::pb::{self, IteratorType as Kind};
use shardstream::token::stream::StreamToken;
use tonic::Code;

use super::cases::{Cases, Expect, malformed, sealed};
use super::fields::stamp;
use super::fixture::{Bed, Call, position};

const GRANTED: Expect = Expect::Granted;

/// Everything that can be wrong with one.
pub fn whole_streams(cases: &mut Cases, bed: &Bed) {
    subscribed(cases, bed);
    started(cases, bed);
    resumed(cases, bed);
}

fn from(place: pb::subscribe_request::Start) -> pb::SubscribeRequest {
    pb::SubscribeRequest { stream: "Orders".into(), start: Some(place), ..Default::default() }
}

fn horizon() -> pb::SubscribeRequest {
    from(pb::subscribe_request::Start::Position(position(Kind::TrimHorizon)))
}

fn subscribed(cases: &mut Cases, bed: &Bed) {
    let subscribe = Call::SubscribeRequest;
    let of = "SubscribeRequest";
    cases.stream(bed, &format!("{of}.stream"), |stream| {
        subscribe(pb::SubscribeRequest { stream, ..horizon() })
    });
    let nothing = pb::SubscribeRequest { stream: "Orders".into(), ..Default::default() };
    cases.add(&format!("{of}.start"), "unset", malformed("START_MISSING"), subscribe(nothing));
    for order in [-1, 3, i32::MAX, 2] {
        let call = subscribe(pb::SubscribeRequest { order, ..horizon() });
        cases.add(&format!("{of}.order"), order.to_string(), GRANTED, call);
    }
    for policy in [-1, 3, i32::MAX] {
        let gaps = pb::SubscribeRequest { gap_policy: policy, ..horizon() };
        cases.add(&format!("{of}.gap_policy"), policy.to_string(), GRANTED, subscribe(gaps));
        let unreadable = pb::SubscribeRequest { unreadable_policy: policy, ..horizon() };
        cases.add(
            &format!("{of}.unreadable_policy"),
            policy.to_string(),
            GRANTED,
            subscribe(unreadable),
        );
    }
    cases.duration(&format!("{of}.merge_wait"), |wait| {
        subscribe(pb::SubscribeRequest { merge_wait: Some(wait), order: 2, ..horizon() })
    });
    cases.duration(&format!("{of}.heartbeat_interval"), |interval| {
        subscribe(pb::SubscribeRequest { heartbeat_interval: Some(interval), ..horizon() })
    });
    cases.duration(&format!("{of}.checkpoint_interval"), |interval| {
        subscribe(pb::SubscribeRequest { checkpoint_interval: Some(interval), ..horizon() })
    });
    cases.size(&format!("{of}.max_batch_records"), 32, |size| {
        subscribe(pb::SubscribeRequest { max_batch_records: size as i32, ..horizon() })
    });
    cases.size(&format!("{of}.max_batch_bytes"), 32, |size| {
        subscribe(pb::SubscribeRequest { max_batch_bytes: size as i32, ..horizon() })
    });
    let until = |until| subscribe(pb::SubscribeRequest { until: Some(until), ..horizon() });
    cases.add(&format!("{of}.until"), "empty", GRANTED, until(Default::default()));
    cases.size(&format!("{of}.until.record_count"), 64, |record_count| {
        until(pb::Until { record_count, ..Default::default() })
    });
    cases.no_time(&format!("{of}.until.time"), |time| {
        until(pb::Until { time: Some(time), ..Default::default() })
    });
    cases.add(
        &format!("{of}.until.at_tip"),
        "true",
        GRANTED,
        until(pb::Until { at_tip: true, ..Default::default() }),
    );
}

fn started(cases: &mut Cases, bed: &Bed) {
    use pb::subscribe_request::Start as At;
    let at = |position| Call::SubscribeRequest(from(At::Position(position)));
    let of = "SubscribeRequest.position";
    cases.add(of, "empty", malformed("POSITION_MALFORMED"), at(pb::Position::default()));
    for kind in [-1, 0, 6, i32::MAX] {
        let unknown = pb::Position { iterator_type: kind, ..Default::default() };
        cases.add(
            &format!("{of}.iterator_type"),
            kind.to_string(),
            malformed("POSITION_MALFORMED"),
            at(unknown),
        );
    }
    let number = bed.number(3).to_string();
    for kind in [Kind::AtSequenceNumber, Kind::AfterSequenceNumber, Kind::TrimHorizon, Kind::Latest]
    {
        let numbered = pb::Position { sequence_number: number.clone(), ..position(kind) };
        let what = format!("beside {kind:?}");
        cases.add(
            &format!("{of}.sequence_number"),
            what,
            malformed("POSITION_MALFORMED"),
            at(numbered),
        );
    }
    for kind in [Kind::TrimHorizon, Kind::Latest] {
        cases.add(&format!("{of}.iterator_type"), format!("{kind:?}"), GRANTED, at(position(kind)));
        let both = pb::Position { time: Some(stamp(bed.fake.wall())), ..position(kind) };
        cases.add(
            &format!("{of}.time"),
            format!("beside {kind:?}"),
            malformed("POSITION_MALFORMED"),
            at(both),
        );
    }
    cases.time(bed, &format!("{of}.time"), |time| {
        at(pb::Position { time: Some(time), ..position(Kind::AtTimestamp) })
    });
}

fn resumed(cases: &mut Cases, bed: &Bed) {
    use pb::subscribe_request::Start as At;
    let with = |token: String, shard_tokens: Vec<String>| {
        let start = Some(At::Token(token));
        Call::SubscribeRequest(pb::SubscribeRequest { start, shard_tokens, ..Default::default() })
    };
    let of = "SubscribeRequest.token";
    let good = token(bed, &bed.shard.stream);
    cases.add(of, "good", GRANTED, with(good.clone(), vec![]));
    let bytes = URL_SAFE_NO_PAD.decode(&good).expect("our own");
    for bit in (0..bytes.len() * 8).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let text = URL_SAFE_NO_PAD.encode(damaged);
        cases.add(
            of,
            format!("bit {bit} flipped"),
            malformed("TOKEN_MALFORMED"),
            with(text, vec![]),
        );
    }
    let arn = bed.shard.stream.as_str();
    for text in [
        String::new(),
        good[..good.len() - 1].to_owned(),
        "nonsense".into(),
        "A".repeat(2 << 20),
        "{}".into(),
        "[".repeat(4_000),
        format!(r#"{{"stream_arn":"{arn}","active":["x"],"shards":[]}}"#),
        sealed(vec![1, 2]),
        sealed(vec![1, 2, 0, 255, 255, 255]),
    ] {
        cases.add(
            of,
            format!("{} bytes", text.len()),
            malformed("TOKEN_MALFORMED"),
            with(text, vec![]),
        );
    }
    let mut newer = bytes[..bytes.len() - 4].to_vec();
    newer[0] = 2;
    cases.add(of, "of a newer format", malformed("TOKEN_VERSION"), with(sealed(newer), vec![]));
    let of_shard = bed.token(&bed.shard, 3);
    cases.add(of, "a shard's", malformed("TOKEN_WRONG_KIND"), with(of_shard.clone(), vec![]));
    let of_bloop = format!(r#"{{"stream_arn":"{arn}","active":[],"shards":[]}}"#);
    cases.add(of, "of bloop", GRANTED, with(of_bloop, vec![]));
    let nowhere = StreamArn::parse(&arn.replace("Orders", "Nowhere")).expect("an ARN");
    let unknown = Expect::Refused(Code::NotFound, "STREAM_NOT_FOUND");
    cases.add(of, "of an unknown stream", unknown, with(token(bed, &nowhere), vec![]));
    for (stream, expect) in [
        ("Orders", GRANTED),
        (arn, GRANTED),
        ("Customers", malformed("TOKEN_MISMATCH")),
        (bed.foreign.stream.as_str(), malformed("TOKEN_MISMATCH")),
        ("a b", malformed("STREAM_MALFORMED")),
    ] {
        let start = Some(At::Token(good.clone()));
        let request = pb::SubscribeRequest { stream: stream.into(), start, ..Default::default() };
        cases.add(of, format!("beside {stream}"), expect, Call::SubscribeRequest(request));
    }
    let of = "SubscribeRequest.shard_tokens";
    let many = vec![of_shard.clone(); 10_001];
    for (what, tokens, expect) in [
        ("good", vec![of_shard.clone()], GRANTED),
        ("twice", vec![of_shard.clone(), bed.token(&bed.shard, 5)], GRANTED),
        ("too many", many, malformed("SIZE_MALFORMED")),
        ("nonsense", vec!["nonsense".into()], malformed("TOKEN_MALFORMED")),
        ("a stream's", vec![good.clone()], malformed("TOKEN_WRONG_KIND")),
        ("another stream's", vec![bed.token(&bed.foreign, 3)], malformed("TOKEN_MISMATCH")),
    ] {
        cases.add(of, what, expect, with(good.clone(), tokens));
    }
    let beside = pb::SubscribeRequest { shard_tokens: vec![of_shard], ..horizon() };
    cases.add(
        of,
        "beside a position",
        malformed("START_AMBIGUOUS"),
        Call::SubscribeRequest(beside),
    );
}

/// The token of a subscription that stands behind the third record of the bed's shard.
fn token(bed: &Bed, stream: &StreamArn) -> String {
    let now: Timestamp = bed.fake.wall();
    let mark = Checkpoint::new(Position::AfterSequenceNumber(bed.number(2)), Some(now));
    StreamToken {
        stream: stream.clone(),
        by_table: false,
        made: now,
        asked: Some(now),
        since: None,
        ended: false,
        begun: [(bed.shard.shard.clone(), mark)].into(),
        finished: Default::default(),
    }
    .encode()
}
