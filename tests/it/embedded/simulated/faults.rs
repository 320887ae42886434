//! The fault script and the control API.

use std::fs;
use std::time::Duration;

use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodbstreams::config::Builder;
use aws_sdk_dynamodbstreams::config::retry::RetryConfig;
use aws_sdk_dynamodbstreams::types::ShardIteratorType;
use shardstream::dev::{DevError, Simulated, SimulatedOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Stage, fast};
use crate::embedded::dev::support::{House, make_table};
use crate::support::server::in_time;

/// Everything that comes back for one request on a connection of its own.
async fn request(url: &str, method: &str, path: &str, headers: &str, body: &str) -> String {
    let address = url.strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    );
    connection.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A connection that breaks has given what it gave.
    let _ = in_time("an answer", connection.read_to_end(&mut answer)).await;
    String::from_utf8(answer).unwrap()
}

fn controlled() -> SimulatedOptions {
    SimulatedOptions { control: Some(([127, 0, 0, 1], 0).into()), ..fast() }
}

async fn control(stage: &Stage, method: &str, path: &str, body: &str) -> String {
    request(&stage.simulated.control().unwrap(), method, path, "", body).await
}

async fn list_streams(stage: &Stage) -> String {
    let target = "X-Amz-Target: DynamoDBStreams_20120810.ListStreams\r\n";
    request(&stage.simulated.endpoint(), "POST", "/", target, "{}").await
}

