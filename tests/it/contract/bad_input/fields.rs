//! Every field of every request, in every way in which it can be wrong; and a check that no field
//! was forgotten.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorSet, field_descriptor_proto::Type};
use shardstream::grpc::generated::stream_service_server::StreamService as _;
use shardstream::model::Timestamp;
use shardstream::pb;
use tonic::{Code, Request};

use super::cases::{Cases, Expect, Fixed, malformed};
use super::fixture::{Bed, Call, after, check, name, position, seconds};

const GRANTED: Expect = Expect::Granted;

pub fn stamp(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.seconds(), nanos: time.nanos() as i32 }
}

#[tokio::test(start_paused = true)]
async fn every_field_of_every_request_is_granted_or_refused_by_name() {
    let bed = Bed::new().await;
    let cases = table(&bed).await;
    assert!(cases.all.len() > 900, "{}", cases.all.len());
    for case in cases.all {
        let what = format!("{} {}", case.path, case.what);
        let before = bed.session(&bed.lease).await;
        let answer = bed.send(case.call).await;
        match (answer, case.expect) {
            (Ok(()), Expect::Granted) => {}
            (Err(status), Expect::Refused(code, reason)) => {
                let info = tonic_types::StatusExt::get_details_error_info(&status);
                let told = (status.code(), info.map(|info| info.reason));
                assert_eq!(told, (code, Some(reason.to_owned())), "{what}: {status:?}");
                check(&status, code, reason);
                assert_eq!(bed.session(&bed.lease).await, before, "{what} moved the session");
            }
            (answer, expect) => panic!("{what}: {expect:?}, but {answer:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_field_of_a_request_is_forgotten() {
    let bed = Bed::new().await;
    let tried: BTreeSet<String> = table(&bed).await.all.into_iter().map(|case| case.path).collect();
    let files = FileDescriptorSet::decode(pb::FILE_DESCRIPTOR_SET).expect("descriptors");
    let messages: BTreeMap<String, &DescriptorProto> = files
        .file
        .iter()
        .flat_map(|file| {
            file.message_type
                .iter()
                .map(|message| (format!(".{}.{}", file.package(), message.name()), message))
        })
        .collect();
    let methods =
        files.file.iter().flat_map(|file| &file.service).flat_map(|service| &service.method);
    let requests: BTreeSet<&str> = methods.map(|method| method.input_type()).collect();
    let names: BTreeSet<&str> =
        requests.iter().map(|name| name.rsplit('.').next().expect("a name")).collect();
    assert_eq!(names, Call::NAMES.iter().copied().collect());
    let mut known = BTreeSet::new();
    for request in requests {
        let message = messages[request];
        walk(message.name(), message, &messages, &mut known);
    }
    assert_eq!(tried, known);
}

/// The paths of a message's fields and choices, and of those below them.
fn walk(
    path: &str,
    message: &DescriptorProto,
    all: &BTreeMap<String, &DescriptorProto>,
    known: &mut BTreeSet<String>,
) {
    for choice in &message.oneof_decl {
        known.insert(format!("{path}.{}", choice.name()));
    }
    for field in &message.field {
        let path = format!("{path}.{}", field.name());
        known.insert(path.clone());
        if field.r#type() == Type::Message
            && let Some(inner) = all.get(field.type_name())
            && field.type_name().starts_with(".shardstream.")
        {
            walk(&path, inner, all, known);
        }
    }
}

pub async fn table(bed: &Bed) -> Cases {
    let mut cases = Cases::default();
    sessions(&mut cases, bed);
    jumps_and_seeks(&mut cases, bed);
    reads(&mut cases, bed);
    trees(&mut cases, bed);
    streamed(&mut cases, bed);
    super::subscribe::whole_streams(&mut cases, bed);
    listings(&mut cases, bed).await;
    cases
}

fn sessions(cases: &mut Cases, bed: &Bed) {
    use pb::open_shard_request::Start;
    let open = |shard, start, lease_duration| {
        Call::OpenShardRequest(pb::OpenShardRequest { shard, start, lease_duration })
    };
    let here = Some(name(&bed.shard));
    let horizon = Start::Position(position(pb::IteratorType::TrimHorizon));
    let of = "OpenShardRequest";
    cases.add(&format!("{of}.start"), "unset", GRANTED, open(here.clone(), None, None));
    cases.shard(bed, &format!("{of}.shard"), malformed("SHARD_MALFORMED"), |shard| {
        open(shard, Some(horizon.clone()), None)
    });
    let at = format!("{of}.position");
    cases.add(
        &at,
        "empty",
        malformed("POSITION_MALFORMED"),
        open(here.clone(), Some(Start::Position(Default::default())), None),
    );
    cases.position(bed, &at, |position| open(here.clone(), Some(Start::Position(position)), None));
    let (at, empty) = (format!("{of}.token"), malformed("TOKEN_MALFORMED"));
    cases.token(bed, &at, empty, Fixed::Nothing, |token| {
        open(None, Some(Start::Token(token)), None)
    });
    cases.token(bed, &at, empty, Fixed::Shard, |token| {
        open(here.clone(), Some(Start::Token(token)), None)
    });
    cases.duration(&format!("{of}.lease_duration"), |lease| open(here.clone(), None, Some(lease)));

    cases.lease("GetShardSessionRequest.lease_id", |lease_id| {
        Call::GetShardSessionRequest(pb::GetShardSessionRequest { lease_id })
    });
    cases.lease("RenewLeaseRequest.lease_id", |lease_id| {
        Call::RenewLeaseRequest(pb::RenewLeaseRequest { lease_id })
    });
    for lease_id in ["", "nonsense", &"0".repeat(32), &"x".repeat(60_000)] {
        let call = Call::CloseShardRequest(pb::CloseShardRequest { lease_id: lease_id.to_owned() });
        cases.add("CloseShardRequest.lease_id", "not a lease", GRANTED, call);
    }
}

fn jumps_and_seeks(cases: &mut Cases, bed: &Bed) {
    use pb::jump_to_request::Start;
    use pb::seek_to_request::Target;
    let jump = |lease_id: &str, place| {
        Call::JumpToRequest(pb::JumpToRequest { lease_id: lease_id.to_owned(), start: place })
    };
    let horizon = Start::Position(position(pb::IteratorType::TrimHorizon));
    let of = "JumpToRequest";
    cases.lease(&format!("{of}.lease_id"), |lease| jump(&lease, Some(horizon.clone())));
    cases.add(&format!("{of}.start"), "unset", malformed("START_MISSING"), jump(&bed.lease, None));
    let at = format!("{of}.position");
    let empty = Some(Start::Position(Default::default()));
    cases.add(&at, "empty", malformed("POSITION_MALFORMED"), jump(&bed.lease, empty));
    cases.position(bed, &at, |position| jump(&bed.lease, Some(Start::Position(position))));
    let empty = malformed("TOKEN_MALFORMED");
    cases.token(bed, &format!("{of}.token"), empty, Fixed::Shard, |token| {
        jump(&bed.lease, Some(Start::Token(token)))
    });

    let now = stamp(bed.fake.wall());
    let seek = |target, time, sizes: (i64, i64)| {
        let (max_records, max_bytes) = (sizes.0 as i32, sizes.1 as i32);
        Call::SeekToRequest(pb::SeekToRequest { target, time, max_records, max_bytes })
    };
    let lease = || Some(Target::LeaseId(bed.lease.clone()));
    let of = "SeekToRequest";
    cases.add(
        &format!("{of}.target"),
        "unset",
        malformed("SHARD_MALFORMED"),
        seek(None, Some(now), (0, 0)),
    );
    cases.lease(&format!("{of}.lease_id"), |lease| {
        seek(Some(Target::LeaseId(lease)), Some(now), (0, 0))
    });
    let missing = malformed("SHARD_MALFORMED");
    cases.shard(bed, &format!("{of}.shard"), missing, |shard| {
        seek(shard.map(Target::Shard), Some(now), (0, 0))
    });
    let empty = Some(Target::Shard(pb::ShardName::default()));
    cases.add(&format!("{of}.shard"), "empty", missing, seek(empty, Some(now), (0, 0)));
    let at = format!("{of}.time");
    cases.add(&at, "unset", malformed("TIME_MALFORMED"), seek(lease(), None, (0, 0)));
    cases.time(bed, &at, |time| seek(lease(), Some(time), (0, 0)));
    cases.size(&format!("{of}.max_records"), 32, |size| seek(lease(), Some(now), (size, 0)));
    cases.size(&format!("{of}.max_bytes"), 32, |size| seek(lease(), Some(now), (0, size)));
}

/// The start of a read without a lease.
fn starts(cases: &mut Cases, bed: &Bed, of: &str, make: impl Fn(pb::ShardStart) -> Call) {
    use pb::shard_start::Start;
    let at = format!("{of}.start");
    let start = |shard, place| make(pb::ShardStart { shard, start: place });
    let here = Some(name(&bed.shard));
    let horizon = Some(Start::Position(position(pb::IteratorType::TrimHorizon)));
    cases.add(&at, "empty", malformed("START_MISSING"), start(None, None));
    cases.add(
        &format!("{at}.start"),
        "unset",
        malformed("START_MISSING"),
        start(here.clone(), None),
    );
    cases.shard(bed, &format!("{at}.shard"), malformed("SHARD_MALFORMED"), |shard| {
        start(shard, horizon.clone())
    });
    let empty = Some(Start::Position(Default::default()));
    cases.add(
        &format!("{at}.position"),
        "empty",
        malformed("POSITION_MALFORMED"),
        start(here.clone(), empty),
    );
    cases.position(bed, &format!("{at}.position"), |position| {
        start(here.clone(), Some(Start::Position(position)))
    });
    let (at, empty) = (format!("{at}.token"), malformed("TOKEN_MALFORMED"));
    cases.token(bed, &at, empty, Fixed::Nothing, |token| start(None, Some(Start::Token(token))));
    cases.token(bed, &at, empty, Fixed::Shard, |token| {
        start(here.clone(), Some(Start::Token(token)))
    });
}

fn reads(cases: &mut Cases, bed: &Bed) {
    use pb::get_records_request::Source;
    let get = Call::GetRecordsRequest;
    let source = |source| pb::GetRecordsRequest { source, ..Default::default() };
    let on_lease = || source(Some(Source::LeaseId(bed.lease.clone())));
    let of = "GetRecordsRequest";
    cases.add(&format!("{of}.source"), "unset", malformed("START_MISSING"), get(source(None)));
    let at = format!("{of}.lease_id");
    cases.lease(&at, |lease| get(source(Some(Source::LeaseId(lease)))));
    let nowhere = get(source(Some(Source::LeaseId(bed.nowhere.clone()))));
    let not_positioned = Expect::Refused(Code::FailedPrecondition, "NOT_POSITIONED");
    cases.add(&at, "never positioned", not_positioned, nowhere);
    starts(cases, bed, of, |start| get(source(Some(Source::Start(start)))));
    cases.size(&format!("{of}.max_records"), 32, |size| {
        get(pb::GetRecordsRequest { max_records: size as i32, ..on_lease() })
    });
    cases.size(&format!("{of}.max_bytes"), 32, |size| {
        get(pb::GetRecordsRequest { max_bytes: size as i32, ..on_lease() })
    });
    cases.duration(&format!("{of}.wait"), |wait| {
        get(pb::GetRecordsRequest { wait: Some(wait), ..on_lease() })
    });
    let at = format!("{of}.request_id");
    let named = |id: &str| pb::GetRecordsRequest { request_id: id.to_owned(), ..on_lease() };
    for id in ["x".repeat(65), "ü".repeat(33), "x".repeat(60_000)] {
        cases.add(&at, format!("{} bytes", id.len()), malformed("SIZE_MALFORMED"), get(named(&id)));
        let start = pb::ShardStart {
            shard: Some(name(&bed.shard)),
            start: Some(pb::shard_start::Start::Position(after(bed.number(0)))),
        };
        let alone = pb::GetRecordsRequest { source: Some(Source::Start(start)), ..named(&id) };
        cases.add(&at, "without a lease", malformed("SIZE_MALFORMED"), get(alone));
    }
    for id in ["", "\0", &"x".repeat(64), &"ü".repeat(32)] {
        cases.add(&at, format!("{} bytes", id.len()), GRANTED, get(named(id)));
    }
    for policy in [-1, 3, i32::MAX] {
        let unknown = pb::GetRecordsRequest { unreadable_policy: policy, ..on_lease() };
        cases.add(&format!("{of}.unreadable_policy"), policy.to_string(), GRANTED, get(unknown));
    }
}

fn trees(cases: &mut Cases, bed: &Bed) {
    macro_rules! targets {
        ($name:ident, $target:path) => {{
            use $target as Target;
            let of = stringify!($name);
            let ask = |target| Call::$name(pb::$name { target });
            let missing = malformed("SHARD_MALFORMED");
            cases.add(&format!("{of}.target"), "unset", missing, ask(None));
            cases.lease(&format!("{of}.lease_id"), |lease| ask(Some(Target::LeaseId(lease))));
            cases.shard(
                bed,
                &format!("{of}.shard"),
                missing,
                |shard| ask(shard.map(Target::Shard)),
            );
            cases.add(
                &format!("{of}.shard"),
                "empty",
                missing,
                ask(Some(Target::Shard(Default::default()))),
            );
        }};
    }
    targets!(ListChildrenRequest, pb::list_children_request::Target);
    targets!(WalkTreeRequest, pb::walk_tree_request::Target);
}

fn streamed(cases: &mut Cases, bed: &Bed) {
    use pb::stream_records_request::Source;
    let stream = Call::StreamRecordsRequest;
    let source = |source| pb::StreamRecordsRequest { source, ..Default::default() };
    let on_lease = || source(Some(Source::LeaseId(bed.lease.clone())));
    let of = "StreamRecordsRequest";
    cases.add(&format!("{of}.source"), "unset", malformed("START_MISSING"), stream(source(None)));
    let at = format!("{of}.lease_id");
    cases.lease(&at, |lease| stream(source(Some(Source::LeaseId(lease)))));
    let nowhere = stream(source(Some(Source::LeaseId(bed.nowhere.clone()))));
    cases.add(
        &at,
        "never positioned",
        Expect::Refused(Code::FailedPrecondition, "NOT_POSITIONED"),
        nowhere,
    );
    starts(cases, bed, of, |start| stream(source(Some(Source::Start(start)))));
    let at = format!("{of}.token");
    let with = |token| stream(pb::StreamRecordsRequest { token, ..on_lease() });
    cases.token(bed, &at, GRANTED, Fixed::Shard, with);
    let start = pb::ShardStart {
        shard: None,
        start: Some(pb::shard_start::Start::Token(bed.token(&bed.shard, 2))),
    };
    for token in [bed.token(&bed.shard, 2), "nonsense".to_owned()] {
        let both = pb::StreamRecordsRequest { token, ..source(Some(Source::Start(start.clone()))) };
        cases.add(&at, "beside a start", malformed("START_AMBIGUOUS"), stream(both));
    }
    let until = |until| stream(pb::StreamRecordsRequest { until: Some(until), ..on_lease() });
    cases.add(&format!("{of}.until"), "empty", GRANTED, until(Default::default()));
    let at = format!("{of}.until.record_count");
    cases.size(&at, 64, |record_count| until(pb::Until { record_count, ..Default::default() }));
    let at = format!("{of}.until.time");
    cases.no_time(&at, |time| until(pb::Until { time: Some(time), ..Default::default() }));
    let future = prost_types::Timestamp { seconds: 253_402_300_799, nanos: 999_999_999 };
    cases.add(
        &at,
        "in the future",
        GRANTED,
        until(pb::Until { time: Some(future), ..Default::default() }),
    );
    let at_tip = pb::Until { at_tip: true, ..Default::default() };
    cases.add(&format!("{of}.until.at_tip"), "true", GRANTED, until(at_tip));
    cases.size(&format!("{of}.max_batch_records"), 32, |size| {
        stream(pb::StreamRecordsRequest { max_batch_records: size as i32, ..on_lease() })
    });
    cases.size(&format!("{of}.max_batch_bytes"), 32, |size| {
        stream(pb::StreamRecordsRequest { max_batch_bytes: size as i32, ..on_lease() })
    });
    cases.duration(&format!("{of}.heartbeat_interval"), |interval| {
        stream(pb::StreamRecordsRequest { heartbeat_interval: Some(interval), ..on_lease() })
    });
    for policy in [-1, 3, i32::MAX] {
        let gaps = pb::StreamRecordsRequest { gap_policy: policy, ..on_lease() };
        cases.add(&format!("{of}.gap_policy"), policy.to_string(), GRANTED, stream(gaps));
        let unreadable = pb::StreamRecordsRequest { unreadable_policy: policy, ..on_lease() };
        cases.add(
            &format!("{of}.unreadable_policy"),
            policy.to_string(),
            GRANTED,
            stream(unreadable),
        );
    }
}

async fn listings(cases: &mut Cases, bed: &Bed) {
    let list = Call::ListStreamsRequest;
    let of = "ListStreamsRequest";
    let at = format!("{of}.table_name");
    let table = |table_name: &str| pb::ListStreamsRequest {
        table_name: table_name.to_owned(),
        ..Default::default()
    };
    for text in [
        "ab",
        "a b c",
        "Örders",
        "a/b",
        &"x".repeat(256),
        &"x".repeat(60_000),
        bed.shard.stream.as_str(),
    ] {
        cases.add(&at, "malformed", malformed("STREAM_MALFORMED"), list(table(text)));
    }
    for text in ["", "Orders", "Nowhere", &"x".repeat(255)] {
        cases.add(&at, text, GRANTED, list(table(text)));
    }
    cases.size(&format!("{of}.page_size"), 32, |size| {
        list(pb::ListStreamsRequest { page_size: size as i32, ..table("") })
    });
    let describe = |stream| Call::DescribeStreamRequest(pb::DescribeStreamRequest { stream });
    cases.stream(bed, "DescribeStreamRequest.stream", describe);
    let shards = |stream: &str| pb::ListShardsRequest {
        stream: stream.to_owned(),
        page_size: 1,
        ..Default::default()
    };
    let ask = Call::ListShardsRequest;
    let of_shards = "ListShardsRequest";
    cases.stream(bed, &format!("{of_shards}.stream"), |stream| ask(shards(&stream)));
    cases.size(&format!("{of_shards}.page_size"), 32, |size| {
        ask(pb::ListShardsRequest { page_size: size as i32, ..shards("Orders") })
    });

    let watch =
        |stream: &str| pb::WatchShardsRequest { stream: stream.to_owned(), ..Default::default() };
    cases.stream(bed, "WatchShardsRequest.stream", |stream| {
        Call::WatchShardsRequest(watch(&stream))
    });
    cases.duration("WatchShardsRequest.interval", |interval| {
        Call::WatchShardsRequest(pb::WatchShardsRequest {
            interval: Some(interval),
            ..watch("Orders")
        })
    });

    // A second stream of two tables, and a second shard, so that there are pages.
    for table in ["Payments", "Payments", "Customers"] {
        bed.fake.add_stream(table);
    }
    bed.fake.add_shard(&bed.foreign.stream, None);
    let streams_page = async |table_name: &str| {
        let request = pb::ListStreamsRequest { page_size: 1, ..table(table_name) };
        let answer =
            bed.streams.list_streams(Request::new(request)).await.expect("listed").into_inner();
        assert_ne!(answer.next_page_token, "");
        answer.next_page_token
    };
    let shards_page = async |stream: &str| {
        let answer = bed
            .streams
            .list_shards(Request::new(shards(stream)))
            .await
            .expect("listed")
            .into_inner();
        assert_ne!(answer.next_page_token, "");
        answer.next_page_token
    };
    let (all, payments, customers) =
        (streams_page("").await, streams_page("Payments").await, streams_page("Customers").await);
    let (here, elsewhere) = (
        shards_page(bed.shard.stream.as_str()).await,
        shards_page(bed.foreign.stream.as_str()).await,
    );
    let own = bed.token(&bed.shard, 0);
    let with = |table_name: &'static str| {
        move |page_token| {
            list(pb::ListStreamsRequest { page_token, page_size: 1, ..table(table_name) })
        }
    };
    let at = format!("{of}.page_token");
    let others = [here.clone(), elsewhere.clone(), own.clone()];
    cases.page_token(
        &at,
        &all,
        &[&others[..], &[payments.clone(), customers.clone()]].concat(),
        with(""),
    );
    cases.page_token(
        &at,
        &payments,
        &[&others[..], &[all.clone(), customers.clone()]].concat(),
        with("Payments"),
    );
    let at = format!("{of_shards}.page_token");
    let others = [all, payments, customers, elsewhere, own];
    let stream = bed.shard.stream.to_string();
    let with = |page_token| ask(pb::ListShardsRequest { page_token, ..shards(&stream) });
    cases.page_token(&at, &here, &others, with);
}

/// Records of this second lie before the time as it was asked, and not before it as it is floored.
#[tokio::test(start_paused = true)]
async fn until_ends_before_the_second_it_names() {
    use futures::StreamExt as _;
    use shardstream::grpc::generated::shard_service_server::ShardService as _;
    let bed = Bed::new().await;
    let base = stamp(bed.fake.base());
    assert!(base.nanos > 0);
    let request = pb::StreamRecordsRequest {
        source: Some(pb::stream_records_request::Source::LeaseId(bed.lease.clone())),
        until: Some(pb::Until { time: Some(base), ..Default::default() }),
        ..Default::default()
    };
    let stream =
        bed.server.api.stream_records(Request::new(request)).await.expect("streams").into_inner();
    let messages: Vec<_> = stream.map(|message| message.expect("no error").tail).collect().await;
    let end = messages.last().and_then(|last| last.event.clone());
    let Some(pb::stream_records_response::Event::End(end)) = end else { panic!("{messages:?}") };
    assert_eq!((messages.len(), end.reason()), (1, pb::EndReason::Limit));
    assert_eq!(bed.next(&bed.lease).await, bed.number(5).to_string());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_has_ended_is_not_found() {
    let bed = Bed::new().await;
    let request = pb::OpenShardRequest {
        shard: Some(name(&bed.shard)),
        start: Some(pb::open_shard_request::Start::Position(after(bed.number(1)))),
        lease_duration: seconds(0),
    };
    use shardstream::grpc::generated::shard_service_server::ShardService as _;
    let opened =
        bed.server.api.open_shard(Request::new(request)).await.expect("opened").into_inner();
    let lease = opened.session.and_then(|session| session.lease).expect("a lease");
    assert_eq!(lease.duration, seconds(10), "coerced to the shortest");
    let closed = bed.opened(None).await;
    bed.send(Call::CloseShardRequest(pb::CloseShardRequest { lease_id: closed.clone() }))
        .await
        .expect("closed");
    tokio::time::sleep(std::time::Duration::from_secs(11)).await;
    for lease_id in [lease.lease_id, closed] {
        let calls = [
            Call::GetShardSessionRequest(pb::GetShardSessionRequest { lease_id: lease_id.clone() }),
            Call::RenewLeaseRequest(pb::RenewLeaseRequest { lease_id: lease_id.clone() }),
            Call::JumpToRequest(pb::JumpToRequest {
                lease_id: lease_id.clone(),
                start: Some(pb::jump_to_request::Start::Position(after(bed.number(2)))),
            }),
            Call::GetRecordsRequest(pb::GetRecordsRequest {
                source: Some(pb::get_records_request::Source::LeaseId(lease_id.clone())),
                ..Default::default()
            }),
            Call::StreamRecordsRequest(pb::StreamRecordsRequest {
                source: Some(pb::stream_records_request::Source::LeaseId(lease_id.clone())),
                ..Default::default()
            }),
        ];
        for call in calls {
            check(
                &bed.send(call).await.expect_err("it has ended"),
                Code::NotFound,
                "LEASE_NOT_FOUND",
            );
        }
    }
}
