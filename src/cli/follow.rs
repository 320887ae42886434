//! Following one shard over whatever breaks: one response stream after the other, each from the token of the last.

use std::time::Duration;

use owo_colors::OwoColorize;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::backoff::Backoff;
use super::client::{ANSWER_TIMEOUT, Client};
use super::failure::{Failure, Result};
use super::following::Following;
use super::output::Output;
use super::status::{is_unheard, may_pass, retry_delay, root};
use super::text::safe;
use super::{event, time};
use crate::exit::Exit;
use crate::pb::stream_records_response::Event;
use crate::pb::{EndReason, Heartbeat, ShardEnd, StreamRecordsResponse};

/// How long it keeps trying when nothing is heard, or nothing good.
const PATIENCE: Duration = Duration::from_secs(600);

/// The server's status follows its `end` at once; when it does not, `end` says enough.
const STATUS_PATIENCE: Duration = Duration::from_secs(1);

/// A response stream that lives so long is not the server's way of refusing: the next pause is short again.
const LASTING: Duration = Duration::from_secs(10);

/// How following ended well.
#[derive(Debug)]
pub enum Ended {
    /// The shard was delivered to its end.
    Shard(Option<ShardEnd>),
    /// What it was to stop at was reached.
    Limit,
    /// It was told to stop.
    Interrupted,
}

/// Following, under way.
pub struct Follower<'a> {
    following: Following,
    client: Client,
    out: &'a mut Output,
    /// Covers everything printed.
    token: String,
    printed: u64,
    shard_end: Option<ShardEnd>,
    upstream_error: String,
    seen_tip: bool,
    /// Anything was received at all: only then is a failure tried again.
    heard: bool,
    /// When all was well for the last time.
    well: Instant,
    /// When this response stream was opened.
    opened: Instant,
    backoff: Backoff,
}

/// How one response stream ended.
enum Step {
    Done(Ended),
    /// It is to be opened again, but not before the delay.
    Again {
        why: String,
        delay: Option<Duration>,
    },
}

impl<'a> Follower<'a> {
    /// Ready to follow.
    pub fn new(following: Following, client: Client, out: &'a mut Output) -> Self {
        Self {
            following,
            client,
            out,
            token: String::new(),
            printed: 0,
            shard_end: None,
            upstream_error: String::new(),
            seen_tip: false,
            heard: false,
            well: Instant::now(),
            opened: Instant::now(),
            backoff: Backoff::default(),
        }
    }

    /// Follows until it is done, and tells where to go on.
    pub async fn run(mut self, cancel: &CancellationToken) -> Result<Ended> {
        let outcome = self.reconnecting(cancel).await;
        let goes_on = (!self.token.is_empty()).then(|| self.following.resume.command("tail", &self.token));
        let ended = match (outcome, &goes_on) {
            (Ok(ended), _) => ended,
            (Err(failure), None) => return Err(failure),
            (Err(failure), Some(command)) => return Err(failure.goes_on(command)),
        };
        if !matches!(ended, Ended::Shard(_)) {
            self.out.say(format_args!("stopped after {}", event::count(self.printed, "record")));
            match goes_on {
                Some(command) => self.out.say(format_args!("go on with: {command}")),
                None => self.out.say("nothing was received: there is no token to go on from"),
            }
        }
        Ok(ended)
    }

