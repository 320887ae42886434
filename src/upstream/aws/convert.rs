//! Converts the SDK's types to the model's. Fields that the SDK leaves out stay unset.

use aws_sdk_dynamodbstreams::operation::describe_stream::DescribeStreamOutput;
use aws_sdk_dynamodbstreams::operation::get_records::GetRecordsOutput;
use aws_sdk_dynamodbstreams::operation::list_streams::ListStreamsOutput;
use aws_sdk_dynamodbstreams::primitives::DateTime;
use aws_sdk_dynamodbstreams::types as sdk;

use super::record_error::Flaw;
use crate::model::{
    AttributeValue, Item, KeySchemaElement, MAX_LEVELS, Page, PageEntry, Record, SequenceNumber,
    Shard, ShardId, StreamArn, StreamDescription, StreamStatus, StreamSummary, Timestamp,
    UserIdentity,
};
use crate::upstream::{DescribePage, StreamsPage};

/// The region in dynoxide's ARNs. dynoxide gives every shard with a record an EndingSequenceNumber,
/// although none of its shards ever closes.
const ENDS_OPEN_SHARDS: &str = "dynoxide";

/// Converts a response of ListStreams.
pub(super) fn streams_page(answer: ListStreamsOutput) -> Result<StreamsPage, &'static str> {
    let parse = |text: &str| match StreamArn::parse(text) {
        Ok(arn) => Some(StreamSummary { arn }),
        Err(_) => {
            tracing::warn!(stream = text, "a listed stream is left out: its ARN cannot be read");
            None
        }
    };
    // Otherwise an empty body would mean "there are no streams".
    let listed = answer.streams.as_deref().ok_or("the answer is not a list of streams")?;
    let streams: Vec<_> =
        listed.iter().filter_map(|row| parse(row.stream_arn().unwrap_or_default())).collect();
    let unreadable = listed.len() - streams.len();
    let last_evaluated = answer.last_evaluated_stream_arn.filter(|text| !text.is_empty());
    Ok(StreamsPage { streams, unreadable, last_evaluated })
}

/// Converts a response of DescribeStream for `stream`.
pub(super) fn describe_page(
    stream: &StreamArn,
    answer: DescribeStreamOutput,
    date: Option<Timestamp>,
) -> Result<DescribePage, &'static str> {
    let described = answer.stream_description.ok_or("the answer describes no stream")?;
    let last_evaluated = match described.last_evaluated_shard_id().filter(|text| !text.is_empty()) {
        Some(text) => {
            Some(ShardId::parse(text).map_err(|_| "LastEvaluatedShardId cannot be read")?)
        }
        None => None,
    };
    let shards: Vec<Shard> =
        described.shards().iter().filter_map(|row| shard(stream, row)).collect();
    let unreadable = described.shards().len() - shards.len();
    let key_schema = described.key_schema().iter().map(|key| KeySchemaElement {
        attribute_name: key.attribute_name().to_owned(),
        key_type: key.key_type().as_str().to_owned(),
    });
    let description = StreamDescription {
        arn: described
            .stream_arn()
            .and_then(|text| StreamArn::parse(text).ok())
            .unwrap_or_else(|| stream.clone()),
        status: described.stream_status().and_then(status),
        view_type: described.stream_view_type().map(|view| view.as_str().to_owned()),
        key_schema: key_schema.collect(),
        created: described.creation_request_date_time().and_then(timestamp),
    };
    Ok(DescribePage { description, shards, unreadable, last_evaluated, date })
}

/// Whether the response is about another stream: emulators describe a table's newest stream
/// whichever of its streams was requested. Then the label is not the ARN's; on AWS it always is.
pub(super) fn is_of_another(stream: &StreamArn, answer: &DescribeStreamOutput) -> bool {
    let label = answer.stream_description().and_then(|described| described.stream_label());
    label.is_some_and(|label| !label.is_empty() && label != stream.label())
}

fn shard(stream: &StreamArn, row: &sdk::Shard) -> Option<Shard> {
    let text = row.shard_id().unwrap_or_default();
    let Ok(id) = ShardId::parse(text) else {
        tracing::warn!(shard = text, "a listed shard is left out: its id cannot be read");
        return None;
    };
    let parent = row.parent_shard_id().filter(|text| !text.is_empty()).and_then(|text| {
        let parent = ShardId::parse(text).ok();
        if parent.is_none() {
            tracing::warn!(shard = %id, "a listed shard's parent cannot be read");
        }
        parent
    });
    let number = |text: Option<&str>| text.and_then(|text| SequenceNumber::parse(text).ok());
    let range = row.sequence_number_range();
    let ending = number(range.and_then(|range| range.ending_sequence_number()));
    Some(Shard {
        id,
        parent,
        starting: number(range.and_then(|range| range.starting_sequence_number())),
        ending: ending.filter(|_| stream.region() != ENDS_OPEN_SHARDS),
    })
}

