//! Calls, streams and connections, against a server that plays a script on pipes in memory: there
//! the clock is paused, and no test waits.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures::future::join_all;
use futures::{StreamExt as _, stream};
use http::{HeaderMap, Request, Response};
use http_body_util::StreamBody;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use shardstream_client::{
    Client, ClientBuilder, Credentials, ErrorKind, Policy, ShardWatch, Start, Step, Timing,
    v1::{
        ChangeRecord, End, EndReason, Heartbeat, ListStreamsResponse, SubscribeResponse,
        WalkTreeResponse, WatchShardsResponse, subscribe_response::Event,
    },
};
use tokio::io::{DuplexStream, duplex};
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Endpoint;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// What the server does with a call.
#[derive(Clone)]
enum Answer {
    /// These messages, and no end.
    Open(Vec<Bytes>),
    /// These messages, and a good end.
    Whole(Vec<Bytes>),
    /// A refusal.
    Refused(Status),
    /// Nothing.
    Silence,
    /// The answer to a caller with this token; another is refused.
    For(&'static str, Box<Answer>),
    /// The same after a time.
    After(Duration, Box<Answer>),
}

/// A call as the server saw it: its method and its bearer token.
type Asked = (String, String);

/// The server; a clone is the same.
#[derive(Clone, Default)]
struct Server {
    script: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// How many connections there were, and how many are open.
    connections: Arc<(AtomicUsize, AtomicUsize)>,
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

impl Server {
    /// Answers the calls in their order; those behind the last one get nothing.
    fn playing(script: impl IntoIterator<Item = Answer>) -> Self {
        Self { script: Arc::new(Mutex::new(script.into_iter().collect())), ..Self::default() }
    }

    fn client(&self) -> ClientBuilder {
        let server = self.clone();
        Client::builder("localhost").channels(move || {
            let server = server.clone();
            let connector = tower::service_fn(move |_| {
                let (near, far) = duplex(1 << 16);
                tokio::spawn(server.clone().serve(far));
                async { Ok::<_, io::Error>(TokioIo::new(near)) }
            });
            Endpoint::from_static("http://localhost").connect_with_connector_lazy(connector)
        })
    }

    async fn serve(self, pipe: DuplexStream) {
        self.connections.0.fetch_add(1, Ordering::Relaxed);
        self.connections.1.fetch_add(1, Ordering::Relaxed);
        let answers = service_fn(|request: Request<Incoming>| {
            let server = self.clone();
            async move { Ok::<_, Infallible>(server.answered(&request).await) }
        });
        let _ = http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(pipe), answers)
            .await;
        self.connections.1.fetch_sub(1, Ordering::Relaxed);
    }

    async fn answered(&self, request: &Request<Incoming>) -> Response<Body> {
        let token = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        let token = token.unwrap_or_default().trim_start_matches("Bearer ").to_owned();
        let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        self.asked.lock().push((method, token.clone()));
        let mut answer = self.script.lock().pop_front().unwrap_or(Answer::Silence);
        loop {
            let (messages, is_whole) = match answer {
                Answer::After(time, later) => {
                    sleep(time).await;
                    answer = *later;
                    continue;
                }
                Answer::For(known, then) if token == known => {
                    answer = *then;
                    continue;
                }
                Answer::For(..) => return expired().into_http(),
                Answer::Refused(status) => return status.into_http(),
                Answer::Silence => std::future::pending().await,
                Answer::Open(messages) => (messages, false),
                Answer::Whole(messages) => (messages, true),
            };
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().expect("a header"));
            let end = stream::iter(is_whole.then_some(Frame::trailers(trailers)));
            let rest = if is_whole { stream::empty().boxed() } else { stream::pending().boxed() };
            let frames = stream::iter(messages).map(Frame::data).chain(end).chain(rest);
            let body = Body::new(StreamBody::new(frames.map(Ok)));
            let answer = Response::builder().header("content-type", "application/grpc");
            return answer.body(body).expect("an answer");
        }
    }

    fn methods(&self) -> Vec<String> {
        self.asked.lock().iter().map(|(method, _)| method.clone()).collect()
    }

    fn tokens(&self) -> Vec<String> {
        self.asked.lock().iter().map(|(_, token)| token.clone()).collect()
    }
}

fn expired() -> Status {
    let details =
        tonic_types::ErrorDetails::with_error_info("CREDENTIALS_EXPIRED", "shardstream", []);
    Status::with_error_details(Code::Unauthenticated, "the token has expired", details)
}

/// A message as gRPC frames it.
fn framed(message: &impl prost::Message) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.encoded_len()).expect("small"));
    message.encode(&mut frame).expect("room");
    frame.freeze()
}

fn record(token: &str) -> Bytes {
    framed(&SubscribeResponse {
        records: vec![ChangeRecord::default()],
        shard_id: "a".into(),
        token: token.into(),
        ..Default::default()
    })
}

fn streams() -> Answer {
    Answer::Whole(vec![framed(&ListStreamsResponse::default())])
}

