//! Follows a shard or a stream across failures: one response stream after the other, each
//! continuing where the last one ended.

use std::time::Duration;

use owo_colors::OwoColorize;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::bookmark::Bookmark;
use super::following::Following;
use super::pushes::Pushes;
use crate::cli::client::{ANSWER_TIMEOUT, Client};
use crate::cli::event::{self, Tokens};
use crate::cli::failure::{Failure, Result};
use crate::cli::output::Output;
use crate::cli::reconnect::{ReconnectPolicy, ReconnectReason, waited};
use crate::cli::text::safe;
use crate::cli::time;
use crate::exit::Exit;
use crate::pb::subscribe_response::Event;
use crate::pb::{EndReason, Heartbeat, ShardEnd, SubscribeResponse};

/// How long to wait for the server's status after its `end`; normally it follows at once. After
/// that, `end` is enough.
const STATUS_PATIENCE: Duration = Duration::from_secs(1);

/// Why following ended without a failure.
#[derive(Debug)]
pub(super) enum Ended {
    /// The shard was delivered to its end.
    Shard(Option<ShardEnd>),
    /// The stream was delivered to its end.
    Stream,
    /// A limit was reached: a number of records, a time or the tip.
    Limit,
    /// It was cancelled.
    Interrupted,
}

/// The state of following.
pub(super) struct Follower<'a> {
    following: Following,
    client: Client,
    out: &'a mut Output,
    /// The tokens that cover everything printed.
    bookmark: Bookmark,
    printed: u64,
    shard_end: Option<ShardEnd>,
    upstream_error: String,
    /// Whether the server reported that it does not read all shards.
    unread: bool,
    seen_tip: bool,
    patience: ReconnectPolicy,
}

/// How one response stream ended.
enum StreamOutcome {
    Done(Ended),
    Again(ReconnectReason),
}

impl<'a> Follower<'a> {
    /// A follower that has not started.
    pub(super) fn new(following: Following, client: Client, out: &'a mut Output) -> Self {
        Self {
            following,
            client,
            out,
            bookmark: Bookmark::default(),
            printed: 0,
            shard_end: None,
            upstream_error: String::new(),
            unread: false,
            seen_tip: false,
            patience: ReconnectPolicy::default(),
        }
    }

    /// Follows until it is done, and prints how to continue.
    pub(super) async fn run(mut self, cancel: &CancellationToken) -> Result<Ended> {
        let ended = match self.reconnecting(cancel).await {
            Ok(ended) => ended,
            Err(failure) => return Err(self.goes_on().into_iter().fold(failure, Failure::line)),
        };
        match ended {
            Ended::Shard(_) => {}
            Ended::Stream => self.out.say(event::count(self.printed, "record")),
            Ended::Limit | Ended::Interrupted => {
                self.out
                    .say(format_args!("stopped after {}", event::count(self.printed, "record")));
                let goes_on = self.goes_on();
                if goes_on.is_empty() {
                    self.out.say("nothing was received: there is no token to go on from");
                }
                goes_on.iter().for_each(|line| self.out.say(line));
            }
        }
        Ok(ended)
    }

    /// The command that continues, and which records it would repeat.
    fn goes_on(&self) -> Vec<String> {
        let token = self.bookmark.token();
        if token.is_empty() {
            return Vec::new();
        }
        let mut lines =
            vec![format!("go on with: {}", self.following.resume.command("tail", token))];
        if self.bookmark.uncovered() > 0 {
            let newer = event::count(self.bookmark.uncovered(), "record");
            lines.push(format!("{newer} newer than the token will come again"));
        }
        lines
    }

    async fn reconnecting(&mut self, cancel: &CancellationToken) -> Result<Ended> {
        loop {
            let again = match self.once(cancel).await? {
                StreamOutcome::Done(ended) => return Ok(ended),
                StreamOutcome::Again(again) => again,
            };
            let delay = self.patience.pause(&again)?;
            self.out.say(
                format_args!("{}; going on in {:.1} s", again.why, delay.as_secs_f64()).yellow(),
            );
            if !waited(delay, cancel).await {
                return Ok(Ended::Interrupted);
            }
        }
    }

