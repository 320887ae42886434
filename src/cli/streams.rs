//! `streams`: lists the streams.

use comfy_table::{Cell, Color, ContentArrangement, Table, presets};
use futures::{StreamExt, stream};
use owo_colors::OwoColorize;
use serde_json::{Map, Value as Json};

use super::client::Client;
use super::failure::Result;
use super::output::Output;
use super::record::{put, view_type};
use super::text::safe;
use super::time;
use crate::config::StreamsArgs;
use crate::exit::Exit;
use crate::pb::{StreamDescription, StreamStatus, StreamSummary, StreamViewType};

/// The most streams that are described: each costs a call to AWS, which allows ten a second per
/// account.
const DESCRIBED: usize = 50;

/// Concurrent calls that describe streams.
const AT_ONCE: usize = 4;

/// Runs the command.
pub(super) async fn run(client: &Client, args: &StreamsArgs, out: &mut Output) -> Result<Exit> {
    let table = args.table.as_ref().map_or("", |table| table.as_str());
    let streams = client.once.list_streams(table).await?;
    let arns: Vec<String> =
        streams.iter().take(DESCRIBED).map(|summary| summary.stream_arn.clone()).collect();
    let described = stream::iter(arns)
        .map(|arn| describe(client.clone(), arn))
        .buffered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    let rows: Vec<StreamRow> = streams
        .iter()
        .zip(described.into_iter().map(Some).chain(std::iter::repeat_with(|| None)))
        .map(|(summary, described)| StreamRow { summary, described })
        .collect();
    if out.is_json() {
        for row in &rows {
            out.json(&Json::Object(row.json()))?;
        }
    } else if !rows.is_empty() {
        out.text(&drawn(&rows, out.width()))?;
    }
    out.flush()?;
    if streams.is_empty() {
        out.say(
            "no streams: enable one on a table (aws dynamodb update-table --stream-specification)"
                .dimmed(),
        );
    } else if streams.len() > DESCRIBED {
        out.say(
            format_args!(
                "only the first {DESCRIBED} are described; name a table to see the others"
            )
            .dimmed(),
        );
    }
    let failed = rows.into_iter().filter_map(|row| row.described?.err()).next();
    failed.map_or(Ok(Exit::Ok), Err)
}

struct StreamRow<'a> {
    summary: &'a StreamSummary,
    /// `None`: not requested.
    described: Option<Result<StreamDescription>>,
}

impl StreamRow<'_> {
    fn description(&self) -> Option<&StreamDescription> {
        self.described.as_ref()?.as_ref().ok()
    }

    fn json(&self) -> Map<String, Json> {
        let mut object = Map::new();
        put(&mut object, "stream_arn", &self.summary.stream_arn);
        put(&mut object, "table_name", &self.summary.table_name);
        put(&mut object, "stream_label", &self.summary.stream_label);
        let Some(description) = self.description() else { return object };
        put(&mut object, "status", status(description));
        if description.stream_view_type() != StreamViewType::Unspecified {
            put(&mut object, "stream_view_type", view_type(description.stream_view_type()));
        }
        let keys = description.key_schema.iter().map(|key| {
            let mut element = Map::new();
            put(&mut element, "attribute_name", &key.attribute_name);
            put(
                &mut element,
                "key_type",
                key.key_type().as_str_name().trim_start_matches("KEY_TYPE_"),
            );
            Json::Object(element)
        });
        object.insert("key_schema".into(), Json::Array(keys.collect()));
        if let Some(created) = &description.created_time {
            put(&mut object, "created_time", &time::rfc3339(created));
        }
        object
    }

    fn cells(&self) -> [Cell; 5] {
        let (state, view, key) = match self.description() {
            None => (Cell::new(if self.described.is_some() { "?" } else { "" }), "", String::new()),
            Some(description) => {
                let color = match description.status() {
                    StreamStatus::Enabled => Color::Green,
                    StreamStatus::Enabling | StreamStatus::Disabling => Color::Yellow,
                    StreamStatus::Disabled | StreamStatus::Unspecified => Color::Reset,
                };
                let names: Vec<String> =
                    description.key_schema.iter().map(|key| safe(&key.attribute_name)).collect();
                let view = short_view(description.stream_view_type());
                (Cell::new(status(description)).fg(color), view, names.join(", "))
            }
        };
        let (table, label) = (safe(&self.summary.table_name), safe(&self.summary.stream_label));
        [Cell::new(table), state, Cell::new(view), Cell::new(key), Cell::new(label)]
    }
}

async fn describe(client: Client, stream: String) -> Result<StreamDescription> {
    Ok(client.once.describe_stream(&stream).await?)
}

fn drawn(rows: &[StreamRow<'_>], width: Option<usize>) -> String {
    let mut table = Table::new();
    // Colours are always set; the output strips them where they do not belong.
    table
        .load_style(presets::NOTHING)
        .enforce_styling()
        .set_content_arrangement(ContentArrangement::Dynamic);
    if let Some(width) = width {
        table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
    }
    table.set_header(["TABLE", "STATUS", "VIEW", "KEY", "LABEL"]);
    for row in rows {
        table.add_row(row.cells());
    }
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 2));
    });
    table.trim_fmt()
}

fn status(description: &StreamDescription) -> &'static str {
    match description.status() {
        StreamStatus::Unspecified => "",
        status => status.as_str_name().trim_start_matches("STREAM_STATUS_"),
    }
}

fn short_view(view: StreamViewType) -> &'static str {
    match view {
        StreamViewType::Unspecified => "",
        StreamViewType::KeysOnly => "keys",
        StreamViewType::NewImage => "new",
        StreamViewType::OldImage => "old",
        StreamViewType::NewAndOldImages => "new+old",
    }
}