/// Credentials that are T1 at first, T2 at the second fetch, and so on; each takes a second.
fn numbered() -> (Credentials, Arc<AtomicUsize>) {
    let fetches = Arc::new(AtomicUsize::new(0));
    let counted = fetches.clone();
    let credentials = Credentials::fetched(move || {
        let number = counted.fetch_add(1, Ordering::Relaxed) + 1;
        async move {
            sleep(Duration::from_secs(1)).await;
            Ok(format!("T{number}"))
        }
    });
    (credentials, fetches)
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn silence_is_noticed_by_one_who_looks_in_now_and_then() {
    let server =
        Server::playing([Answer::Open(vec![record("t1")]), Answer::Open(vec![record("t2")])]);
    let client = server.client().build().expect("a client");
    let mut orders = client.subscribe("orders").open();
    let began = Instant::now();
    let mut given = 0;
    while given < 2 && began.elapsed() < 60 * SECOND {
        if let Ok(next) = timeout(SECOND, orders.next()).await {
            assert!(next.is_some_and(|next| next.is_ok()), "it goes on");
            given += 1;
        }
    }
    assert_eq!(given, 2, "three heartbeats of ten seconds stayed away");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_opens_slowly_opens_for_one_who_looks_in_now_and_then() {
    let late = Answer::After(5 * SECOND, Box::new(Answer::Open(vec![record("t1")])));
    let server = Server::playing(vec![late; 20]);
    let client = server.client().build().expect("a client");
    let mut orders = client.subscribe("orders").open();
    let began = Instant::now();
    while began.elapsed() < 15 * SECOND {
        if let Ok(next) = timeout(SECOND, orders.next()).await {
            next.expect("a message").expect("no failure");
            break;
        }
    }
    assert_eq!(server.methods(), ["Subscribe"], "asked once, and given in time");
}

#[tokio::test(start_paused = true)]
async fn a_program_that_was_away_finds_what_came_meanwhile() {
    let beat = Event::Heartbeat(Heartbeat::default());
    let beat = framed(&SubscribeResponse { event: Some(beat), ..Default::default() });
    let server = Server::playing([Answer::Open(vec![record("t1"), beat, record("t2")])]);
    let client = server.client().build().expect("a client");
    let mut orders = client.subscribe("orders").open();
    assert!(timeout(Duration::ZERO, orders.next()).await.is_err(), "it is not open yet");
    sleep(300 * SECOND).await;
    for _ in 0..2 {
        orders.next().await.expect("a message").expect("no failure");
    }
    assert_eq!(server.methods(), ["Subscribe"]);
}

#[tokio::test(start_paused = true)]
async fn watches_count_as_streams_of_their_connection() {
    let rows = Answer::Open(vec![framed(&WatchShardsResponse::default())]);
    let server = Server::playing(vec![rows; 5]);
    let client = server.client().streams_per_connection(2).build().expect("a client");
    let mut watches: Vec<_> = (0..5).map(|_| client.watch_shards("orders")).collect();
    let firsts = join_all(watches.iter_mut().map(ShardWatch::next)).await;
    assert!(firsts.iter().all(|first| first.as_ref().is_some_and(Result::is_ok)));
    assert_eq!(server.connections.0.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_time_is_over_says_so() {
    let unready = Answer::Refused(Status::unavailable("not ready"));
    for before in [vec![], vec![unready; 3]] {
        let attempts = before.len() + 1;
        let server = Server::playing(before);
        let client = server.client().build().expect("a client");
        let began = Instant::now();
        let error = client.list_streams("").await.expect_err("no answer");
        let kind = (error.kind, error.code);
        assert_eq!(kind, (ErrorKind::DeadlineExceeded, Code::DeadlineExceeded), "{error}");
        assert!(began.elapsed() <= 61 * SECOND, "{:?}", began.elapsed());
        assert_eq!(server.methods().len(), attempts);
    }
}

#[tokio::test(start_paused = true)]
async fn a_walk_that_stops_midway_ends_with_its_time() {
    let row = framed(&WalkTreeResponse::default());
    let server = Server::playing([Answer::Open(vec![row])]);
    let client = server.client().build().expect("a client");
    let walk = timeout(100 * SECOND, client.walk_tree("orders", "a")).await;
    let error = walk.expect("an end").expect_err("half a tree is none");
    assert_eq!(error.kind, ErrorKind::DeadlineExceeded, "{error}");
}

#[tokio::test(start_paused = true)]
async fn calls_at_once_share_a_token_and_its_renewal() {
    let server = Server::playing(vec![Answer::For("T2", Box::new(streams())); 8]);
    let (credentials, fetches) = numbered();
    let client = server.client().credentials(credentials).build().expect("a client");
    let listed = join_all((0..4).map(|_| client.list_streams(""))).await;
    assert!(listed.iter().all(Result::is_ok), "{listed:?}");
    assert_eq!(fetches.load(Ordering::Relaxed), 2, "{:?}", server.tokens());
}

#[tokio::test(start_paused = true)]
async fn a_late_refusal_does_not_throw_away_the_newer_token() {
    let late = Answer::After(9 * SECOND, Box::new(Answer::For("T2", Box::new(streams()))));
    let soon = Answer::For("T2", Box::new(streams()));
    let server = Server::playing([late, soon.clone(), soon.clone(), soon]);
    let (credentials, fetches) = numbered();
    let client = server.client().credentials(credentials).build().expect("a client");
    let (slow, quick) = tokio::join!(client.list_streams(""), client.list_streams(""));
    assert!(slow.is_ok() && quick.is_ok(), "{slow:?} {quick:?}");
    assert_eq!(server.tokens(), ["T1", "T1", "T2", "T2"]);
    assert_eq!(fetches.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_newer_token_that_has_expired_too_is_renewed() {
    // The stream lives longer than the token that opened it, and than the one after that.
    let until = |token, answer| Answer::For(token, Box::new(answer));
    let server = Server::playing([
        Answer::After(9 * SECOND, Box::new(until("T3", streams()))),
        until("T2", streams()),
        until("T2", streams()),
        until("T3", streams()),
        until("T3", streams()),
    ]);
    let (credentials, fetches) = numbered();
    let client = server.client().credentials(credentials).build().expect("a client");
    let (slow, quick) = tokio::join!(client.list_streams(""), client.list_streams(""));
    assert!(slow.is_ok() && quick.is_ok(), "{slow:?} {quick:?}");
    assert_eq!(server.tokens(), ["T1", "T1", "T2", "T2", "T3"]);
    assert_eq!(fetches.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn watches_and_walks_renew_a_refused_token() {
    let rows = Answer::Open(vec![framed(&WatchShardsResponse::default())]);
    let walk = Answer::Whole(vec![framed(&WalkTreeResponse::default())]);
    let server = Server::playing([
        Answer::For("T2", Box::new(rows.clone())),
        Answer::For("T2", Box::new(rows)),
        Answer::For("T3", Box::new(walk.clone())),
        Answer::For("T3", Box::new(walk)),
    ]);
    let (credentials, _) = numbered();
    let client = server.client().credentials(credentials).build().expect("a client");
    let mut watch = client.watch_shards("orders");
    watch.next().await.expect("opened").expect("with the second token");
    assert_eq!(client.walk_tree("orders", "a").await.expect("walked with the third").len(), 1);
    assert_eq!(server.tokens(), ["T1", "T2", "T2", "T3"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_stays_open_behind_a_client_that_is_dropped() {
    let open = || Answer::Open(vec![record("t1")]);
    let server = Server::playing([open(), open(), Answer::Open(vec![record("t2")])]);
    let client = server.client().build().expect("a client");
    // One goes silent and retires the connection; the other still lives there.
    let mut quiet = client.subscribe("orders").on_gap(Policy::Continue).open();
    let mut lively = client.subscribe("orders").start(Start::Latest).open();
    quiet.next().await.expect("a message").expect("no failure");
    lively.next().await.expect("a message").expect("no failure");
    quiet.next().await.expect("a message").expect("no failure");
    let open = || server.connections.1.load(Ordering::Relaxed);
    assert_eq!(open(), 2);
    drop((client, quiet, lively));
    sleep(SECOND).await;
    assert_eq!(open(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_watch_goes_on_by_itself() {
    let rows = || Answer::Whole(vec![framed(&WatchShardsResponse::default())]);
    let unready = Answer::Refused(Status::unavailable("not ready"));
    let denied = Answer::Refused(Status::permission_denied("not yours"));
    let server = Server::playing([rows(), unready, rows(), denied]);
    let client = server.client().build().expect("a client");
    let mut watch = client.watch_shards("orders");
    let mut steps = vec![];
    while let Some(step) = watch.step().await {
        steps.push(match step {
            Ok(Step::Message(_)) => "rows".to_owned(),
            Ok(Step::Again { error, .. }) | Err(error) => error.message.clone(),
        });
    }
    let broken = "the server ended the stream without a word";
    assert_eq!(steps, ["rows", broken, "not ready", "rows", broken, "not yours"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_without_patience_calls_once() {
    let unready = Answer::Refused(Status::unavailable("not ready"));
    let server = Server::playing([unready, streams()]);
    let timing = Timing { patience: Duration::ZERO, ..Timing::default() };
    let client = server.client().timing(timing).build().expect("a client");
    client.list_streams("").await.expect_err("the first failure is told");
    assert_eq!(server.methods().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn steps_leave_nothing_out() {
    let end = Event::End(End { reason: EndReason::Limit.into(), ..Default::default() });
    let end = framed(&SubscribeResponse { event: Some(end), ..Default::default() });
    let server = Server::playing([
        Answer::Whole(vec![record("t1")]),
        Answer::Whole(vec![record("t2"), record(""), end]),
    ]);
    let client = server.client().build().expect("a client");
    let mut orders = client.subscribe("orders").open();
    let mut steps = vec![];
    while let Some(step) = orders.step().await {
        steps.push(match step.expect("no failure") {
            Step::Message(message) if message.event.is_some() => "end".to_owned(),
            Step::Message(message) => message.token,
            Step::Again { error, .. } => error.message.clone(),
        });
    }
    let broken = "the server ended the stream without a word";
    assert_eq!(steps, ["t1", broken, "t2", "", "end"]);
    assert_eq!(orders.position(), "t2");
}
