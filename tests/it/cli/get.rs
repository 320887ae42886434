use super::*;

fn answer(ids: &[u32], token: &str, at_tip: bool) -> Result<GetRecordsResponse, Status> {
    let records = ids.iter().map(|id| record(*id)).collect();
    Ok(GetRecordsResponse { records, token: token.into(), at_tip, ..Default::default() })
}

fn answering(
    answers: impl IntoIterator<Item = Result<GetRecordsResponse, Status>>,
) -> ScriptedServer {
    ScriptedServer::start(Script {
        reads: Mutex::new(answers.into_iter().collect()),
        ..Default::default()
    })
}

fn tokens(server: &ScriptedServer) -> Vec<Option<String>> {
    let asked = server.script.asked_reads.lock();
    let token = |request: &GetRecordsRequest| match request.source.clone().expect("a source") {
        get_records_request::Source::Start(ShardStart {
            start: Some(shard_start::Start::Token(token)),
            ..
        }) => Some(token),
        _ => None,
    };
    asked.iter().map(token).collect()
}

#[tokio::test]
async fn reads_on_until_the_tip() {
    let server = answering([
        answer(&[1, 2], "t1", false),
        answer(&[], "t2", false),
        answer(&[3], "t3", true),
    ]);
    let ran = run(&server, &["get", "orders", SHARD]).await;
    let expected = "10:00:00 INSERT id=1\n10:00:00 INSERT id=2\n10:00:00 INSERT id=3\n";
    assert_eq!((ran.exit, ran.data.as_str()), (Exit::Ok, expected));
    assert_eq!(tokens(&server), [None, Some("t1".into()), Some("t2".into())]);
    let url = server.url();
    let command = format!("go on with: shardstream get orders {SHARD} --from t3 --server {url}\n");
    assert_eq!(ran.talk, format!("3 records; nothing newer is there yet\n{command}"));
}

#[tokio::test]
async fn the_last_page_is_printed_and_the_end_told() {
    let ended =
        Ok(GetRecordsResponse { exhausted: true, token: "t2".into(), ..Default::default() });
    let ran = run(&answering([answer(&[1], "t1", false), ended]), &["get", "orders", SHARD]).await;
    assert_eq!((ran.exit, ran.data.lines().count()), (Exit::Ok, 1));
    assert_eq!(ran.talk, "1 record; the shard has ended\n");
}

#[tokio::test]
async fn stops_after_n_records() {
    let server = answering([answer(&[1, 2], "t1", false), answer(&[3], "t2", false)]);
    let ran = run(&server, &["get", "orders", SHARD, "-n", "3"]).await;
    assert_eq!((ran.exit, ran.data.lines().count()), (Exit::Ok, 3));
    let asked: Vec<i32> =
        server.script.asked_reads.lock().iter().map(|request| request.max_records).collect();
    assert_eq!(asked, [3, 1]);
}

#[tokio::test]
async fn json_is_one_object_a_line_with_the_token_on_the_last() {
    let server = answering([answer(&[1, 2], "t1", true)]);
    let ran = run(&server, &["get", "orders", SHARD, "--output", "json"]).await;
    let line = |id: u32, token: &str| {
        format!(
            r#"{{"shard_id":"{SHARD}","key":{{"id":{{"N":"{id}"}}}},"new_image":{{"id":{{"N":"{id}"}}}},"meta":{{"created_at":"2026-11-23T10:00:00Z","change":{{"id":"e{id}","type":"INSERT"}},"sequence_number":"{id}"}}{token}}}"#
        )
    };
    assert_eq!(ran.data, format!("{}\n{}\n", line(1, ""), line(2, r#","token":"t1""#)));
}

#[tokio::test]
async fn a_failure_half_way_says_where_to_go_on() {
    let server =
        answering([answer(&[1], "t1", false), Err(status(Code::DataLoss, "RECORD_UNREADABLE"))]);
    let ran = run(&server, &["get", "orders", SHARD]).await;
    assert_eq!((ran.exit, ran.data.lines().count()), (Exit::Failure, 1));
    assert!(
        ran.talk.contains("error: a record cannot be read: said the server (RECORD_UNREADABLE)"),
        "{}",
        ran.talk
    );
    assert!(ran.talk.contains("next: --unreadable skip"), "{}", ran.talk);
    assert!(
        ran.talk.contains(&format!("go on with: shardstream get orders {SHARD} --from t1")),
        "{}",
        ran.talk
    );
}
