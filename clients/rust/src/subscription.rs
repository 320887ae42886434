//! A stream of records that goes on by itself.

use std::time::{Duration, SystemTime};

use futures::Stream;
use futures::future::BoxFuture;
use futures::stream::unfold;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tonic::{Response, Status, Streaming};

use crate::client::{Client, shards_of, streams_of};
use crate::connect::{Connection, Sent};
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
            opening: None,
            open: None,
            waiting: None,
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
    /// The stream that is being opened: whoever asks for messages with a timeout must not begin
    /// that anew each time.
    opening: Option<Opening>,
    open: Option<Open>,
    /// Since when the program has waited for the next message, however often it looked in.
    waiting: Option<Instant>,
    /// What is covered once the program asks for the next message.
    given: Option<Covered>,
    /// What the store holds; `None` until it was read.
    kept: Option<String>,
    /// When to come again after a failure.
    resumes: Option<Instant>,
    renewed: bool,
    ended: bool,
}

type Opening = BoxFuture<'static, Result<Result<Open, Failed>, Error>>;

/// What a stream does next, for programs that tell people about it.
#[derive(Clone, Debug)]
pub enum Step<M> {
    /// A message, as it came.
    Message(M),
    /// The stream failed and is opened again.
    Again {
        /// How it failed.
        error: Error,
        /// After how long.
        pause: Duration,
    },
}

/// A response stream.
struct Open {
    sent: Sent,
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
        let message = self.message().await;
        self.over(message).transpose()
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

    /// The next message as it came, with all of its tokens and whatever event is in it, also where
    /// that is only the server's last word; or that the stream broke. Nothing is left out: what
    /// policies say is asked of the server, and done here by the program. An end without a word of
    /// the server counts as a break.
    ///
    /// Not to be mixed with [`Self::next`]; cancel-safe as that is.
    pub async fn step(&mut self) -> Option<Result<Step<SubscribeResponse>, Error>> {
        let mut step = self.advance().await;
        if matches!(step, Ok(None)) && !self.following.is_over() {
            step = self.broken_off();
        }
        if let Ok(Some(Step::Message(raw))) = &step {
            self.given = Some(self.following.take_whole(raw, Instant::now()));
        }
        self.over(step).transpose()
    }

    async fn message(&mut self) -> Result<Option<Message>, Error> {
        while let Some(step) = self.advance().await? {
            if let Step::Message(raw) = step
                && let Some((message, covered)) = self.following.take(raw, Instant::now())
            {
                self.client.shared.hooks.message(&message);
                self.given = Some(covered);
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    async fn advance(&mut self) -> Result<Option<Step<SubscribeResponse>>, Error> {
        if let Some(covered) = self.given.take() {
            self.following.cover(covered);
        }
        if self.ended {
            return Ok(None);
        }
        self.keep().await?;
        if let Some(when) = self.resumes {
            sleep_until(when).await;
            self.resumes = None;
        }
        match self.receive().await? {
            Ok(None) => Ok(None),
            Ok(Some(raw)) => {
                self.renewed = false;
                Ok(Some(Step::Message(raw)))
            }
            // The end was lost on its way.
            Err(_) if self.following.is_over() => Ok(None),
            Err(failed) => self.again(failed).map(Some),
        }
    }

    /// Ended by the server, but not by a word that says so.
    fn broken_off(&mut self) -> Result<Option<Step<SubscribeResponse>>, Error> {
        let Some(open) = self.open.take() else { return Ok(None) };
        let error = Error::broken("the server ended the stream without a word");
        self.again(Failed { error, sent: open.sent, at: open.at }).map(Some)
    }

    /// What is not a step to another ends the subscription.
    fn over<T>(&mut self, step: Result<Option<T>, Error>) -> Result<Option<T>, Error> {
        if !matches!(step, Ok(Some(_))) {
            self.ended = true;
            (self.opening, self.open) = (None, None);
        }
        step
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
            let opening = match &mut self.opening {
                Some(opening) => opening,
                None => {
                    let connection = self.client.shared.connections.for_stream()?;
                    let request = self.following.request(Instant::now());
                    let opening = open(self.client.clone(), connection, request, silence);
                    self.opening.insert(Box::pin(opening))
                }
            };
            let opened = opening.await;
            self.opening = None;
            match opened? {
                Ok(open) => self.open = Some(open),
                Err(failed) => return Ok(Err(failed)),
            }
        }
        let Some(open) = &mut self.open else { unreachable!("opened above") };
        let dead = *self.waiting.get_or_insert_with(Instant::now) + silence;
        let message = timeout_at(dead, open.messages.next()).await;
        self.waiting = None;
        let error = match message {
            Ok(Ok(message)) => return Ok(Ok(message)),
            Ok(Err(status)) => Error::of(&status, self.following.end()),
            Err(_) => Error::silence(silence),
        };
        Ok(Err(Failed { error, sent: open.sent.clone(), at: open.at }))
    }

    /// Decides whether to come again, and when.
    fn again(&mut self, failed: Failed) -> Result<Step<SubscribeResponse>, Error> {
        let Failed { error, sent, at } = failed;
        let now = Instant::now();
        self.open = None;
        self.following.anchor(at);
        let connections = &self.client.shared.connections;
        connections.retire(&sent.connection, &error);
        if connections.renews(&sent, &error, &mut self.renewed) {
            return Ok(Step::Again { error, pause: Duration::ZERO });
        }
        let (pause, error) = self.following.again(error, now)?;
        tracing::info!(?pause, %error, "again");
        self.client.shared.hooks.resume(&error, pause);
        self.resumes = Some(now + pause);
        Ok(Step::Again { error, pause })
    }
}

/// How a response stream failed, or its opening.
struct Failed {
    error: Error,
    sent: Sent,
    at: Option<SystemTime>,
}

/// Opens a stream by `connection`, in so long a time.
async fn open(
    client: Client,
    connection: Connection,
    request: Request,
    time: Duration,
) -> Result<Result<Open, Failed>, Error> {
    let channel = connection.channel.clone();
    let mut sent = Sent { connection, caller: None };
    let opened = timeout(time, async {
        match request {
            Request::Subscribe(message) => {
                let method = "StreamService/Subscribe";
                let request = client.request(method, &mut sent, message).await?;
                Ok::<_, Error>(dated(
                    streams_of(channel).subscribe(request).await,
                    Messages::Stream,
                ))
            }
            Request::StreamRecords(message) => {
                let method = "ShardService/StreamRecords";
                let request = client.request(method, &mut sent, message).await?;
                Ok(dated(shards_of(channel).stream_records(request).await, Messages::Shard))
            }
        }
    });
    let error = match opened.await {
        Ok(opened) => match opened? {
            Ok((messages, at)) => return Ok(Ok(Open { sent, messages, at })),
            Err(status) => Error::of(&status, None),
        },
        Err(_) => Error::silence(time),
    };
    Ok(Err(Failed { error, sent, at: None }))
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
            Self::Shard(messages) => Ok(messages.message().await?.map(SubscribeResponse::from)),
        }
    }
}

/// A shard's message as a stream's.
impl From<v1::StreamRecordsResponse> for SubscribeResponse {
    fn from(message: v1::StreamRecordsResponse) -> Self {
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
        Self { records, shard_id, shard_token, event, token }
    }
}
