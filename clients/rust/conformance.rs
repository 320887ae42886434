//! Plays the user of the Rust client for the conformance suite; clients/conformance/README.md says
//! how.

use std::collections::VecDeque;
use std::io::{BufRead as _, stdin};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use parking_lot::Mutex;
use serde_json::{Map, Value as Json, json};
use shardstream_client::v1::{self, AttributeValue, attribute_value::Value as Raw};
use shardstream_client::{
    Batch, Client, Credentials, Error, ErrorKind, Event, Hooks, Item, MemoryTokenStore, Message,
    Policy, Read, Record, Session, Start, StoreError, Subscription, SubscriptionBuilder, Timing,
    Tls, TokenStore, gap_cause,
};
use tokio::time::{Instant, sleep, sleep_until};

/// One line of what the user got.
fn say(line: Json) {
    println!("{line}");
}

/// An attribute in DynamoDB's JSON.
fn typed(raw: &AttributeValue) -> Json {
    let bytes = |bytes: &[u8]| BASE64.encode(bytes);
    let sorted = |mut values: Vec<String>| {
        values.sort();
        values
    };
    match &raw.value {
        None => json!({"unknown": ""}),
        Some(Raw::S(text)) => json!({"S": text}),
        Some(Raw::N(text)) => json!({"N": text}),
        Some(Raw::B(value)) => json!({"B": bytes(value)}),
        Some(Raw::BoolValue(truth)) => json!({"BOOL": truth}),
        Some(Raw::NullValue(truth)) => json!({"NULL": truth}),
        Some(Raw::M(map)) => {
            let entries = map.entries.iter().map(|(name, value)| (name.clone(), typed(value)));
            json!({"M": entries.collect::<Map<_, _>>()})
        }
        Some(Raw::L(list)) => json!({"L": list.values.iter().map(typed).collect::<Vec<_>>()}),
        Some(Raw::Ss(set)) => json!({"SS": sorted(set.values.clone())}),
        Some(Raw::Ns(set)) => json!({"NS": sorted(set.values.clone())}),
        Some(Raw::Bs(set)) => {
            json!({"BS": sorted(set.values.iter().map(|value| bytes(value)).collect())})
        }
    }
}

/// Native values in DynamoDB's JSON: there and back, to show that nothing is lost.
fn image(item: Option<Item>) -> Json {
    let Some(item) = item else { return Json::Null };
    item.iter()
        .map(|(name, value)| (name.clone(), typed(&value.into())))
        .collect::<Map<_, _>>()
        .into()
}

fn tell(record: &Record) {
    say(json!({"record": {
        "shard": record.shard_id, "sequence": record.sequence_number(), "type": record.kind(),
        "id": record.id(), "key": image(Some(record.key())), "new": image(record.new_image()),
        "old": image(record.old_image()),
        "changed": record.changed().map(|pairs| pairs.into_keys().collect::<Vec<_>>()),
    }}));
}

fn unreadable(one: &v1::Unreadable) -> Json {
    json!({"unreadable": {
        "shard": one.shard_id, "sequence": one.sequence_number, "cause": one.cause,
        "after": one.after_sequence_number,
    }})
}

fn told(event: &Event) -> Json {
    match event {
        Event::Gap(gap) => json!({"gap": {
            "shard": gap.shard_id, "cause": gap_cause(gap), "certain": gap.certain,
            "after": gap.after_sequence_number, "before": gap.before_sequence_number,
        }}),
        Event::Unreadable(one) => unreadable(one),
        Event::ShardOpen(open) => {
            json!({"shard_open": open.shard.as_ref().map(|shard| &shard.shard_id)})
        }
        Event::ShardEnd(end) => json!({
            "shard_end": end.shard_id,
            "children": end.children.iter().map(|child| &child.shard_id).collect::<Vec<_>>(),
        }),
        Event::StreamEnd(end) => {
            json!({"stream_end": end.stream_arn, "next": end.next_stream_arn})
        }
        Event::Heartbeat(beat) => {
            json!({"heartbeat": {"at_tip": beat.at_tip, "upstream_error": beat.upstream_error}})
        }
        other => json!({"fault": format!("an event this runner does not know: {other:?}")}),
    }
}

