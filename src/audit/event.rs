//! What the audit log says of something that happened. Pure.

use std::fmt;

use serde::Serialize;

use crate::access::principal::Principal;
use crate::model::{ShardId, StreamArn, Timestamp};

/// The longest text of a field, in bytes: what is longer was made up by a client.
const LONGEST: usize = 400;

/// One line of the log. What does not apply is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Event {
    /// When it happened: RFC 3339, UTC.
    time: String,
    /// What happened.
    event: &'static str,
    /// How it went.
    result: &'static str,
    /// Why so.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(flatten)]
    call: CallFacts,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'static str>,
    /// The number of the policy's rule that allowed it; `null`: none did.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<Option<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shard: Option<String>,
    /// The first digits of the lease: all of them would give access to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    lease: Option<String>,
    /// Records that were sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<u64>,
    /// Their bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    /// How many more of the same happened since the last line of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    repeated: Option<u64>,
    /// The server's version.
    version: &'static str,
}

/// What is known of a call, whatever it does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct CallFacts {
    /// Who calls; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// How that was proved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// Who the connection's certificate says it is, where the caller showed a token, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// From where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// What is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<&'static str>,
    /// The trace that the call is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

impl CallFacts {
    /// The same call, of `who`.
    pub fn by(self, who: &Principal) -> Self {
        Self { principal: Some(who.to_string()), kind: Some(who.kind().name()), ..self }
    }
}

impl Event {
    fn new(event: &'static str, result: &'static str) -> Self {
        Self { event, result, version: env!("CARGO_PKG_VERSION"), ..Self::default() }
    }

    fn of(event: &'static str, result: &'static str, call: &CallFacts) -> Self {
        Self { call: call.clone(), ..Self::new(event, result) }
    }

    /// The server has begun to serve.
    pub fn start() -> Self {
        Self::new("server", "started")
    }

    /// The server has begun to drain.
    pub fn drain() -> Self {
        Self::new("server", "draining")
    }

    /// The server has ended.
    pub fn stop() -> Self {
        Self::new("server", "stopped")
    }

    /// Files were read again; `error`: why those before stay in force.
    pub fn reload(files: &'static str, error: Option<&dyn fmt::Display>) -> Self {
        let result = if error.is_some() { "failed" } else { "ok" };
        let reason = error.map(|error| clip(&error.to_string()));
        Self { action: Some(files), reason, ..Self::new("reload", result) }
    }

    /// A caller has shown nothing, or something that is nobody's; `reason` is the client's.
    pub fn unauthenticated(call: &CallFacts, reason: &'static str) -> Self {
        Self { reason: Some(reason.into()), ..Self::of("authentication", "refused", call) }
    }

    /// A caller may do this, by the policy's rule of this number.
    pub fn allowed(
        call: &CallFacts,
        action: &'static str,
        stream: &StreamArn,
        rule: usize,
    ) -> Self {
        let (action, rule, stream) = (Some(action), Some(Some(rule)), Some(clip(stream.as_str())));
        Self { action, rule, stream, ..Self::of("authorization", "allowed", call) }
    }

    /// A caller may not do this with what it calls `stream`: no rule says that it may.
    pub fn denied(call: &CallFacts, action: &'static str, stream: &str) -> Self {
        let (action, rule, stream) = (Some(action), Some(None), Some(clip(stream)));
        Self { action, rule, stream, ..Self::of("authorization", "denied", call) }
    }

    /// A caller has shown the lease of somebody else.
    pub fn foreign_lease(call: &CallFacts, lease: String) -> Self {
        let reason = Some("NOT_ITS_OWNER".into());
        Self { lease: Some(lease), reason, ..Self::of("lease", "denied", call) }
    }

    /// A session was opened.
    pub fn session_opened(call: &CallFacts, of: &Subject, lease: String) -> Self {
        Self { lease: Some(lease), ..Self::of("session", "opened", call).about(of) }
    }

    /// A session has ended; `reason`: `closed` or `expired`.
    pub fn session_ended(
        call: &CallFacts,
        of: &Subject,
        lease: String,
        reason: &'static str,
    ) -> Self {
        let reason = Some(reason.into());
        Self { lease: Some(lease), reason, ..Self::of("session", "ended", call).about(of) }
    }