    /// Reads one response stream from its opening to its end.
    async fn once(&mut self, cancel: &CancellationToken) -> Result<StreamOutcome> {
        if self.following.is_reached(self.printed) {
            // The connection broke after the last record, before `end`.
            return Ok(StreamOutcome::Done(Ended::Limit));
        }
        self.patience.opening();
        // Cancel-safe: a response stream that is not open yet has delivered nothing.
        let opened = tokio::select! {
            biased;
            () = cancel.cancelled() => return Ok(StreamOutcome::Done(Ended::Interrupted)),
            opened = self.open() => opened,
        };
        let mut pushes = match opened {
            Ok(pushes) => pushes,
            Err(status) => return self.patience.refused(status).map(StreamOutcome::Again),
        };
        let mut end = None;
        loop {
            let patience =
                if end.is_some() { STATUS_PATIENCE } else { self.following.heartbeat * 3 };
            // Cancel-safe: a message is taken from the stream whole or not at all.
            let received = tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(StreamOutcome::Done(Ended::Interrupted)),
                received = timeout(patience, pushes.next()) => received,
            };
            match (received, end) {
                (Ok(Ok(Some(message))), _) => end = self.take(message)?,
                // The token's file is read again for the next call.
                (Ok(Err(status)), Some((EndReason::Refused, _)))
                    if status.code() == Code::Unauthenticated =>
                {
                    return Ok(again("the server wants other credentials", None));
                }
                (Ok(Err(status)), Some((EndReason::Refused, _)))
                    if status.code() == Code::PermissionDenied =>
                {
                    return Err(status.into());
                }
                (_, Some((reason, delay))) => return self.ended(reason, delay),
                (Ok(Err(status)), None) => {
                    return self.patience.refused(status).map(StreamOutcome::Again);
                }
                (Ok(Ok(None)), None) => {
                    return Ok(again("the server ended the stream without a word", None));
                }
                (Err(_), None) => {
                    let silence = time::short(patience);
                    return Ok(again(&format!("nothing heard of the server for {silence}"), None));
                }
            }
        }
    }

    async fn open(&mut self) -> std::result::Result<Pushes, Status> {
        loop {
            let opening =
                Pushes::open(&mut self.client, &self.following, &self.bookmark, self.printed);
            match timeout(ANSWER_TIMEOUT, opening).await {
                Ok(Ok((pushes, date))) => {
                    self.following.anchor(date.as_deref());
                    return Ok(pushes);
                }
                Ok(Err(status)) if self.following.turns_to_shard(&status) => {}
                Ok(Err(status)) => return Err(status),
                Err(_) => return Err(Status::deadline_exceeded("the server does not answer")),
            }
        }
    }

    /// Prints a message, and only then counts its tokens. Returns the server's `end`, if the
    /// message is one.
    fn take(
        &mut self,
        message: SubscribeResponse,
    ) -> Result<Option<(EndReason, Option<Duration>)>> {
        let tokens = Tokens { shard: &message.shard_token, all: &message.token };
        let told = self.following.verbose || !self.following.is_whole();
        let mut end = None;
        self.patience.heard();
        if !message.records.is_empty() {
            event::records(
                self.out,
                self.following.look(),
                &message.shard_id,
                &message.records,
                tokens,
            )?;
            self.printed += message.records.len() as u64;
            self.patience.served();
        }
        match &message.event {
            Some(Event::Heartbeat(heartbeat)) => {
                if self.bookmark.uncovered() > 0 && !message.token.is_empty() {
                    event::checkpoint(self.out, heartbeat, tokens)?;
                }
                self.heartbeat(heartbeat);
            }
            Some(Event::Gap(gap)) => event::gap(self.out, gap, tokens)?,
            Some(Event::Unreadable(unreadable)) => event::unreadable(self.out, unreadable, tokens)?,
            Some(Event::ShardOpen(open)) => {
                event::shard_open(self.out, &open.shard.clone().unwrap_or_default(), tokens, told)?;
            }
            Some(Event::ShardEnd(shard_end)) => {
                event::shard_end(self.out, shard_end, tokens, told)?;
                self.shard_end = Some(shard_end.clone());
            }
            Some(Event::StreamEnd(stream_end)) => event::stream_end(self.out, stream_end, tokens)?,
            Some(Event::End(told)) => {
                if self.bookmark.uncovered() > 0 && !message.token.is_empty() {
                    event::end(self.out, told, tokens)?;
                }
                let delay = told.retry_delay.and_then(|delay| Duration::try_from(delay).ok());
                end = Some((told.reason(), delay));
            }
            // Records, or an event of a later release, whose tokens count, too.
            None => {}
        }
        self.bookmark.cover(message);
        Ok(end)
    }

    fn heartbeat(&mut self, heartbeat: &Heartbeat) {
        if heartbeat.upstream_error != self.upstream_error {
            self.upstream_error.clone_from(&heartbeat.upstream_error);
            match self.upstream_error.as_str() {
                "" => self.out.say("the server reads again".green()),
                error => {
                    let error = safe(error);
                    self.out.say(
                        format_args!("the server cannot read ({error}) and keeps trying").yellow(),
                    );
                }
            }
        }
        if self.upstream_error.is_empty() {
            self.patience.well();
        }
        let unread = heartbeat.shards_over_limit > 0 || heartbeat.shards_not_understood > 0;
        if std::mem::replace(&mut self.unread, unread) != unread {
            match unread {
                false => self.out.say("the server reads all shards".green()),
                true => {
                    let (over, odd) =
                        (heartbeat.shards_over_limit, heartbeat.shards_not_understood);
                    let what = format_args!(
                        "not read: {over} shards over the server's limit, {odd} not understood"
                    );
                    self.out.say(what.yellow());
                }
            }
        }
        if heartbeat.at_tip && !self.seen_tip {
            self.seen_tip = true;
            self.out.say("nothing newer is there yet; waiting for records".dimmed());
        }
    }

    fn ended(&mut self, reason: EndReason, delay: Option<Duration>) -> Result<StreamOutcome> {
        let stopped = |what: &str| Failure::new(Exit::Failure, what);
        match reason {
            EndReason::ShardEnd => Ok(StreamOutcome::Done(Ended::Shard(self.shard_end.take()))),
            EndReason::StreamEnd => Ok(StreamOutcome::Done(Ended::Stream)),
            EndReason::Limit => Ok(StreamOutcome::Done(Ended::Limit)),
            EndReason::Draining => Ok(again("the server is going away", delay)),
            EndReason::MaxAge => Ok(again("the server asks to reconnect", delay)),
            EndReason::Upstream => Ok(again("the server could not read for too long", delay)),
            EndReason::Gap => Err(stopped("stopped at a gap: the records in it are lost")
                .next("--gaps continue tells of gaps and goes on; the command below begins behind this one")),
            EndReason::Unreadable => Err(stopped("stopped at a record that cannot be read")
                .next("--unreadable skip tells of such records and goes on")),
            EndReason::CatchUpLimit => Ok(again("too many old places are being read", delay)),
            EndReason::ShardLimit => Ok(again("the server reads as many shards as it may", delay)),
            EndReason::Deadline => Ok(again("the call's deadline has passed", delay)),
            EndReason::Refused => Err(stopped("the upstream refuses this place")),
            EndReason::Superseded | EndReason::LeaseClosed => Err(stopped("another client took this place")),
            EndReason::Unspecified => Ok(again("the server ended the stream", delay)),
        }
    }
}

fn again(why: &str, delay: Option<Duration>) -> StreamOutcome {
    StreamOutcome::Again(ReconnectReason::new(why, delay))
}