/// A code as gRPC writes it.
fn upper(words: &str) -> String {
    let mut upper = String::new();
    for letter in words.chars() {
        if letter.is_uppercase() && !upper.is_empty() {
            upper.push('_');
        }
        upper.extend(letter.to_uppercase());
    }
    upper
}

fn tell_error(error: &Error) {
    if error.kind == ErrorKind::Local {
        say(json!({"fault": error.to_string()}));
        return;
    }
    say(json!({"error": {
        "kind": format!("{:?}", error.kind), "code": upper(&format!("{:?}", error.code)),
        "reason": error.reason, "token": error.token, "metadata": error.metadata,
        "losses": error.losses.iter().map(told).collect::<Vec<_>>(),
        "retry_delay": error.retry_delay.map(|delay| delay.as_secs_f64()),
    }}));
}

/// A store that tells what is saved.
struct Store(MemoryTokenStore);

#[async_trait]
impl TokenStore for Store {
    async fn load(&self) -> Result<String, StoreError> {
        self.0.load().await
    }

    async fn save(&self, position: &str) -> Result<(), StoreError> {
        self.0.save(position).await?;
        let mut tokens = position.split(' ');
        say(json!({"stored": tokens.next(), "shard_tokens": tokens.collect::<Vec<_>>()}));
        Ok(())
    }
}

/// Sends a traceparent and tells of pauses, as the action says.
struct Tracing {
    traceparent: Option<String>,
    resumes: bool,
}

impl Hooks for Tracing {
    fn traceparent(&self, _: &str) -> Option<String> {
        self.traceparent.clone()
    }

    fn resume(&self, error: &Error, _: Duration) {
        if self.resumes {
            let code = upper(&format!("{:?}", error.code));
            say(json!({"resume": if error.reason.is_empty() { &code } else { &error.reason }}));
        }
    }
}

/// What the suite wants to be done.
struct Action(Json);

impl Action {
    fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_default()
    }

    fn seconds(&self, name: &str) -> Option<Duration> {
        self.0[name].as_f64().map(Duration::from_secs_f64)
    }

    fn start(&self) -> Option<Start> {
        start(&self.0["start"])
    }

    fn policy(&self, name: &str) -> Policy {
        if self.text(name) == "continue" { Policy::Continue } else { Policy::Fail }
    }

    fn client(&self) -> Result<Client, Error> {
        let mut timing = Timing::default();
        let given = &self.0["timing"];
        for (name, field) in [
            ("first_pause", &mut timing.first_pause),
            ("longest_pause", &mut timing.longest_pause),
            ("patience", &mut timing.patience),
            ("least_heartbeat", &mut timing.least_heartbeat),
        ] {
            *field = given[name].as_f64().map_or(*field, Duration::from_secs_f64);
        }
        let traceparent = self.0["traceparent"].as_str().map(str::to_owned);
        let resumes = self.0["resumes"] == true;
        let mut client = Client::builder(self.text("target"))
            .timing(timing)
            .hooks(Tracing { traceparent, resumes });
        if let Some(files) = self.0["tls"].as_object() {
            let file = |name: &str| files.get(name).and_then(Json::as_str);
            let mut tls = Tls::new();
            if let Some(ca) = file("ca") {
                tls = tls.ca(ca);
            }
            if let (Some(certificate), Some(key)) = (file("certificate"), file("key")) {
                tls = tls.identity(certificate, key);
            }
            client = client.tls(tls);
        }
        match &self.0["credentials"] {
            Json::String(token) => client = client.credentials(Credentials::token(token)),
            Json::Array(tokens) => {
                let tokens = tokens.iter().filter_map(|token| token.as_str().map(str::to_owned));
                let tokens = Arc::new(Mutex::new(tokens.collect::<VecDeque<_>>()));
                client = client.credentials(Credentials::fetched(move || {
                    let token = tokens.lock().pop_front();
                    async move { token.ok_or_else(|| "no more tokens".into()) }
                }));
            }
            _ => {}
        }
        client.build()
    }

    /// What `builder` becomes by the options of the action.
    fn options(&self, mut builder: SubscriptionBuilder) -> SubscriptionBuilder {
        builder = builder
            .on_gap(self.policy("on_gap"))
            .on_unreadable(self.policy("on_unreadable"))
            .heartbeats(self.0["heartbeats"] == true);
        if let Some(interval) = self.seconds("heartbeat_interval") {
            builder = builder.heartbeat_interval(interval);
        }
        if let Some(count) = self.0["options"]["until"]["record_count"].as_i64() {
            builder = builder.until_count(count);
        }
        if let Some(store) = self.0["store"].as_str() {
            builder = builder.store(Store(MemoryTokenStore::new(store)));
        }
        builder
    }

    fn subscription(&self, client: &Client, start: Option<Start>) -> Subscription {
        let mut builder = match self.text("call") {
            "stream_shard" => client.stream_shard(self.text("stream"), self.text("shard")),
            _ => client.subscribe(self.text("stream")),
        };
        if let Some(start) = start {
            builder = builder.start(start);
        }
        self.options(builder).open()
    }
}

