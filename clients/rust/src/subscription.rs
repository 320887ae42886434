//! A stream of records that goes on by itself.

use std::time::{Duration, SystemTime};

use futures::Stream;
use futures::stream::unfold;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::{Response, Status, Streaming};

use crate::client::{Client, shards_of, streams_of};
use crate::connect::Connection;
use crate::error::Error;
use crate::following::{Following, Options, Policy, Request, Source, Start};
use crate::progress::Covered;
use crate::record::Message;
use crate::store::TokenStore;
use crate::v1::{self, SubscribeResponse, stream_records_response, subscribe_response};

/// How often the server says that it is well, unless told otherwise.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// How a [`Subscription`] is made.
#[must_use]
pub struct SubscriptionBuilder {
    client: Client,
    source: Source,
    start: Start,
    options: Options,
    store: Option<Box<dyn TokenStore>>,
}

impl SubscriptionBuilder {
    pub(crate) fn new(client: &Client, source: Source) -> Self {
        let options = Options {
            on_gap: Policy::default(),
            on_unreadable: Policy::default(),
            heartbeats: false,
            interval: HEARTBEAT,
            fields: v1::SubscribeRequest::default(),
        };
        let start = Start::default();
        Self { client: client.clone(), source, start, options, store: None }
    }

    /// Where to start when the store is empty.
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Keeps the position, each time the program asks for the next message. Delivery is at least
    /// once: after a crash what the program was not done with comes again.
    pub fn store(mut self, store: impl TokenStore + 'static) -> Self {
        self.store = Some(Box::new(store));
        self
    }

    /// What to do when records are gone.
    pub fn on_gap(mut self, policy: Policy) -> Self {
        self.options.on_gap = policy;
        self
    }

    /// What to do about a record that cannot be read.
    pub fn on_unreadable(mut self, policy: Policy) -> Self {
        self.options.on_unreadable = policy;
        self
    }

    /// Whether to give heartbeats too.
    pub fn heartbeats(mut self, given: bool) -> Self {
        self.options.heartbeats = given;
        self
    }

    /// How often the server says that it is well; three that stay away end the connection.
    pub fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.options.interval = interval;
        self
    }

    /// Ends after so many records.
    pub fn until_count(mut self, records: i64) -> Self {
        self.until().record_count = records;
        self
    }

    /// Ends with the records made before a time.
    pub fn until_time(mut self, time: SystemTime) -> Self {
        self.until().time = Some(time.into());
        self
    }

    /// Ends where nothing newer is.
    pub fn until_tip(mut self) -> Self {
        self.until().at_tip = true;
        self
    }

    /// Other fields of the request, such as `order` and `max_batch_records`. Of a shard's stream
    /// only those that a shard's request has count.
    pub fn fields(mut self, set: impl FnOnce(&mut v1::SubscribeRequest)) -> Self {
        set(&mut self.options.fields);
        self
    }

    /// The subscription. It connects when the first message is asked for.
    pub fn open(self) -> Subscription {
        let Self { client, source, start, options, store } = self;
        let timing = client.shared.timing;
        let following = Following::new(source, start, options, timing, Instant::now());
        Subscription {
            client,
            following,
            store,
            open: None,
            given: None,
            kept: None,
            resumes: None,
            renewed: false,
            ended: false,
        }
    }

    fn until(&mut self) -> &mut v1::Until {
        self.options.fields.until.get_or_insert_default()
    }
}

/// The messages of a stream or shard. Dropping it closes the stream at once.
pub struct Subscription {
    client: Client,
    following: Following,
    store: Option<Box<dyn TokenStore>>,
    open: Option<Open>,
    /// What is covered once the program asks for the next message.
    given: Option<Covered>,
    /// What the store holds; `None` until it was read.
    kept: Option<String>,
    /// When to come again after a failure.
    resumes: Option<Instant>,
    renewed: bool,
    ended: bool,
}

/// A response stream.
struct Open {
    connection: Connection,
    messages: Messages,
    /// When it was opened, by the server's clock.
    at: Option<SystemTime>,
}

enum Messages {
    Stream(Streaming<SubscribeResponse>),
    Shard(Streaming<v1::StreamRecordsResponse>),
}

impl Subscription {
    /// The next message; `None` when the stream, or the limit that was asked for, has come to its
    /// end. An error ends it as well.
    ///
    /// Cancel-safe: a message is taken whole or not at all. Asking for the next one says that the
    /// program is done with the one before.
    pub async fn next(&mut self) -> Option<Result<Message, Error>> {
        let next = self.step().await;
        if !matches!(next, Ok(Some(_))) {
            self.ended = true;
            self.open = None;
        }
        next.transpose()
    }

    /// Goes on after everything that the program is done with; on any server, in any process.
    pub fn position(&self) -> String {
        self.following.position()
    }

    /// The messages as a `Stream`.
    pub fn into_stream(self) -> impl Stream<Item = Result<Message, Error>> + Send {
        unfold(self, |mut subscription| async {
            subscription.next().await.map(|message| (message, subscription))
        })
    }

