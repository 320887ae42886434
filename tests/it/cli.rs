//! The client commands against a server that follows a script: what they ask, what they print, how
//! they end.

mod config;
mod doctor;
mod errors;
mod get;
mod listening;
mod listings;
mod nothing_leaks;
mod process;
#[cfg(feature = "embedded")]
mod real;
mod server_process;
mod service_manager;
mod subscribe;
mod tail;
#[cfg(feature = "embedded")]
mod ten_commands;
mod tls;
mod tree;

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use shardstream::cli::{self, Output};
use shardstream::config::{ClientCommand, Invocation, OutputFormat as Format};
use shardstream::exit::Exit;
use shardstream::pb::stream_records_response::Event;
use shardstream::pb::*;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::support::scripted_server::{Push, Script, ScriptedServer};

const SHARD: &str = "shardId-00000001795428000000-d35d208d";

/// What a command printed and how it ended, without colours.
struct Ran {
    exit: Exit,
    data: String,
    talk: String,
}

/// A writer that can be read while it is written to.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    fn text(&self) -> String {
        let text = String::from_utf8(self.0.lock().clone()).expect("text");
        anstream::adapter::strip_str(&text).to_string()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs a command line against a server, until its end.
async fn run(server: &ScriptedServer, args: &[&str]) -> Ran {
    let (data, talk) = (Shared::default(), Shared::default());
    let exit = run_to(server, args, data.clone(), talk.clone(), &CancellationToken::new()).await;
    Ran { exit, data: data.text(), talk: talk.text() }
}

async fn run_to(
    server: &ScriptedServer,
    args: &[&str],
    data: impl Write + Send + 'static,
    talk: Shared,
    cancel: &CancellationToken,
) -> Exit {
    let format = if args.contains(&"json") { Format::Json } else { Format::Table };
    let mut out = Output::to(data, talk, format, Some(80));
    cli::run_on(&command(args, &server.url()), &mut out, cancel).await
}

fn command(args: &[&str], url: &str) -> ClientCommand {
    let line = ["shardstream"].into_iter().chain(args.iter().copied()).chain(["--server", url]);
    match Invocation::parse(line).expect("a command line") {
        Invocation::Client(command) => command,
        other => panic!("{other:?} is no client command"),
    }
}

/// An inserted item `{id: N}`, numbered as its id.
fn record(id: u32) -> ChangeRecord {
    let number = AttributeValue { value: Some(attribute_value::Value::N(id.to_string())) };
    let key = [("id".to_owned(), number)];
    ChangeRecord {
        key: key.clone().into(),
        new_image: key.into(),
        meta: Some(Meta {
            created_at: Some(prost_types::Timestamp { seconds: 1_795_428_000, nanos: 0 }),
            change: Some(Change {
                id: format!("e{id}"),
                r#type: ChangeType::Insert.into(),
                ..Default::default()
            }),
            sequence_number: id.to_string(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn records(ids: &[u32], token: &str) -> Push {
    let records = ids.iter().map(|id| record(*id)).collect();
    Push::Message(Box::new(StreamRecordsResponse {
        records,
        shard_id: SHARD.into(),
        token: token.into(),
        ..Default::default()
    }))
}

fn event(event: Event, token: &str) -> Push {
    Push::Message(Box::new(StreamRecordsResponse {
        event: Some(event),
        token: token.into(),
        ..Default::default()
    }))
}

fn end(reason: EndReason, token: &str) -> Push {
    event(Event::End(End { reason: reason.into(), ..Default::default() }), token)
}

fn status(code: Code, reason: &str) -> Status {
    Status::with_error_details(
        code,
        "said the server",
        ErrorDetails::with_error_info(reason, "shardstream", []),
    )
}

fn shard(id: &str, parent: &str, state: ShardState) -> Shard {
    Shard {
        stream_arn: "arn:aws:dynamodb:eu-west-1:1:table/orders/stream/2026-11-23T10:00:00.000"
            .into(),
        shard_id: id.into(),
        parent_shard_id: parent.into(),
        starting_sequence_number: "100000000003498069978".into(),
        state: state.into(),
        ..Default::default()
    }
}

/// A server that pushes these, one response stream after the other.
fn pushing(pushes: impl IntoIterator<Item = Result<Vec<Push>, Status>>) -> ScriptedServer {
    let shards = vec![shard(SHARD, "", ShardState::Open)];
    let pushes = Mutex::new(pushes.into_iter().collect());
    ScriptedServer::start(Script { shards, pushes, ..Default::default() })
}

/// The places at which response streams were asked to begin: tokens, or the names of positions.
fn places(server: &ScriptedServer) -> Vec<String> {
    let asked = server.script.asked_pushes.lock();
    let place = |request: &StreamRecordsRequest| match request.source.clone().expect("a source") {
        stream_records_request::Source::Start(start) => match start.start.expect("a place") {
            shard_start::Start::Token(token) => token,
            shard_start::Start::Position(position) => position
                .iterator_type()
                .as_str_name()
                .trim_start_matches("ITERATOR_TYPE_")
                .to_owned(),
        },
        stream_records_request::Source::LeaseId(_) => panic!("the commands use no leases"),
    };
    asked.iter().map(place).collect()
}

/// Waits until it is there.
async fn printed(shared: &Shared, text: &str) {
    let there = async {
        while !shared.text().contains(text) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), there)
        .await
        .unwrap_or_else(|_| panic!("no {text}: {}", shared.text()));
}