/// A start as the action says it.
fn start(said: &Json) -> Option<Start> {
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    match said {
        Json::String(name) if name == "LATEST" => Some(Start::Latest),
        Json::String(name) if name == "TRIM_HORIZON" => Some(Start::TrimHorizon),
        Json::Object(fields) => fields.iter().next().map(|(kind, value)| match kind.as_str() {
            "time" => Start::Time(time(&text(value))),
            "at" => Start::AtSequenceNumber(text(value)),
            "after" => Start::AfterSequenceNumber(text(value)),
            _ => Start::Token(text(value)),
        }),
        _ => None,
    }
}

fn time(text: &str) -> SystemTime {
    let stamp: prost_types::Timestamp = text.parse().expect("RFC 3339");
    SystemTime::try_from(stamp).expect("a time of our days")
}

async fn act(action: &Action) -> Result<(), Error> {
    let client = action.client()?;
    let (stream, shard) = (action.text("stream"), action.text("shard"));
    match action.text("call") {
        "server_info" => {
            let info = client.server_info().await?;
            say(json!({"version": info.version, "features": info.features}));
        }
        "list_streams" => {
            for row in client.list_streams(action.text("table")).await? {
                say(json!({"row": row.stream_arn}));
            }
        }
        "describe_stream" => {
            let stream = client.describe_stream(stream).await?;
            say(json!({"description": stream.stream_arn, "status": stream.status}));
        }
        "list_shards" => {
            for row in client.list_shards(stream).await? {
                say(json!({"row": row.shard_id}));
            }
        }
        "list_children" => {
            let answer = client.list_children(stream, shard).await?;
            let children: Vec<_> = answer.children.iter().map(|one| &one.shard_id).collect();
            say(json!({"children": children, "complete": answer.complete}));
        }
        "walk_tree" => {
            for (depth, row) in client.walk_tree(stream, shard).await? {
                say(json!({"depth": depth, "shard": row.shard_id}));
            }
        }
        "watch_shards" => watch(&client, action).await?,
        "get_records" => {
            let read = Read { on_unreadable: action.policy("on_unreadable"), ..Read::default() };
            let start = action.start().unwrap_or_default();
            tell_batch(&client.get_records(stream, shard, start, read).await?);
        }
        "session" => {
            let session = client.open_shard(stream, shard, action.start()).await?;
            let done = steps(session.clone(), action).await;
            let closed = session.close().await;
            done.and(closed)?;
        }
        _ => subscriptions(&client, action).await?,
    }
    Ok(())
}

