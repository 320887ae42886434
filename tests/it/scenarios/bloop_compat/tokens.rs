//! Tokens, and bloop's own.

use shardstream::model::Position;
use shardstream::token::ShardToken;
use shardstream::upstream::IteratorStart;
use tonic::Code;

use crate::sim::fake::ShardRef;
use crate::support::client::{
    At, Client, after, at, horizon, hours, indexes, latest, refused, since,
};

#[tokio::test(start_paused = true)]
async fn a_token_of_an_exhausted_session_is_exhausted_again() {
    let client = Client::new();
    client.fake.write(&client.shard, 3);
    client.fake.close(&client.shard);
    let lease = client.lease(horizon()).await;
    client.given(&lease).await;
    let end = client.get(&lease).await.expect("read");
    assert!(end.exhausted);
    for client in [client.elsewhere(), client] {
        let reloaded = client.lease(At::Token(end.token.clone())).await;
        let answer = client.get(&reloaded).await.expect("read");
        assert_eq!((indexes(&answer.records), answer.exhausted), (vec![], true));
    }
}

#[tokio::test(start_paused = true)]
async fn the_token_of_a_shard_that_never_had_a_record_is_exhausted_again() {
    let client = Client::new();
    client.fake.close(&client.shard);
    let end = client.read(horizon()).await.expect("read");
    assert!(end.exhausted);
    assert!(client.elsewhere().read(At::Token(end.token)).await.expect("read").exhausted);
}

#[tokio::test(start_paused = true)]
async fn a_token_of_a_session_that_has_read_nothing_stands_where_it_was_put() {
    let client = Client::new();
    client.fake.write(&client.shard, 3);
    let second = client.numbers()[1];
    let time = client.fake.wall();
    let places = [
        (horizon(), Position::TrimHorizon),
        (at(second), Position::AtSequenceNumber(second)),
        (after(second), Position::AfterSequenceNumber(second)),
        (since(time), Position::AtTimestamp(time.floor())),
    ];
    for (start, place) in places {
        let session = client.open(Some(start)).await.expect("opened");
        assert_eq!(ShardToken::decode(&session.token).expect("a token").checkpoint.position, place);
        assert!(session.token.len() < 200, "{}", session.token.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_names_its_shard() {
    let client = Client::new();
    client.fake.write(&client.shard, 3);
    let other = client.on(&client.fake.add_shard(&client.shard.stream, None));
    let (_, token) = client.drain(horizon()).await;
    refused(other.read(At::Token(token.clone())).await, Code::InvalidArgument, "TOKEN_MISMATCH");
    let lease = other.lease(horizon()).await;
    refused(other.jump(&lease, At::Token(token)).await, Code::InvalidArgument, "TOKEN_MISMATCH");
}

#[tokio::test(start_paused = true)]
async fn tokens_of_bloop_are_read() {
    let client = Client::new();
    client.fake.write(&client.shard, 4);
    let number = client.numbers()[1];
    let (stream, shard) = (client.shard.stream.to_string(), client.shard.shard.to_string());
    let json = |kind: &str, number: &str| {
        serde_json::json!({
            "stream_arn": stream, "shard_id": shard, "iterator_type": kind, "sequence_number": number, "parent": "p",
        })
        .to_string()
    };
    assert_eq!(client.drain(At::Token(json("at_sequence", number.as_str()))).await.0, [1, 2, 3]);
    assert_eq!(client.drain(At::Token(json("after_sequence", number.as_str()))).await.0, [2, 3]);
    let whole = format!(
        r#"{{"stream_arn":"{stream}","active":["{shard}"],"shards":[{{"shard_id":"{shard}"}}]}}"#
    );
    refused(client.read(At::Token(whole)).await, Code::InvalidArgument, "TOKEN_WRONG_KIND");
    refused(
        client.read(At::Token(json("sideways", "1"))).await,
        Code::InvalidArgument,
        "TOKEN_MALFORMED",
    );
}

#[tokio::test(start_paused = true)]
async fn a_relative_token_of_bloop_hides_no_loss() {
    let mut client = Client::new();
    let young = client.shard.clone();
    let old = client.fake.add_old_shard(&client.shard.stream, None, hours(30));
    for shard in [&young, &old] {
        client.fake.write(shard, 2);
    }
    for kind in ["trim_horizon", "latest"] {
        let json = |shard: &ShardRef| {
            let stream = shard.stream.to_string();
            serde_json::json!({"stream_arn": stream, "shard_id": shard.shard.to_string(), "iterator_type": kind})
                .to_string()
        };
        // Nothing is known of its age but that of the shard.
        client.shard = young.clone();
        let read = client.read(At::Token(json(&young))).await.expect("all of it is still there");
        assert_eq!(read.records.len(), 2);
        client.shard = old.clone();
        refused(client.read(At::Token(json(&old))).await, Code::OutOfRange, "RECORDS_TRIMMED");
    }
    assert!(!client.iterators().contains(&IteratorStart::Latest));
}

#[tokio::test(start_paused = true)]
async fn a_relative_place_becomes_a_number_with_its_first_record() {
    let client = Client::new();
    for start in [horizon(), latest()] {
        let lease = client.lease(start).await;
        client.fake.write(&client.shard, 2);
        client.given(&lease).await;
        let position = client.session(&lease).await.position.expect("a place");
        assert_eq!(
            position.sequence_number,
            client.numbers().last().expect("a number").to_string()
        );
    }
}