fn status(status: &sdk::StreamStatus) -> Option<StreamStatus> {
    match status {
        sdk::StreamStatus::Enabling => Some(StreamStatus::Enabling),
        sdk::StreamStatus::Enabled => Some(StreamStatus::Enabled),
        sdk::StreamStatus::Disabling => Some(StreamStatus::Disabling),
        sdk::StreamStatus::Disabled => Some(StreamStatus::Disabled),
        _ => None,
    }
}

/// Converts a response of GetRecords.
pub(super) fn page(answer: GetRecordsOutput) -> Result<Page, &'static str> {
    assemble(
        answer.records.map(|records| records.into_iter().map(entry).collect()),
        answer.next_shard_iterator,
    )
}

/// Makes a page of its two fields.
pub(super) fn assemble(
    entries: Option<Vec<PageEntry>>,
    next: Option<String>,
) -> Result<Page, &'static str> {
    let next_iterator = next.filter(|iterator| !iterator.is_empty());
    match (entries, next_iterator) {
        // No next iterator means that the shard is closed and read to its end. `{}` and an empty
        // body, which the SDK treats as `{}`, come from some proxy, and must not end an open shard.
        (None, None) => Err("the answer is not a page of records"),
        (entries, next_iterator) => {
            Ok(Page { entries: entries.unwrap_or_default(), next_iterator })
        }
    }
}

fn entry(record: sdk::Record) -> PageEntry {
    let change = record.dynamodb.as_ref();
    let created_at =
        change.and_then(|change| change.approximate_creation_date_time()).and_then(timestamp);
    match sequence_number(change.and_then(|change| change.sequence_number())) {
        Err(flaw) => flaw.entry(None, created_at),
        Ok(number) => match read(record, number, created_at) {
            Ok(record) => PageEntry::Record(Box::new(record)),
            Err(flaw) => flaw.entry(number, created_at),
        },
    }
}

/// Parses a record's sequence number; `Ok(None)` when it has none.
pub(super) fn sequence_number(text: Option<&str>) -> Result<Option<SequenceNumber>, Flaw> {
    text.map(SequenceNumber::parse).transpose().map_err(|_| Flaw::Field("SequenceNumber"))
}

fn read(
    record: sdk::Record,
    sequence_number: Option<SequenceNumber>,
    created_at: Option<Timestamp>,
) -> Result<Record, Flaw> {
    let mut read = Record {
        event_id: record.event_id,
        event_name: record.event_name.map(|name| name.as_str().to_owned()),
        event_version: record.event_version,
        event_source: record.event_source,
        aws_region: record.aws_region,
        user_identity: record
            .user_identity
            .map(|who| UserIdentity { kind: who.r#type, principal_id: who.principal_id }),
        sequence_number,
        created_at,
        ..Record::default()
    };
    if let Some(change) = record.dynamodb {
        read.keys = change.keys.map(|keys| item(keys, 0)).transpose()?;
        read.new_image = change.new_image.map(|image| item(image, 0)).transpose()?;
        read.old_image = change.old_image.map(|image| item(image, 0)).transpose()?;
        read.size_bytes = change.size_bytes;
        read.stream_view_type = change.stream_view_type.map(|view| view.as_str().to_owned());
    }
    Ok(read)
}

fn item(
    map: impl IntoIterator<Item = (String, sdk::AttributeValue)>,
    level: usize,
) -> Result<Item, Flaw> {
    map.into_iter().map(|(name, inner)| Ok((name, value(inner, level)?))).collect()
}

/// Converts one value nested in `level` maps and lists. The recursion is limited by our own limit,
/// and before that by the SDK's.
fn value(value: sdk::AttributeValue, level: usize) -> Result<AttributeValue, Flaw> {
    use sdk::AttributeValue as V;
    Ok(match value {
        V::M(_) | V::L(_) if level >= MAX_LEVELS => return Err(Flaw::TooDeep),
        V::S(text) => AttributeValue::S(text),
        V::N(number) => AttributeValue::N(number),
        V::B(bytes) => AttributeValue::B(bytes.into_inner()),
        V::Ss(texts) => AttributeValue::Ss(texts),
        V::Ns(numbers) => AttributeValue::Ns(numbers),
        V::Bs(all) => AttributeValue::Bs(all.into_iter().map(|bytes| bytes.into_inner()).collect()),
        V::M(map) => AttributeValue::M(item(map, level + 1)?),
        V::L(list) => AttributeValue::L(
            list.into_iter()
                .map(|inner| self::value(inner, level + 1))
                .collect::<Result<_, _>>()?,
        ),
        V::Null(flag) => AttributeValue::Null(flag),
        V::Bool(flag) => AttributeValue::Bool(flag),
        _ => return Err(Flaw::UnknownType),
    })
}

/// Converts a time; `None` when it is out of range.
pub(super) fn timestamp(time: &DateTime) -> Option<Timestamp> {
    Timestamp::rounded(time.secs(), time.subsec_nanos())
}
