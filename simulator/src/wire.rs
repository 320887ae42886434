//! AWS's JSON: what a call asks for, checked as AWS checks it, and what it is answered.

use serde_json::{Map, Value, json};

use crate::Millis;
use crate::error::Refusal;
use crate::faults::{About, Call, Disturbance, Effect};
use crate::iterator::Iterator;
use crate::model::{Model, Start};
use crate::shard::Shard;

/// What the `X-Amz-Target` of the Streams API begins with.
const TARGET: &str = "DynamoDBStreams_20120810.";

/// What a call is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// JSON.
    pub body: String,
    /// What is done to it on its way.
    pub disturbance: Option<Disturbance>,
}

/// The fields of a request.
struct Request(Map<String, Value>);

impl Model {
    /// Answers one call of the Streams API, named by its `X-Amz-Target`.
    pub fn answer(&mut self, target: &str, body: &[u8], now: Millis) -> Answer {
        let operation = target.strip_prefix(TARGET).unwrap_or_default();
        let request = || match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Request(fields)),
            _ => Err(Refusal::Serialization("Start of structure or map expected.".into())),
        };
        let call = match operation {
            "ListStreams" => Call::ListStreams,
            "DescribeStream" => Call::DescribeStream,
            "GetShardIterator" => Call::GetShardIterator,
            "GetRecords" => Call::GetRecords,
            _ => return Refusal::UnknownOperation.answer(),
        };
        let answer = request().and_then(|request| {
            let (late, disturbance) = match self.fault(call, &request) {
                None => (0, None),
                Some(Effect::Refuse(refusal)) => return Err(refusal),
                Some(Effect::Disturb(disturbance)) => (0, Some(disturbance)),
                Some(Effect::Late(late)) => (late, None),
            };
            let body = match call {
                Call::ListStreams => self.answer_list_streams(&request, now),
                Call::DescribeStream => self.answer_describe_stream(&request, late, now),
                Call::GetShardIterator => self.answer_shard_iterator(&request, now),
                Call::GetRecords => self.answer_records(&request, now),
            };
            let answer = body.map(|body| Answer { status: 200, body, disturbance: None });
            let answer = answer.unwrap_or_else(|refusal| refusal.answer());
            Ok(Answer { disturbance, ..answer })
        });
        answer.unwrap_or_else(|refusal| refusal.answer())
    }

    /// What the fault script does to a call.
    fn fault(&mut self, call: Call, request: &Request) -> Option<Effect> {
        let text = |field: &str| request.text(field).ok().flatten();
        let iterator = text("ShardIterator").and_then(Iterator::decode);
        let arn = text("StreamArn").or(iterator.as_ref().map(|at| at.stream.as_str()));
        let in_arn = arn.and_then(|arn| Some(arn.split_once(":table/")?.1.split_once('/')?.0));
        let shard = iterator.as_ref().and_then(|at| self.shard_id(&at.stream, at.shard));
        let about = About {
            call: Some(call),
            table: text("TableName").or(in_arn).map(str::to_owned),
            shard: text("ShardId").map(str::to_owned).or(shard),
        };
        self.effect(&about)
    }

    fn answer_list_streams(&mut self, request: &Request, now: Millis) -> Result<String, Refusal> {
        let table = request.text("TableName")?;
        if let Some(table) = table
            && !(3..=255).contains(&table.len())
        {
            let must = "have length greater than or equal to 3";
            return Err(Refusal::constraint("tableName", table, must));
        }
        let start = request.text("ExclusiveStartStreamArn")?;
        let limit = request.limit(100)?;
        let (streams, more) = self.list_streams(table, start, limit, now)?;
        let last = streams.last().filter(|_| more).map(|stream| stream.arn.clone());
        let rows = streams.iter().map(|stream| {
            json!({"StreamArn": stream.arn, "StreamLabel": stream.label, "TableName": stream.table})
        });
        let mut answer = json!({"Streams": rows.collect::<Vec<_>>()});
        if let Some(last) = last {
            answer["LastEvaluatedStreamArn"] = last.into();
        }
        Ok(answer.to_string())
    }

    fn answer_describe_stream(
        &mut self,
        request: &Request,
        late: Millis,
        now: Millis,
    ) -> Result<String, Refusal> {
        let arn = request.arn()?;
        let start = request.shard("ExclusiveStartShardId")?;
        let parent = request.child_filter()?;
        let limit = request.limit(100)?;
        let page = self.describe(arn, (start, parent), limit, (now, late))?;
        let mut description = json!({
            "CreationRequestDateTime": seconds(page.stream.created),
            "KeySchema": page.stream.keys,
            "Shards": page.shards.iter().map(|shard| row(shard, now)).collect::<Vec<_>>(),
            "StreamArn": page.stream.arn,
            "StreamLabel": page.stream.label,
            "StreamStatus": page.stream.status(now),
            "StreamViewType": page.stream.view,
            "TableName": page.stream.table,
        });
        if let Some(last) = page.shards.last().filter(|_| page.more) {
            description["LastEvaluatedShardId"] = last.id.clone().into();
        }
        Ok(json!({"StreamDescription": description}).to_string())
    }

    fn answer_shard_iterator(&mut self, request: &Request, now: Millis) -> Result<String, Refusal> {
        let arn = request.arn()?;
        let shard = request.shard("ShardId")?.ok_or_else(|| missing("shardId"))?;
        let start = request.start()?;
        let iterator = self.shard_iterator(arn, shard, start, now)?;
        Ok(json!({"ShardIterator": iterator}).to_string())
    }

    fn answer_records(&mut self, request: &Request, now: Millis) -> Result<String, Refusal> {
        let iterator = request.text("ShardIterator")?.ok_or_else(|| missing("shardIterator"))?;
        if !(1..=2048).contains(&iterator.len()) {
            let must = "have length less than or equal to 2048";
            return Err(Refusal::constraint("shardIterator", iterator, must));
        }
        let limit = request.limit(1_000)?;
        let page = self.records(iterator, limit, now)?;
        let mut body = String::from("{");
        if let Some(next) = page.next {
            body += &format!("\"NextShardIterator\":{},", Value::String(next));
        }
        body += "\"Records\":[";
        body += &page.records.join(",");
        body += "]}";
        Ok(body)
    }
}

