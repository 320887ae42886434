//! Calls that move a session: dropped half-way, out of time, four at once, repeated.

use std::time::Duration;

use futures::StreamExt as _;
use prost::Message as _;
use shardstream::grpc::generated::shard_service_server::ShardService as _;
use shardstream::pb::{self, stream_records_response::Event};
use shardstream::upstream::Operation;
use tonic::{Code, Request, Status};

use super::fields::stamp;
use super::fixture::{Bed, Call, after, check, seconds};
use crate::sim::fake::{Gate, Writing};

fn jump(lease_id: &str, position: pb::Position) -> Call {
    let start = Some(pb::jump_to_request::Start::Position(position));
    Call::JumpToRequest(pb::JumpToRequest { lease_id: lease_id.to_owned(), start })
}

fn seek(bed: &Bed, lease_id: &str) -> pb::SeekToRequest {
    let target = Some(pb::seek_to_request::Target::LeaseId(lease_id.to_owned()));
    let time = Some(stamp(bed.fake.base()));
    pb::SeekToRequest { target, time, ..Default::default() }
}

fn read(lease_id: &str) -> pb::GetRecordsRequest {
    let source = Some(pb::get_records_request::Source::LeaseId(lease_id.to_owned()));
    pb::GetRecordsRequest { source, wait: seconds(60), ..Default::default() }
}

fn stream(lease_id: &str) -> pb::StreamRecordsRequest {
    let source = Some(pb::stream_records_request::Source::LeaseId(lease_id.to_owned()));
    pb::StreamRecordsRequest { source, ..Default::default() }
}

/// The numbers of an answer's records, and whether they are repeated.
async fn get(bed: &Bed, request: pb::GetRecordsRequest) -> Result<(Vec<String>, bool), Status> {
    let answer = bed.server.api.get_records(Request::new(request)).await?.into_inner();
    let answer = pb::GetRecordsResponse::decode(&answer.encode_to_vec()[..]).expect("a message");
    let number = |record: pb::ChangeRecord| record.meta.expect("always set").sequence_number;
    Ok((answer.records.into_iter().map(number).collect(), answer.repeated))
}

/// A session that waits behind the last record, and whose next upstream answers are held back.
async fn at_the_end(bed: &Bed) -> (String, Gate, Gate) {
    let lease = bed.opened(Some(after(bed.number(19)))).await;
    let pages = bed.fake.hold(&bed.shard, Operation::GetRecords);
    let iterators = bed.fake.hold(&bed.shard, Operation::GetShardIterator);
    (lease, pages, iterators)
}