    async fn reconnecting(&mut self, cancel: &CancellationToken) -> Result<Ended> {
        loop {
            let (why, asked) = match self.once(cancel).await? {
                Step::Done(ended) => return Ok(ended),
                Step::Again { why, delay } => (why, delay),
            };
            if self.well.elapsed() > PATIENCE {
                let what = format!("given up after {}: {why}", time::short(PATIENCE));
                return Err(Failure::new(Exit::Unavailable, what).next("try again later"));
            }
            let delay = self.backoff.next().max(asked.unwrap_or_default());
            self.out.say(format_args!("{why}; going on in {:.1} s", delay.as_secs_f64()).yellow());
            // Cancel-safe: nothing is under way.
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(Ended::Interrupted),
                () = tokio::time::sleep(delay) => {}
            }
        }
    }

    /// One response stream, from its opening to its end.
    async fn once(&mut self, cancel: &CancellationToken) -> Result<Step> {
        if self.following.is_reached(self.printed) {
            // The last record came, and then the connection broke before its `end`.
            return Ok(Step::Done(Ended::Limit));
        }
        self.opened = Instant::now();
        let request = self.following.request(&self.token, self.printed);
        // Cancel-safe: what is not open yet has delivered nothing.
        let opened = tokio::select! {
            biased;
            () = cancel.cancelled() => return Ok(Step::Done(Ended::Interrupted)),
            opened = timeout(ANSWER_TIMEOUT, self.client.shards.stream_records(request)) => opened,
        };
        let answer = match opened {
            Ok(Ok(answer)) => answer,
            Ok(Err(status)) => return self.refused(status),
            Err(_) => return self.refused(Status::deadline_exceeded("the server does not answer")),
        };
        self.following.anchor(answer.metadata().get("date").and_then(|date| date.to_str().ok()));
        let mut stream: Streaming<StreamRecordsResponse> = answer.into_inner();
        let mut end = None;
        loop {
            let patience = if end.is_some() { STATUS_PATIENCE } else { self.following.heartbeat * 3 };
            // Cancel-safe: a message is taken from the stream whole or not at all.
            let received = tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(Step::Done(Ended::Interrupted)),
                received = timeout(patience, stream.message()) => received,
            };
            match (received, end) {
                (Ok(Ok(Some(message))), _) => end = self.take(message)?,
                (_, Some((reason, delay))) => return self.ended(reason, delay),
                (Ok(Err(status)), None) => return self.refused(status),
                (Ok(Ok(None)), None) => return Ok(again("the server ended the stream without a word", None)),
                (Err(_), None) => {
                    let silence = time::short(patience);
                    return Ok(again(&format!("nothing heard of the server for {silence}"), None));
                }
            }
        }
    }

    /// Prints a message; its token counts only when that is done. Answers how the server ends the stream, if it does.
    fn take(&mut self, message: StreamRecordsResponse) -> Result<Option<(EndReason, Option<Duration>)>> {
        let mut end = None;
        let token = &message.token;
        if !message.records.is_empty() {
            event::records(self.out, &message.shard_id, &message.records, token)?;
            self.printed += message.records.len() as u64;
            self.well = Instant::now();
            self.backoff.reset();
        }
        match &message.event {
            Some(Event::Heartbeat(heartbeat)) => self.heartbeat(heartbeat),
            Some(Event::Gap(gap)) => event::gap(self.out, gap, token)?,
            Some(Event::Unreadable(unreadable)) => event::unreadable(self.out, unreadable, token)?,
            Some(Event::ShardEnd(shard_end)) => {
                event::shard_end(self.out, shard_end, token)?;
                self.shard_end = Some(shard_end.clone());
            }
            Some(Event::End(told)) => {
                let delay = told.retry_delay.and_then(|delay| Duration::try_from(delay).ok());
                end = Some((told.reason(), delay));
            }
            // Records, or an event of a later release, whose token counts all the same.
            None => {}
        }
        if !message.token.is_empty() {
            self.token = message.token;
        }
        self.heard = true;
        Ok(end)
    }

    fn heartbeat(&mut self, heartbeat: &Heartbeat) {
        if heartbeat.upstream_error != self.upstream_error {
            self.upstream_error.clone_from(&heartbeat.upstream_error);
            match self.upstream_error.as_str() {
                "" => self.out.say("the server reads again".green()),
                error => {
                    let error = safe(error);
                    self.out.say(format_args!("the server cannot read ({error}) and keeps trying").yellow());
                }
            }
        }
        if self.upstream_error.is_empty() {
            self.well = Instant::now();
        }
        if self.opened.elapsed() > LASTING {
            self.backoff.reset();
        }
        if heartbeat.at_tip && !self.seen_tip {
            self.seen_tip = true;
            self.out.say("nothing newer is there yet; waiting for records".dimmed());
        }
    }

    fn ended(&mut self, reason: EndReason, delay: Option<Duration>) -> Result<Step> {
        let stopped = |what: &str| Failure::new(Exit::Failure, what);
        match reason {
            EndReason::ShardEnd | EndReason::StreamEnd => Ok(Step::Done(Ended::Shard(self.shard_end.take()))),
            EndReason::Limit => Ok(Step::Done(Ended::Limit)),
            EndReason::Draining => Ok(again("the server is going away", delay)),
            EndReason::MaxAge => Ok(again("the server asks to reconnect", delay)),
            EndReason::Upstream => Ok(again("the server could not read for too long", delay)),
            EndReason::Gap => Err(stopped("stopped at a gap: the records in it are lost")
                .next("--gaps continue tells of gaps and goes on; the command below begins behind this one")),
            EndReason::Unreadable => Err(stopped("stopped at a record that cannot be read")
                .next("--unreadable skip tells of such records and goes on")),
            EndReason::CatchUpLimit => Ok(again("too many places of this shard are being read", delay)),
            EndReason::Superseded | EndReason::LeaseClosed => Err(stopped("another client took this place")),
            EndReason::Unspecified => Ok(again("the server ended the stream", delay)),
        }
    }

    /// A first failure is told; later ones that may pass are waited for.
    fn refused(&mut self, status: Status) -> Result<Step> {
        if !self.heard || !may_pass(&status) {
            return Err(status.into());
        }
        let why = match (is_unheard(&status), status.message()) {
            (true, _) => format!("the connection broke: {}", safe(&root(&status))),
            (false, "") => "the server is not available".to_owned(),
            (false, message) => format!("the server is not available: {}", safe(message)),
        };
        Ok(again(&why, retry_delay(&status)))
    }
}

fn again(why: &str, delay: Option<Duration>) -> Step {
    Step::Again { why: why.to_owned(), delay }
}