    async fn step(&mut self) -> Result<Option<Message>, Error> {
        if let Some(covered) = self.given.take() {
            self.following.cover(covered);
        }
        while !self.ended {
            self.keep().await?;
            if let Some(when) = self.resumes {
                sleep_until(when).await;
                self.resumes = None;
            }
            match self.receive().await? {
                Ok(None) => break,
                Ok(Some(raw)) => {
                    self.renewed = false;
                    if let Some((message, covered)) = self.following.take(raw, Instant::now()) {
                        self.client.shared.hooks.message(&message);
                        self.given = Some(covered);
                        return Ok(Some(message));
                    }
                }
                // The end was lost on its way.
                Err(_) if self.following.is_met() => break,
                Err(failed) => self.again(failed)?,
            }
        }
        Ok(None)
    }

    /// Loads the store once, and saves what is new.
    async fn keep(&mut self) -> Result<(), Error> {
        let Some(store) = &self.store else { return Ok(()) };
        let Some(kept) = &self.kept else {
            let kept = store.load().await.map_err(Error::local)?;
            self.following.start_at(Start::Token(kept.clone()));
            self.kept = Some(kept);
            return Ok(());
        };
        let position = self.following.position();
        if *kept != position && !position.is_empty() {
            store.save(&position).await.map_err(Error::local)?;
            self.kept = Some(position);
        }
        Ok(())
    }

    /// The next message, of a stream that is opened if need be. The outer error is the program's
    /// own, the inner one of the call.
    async fn receive(&mut self) -> Result<Result<Option<SubscribeResponse>, Failed>, Error> {
        let silence = self.following.silence();
        if self.open.is_none() {
            let connection = self.client.shared.connections.for_stream()?;
            match timeout(silence, self.open(connection.clone())).await {
                Ok(opened) => match opened? {
                    Ok(open) => self.open = Some(open),
                    Err(status) => {
                        let error = Error::of(&status, None);
                        return Ok(Err(Failed { error, connection, at: None }));
                    }
                },
                Err(_) => {
                    let error = Error::silence(silence);
                    return Ok(Err(Failed { error, connection, at: None }));
                }
            }
        }
        let Some(open) = &mut self.open else { unreachable!("opened above") };
        let error = match timeout(silence, open.messages.next()).await {
            Ok(Ok(message)) => return Ok(Ok(message)),
            Ok(Err(status)) => Error::of(&status, self.following.end()),
            Err(_) => Error::silence(silence),
        };
        Ok(Err(Failed { error, connection: open.connection.clone(), at: open.at }))
    }

    async fn open(&mut self, connection: Connection) -> Result<Result<Open, Status>, Error> {
        let channel = connection.channel.clone();
        let opened = match self.following.request(Instant::now()) {
            Request::Subscribe(message) => {
                let request = self.client.request("StreamService/Subscribe", message).await?;
                dated(streams_of(channel).subscribe(request).await, Messages::Stream)
            }
            Request::StreamRecords(message) => {
                let request = self.client.request("ShardService/StreamRecords", message).await?;
                dated(shards_of(channel).stream_records(request).await, Messages::Shard)
            }
        };
        Ok(opened.map(|(messages, at)| Open { connection, messages, at }))
    }

    /// Decides whether to come again, and when.
    fn again(&mut self, failed: Failed) -> Result<(), Error> {
        let Failed { error, connection, at } = failed;
        let now = Instant::now();
        self.open = None;
        self.following.anchor(at);
        let connections = &self.client.shared.connections;
        connections.retire(&connection, &error);
        if !self.renewed && connections.renews(&error) {
            self.renewed = true;
            return Ok(());
        }
        let (pause, error) = self.following.again(error, now)?;
        tracing::info!(?pause, %error, "again");
        self.client.shared.hooks.resume(&error, pause);
        self.resumes = Some(now + pause);
        Ok(())
    }
}

/// How a response stream failed, or its opening.
struct Failed {
    error: Error,
    connection: Connection,
    at: Option<SystemTime>,
}

fn dated<T>(
    answer: Result<Response<Streaming<T>>, Status>,
    messages: fn(Streaming<T>) -> Messages,
) -> Result<(Messages, Option<SystemTime>), Status> {
    let answer = answer?;
    let date = answer.metadata().get("date").and_then(|date| date.to_str().ok());
    let at = date.and_then(|date| httpdate::parse_http_date(date).ok());
    Ok((messages(answer.into_inner()), at))
}

impl Messages {
    async fn next(&mut self) -> Result<Option<SubscribeResponse>, Status> {
        match self {
            Self::Stream(messages) => messages.message().await,
            Self::Shard(messages) => Ok(messages.message().await?.map(of_stream)),
        }
    }
}

/// A shard's message as a stream's.
fn of_stream(message: v1::StreamRecordsResponse) -> SubscribeResponse {
    use stream_records_response::Event as One;
    use subscribe_response::Event;
    let event = message.event.map(|event| match event {
        One::Heartbeat(heartbeat) => Event::Heartbeat(heartbeat),
        One::ShardEnd(end) => Event::ShardEnd(end),
        One::Gap(gap) => Event::Gap(gap),
        One::Unreadable(unreadable) => Event::Unreadable(unreadable),
        One::End(end) => Event::End(end),
    });
    let v1::StreamRecordsResponse { records, shard_id, shard_token, token, .. } = message;
    SubscribeResponse { records, shard_id, shard_token, event, token }
}