/// Waits until the upstream is being asked.
async fn asked(bed: &Bed, operation: Operation) {
    while bed.fake.running(&bed.shard, operation) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_half_way_has_moved_nothing() {
    for mover in 0..4 {
        let bed = Bed::new().await;
        // Nothing is in memory yet, so that every mover has to ask.
        let before = bed.session(&bed.lease).await;
        let operation =
            if mover == 0 { Operation::GetShardIterator } else { Operation::GetRecords };
        let gate = bed.fake.hold(&bed.shard, operation);
        let call = match mover {
            0 => jump(&bed.lease, after(bed.number(11))),
            1 => Call::SeekToRequest(seek(&bed, &bed.lease)),
            2 => Call::GetRecordsRequest(read(&bed.lease)),
            _ => Call::StreamRecordsRequest(stream(&bed.lease)),
        };
        {
            let half = bed.send(call);
            tokio::pin!(half);
            tokio::select! {
                answer = &mut half => panic!("mover {mover} was answered: {answer:?}"),
                () = asked(&bed, operation) => {}
            }
        }
        assert_eq!(bed.session(&bed.lease).await, before, "mover {mover}");
        gate.open();
        assert_eq!(bed.next(&bed.lease).await, bed.number(5).to_string(), "mover {mover}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_goes_away_answers_at_once_whatever_the_upstream_does() {
    for call in 0..4 {
        let bed = Bed::new().await;
        let operation =
            if call % 3 == 0 { Operation::GetShardIterator } else { Operation::GetRecords };
        let _never_opened = bed.fake.hold(&bed.shard, operation);
        let half = bed.send(match call {
            0 => jump(&bed.lease, after(bed.number(11))),
            1 => Call::SeekToRequest(seek(&bed, &bed.lease)),
            2 => Call::GetRecordsRequest(read(&bed.lease)),
            _ => jump(&bed.lease, super::fixture::position(pb::IteratorType::Latest)),
        });
        let before = bed.session(&bed.lease).await;
        let drain = async {
            asked(&bed, operation).await;
            bed.server.context.drain.cancel();
        };
        let (answer, ()) = tokio::join!(half, drain);
        match call {
            // Nothing came, which is an answer: the session goes on from its token.
            2 => answer.expect("OK and empty"),
            _ => check(&answer.expect_err("going away"), Code::Unavailable, "DRAINING"),
        }
        assert_eq!(bed.session(&bed.lease).await, before, "call {call}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_of_nothing_moves_nothing() {
    for timeout in ["0n", "0S", "1n"] {
        let bed = Bed::new().await;
        let before = bed.session(&bed.lease).await;
        let gate = bed.fake.hold(&bed.shard, Operation::GetRecords);
        fn hasty<T>(request: T, timeout: &str) -> Request<T> {
            let mut request = Request::new(request);
            request.metadata_mut().insert("grpc-timeout", timeout.parse().expect("a header"));
            request
        }
        let api = &bed.server.api;
        let late =
            api.seek_to(hasty(seek(&bed, &bed.lease), timeout)).await.expect_err("no time to look");
        check(&late, Code::DeadlineExceeded, "DEADLINE");
        let late: Vec<_> = api
            .stream_records(hasty(stream(&bed.lease), timeout))
            .await
            .expect("streams")
            .into_inner()
            .collect()
            .await;
        check(
            late.last().expect("a status").as_ref().expect_err("the deadline"),
            Code::DeadlineExceeded,
            "DEADLINE",
        );
        let end = late[late.len() - 2].as_ref().expect("a message before the status");
        assert!(
            matches!(&end.tail.event, Some(Event::End(end)) if end.reason() == pb::EndReason::Deadline),
            "{timeout}"
        );
        let empty =
            api.get_records(hasty(read(&bed.lease), timeout)).await.expect("empty").into_inner();
        assert_eq!((empty.slices.len(), empty.tail.exhausted), (0, false));
        assert_eq!(bed.session(&bed.lease).await, before, "{timeout}");
        gate.open();
        assert_eq!(bed.next(&bed.lease).await, bed.number(5).to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn of_four_movers_the_newest_wins_and_the_others_have_moved_nothing() {
    let bed = Bed::new().await;
    let (lease, pages, iterators) = at_the_end(&bed).await;
    let (first, second, third) = (
        bed.send(Call::GetRecordsRequest(read(&lease))),
        bed.send(Call::SeekToRequest(seek(&bed, &lease))),
        bed.send(jump(&lease, after(bed.number(2)))),
    );
    let newest = get(&bed, read(&lease));
    let beside = async {
        let before = bed.session(&lease).await;
        let renew = pb::RenewLeaseRequest { lease_id: lease.clone() };
        bed.send(Call::RenewLeaseRequest(renew)).await.expect("runs beside");
        let target = Some(pb::list_children_request::Target::LeaseId(lease.clone()));
        bed.send(Call::ListChildrenRequest(pb::ListChildrenRequest { target }))
            .await
            .expect("runs beside");
        let target = Some(pb::walk_tree_request::Target::LeaseId(lease.clone()));
        bed.send(Call::WalkTreeRequest(pb::WalkTreeRequest { target })).await.expect("runs beside");
        assert_eq!(bed.session(&lease).await, before, "nobody moved it");
        bed.fake.write(&bed.shard, 1);
        pages.open();
        iterators.open();
    };
    let (first, second, third, newest, ()) = tokio::join!(first, second, third, newest, beside);
    for superseded in [first, second, third] {
        check(&superseded.expect_err("a newer one came"), Code::Aborted, "SUPERSEDED");
    }
    assert_eq!(newest.expect("the newest"), (vec![bed.number(20).to_string()], false));
    let stands = bed.session(&lease).await.position.expect("positioned");
    assert_eq!(stands.sequence_number, bed.number(20).to_string());
}

#[tokio::test(start_paused = true)]
async fn a_close_ends_whatever_moves_the_session() {
    let bed = Bed::new().await;
    let (lease, pages, iterators) = at_the_end(&bed).await;
    let reading = bed.send(Call::GetRecordsRequest(read(&lease)));
    let closing = async {
        asked(&bed, Operation::GetRecords).await;
        bed.send(Call::CloseShardRequest(pb::CloseShardRequest { lease_id: lease.clone() }))
            .await
            .expect("closed");
        pages.open();
        iterators.open();
    };
    let (reading, ()) = tokio::join!(reading, closing);
    check(&reading.expect_err("the lease is closed"), Code::Aborted, "LEASE_CLOSED");

    let lease = bed.opened(Some(after(bed.number(19)))).await;
    let streamed = bed
        .server
        .api
        .stream_records(Request::new(stream(&lease)))
        .await
        .expect("streams")
        .into_inner();
    let closing = async {
        bed.send(Call::CloseShardRequest(pb::CloseShardRequest { lease_id: lease.clone() }))
            .await
            .expect("closed");
    };
    let (messages, ()) = tokio::join!(streamed.collect::<Vec<_>>(), closing);
    ends(messages, pb::EndReason::LeaseClosed, "LEASE_CLOSED");
}

/// The stream's last message says so with a token, and its status too.
fn ends(
    mut messages: Vec<Result<shardstream::grpc::encoded::StreamRecordsResponse, Status>>,
    reason: pb::EndReason,
    name: &str,
) -> String {
    let status = messages.pop().expect("a status").expect_err("a status");
    check(&status, Code::Aborted, name);
    let last = messages.pop().expect("an end").expect("an end").tail;
    match last.event {
        Some(Event::End(end)) => assert_eq!(end.reason(), reason),
        other => panic!("{other:?}"),
    }
    assert_ne!(last.token, "");
    last.token
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_superseded_ends_with_its_token_and_leaves_the_session() {
    let bed = Bed::new().await;
    let request = pb::StreamRecordsRequest { max_batch_records: 3, ..stream(&bed.lease) };
    let mut streamed =
        bed.server.api.stream_records(Request::new(request)).await.expect("streams").into_inner();
    let first = streamed.next().await.expect("a message").expect("records");
    let before = bed.session(&bed.lease).await;
    assert!(before.streaming_position.is_some());
    assert_eq!(
        before.position.as_ref().map(|at| at.sequence_number.clone()),
        Some(bed.number(4).to_string())
    );
    let (numbers, _) = get(&bed, pb::GetRecordsRequest { max_records: 2, ..read(&bed.lease) })
        .await
        .expect("the newest");
    assert_eq!(numbers, [bed.number(5), bed.number(6)].map(|number| number.to_string()));
    let token = ends(streamed.collect().await, pb::EndReason::Superseded, "SUPERSEDED");
    assert_eq!(token, first.tail.token, "it covers what was sent and nothing else");
    let stands = bed.session(&bed.lease).await;
    assert_eq!(stands.position.map(|at| at.sequence_number), Some(bed.number(6).to_string()));
    assert_eq!(stands.streaming_position, None);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_given_again_while_another_reads() {
    let bed = Bed::new().await;
    let named = |id: &str, max_records| {
        let request_id = id.to_owned();
        pb::GetRecordsRequest { request_id, max_records, ..read(&bed.lease) }
    };
    let numbers = |range: std::ops::Range<usize>| {
        range.map(|at| bed.number(at).to_string()).collect::<Vec<_>>()
    };
    // The answer is lost on its way; the session has moved.
    drop(get(&bed, named("a", 4)).await.expect("read"));
    let moved = bed.session(&bed.lease).await;
    for _ in 0..3 {
        assert_eq!(get(&bed, named("a", 4)).await.expect("again"), (numbers(5..9), true));
        assert_eq!(bed.session(&bed.lease).await, moved);
    }
    assert_eq!(get(&bed, named("b", 0)).await.expect("on"), (numbers(9..20), false));
    // One waits for what comes; the repeat of the newest answer is no rival.
    let waiting = get(&bed, named("c", 0));
    let repeating = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(get(&bed, named("b", 0)).await.expect("again"), (numbers(9..20), true));
        bed.fake.write_with(&bed.shard, Writing { count: 2, ..Writing::default() });
    };
    let (waited, ()) = tokio::join!(waiting, repeating);
    assert_eq!(waited.expect("not superseded"), (numbers(20..22), false));
    // Another name than the newest's reads on.
    bed.fake.write(&bed.shard, 1);
    assert_eq!(get(&bed, named("a", 0)).await.expect("on"), (numbers(22..23), false));
}

#[tokio::test(start_paused = true)]
async fn four_calls_of_one_name_give_each_record_once_beside_its_repeats() {
    let bed = Bed::new().await;
    let named =
        || pb::GetRecordsRequest { request_id: "same".into(), max_records: 2, ..read(&bed.lease) };
    let answers = tokio::join!(
        get(&bed, named()),
        get(&bed, named()),
        get(&bed, named()),
        get(&bed, named())
    );
    let expected = [bed.number(5), bed.number(6)].map(|number| number.to_string());
    let mut given = 0;
    for answer in [answers.0, answers.1, answers.2, answers.3] {
        match answer {
            Ok((numbers, _)) => {
                assert_eq!(numbers, expected);
                given += 1;
            }
            Err(status) => check(&status, Code::Aborted, "SUPERSEDED"),
        }
    }
    assert!(given > 0);
    assert_eq!(get(&bed, named()).await.expect("again"), (expected.to_vec(), true));
    assert_eq!(bed.next(&bed.lease).await, bed.number(7).to_string());
}
