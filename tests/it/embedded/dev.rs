//! The embedded DynamoDB as its users see it: through the AWS SDKs, at the endpoint it prints.

pub mod support;

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{
    AttributeValue, StreamSpecification, StreamViewType, TimeToLiveSpecification,
};
use aws_sdk_dynamodbstreams::types::{AttributeValue as Streamed, OperationType};
use shardstream::dev::{Demo, DevError, Embedded, EmbeddedOptions};
use tokio_util::sync::CancellationToken;

use support::{House, clients, kept, make_table, read};

#[tokio::test]
async fn any_sdk_with_any_credentials_writes_and_reads_the_stream_back() {
    let house = House::new();
    let embedded = house.embedded(None).await;
    let (items, streams) = clients(&embedded);
    let arn = make_table(&items, "written-by-an-sdk").await;
    assert!(arn.starts_with("arn:aws:dynamodb:dynoxide:"), "{arn}");
    let binary = Blob::new([0, 255]);
    let put =
        items.put_item().table_name("written-by-an-sdk").item("pk", AttributeValue::S("a".into()));
    let put = put
        .item("empty", AttributeValue::S(String::new()))
        .item("binary", AttributeValue::B(binary.clone()));
    put.item("map", AttributeValue::M(Default::default())).send().await.unwrap();

    let records = read(&streams, &arn, 1).await;
    let image = records[0].dynamodb().unwrap().new_image().unwrap();
    assert_eq!(image["empty"], Streamed::S(String::new()));
    assert_eq!(image["binary"], Streamed::B(binary));
    assert_eq!(image["map"], Streamed::M(Default::default()));

    // The trap src/dev.rs tells of: this shard is open, and says where it ends.
    let description = streams.describe_stream().stream_arn(&arn).send().await.unwrap();
    let shard = &description.stream_description().unwrap().shards()[0];
    assert!(shard.sequence_number_range().unwrap().ending_sequence_number().is_some());
}

#[tokio::test]
async fn items_whose_time_to_live_has_passed_are_deleted_by_the_service() {
    let house = House::new();
    let embedded = house.embedded(None).await;
    let (items, streams) = clients(&embedded);
    let arn = make_table(&items, "items-that-expire").await;
    let living =
        TimeToLiveSpecification::builder().enabled(true).attribute_name("until").build().unwrap();
    items
        .update_time_to_live()
        .table_name("items-that-expire")
        .time_to_live_specification(living)
        .send()
        .await
        .unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    for (key, until) in [("gone", now - 60), ("stays", now + 3_600)] {
        let put = items
            .put_item()
            .table_name("items-that-expire")
            .item("pk", AttributeValue::S(key.into()));
        put.item("until", AttributeValue::N(until.to_string())).send().await.unwrap();
    }
    let records = read(&streams, &arn, 3).await;
    let removed = &records[2];
    assert_eq!(removed.event_name(), Some(&OperationType::Remove));
    assert_eq!(removed.dynamodb().unwrap().keys().unwrap()["pk"], Streamed::S("gone".into()));
}

#[tokio::test]
async fn the_demo_writes_all_kinds_of_changes_until_told_to_stop() {
    let house = House::new();
    let embedded = house.embedded(None).await;
    let demo = Demo::create(&embedded, &house.tracker).await.unwrap();
    let until = CancellationToken::new();
    let began = Instant::now();
    let writing = demo.write_until(500, fastrand::Rng::with_seed(1), &house.tracker, until.clone());
    let (_, streams) = clients(&embedded);
    let records = read(&streams, &demo.stream_arn, 100).await;
    for kind in [OperationType::Insert, OperationType::Modify, OperationType::Remove] {
        assert!(records.iter().any(|record| record.event_name() == Some(&kind)), "no {kind}");
    }
    let image = |key: &str| {
        let of_key = records.iter().filter_map(|record| record.dynamodb()?.new_image());
        let mut of_key = of_key.filter(|image| image["pk"] == Streamed::S(key.into()));
        of_key.next_back().unwrap_or_else(|| panic!("nothing of {key}")).clone()
    };
    assert_eq!(image("order-1")["customer"], Streamed::S("Ada".into()));
    let image = image("every-type");
    assert_eq!(image["number_long"], Streamed::N("12345678901234567890123456789012345678".into()));

    until.cancel();
    let written = writing.await.unwrap();
    let asked_for = began.elapsed().as_secs_f64() * 500.0 + 1.0;
    assert!(written as f64 <= asked_for, "{written} writes, at most {asked_for} asked for");
    // Every change is one record: the count of both is the same.
    assert_eq!(read(&streams, &demo.stream_arn, written as usize).await.len() as u64, written);
    let nothing =
        demo.write_until(0, fastrand::Rng::new(), &house.tracker, CancellationToken::new());
    assert_eq!(nothing.await.unwrap(), 0);
}

