//! What is said differently on the way to the embedded database and back: it always keeps both
//! images of a change, of which the model shows what was asked for; and ARNs are the model's.

use dynoxide::streams::{LOCAL_ACCOUNT, LOCAL_REGION};
use serde_json::Value;
use shardstream_simulator::{KeyElement, Model, Refusal, ViewType};

use super::SIMULATED_REGION;

/// What the `X-Amz-Target` of the table API begins with.
pub(super) const TARGET: &str = "DynamoDB_20120810.";

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Reads items.
    Read,
    /// May change items.
    Write,
    /// Makes, changes or deletes a table.
    Manage,
    /// Anything else, which may name ARNs.
    Other,
}

/// What a call does to the stream of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Enable(ViewType),
    Disable,
}

impl Kind {
    /// What the operation of that name does.
    pub(super) fn of(operation: &str) -> Self {
        match operation {
            "GetItem" | "BatchGetItem" | "Query" | "Scan" | "TransactGetItems" => Self::Read,
            "PutItem"
            | "UpdateItem"
            | "DeleteItem"
            | "BatchWriteItem"
            | "TransactWriteItems"
            | "ExecuteStatement"
            | "BatchExecuteStatement"
            | "ExecuteTransaction" => Self::Write,
            "CreateTable" | "UpdateTable" | "DeleteTable" => Self::Manage,
            _ => Self::Other,
        }
    }
}

/// A request that manages a table, as the database is to get it, and what it means for the stream.
/// What is not understood goes through as it is: the database says what is wrong with it.
pub(super) fn request(operation: &str, body: &[u8]) -> (Vec<u8>, Option<Wish>) {
    let Ok(mut request) = serde_json::from_slice::<Value>(body) else {
        return (body.to_vec(), None);
    };
    let mut wish = (operation == "DeleteTable").then_some(Wish::Disable);
    if let Some(stream) = request.get_mut("StreamSpecification") {
        match stream.get("StreamEnabled").and_then(Value::as_bool) {
            Some(true) => {
                let view = stream.get("StreamViewType").cloned().unwrap_or_default();
                if let Ok(view) = serde_json::from_value(view) {
                    wish = Some(Wish::Enable(view));
                    stream["StreamViewType"] = "NEW_AND_OLD_IMAGES".into();
                }
            }
            Some(false) if operation == "UpdateTable" => wish = Some(Wish::Disable),
            _ => {}
        }
    }
    (renamed(&request.to_string(), &outside(), &inside()).into_bytes(), wish)
}

/// Why AWS would refuse what the database would do: a stream that is enabled twice, or disabled
/// where there is none.
pub(super) fn refusal(
    operation: &str,
    body: &[u8],
    wish: Option<Wish>,
    model: &Model,
) -> Option<Refusal> {
    let request = serde_json::from_slice::<Value>(body).ok()?;
    let table = request.get("TableName")?.as_str()?;
    if operation != "UpdateTable" {
        return None;
    }
    match (wish?, model.enabled(table)) {
        (Wish::Enable(_), Some(_)) => Some(Refusal::Validation(format!(
            "Table already has an enabled stream: TableName: {table}"
        ))),
        (Wish::Disable, None) => Some(Refusal::Validation(format!(
            "Table already has a disabled stream: TableName: {table}"
        ))),
        _ => None,
    }
}

/// The table that an answer describes, and its key.
pub(super) fn described(body: &[u8]) -> Option<(String, Vec<KeyElement>)> {
    let answer = serde_json::from_slice::<Value>(body).ok()?;
    let table = answer.get("TableDescription")?;
    let keys = serde_json::from_value(table.get("KeySchema")?.clone()).ok()?;
    Some((table.get("TableName")?.as_str()?.to_owned(), keys))
}

/// An answer as its client is to get it.
pub(super) fn answer(body: &[u8], model: &Model) -> Vec<u8> {
    let Ok(mut answer) = serde_json::from_slice::<Value>(body) else { return body.to_vec() };
    for place in ["TableDescription", "Table"] {
        let Some(table) = answer.get_mut(place).and_then(Value::as_object_mut) else { continue };
        let Some(name) = table.get("TableName").and_then(Value::as_str) else { continue };
        let (latest, enabled) = (model.latest(name), model.enabled(name));
        match (latest, table.contains_key("LatestStreamArn")) {
            (Some((arn, label)), true) => {
                table.insert("LatestStreamArn".into(), arn.into());
                table.insert("LatestStreamLabel".into(), label.into());
            }
            _ => {
                table.remove("LatestStreamArn");
                table.remove("LatestStreamLabel");
            }
        }
        if let (Some((_, _, view)), Some(stream)) = (enabled, table.get_mut("StreamSpecification"))
        {
            stream["StreamViewType"] = serde_json::to_value(view).unwrap_or_default();
        }
    }
    renamed(&answer.to_string(), &inside(), &outside()).into_bytes()
}

fn renamed(text: &str, from: &str, to: &str) -> String {
    text.replace(from, to)
}

/// How the database's ARNs begin.
fn inside() -> String {
    format!("arn:aws:dynamodb:{LOCAL_REGION}:{LOCAL_ACCOUNT}:")
}

/// How the model's begin.
fn outside() -> String {
    format!("arn:aws:dynamodb:{SIMULATED_REGION}:{LOCAL_ACCOUNT}:")
}