impl Refusal {
    /// The answer that says so.
    pub fn answer(&self) -> Answer {
        let mut body = json!({"__type": self.kind()});
        if !self.message().is_empty() {
            body["message"] = self.message().into();
        }
        Answer { status: self.status(), body: body.to_string(), disturbance: None }
    }
}

impl Request {
    fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field).filter(|value| !value.is_null())
    }

    fn text(&self, field: &str) -> Result<Option<&str>, Refusal> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(value) => Err(wrong_type(value, "String")),
        }
    }

    fn limit(&self, most: usize) -> Result<usize, Refusal> {
        let Some(value) = self.get("Limit") else { return Ok(most) };
        let limit = value.as_i64().ok_or_else(|| wrong_type(value, "Integer"))?;
        let must = |bound: &str| Refusal::constraint("limit", &limit.to_string(), bound);
        match usize::try_from(limit) {
            Ok(1..) if limit as usize <= most => Ok(limit as usize),
            Ok(1..) => Err(must(&format!("have value less than or equal to {most}"))),
            _ => Err(must("have value greater than or equal to 1")),
        }
    }

    fn arn(&self) -> Result<&str, Refusal> {
        let arn = self.text("StreamArn")?.ok_or_else(|| missing("streamArn"))?;
        match arn.len() {
            ..37 => Err(Refusal::constraint(
                "streamArn",
                arn,
                "have length greater than or equal to 37",
            )),
            1025.. => {
                Err(Refusal::constraint("streamArn", arn, "have length less than or equal to 1024"))
            }
            _ if !arn.starts_with("arn:") || !arn.contains("/stream/") => {
                Err(Refusal::Validation("Invalid StreamArn".into()))
            }
            _ => Ok(arn),
        }
    }

    fn shard(&self, field: &str) -> Result<Option<&str>, Refusal> {
        let Some(id) = self.text(field)? else { return Ok(None) };
        let name = field[..1].to_lowercase() + &field[1..];
        match id.len() {
            ..28 => Err(Refusal::constraint(&name, id, "have length greater than or equal to 28")),
            66.. => Err(Refusal::constraint(&name, id, "have length less than or equal to 65")),
            _ => Ok(Some(id)),
        }
    }

    /// The shard whose children are asked for.
    fn child_filter(&self) -> Result<Option<&str>, Refusal> {
        let Some(filter) = self.get("ShardFilter") else { return Ok(None) };
        let Value::Object(filter) = filter else {
            return Err(wrong_type(filter, "Structure"));
        };
        let text = |name: &str| filter.get(name).and_then(Value::as_str);
        match (text("Type"), text("ShardId")) {
            (Some("CHILD_SHARDS"), Some(id)) if (28..=65).contains(&id.len()) => Ok(Some(id)),
            (Some("CHILD_SHARDS"), _) => Err(missing("shardFilter.shardId")),
            (kind, _) => Err(Refusal::constraint(
                "shardFilter.type",
                kind.unwrap_or("null"),
                "satisfy enum value set: [CHILD_SHARDS]",
            )),
        }
    }

    fn start(&self) -> Result<Start, Refusal> {
        let kind = self.text("ShardIteratorType")?.ok_or_else(|| missing("shardIteratorType"))?;
        let number = self.number()?;
        let needed = || number.ok_or_else(|| missing("sequenceNumber"));
        let extra = |what: &str| {
            Refusal::Validation(format!("{what} should not be passed for this iterator type"))
        };
        let numbered = kind.ends_with("_SEQUENCE_NUMBER");
        if number.is_some() && !numbered {
            return Err(extra("SequenceNumber"));
        }
        let time = self.get("Timestamp");
        if time.is_some() && kind != "AT_TIMESTAMP" {
            return Err(extra("Timestamp"));
        }
        match kind {
            "TRIM_HORIZON" => Ok(Start::Horizon),
            "LATEST" => Ok(Start::Latest),
            "AT_SEQUENCE_NUMBER" => Ok(Start::At(needed()?)),
            "AFTER_SEQUENCE_NUMBER" => Ok(Start::After(needed()?)),
            "AT_TIMESTAMP" => {
                let time = time.ok_or_else(|| missing("timestamp"))?;
                let seconds = time.as_f64().ok_or_else(|| wrong_type(time, "Timestamp"))?;
                Ok(Start::Time((seconds.max(0.0) * 1_000.0).round() as Millis))
            }
            other => Err(Refusal::constraint(
                "shardIteratorType",
                other,
                "satisfy enum value set: [AFTER_SEQUENCE_NUMBER, AT_SEQUENCE_NUMBER, \
                 AT_TIMESTAMP, LATEST, TRIM_HORIZON]",
            )),
        }
    }

    fn number(&self) -> Result<Option<crate::SequenceNumber>, Refusal> {
        let Some(text) = self.text("SequenceNumber")? else { return Ok(None) };
        let must = match text.len() {
            ..21 => "have length greater than or equal to 21",
            41.. => "have length less than or equal to 40",
            _ => {
                let malformed = |_| Refusal::Validation("Invalid SequenceNumber".into());
                return text.parse().map(Some).map_err(malformed);
            }
        };
        Err(Refusal::constraint("sequenceNumber", text, must))
    }
}

/// A shard in a listing.
fn row(shard: &Shard, now: Millis) -> Value {
    let mut range = json!({"StartingSequenceNumber": shard.starting.to_string()});
    if let Some(end) = shard.end.filter(|end| end.listed <= now) {
        range["EndingSequenceNumber"] = end.number.to_string().into();
    }
    let mut row = json!({"SequenceNumberRange": range, "ShardId": shard.id});
    if let Some(parent) = &shard.parent {
        row["ParentShardId"] = parent.clone().into();
    }
    row
}

fn missing(field: &str) -> Refusal {
    Refusal::constraint(field, "null", "not be null")
}

fn wrong_type(value: &Value, wanted: &str) -> Refusal {
    let kind = match value {
        Value::Bool(_) => "Boolean",
        Value::Number(_) => "Number",
        Value::String(_) => "String",
        Value::Array(_) => "List",
        Value::Object(_) => "Map",
        Value::Null => "Null",
    };
    Refusal::Serialization(format!("{kind} cannot be converted to {wanted}"))
}

/// Seconds since 1970 with their fraction.
fn seconds(at: Millis) -> f64 {
    at as f64 / 1_000.0
}