#[tokio::test]
async fn a_kept_folder_keeps_its_tables_and_gets_a_new_demo_table_each_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut names = Vec::new();
    for _ in 0..2 {
        let house = House::new();
        let embedded = house.embedded(Some(folder.path())).await;
        let second = Embedded::start(kept(folder.path()), &house.tracker, &house.shutdown).await;
        assert!(matches!(second, Err(DevError::FolderInUse { .. })));
        let demo = Demo::create(&embedded, &house.tracker).await.unwrap();
        demo.write_until(1000, fastrand::Rng::new(), &house.tracker, CancellationToken::new());
        let (items, streams) = clients(&embedded);
        read(&streams, &demo.stream_arn, 3).await;
        names.push(demo.table_name.clone());
        // The writer is still at it: the token ends it, and the tracker knows when.
        house.end().await;
        assert!(items.list_tables().send().await.is_err());
    }
    let house = House::new();
    let embedded = house.embedded(Some(folder.path())).await;
    let (items, _) = clients(&embedded);
    let tables = items.list_tables().send().await.unwrap();
    assert_eq!(tables.table_names(), names);
}

#[tokio::test]
async fn dropped_it_ends_and_takes_its_temporary_folder_along() {
    let house = House::new();
    let embedded = house.embedded(None).await;
    let demo = Demo::create(&embedded, &house.tracker).await.unwrap();
    demo.write_until(100, fastrand::Rng::new(), &house.tracker, CancellationToken::new());
    let (items, _) = clients(&embedded);
    items.list_tables().send().await.unwrap();
    let folder = embedded.folder().to_owned();
    assert!(folder.is_dir());

    drop(embedded);
    house.tracker.close();
    house.tracker.wait().await;
    assert!(!folder.exists());
    assert!(!house.shutdown.is_cancelled());
}

#[tokio::test]
async fn half_a_request_does_not_hold_up_the_end() {
    let house = House::new();
    let embedded = house.embedded(None).await;
    let address = embedded.endpoint().replace("http://", "");
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf").unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let asked = Instant::now();
    house.end().await;
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let house = House::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let options = EmbeddedOptions { port, data_dir: None };
    let error = Embedded::start(options, &house.tracker, &house.shutdown).await.unwrap_err();
    assert!(matches!(error, DevError::Listen { port: named, .. } if named == port));
}

#[tokio::test]
async fn a_stream_made_anew_does_not_show_its_predecessors_records() {
    let house = House::new();
    let embedded = house.embedded(None).await;
    let (items, streams) = clients(&embedded);
    let put = async |pk: &str| {
        let pk = AttributeValue::S(pk.to_owned());
        items.put_item().table_name("made-and-dropped").item("pk", pk).send().await.unwrap();
    };
    let first_key = async |arn: &str| match &read(&streams, arn, 1).await[0]
        .dynamodb()
        .unwrap()
        .keys()
        .unwrap()["pk"]
    {
        Streamed::S(pk) => pk.clone(),
        other => panic!("{other:?}"),
    };
    make_table(&items, "made-and-dropped").await;
    put("first").await;
    items.delete_table().table_name("made-and-dropped").send().await.unwrap();
    let arn = make_table(&items, "made-and-dropped").await;
    put("second").await;
    assert_eq!(first_key(&arn).await, "second");

    let stream = |enabled: bool| {
        let view = enabled.then_some(StreamViewType::KeysOnly);
        StreamSpecification::builder()
            .stream_enabled(enabled)
            .set_stream_view_type(view)
            .build()
            .unwrap()
    };
    let update = || items.update_table().table_name("made-and-dropped");
    update().stream_specification(stream(false)).send().await.unwrap();
    let enabled = update().stream_specification(stream(true)).send().await.unwrap();
    let again = enabled.table_description().unwrap().latest_stream_arn().unwrap().to_owned();
    assert_ne!(again, arn);
    put("third").await;
    assert_eq!(first_key(&again).await, "third");
}

#[tokio::test]
async fn the_first_line_of_stdout_says_where_it_listens() {
    use tokio::io::{AsyncBufReadExt as _, BufReader};
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_shardstream"));
    command.args(["dev", "--quiet", "--write-rate=0", "--listen=127.0.0.1:0"]);
    command.args(["--admin-listen=off", "--dynamodb-port=0"]).env_clear();
    let nobody = std::process::Stdio::null;
    command.stdin(nobody()).stderr(nobody()).stdout(std::process::Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    crate::support::server::in_time("a line", output.read_line(&mut line)).await.unwrap();
    assert!(line.contains(" ready grpc=http://127.0.0.1:"), "{line}");
}
