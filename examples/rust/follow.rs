//! Follows a whole stream, and goes on where it stopped, whatever stopped it.
//!
//! ```sh
//! cargo run --example follow -- TABLE TOKEN_FILE [URL]
//! ```
//!
//! A program of its own gets the same client from `proto/` with `tonic-prost-build`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use shardstream::pb::attribute_value::Value;
use shardstream::pb::stream_service_client::StreamServiceClient;
use shardstream::pb::subscribe_request::Start;
use shardstream::pb::subscribe_response::Event;
use shardstream::pb::{IteratorType, Position, SubscribeRequest, SubscribeResponse};
use tonic::transport::Channel;
use tonic::{Code, Status};

/// How long to wait before coming again when the server does not say.
const PAUSE: Duration = Duration::from_secs(1);

#[allow(dead_code, reason = "the test that runs this example calls `follow`")]
#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: follow TABLE TOKEN_FILE [URL]";
    let (table, file) =
        (arguments.next().ok_or(usage)?, PathBuf::from(arguments.next().ok_or(usage)?));
    let server = arguments.next().unwrap_or_else(|| "http://localhost:50051".to_owned());
    follow(&table, &file, &server, &mut |line| println!("{line}")).await
}

/// Prints the records of a table's streams; `file` keeps the token.
pub async fn follow(
    table: &str,
    file: &Path,
    server: &str,
    print: &mut (dyn FnMut(String) + Send),
) -> Result<(), Box<dyn std::error::Error>> {
    let mut client =
        StreamServiceClient::new(Channel::from_shared(server.to_owned())?.connect_lazy());
    loop {
        let mut pause = None;
        match subscribe(&mut client, table, file, &mut pause, print).await {
            // Only `until`, or a stream named by its ARN, has an end.
            Ok(()) => return Ok(()),
            Err(Failure::Status(status)) if pause.is_some() || comes_again(&status) => {
                tokio::time::sleep(pause.unwrap_or(PAUSE)).await;
            }
            Err(Failure::Status(status)) => return Err(status.into()),
            Err(Failure::File(error)) => return Err(error.into()),
        }
    }
}

enum Failure {
    Status(Status),
    File(io::Error),
}

/// UNAVAILABLE: the server went away. OUT_OF_RANGE: a gap was told; the token stands behind it, and
/// going on accepts the loss.
fn comes_again(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::OutOfRange)
}

async fn subscribe(
    client: &mut StreamServiceClient<Channel>,
    table: &str,
    file: &Path,
    pause: &mut Option<Duration>,
    print: &mut (dyn FnMut(String) + Send),
) -> Result<(), Failure> {
    let horizon =
        Position { iterator_type: IteratorType::TrimHorizon.into(), ..Position::default() };
    let start = match fs::read_to_string(file) {
        Ok(token) => Start::Token(token),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Start::Position(horizon),
        Err(error) => return Err(Failure::File(error)),
    };
    let request = SubscribeRequest {
        stream: table.to_owned(),
        start: Some(start),
        ..SubscribeRequest::default()
    };
    let mut messages = client.subscribe(request).await.map_err(Failure::Status)?.into_inner();
    while let Some(message) = messages.message().await.map_err(Failure::Status)? {
        tell(&message, pause, print);
        // Not on every message. It covers all that came up to here, and nothing else.
        if !message.token.is_empty() {
            keep(file, &message.token).map_err(Failure::File)?;
        }
    }
    Ok(())
}

/// What to do with records, with what was lost, and with a stream that ends. Other events need
/// nothing done.
fn tell(
    message: &SubscribeResponse,
    pause: &mut Option<Duration>,
    print: &mut (dyn FnMut(String) + Send),
) {
    for record in &message.records {
        let number = record.meta.as_ref().map_or("", |meta| &meta.sequence_number);
        let key = record.key.iter().map(|(name, value)| match &value.value {
            Some(Value::S(text) | Value::N(text)) => format!("{name}={text}"),
            other => format!("{name}={other:?}"),
        });
        print(format!("{} {number} {}", message.shard_id, key.collect::<Vec<_>>().join(" ")));
    }
    match &message.event {
        Some(Event::Gap(gap)) => {
            let lost = if gap.certain { "lost" } else { "may have lost" };
            eprintln!("{} {lost} records after {:?}", gap.shard_id, gap.after_sequence_number);
        }
        Some(Event::End(end)) => {
            *pause = end.retry_delay.and_then(|delay| Duration::try_from(delay).ok());
            eprintln!("the server ends the stream: {} {}", end.reason().as_str_name(), end.detail);
        }
        _ => {}
    }
}

/// Replaces the file at once, so that it is whole whenever this program is killed.
fn keep(file: &Path, token: &str) -> io::Result<()> {
    let draft = file.with_extension("new");
    fs::write(&draft, token)?;
    fs::rename(&draft, file)
}