    /// A response stream was opened.
    pub fn stream_opened(call: &CallFacts, of: &Subject) -> Self {
        Self::of("stream", "opened", call).about(of)
    }

    /// A response stream has ended after so many records and bytes.
    pub fn stream_ended(
        call: &CallFacts,
        of: &Subject,
        reason: &'static str,
        (records, bytes): (u64, u64),
    ) -> Self {
        let (records, bytes) = (Some(records), Some(bytes));
        let ended = Self::of("stream", "ended", call).about(of);
        Self { reason: Some(reason.into()), records, bytes, ..ended }
    }

    fn about(self, of: &Subject) -> Self {
        let shard = of.shard.as_ref().map(|shard| clip(shard.as_str()));
        Self { stream: Some(clip(of.stream.as_str())), shard, ..self }
    }

    /// The same, at this time.
    pub(super) fn at(self, time: Timestamp) -> Self {
        Self { time: time.to_string(), ..self }
    }

    /// The same, which happened so many times more.
    pub(super) fn repeated(self, more: u64) -> Self {
        Self { repeated: Some(more), ..self }
    }

    /// What is the same of events that are the same but for their time and trace.
    pub(super) fn sort(&self) -> Self {
        let call = CallFacts { trace_id: None, ..self.call.clone() };
        Self { time: String::new(), call, ..self.clone() }
    }

    /// The line, with its end.
    pub fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("texts and numbers");
        line.push(b'\n');
        line
    }
}

/// What a session or a stream is of.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The stream.
    pub stream: StreamArn,
    /// The shard, if it is of one.
    pub shard: Option<ShardId>,
}

/// `text`, not longer than [`LONGEST`].
fn clip(text: &str) -> String {
    text[..text.floor_char_boundary(LONGEST)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::principal::PrincipalKind;

    fn call() -> CallFacts {
        let who = Principal::new(PrincipalKind::Token, "billing").expect("a name");
        let peer = Some("10.0.0.7".into());
        CallFacts { peer, method: Some("ShardService/GetRecords"), ..CallFacts::default() }.by(&who)
    }

    fn stream() -> StreamArn {
        StreamArn::parse("arn:aws:dynamodb:us-east-1:1:table/orders/stream/label").expect("an ARN")
    }

    fn line(event: Event) -> String {
        let time = Timestamp::new(1_800_000_000, 0).expect("a time");
        String::from_utf8(event.at(time).line()).expect("text")
    }

    #[test]
    fn an_event_is_one_line_of_what_applies() {
        let of = Subject { stream: stream(), shard: ShardId::parse("shard-1").ok() };
        let said = line(Event::stream_ended(&call(), &of, "LIMIT", (3, 700)));
        let expected = format!(
            "{{\"time\":\"2027-01-15T08:00:00Z\",\"event\":\"stream\",\"result\":\"ended\",\
             \"reason\":\"LIMIT\",\"principal\":\"token:billing\",\"kind\":\"token\",\
             \"peer\":\"10.0.0.7\",\"method\":\"ShardService/GetRecords\",\
             \"stream\":\"{}\",\"shard\":\"shard-1\",\"records\":3,\"bytes\":700,\
             \"version\":\"{}\"}}\n",
            stream(),
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(said, expected);
    }

    #[test]
    fn a_judgement_names_the_rule_or_that_there_is_none() {
        let rule = |event| {
            let said: serde_json::Value = serde_json::from_str(&line(event)).expect("JSON");
            said.get("rule").cloned()
        };
        assert_eq!(rule(Event::allowed(&call(), "read", &stream(), 7)), Some(7.into()));
        assert_eq!(rule(Event::denied(&call(), "read", "orders")), Some(serde_json::Value::Null));
        assert_eq!(rule(Event::unauthenticated(&call(), "CREDENTIALS_INVALID")), None);
    }

    #[test]
    fn what_a_client_makes_up_stays_in_its_line_and_short() {
        let made_up = format!("x\n{{\"event\":\"server\"}}\u{7f}{}", "é".repeat(1_000));
        let said = line(Event::denied(&call(), "read", &made_up));
        assert!(said.len() < 1_200 && said.ends_with("}\n"), "{said}");
        assert_eq!(said.matches('\n').count(), 1, "{said}");
        let read: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!(read["event"], "authorization");
        assert!(made_up.starts_with(read["stream"].as_str().expect("text")));
    }
}
