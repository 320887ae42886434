//! A page as the JSON that AWS would send of it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use shardstream::model::{
    AttributeValue, Fetched, Item, Page, PageEntry, RawPage, Record, Timestamp,
};
use shardstream::upstream::aws::read_page;

use super::entry::BAD;

/// The page itself or its body, as chance has it: whoever reads it must not see a difference. A
/// script's own causes of unreadable records cannot be said in JSON; such a page comes as it is.
pub(super) fn fetched(page: Page, date: Option<Timestamp>, chance: &mut fastrand::Rng) -> Fetched {
    let can_be_said =
        |entry: &PageEntry| !matches!(entry, PageEntry::Unreadable(bad) if bad.cause != BAD);
    if !page.entries.iter().all(can_be_said) || chance.bool() {
        return Fetched::Page(page, date);
    }
    let records: Vec<Value> = page.entries.iter().map(entry).collect();
    let mut body = json!({ "Records": records });
    if let Some(next) = page.next_iterator {
        body["NextShardIterator"] = next.into();
    }
    // Some emulators write it for people.
    let text = if chance.u8(..) < 32 { format!("{body:#}\n") } else { body.to_string() };
    Fetched::Raw(RawPage { body: Bytes::from(text), date, reread: read_page })
}

fn entry(entry: &PageEntry) -> Value {
    match entry {
        PageEntry::Record(of) => record(of),
        PageEntry::Unreadable(bad) if bad.sequence_number.is_none() && bad.created_at.is_none() => {
            json!(7)
        }
        PageEntry::Unreadable(bad) => {
            let bare = Record {
                sequence_number: bad.sequence_number,
                created_at: bad.created_at,
                ..Record::default()
            };
            let mut value = record(&bare);
            value["dynamodb"]["NewImage"] = json!({ "odd": {} });
            value
        }
    }
}

fn record(record: &Record) -> Value {
    let mut change = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        drop(value.map(|value| change.insert(name.to_owned(), value)))
    };
    put("ApproximateCreationDateTime", record.created_at.as_ref().map(seconds));
    put("Keys", record.keys.as_ref().map(item));
    put("NewImage", record.new_image.as_ref().map(item));
    put("OldImage", record.old_image.as_ref().map(item));
    put("SequenceNumber", record.sequence_number.map(|number| json!(number.as_str())));
    put("SizeBytes", record.size_bytes.map(|size| json!(size)));
    put("StreamViewType", record.stream_view_type.as_ref().map(|view| json!(view)));
    let mut all = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        drop(value.map(|value| all.insert(name.to_owned(), value)))
    };
    put("eventID", record.event_id.as_ref().map(|id| json!(id)));
    put("eventName", record.event_name.as_ref().map(|name| json!(name)));
    put("eventVersion", record.event_version.as_ref().map(|version| json!(version)));
    put("eventSource", record.event_source.as_ref().map(|source| json!(source)));
    put("awsRegion", record.aws_region.as_ref().map(|region| json!(region)));
    put("dynamodb", Some(Value::Object(change)));
    let who = record.user_identity.as_ref();
    put(
        "userIdentity",
        who.map(|who| json!({ "Type": who.kind, "PrincipalId": who.principal_id })),
    );
    Value::Object(all)
}

fn seconds(time: &Timestamp) -> Value {
    match time.nanos() {
        0 => json!(time.seconds()),
        nanos => json!(time.seconds() as f64 + f64::from(nanos) / 1e9),
    }
}

fn item(item: &Item) -> Value {
    Value::Object(item.iter().map(|(name, inner)| (name.clone(), value(inner))).collect())
}

fn value(value: &AttributeValue) -> Value {
    let base64 = |bytes: &Vec<u8>| STANDARD.encode(bytes);
    match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(number) => json!({ "N": number }),
        AttributeValue::B(bytes) => json!({ "B": base64(bytes) }),
        AttributeValue::Ss(texts) => json!({ "SS": texts }),
        AttributeValue::Ns(numbers) => json!({ "NS": numbers }),
        AttributeValue::Bs(all) => json!({ "BS": all.iter().map(base64).collect::<Vec<_>>() }),
        AttributeValue::M(map) => json!({ "M": item(map) }),
        AttributeValue::L(list) => json!({ "L": list.iter().map(self::value).collect::<Vec<_>>() }),
        AttributeValue::Null(flag) => json!({ "NULL": flag }),
        AttributeValue::Bool(flag) => json!({ "BOOL": flag }),
    }
}