/// The code that one attempt to list the streams fails with.
async fn code(stage: &Stage) -> Option<String> {
    let once = Builder::new().retry_config(RetryConfig::disabled());
    let listed = stage.streams.list_streams().customize().config_override(once).send().await;
    listed.err().map(|error| error.code().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn calls_fail_as_the_control_says_until_it_says_otherwise() {
    let stage = Stage::new(controlled()).await;
    assert_eq!(code(&stage).await, None);
    let rules = "[[fault]]\nfault = \"throttle\"\noperation = \"ListStreams\"\n";
    assert!(control(&stage, "PUT", "/faults", rules).await.starts_with("HTTP/1.1 204"));
    assert_eq!(code(&stage).await.as_deref(), Some("ThrottlingException"));
    assert!(control(&stage, "DELETE", "/faults", "").await.starts_with("HTTP/1.1 204"));
    assert_eq!(code(&stage).await, None);
    stage.house.end().await;
}

#[tokio::test]
async fn an_answer_breaks_off_in_the_middle() {
    let stage = Stage::new(controlled()).await;
    let whole = list_streams(&stage).await;
    assert!(whole.ends_with(r#"{"Streams":[]}"#), "{whole}");
    control(&stage, "PUT", "/faults", "[[fault]]\nfault = \"truncate\"\ntimes = 1").await;
    let half = list_streams(&stage).await;
    assert!(half.contains("content-length: 14") && half.ends_with("{\"Strea"), "{half}");
    assert_eq!(list_streams(&stage).await.len(), whole.len());
    stage.house.end().await;
}

#[tokio::test]
async fn an_answer_is_lost_whole() {
    let stage = Stage::new(controlled()).await;
    control(&stage, "PUT", "/faults", "[[fault]]\nfault = \"lose-answer\"\ntimes = 1").await;
    assert_eq!(list_streams(&stage).await, "");
    // The SDK tries again by itself.
    control(&stage, "PUT", "/faults", "[[fault]]\nfault = \"lose-answer\"\ntimes = 1").await;
    stage.streams.list_streams().send().await.unwrap();
    stage.house.end().await;
}

#[tokio::test]
async fn an_answer_comes_as_late_as_told() {
    let stage = Stage::new(controlled()).await;
    control(&stage, "PUT", "/faults", "[[fault]]\nfault = \"hang\"\nlasting = 0.3").await;
    let listing = tokio::time::timeout(Duration::from_millis(200), list_streams(&stage));
    listing.await.unwrap_err();
    assert!(list_streams(&stage).await.starts_with("HTTP/1.1 200"));
    stage.house.end().await;
}

#[tokio::test]
async fn the_clock_moves_on_request_and_what_is_old_is_gone() {
    let stage = Stage::new(SimulatedOptions { time_scale: 1, ..controlled() }).await;
    let arn = make_table(&stage.items, "records-to-trim").await;
    stage.put("records-to-trim", "a", 1).await;
    control(&stage, "POST", "/clock", "10s").await;
    assert_eq!(stage.read_all(&arn).await.len(), 1);
    let state = control(&stage, "GET", "/state", "").await;
    assert!(state.contains(r#""table":"records-to-trim""#), "{state}");
    assert!(state.contains(r#""records":1"#), "{state}");
    let number =
        stage.read_all(&arn).await[0].dynamodb().unwrap().sequence_number().unwrap().to_owned();
    let mut found = None;
    for shard in stage.shards(&arn).await.into_keys() {
        if !stage.read(&arn, &shard).await.is_empty() {
            found = Some(shard);
        }
    }
    let moved = control(&stage, "POST", "/clock", "24h").await;
    assert!(moved.contains(r#""records":0"#), "{moved}");
    let at = stage.streams.get_shard_iterator().stream_arn(&arn).shard_id(found.unwrap());
    let at = at.shard_iterator_type(ShardIteratorType::AtSequenceNumber).sequence_number(number);
    let refused = at.send().await.unwrap_err().into_service_error();
    assert!(
        refused.is_trimmed_data_access_exception() || refused.is_resource_not_found_exception()
    );
    assert!(control(&stage, "POST", "/clock", "soon").await.starts_with("HTTP/1.1 400"));
    stage.house.end().await;
}

#[tokio::test]
async fn the_clock_moves_no_further_than_the_model_bears() {
    let folder = tempfile::tempdir().unwrap();
    let options = SimulatedOptions {
        time_scale: 1,
        data_dir: Some(folder.path().to_owned()),
        rollover: Duration::from_secs(3_600),
        ..controlled()
    };
    let stage = Stage::new(options.clone()).await;
    let arn = make_table(&stage.items, "moved-too-far").await;
    // 50,000 lives of four shards, years beyond all dates, and what is no 64-bit number.
    for far in ["50001h", "9000years", "18446744073709551615s"] {
        let refused = control(&stage, "POST", "/clock", far).await;
        assert!(refused.starts_with("HTTP/1.1 400"), "{refused}");
        assert!(refused.contains("the clock moves by 5years"), "{refused}");
    }
    stage.put("moved-too-far", "a", 1).await;
    stage.house.end().await;
    drop(stage.simulated);
    // And nothing of it is kept.
    let stage = Stage::new(options).await;
    assert_eq!(stage.read_all(&arn).await.len(), 1);
    assert!(control(&stage, "POST", "/clock", "1h").await.starts_with("HTTP/1.1 200"));
    stage.house.end().await;
}

#[tokio::test]
async fn a_script_is_read_again_when_it_changes_and_one_that_is_none_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faults.toml");
    fs::write(&path, "[[fault]]\nfault = \"throttle\"\n").unwrap();
    let stage = Stage::new(SimulatedOptions { faults: Some(path.clone()), ..fast() }).await;
    assert_eq!(code(&stage).await.as_deref(), Some("ThrottlingException"));
    let until = async |wanted: Option<&str>| {
        in_time("the script", async {
            while code(&stage).await.as_deref() != wanted {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    };
    fs::write(&path, "[[fault]]\nfault = \"internal-error\"\n").unwrap();
    until(Some("InternalServerError")).await;
    fs::write(&path, "[[fault]]\nfault = \"nonsense\"\n").unwrap();
    for _ in 0..30 {
        assert_eq!(code(&stage).await.as_deref(), Some("InternalServerError"));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    fs::write(&path, "").unwrap();
    until(None).await;
    stage.house.end().await;
}

#[tokio::test]
async fn a_script_that_is_none_says_the_line_and_the_column() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faults.toml");
    let house = House::new();
    let cases = [
        ("[[fault]]\nfault = \"throttle\"\nchance = 1.5\n", "line 3, column 10"),
        ("[[fault]]\nfault = \"throttle\"\noften = 2\n", "line 3, column 1"),
        ("[[fault]]\nfault = \"throttel\"\n", "line 2, column 9"),
        ("[[fault\n", "line 1, column 8"),
    ];
    for (text, place) in cases {
        fs::write(&path, text).unwrap();
        let options = SimulatedOptions { faults: Some(path.clone()), ..fast() };
        let error = Simulated::start(options, &house.tracker, &house.shutdown).await.unwrap_err();
        assert!(matches!(error, DevError::Script { .. }));
        let error = error.to_string();
        assert!(error.contains(place) && error.contains("faults.toml"), "{place}: {error}");
    }
    house.end().await;
    let stage = Stage::new(controlled()).await;
    let refused = control(&stage, "PUT", "/faults", "[[fault]]\nfault = 5\n").await;
    assert!(
        refused.starts_with("HTTP/1.1 400") && refused.contains("line 2, column 9"),
        "{refused}"
    );
    stage.house.end().await;
}
