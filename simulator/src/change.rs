//! A change to an item, and the record it becomes.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::chance::{Purpose, draw};
use crate::number::SequenceNumber;
use crate::{Millis, chance, size};

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// It is new.
    #[serde(rename = "INSERT")]
    Insert,
    /// It is another.
    #[serde(rename = "MODIFY")]
    Modify,
    /// It is gone.
    #[serde(rename = "REMOVE")]
    Remove,
}

/// What of an item a stream's records hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ViewType {
    /// The key.
    #[serde(rename = "KEYS_ONLY")]
    KeysOnly,
    /// The key, and the item as it became.
    #[serde(rename = "NEW_IMAGE")]
    NewImage,
    /// The key, and the item as it was.
    #[serde(rename = "OLD_IMAGE")]
    OldImage,
    /// All of it.
    #[serde(rename = "NEW_AND_OLD_IMAGES")]
    NewAndOldImages,
}

/// One part of a table's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct KeyElement {
    /// The attribute.
    pub attribute_name: String,
    /// `HASH` or `RANGE`.
    pub key_type: String,
}

/// How a stream shows a change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown<'a> {
    pub(crate) view: ViewType,
    pub(crate) number: SequenceNumber,
    pub(crate) at: Millis,
    pub(crate) region: &'a str,
}

/// A change to one item of a table, whatever of it the stream shows. Items are in DynamoDB's JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The table.
    pub table: String,
    /// The item's key.
    pub keys: Map<String, Value>,
    /// The item as it was; `None`: there was none.
    pub old: Option<Map<String, Value>>,
    /// The item as it became; `None`: there is none.
    pub new: Option<Map<String, Value>>,
    /// DynamoDB itself deleted it, because its time to live had passed.
    #[serde(default)]
    pub expired: bool,
}

impl Change {
    /// What became of the item; `None`: nothing, and nothing is recorded.
    pub(crate) fn operation(&self) -> Option<Operation> {
        match (&self.old, &self.new) {
            (None, Some(_)) => Some(Operation::Insert),
            (Some(old), Some(new)) => (!size::same(old, new)).then_some(Operation::Modify),
            (Some(_), None) => Some(Operation::Remove),
            (None, None) => None,
        }
    }

    /// Where the item's partition key lies among the hash ranges.
    pub(crate) fn hash(&self, keys: &[KeyElement]) -> u64 {
        let partition = keys.iter().find(|key| key.key_type == "HASH");
        let value = partition.and_then(|key| self.keys.get(&key.attribute_name));
        chance::hash(&value.map_or_else(String::new, Value::to_string))
    }

    /// The record's JSON, as GetRecords answers it.
    pub(crate) fn record(&self, operation: Operation, shown: Shown<'_>) -> String {
        let Shown { view, number, at, region } = shown;
        let new = matches!(view, ViewType::NewImage | ViewType::NewAndOldImages);
        let old = matches!(view, ViewType::OldImage | ViewType::NewAndOldImages);
        let images = [("NewImage", &self.new, new), ("OldImage", &self.old, old)];
        let mut bytes = size::of(&self.keys);
        // Rounded down to the second, as AWS does.
        let mut change = json!({"ApproximateCreationDateTime": at / 1_000, "Keys": self.keys});
        for (name, image, shown) in images {
            if let Some(image) = image.as_ref().filter(|_| shown) {
                bytes += size::of(image);
                change[name] = Value::Object(image.clone());
            }
        }
        change["SequenceNumber"] = json!(number.to_string());
        change["SizeBytes"] = json!(bytes);
        change["StreamViewType"] = json!(view);
        let mut id =
            draw(chance::hash(&self.table), Purpose::Event, &[chance::hash(&number.to_string())]);
        let mut record = json!({
            "awsRegion": region,
            "dynamodb": change,
            "eventID": format!("{:032x}", id.u128(..)),
            "eventName": operation,
            "eventSource": "aws:dynamodb",
            "eventVersion": "1.1",
        });
        if self.expired {
            record["userIdentity"] =
                json!({"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"});
        }
        record.to_string()
    }
}