async fn watch(client: &Client, action: &Action) -> Result<(), Error> {
    let mut rows = client.watch_shards(action.text("stream"));
    let mut messages = 0;
    while let Some(row) = rows.next().await.transpose()? {
        let shards = row.shards.iter().map(|one| one.shard.as_ref().map(|one| &one.shard_id));
        let shards = shards.collect::<Vec<_>>();
        say(json!({"watched": shards, "removed": row.removed_shard_ids}));
        messages += 1;
        if action.0["take"].as_u64() == Some(messages) {
            say(json!({"left": true}));
            return Ok(());
        }
    }
    say(json!({"ended": true}));
    Ok(())
}

async fn subscriptions(client: &Client, action: &Action) -> Result<(), Error> {
    let mut place = action.start();
    if let Some(many) = action.0["streams"].as_u64() {
        let streams = (0..many).map(|_| action.subscription(client, place.clone()));
        let firsts = streams.map(|mut stream| async move {
            let first = stream.next().await.expect("a message")?;
            Ok::<_, Error>((first.records.len(), stream))
        });
        // All of them stay open until the last has its message.
        let open = futures::future::try_join_all(firsts).await?;
        say(json!({"streams": open.iter().map(|(records, _)| records).sum::<usize>()}));
        return Ok(());
    }
    loop {
        let failed = match follow(action.subscription(client, place.clone()), action).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let is_loss =
            matches!(failed.kind, ErrorKind::RecordsTrimmed | ErrorKind::RecordUnreadable);
        if !is_loss || action.0["accept"] != true {
            return Err(failed);
        }
        tell_error(&failed);
        place = Some(Start::Token(failed.token.clone()));
    }
}

/// The loop. Cancelling is dropping.
async fn follow(mut stream: Subscription, action: &Action) -> Result<(), Error> {
    let mut user = User { action, records: 0, messages: 0 };
    let cancel = action.seconds("cancel_after").map(|after| Instant::now() + after);
    let cancelled = async {
        match cancel {
            Some(when) => sleep_until(when).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(cancelled);
    loop {
        let next = tokio::select! {
            next = stream.next() => next,
            () = &mut cancelled => None,
        };
        let Some(message) = next else { break };
        if !user.takes(&message?) {
            say(json!({"left": true}));
            return Ok(());
        }
        sleep(action.seconds("slow").unwrap_or_default()).await;
    }
    say(json!({"ended": true}));
    Ok(())
}

/// What the user does with messages.
struct User<'a> {
    action: &'a Action,
    records: u64,
    messages: u64,
}

impl User<'_> {
    /// Takes a message; false to leave the loop.
    fn takes(&mut self, message: &Message) -> bool {
        self.messages += 1;
        for record in &message.records {
            tell(record);
            self.records += 1;
            if self.action.0["take"].as_u64() == Some(self.records) {
                return false;
            }
        }
        message.event.iter().for_each(|event| say(told(event)));
        self.action.0["take_messages"].as_u64() != Some(self.messages)
    }
}

async fn steps(mut session: Session, action: &Action) -> Result<(), Error> {
    for step in action.0["steps"].as_array().into_iter().flatten() {
        match step {
            Json::String(step) if step == "read" => {
                tell_batch(&session.read(Read::default()).await?);
            }
            Json::String(step) if step == "renew" => session.renew().await?,
            Json::String(_) => follow(action.options(session.stream()).open(), action).await?,
            step => match start(&step["jump"]) {
                Some(place) => session.jump(&place).await?,
                None => {
                    let seek = step["seek"].as_str().expect("a step that is known");
                    tell_batch(&session.seek(time(seek)).await?);
                }
            },
        }
    }
    Ok(())
}

fn tell_batch(batch: &Batch) {
    batch.records.iter().for_each(tell);
    batch.unreadable.iter().for_each(|one| say(unreadable(one)));
    let Batch { token, exhausted, at_tip, .. } = batch;
    say(json!({"batch": {"token": token, "exhausted": exhausted, "at_tip": at_tip}}));
}

/// One action a line, until there are no more.
#[tokio::main]
async fn main() {
    for line in stdin().lock().lines() {
        let line = line.expect("text");
        let action = Action(serde_json::from_str(&line).expect("an action"));
        if let Err(error) = act(&action).await {
            tell_error(&error);
        }
        say(json!({"done": true}));
    }
}
