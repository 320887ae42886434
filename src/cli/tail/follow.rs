//! Follows a shard or a stream across failures, and prints what comes.

use std::time::Duration;

use owo_colors::OwoColorize;
use shardstream_client::{Error, ErrorKind, Policy, Start, Step, Subscription};
use tokio_util::sync::CancellationToken;

use crate::cli::client::Client;
use crate::cli::event::{self, Tokens};
use crate::cli::failure::{Failure, Result, given_up, why};
use crate::cli::line_style::LineStyle;
use crate::cli::output::Output;
use crate::cli::resume::Resume;
use crate::cli::text::safe;
use crate::config::Template;
use crate::exit::Exit;
use crate::pb::subscribe_response::Event;
use crate::pb::{EndReason, Heartbeat, RecordOrder, ShardEnd, ShardName, SubscribeResponse, Until};

/// What to follow, from where, and when to stop.
#[derive(Clone, Debug)]
pub(super) struct Following {
    /// The stream, and its shard; where the token names the shard, it has no id.
    pub place: ShardName,
    /// Whether every shard of the stream is followed.
    pub whole: bool,
    /// The order of the records of different shards.
    pub order: RecordOrder,
    /// Where to start.
    pub start: Start,
    /// When to stop; its `record_count` counts across all reconnects.
    pub until: Until,
    /// What to do at a gap.
    pub on_gap: Policy,
    /// What to do at a record that cannot be read.
    pub on_unreadable: Policy,
    /// The heartbeat interval.
    pub heartbeat: Duration,
    /// The template of a record's line; `None`: the usual line.
    pub template: Option<Template>,
    /// Whether to print when shards begin and end.
    pub verbose: bool,
    /// The command line that resumes.
    pub resume: Resume,
}

impl Following {
    /// Follows from `start`, after `printed` records.
    fn subscription(&self, client: &Client, start: Start, printed: u64) -> Subscription {
        let mut until = self.until;
        if until.record_count > 0 {
            until.record_count -= printed as i64;
        }
        let builder = match (self.whole, self.place.shard_id.as_str()) {
            (true, _) => client.streams.subscribe(&self.place.stream),
            (false, shard_id) => client.streams.stream_shard(&self.place.stream, shard_id),
        };
        builder
            .start(start)
            .on_gap(self.on_gap)
            .on_unreadable(self.on_unreadable)
            .heartbeat_interval(self.heartbeat)
            .fields(|fields| {
                fields.set_order(self.order);
                fields.until = Some(until);
            })
            .open()
    }

    /// The layout of a record's line.
    fn look(&self) -> LineStyle<'_> {
        match &self.template {
            Some(template) => LineStyle::Template(template),
            None if self.whole => LineStyle::Tagged,
            None => LineStyle::Plain,
        }
    }
}

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
    client: &'a Client,
    out: &'a mut Output,
    subscription: Subscription,
    /// The newest token. Empty while there is none.
    token: String,
    /// Records printed since: used alone, the token repeats them.
    uncovered: u64,
    printed: u64,
    /// Whether anything was received: before that a failure ends it.
    heard: bool,
    /// Why the server ends the stream that is open.
    end: Option<EndReason>,
    shard_end: Option<ShardEnd>,
    upstream_error: String,
    /// Whether the server reported that it does not read all shards.
    unread: bool,
    seen_tip: bool,
}

impl<'a> Follower<'a> {
    /// A follower that has not started.
    pub(super) fn new(following: Following, client: &'a Client, out: &'a mut Output) -> Self {
        let subscription = following.subscription(client, following.start.clone(), 0);
        Self {
            following,
            client,
            out,
            subscription,
            token: String::new(),
            uncovered: 0,
            printed: 0,
            heard: false,
            end: None,
            shard_end: None,
            upstream_error: String::new(),
            unread: false,
            seen_tip: false,
        }
    }

    /// Follows until it is done, and prints how to continue.
    pub(super) async fn run(mut self, cancel: &CancellationToken) -> Result<Ended> {
        let ended = match self.follow(cancel).await {
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
        if self.token.is_empty() {
            return Vec::new();
        }
        let mut lines =
            vec![format!("go on with: {}", self.following.resume.command("tail", &self.token))];
        if self.uncovered > 0 {
            let newer = event::count(self.uncovered, "record");
            lines.push(format!("{newer} newer than the token will come again"));
        }
        lines
    }

    async fn follow(&mut self, cancel: &CancellationToken) -> Result<Ended> {
        loop {
            // Cancel-safe: a message is taken from the stream whole or not at all.
            let step = tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(Ended::Interrupted),
                step = self.subscription.step() => step,
            };
            match step {
                Some(Ok(Step::Message(message))) => self.take(message)?,
                Some(Ok(Step::Again { error, .. })) if !self.heard => return Err(error.into()),
                Some(Ok(Step::Again { error, pause })) => {
                    let why = self.why(&error);
                    self.out.say(
                        format_args!("{why}; going on in {:.1} s", pause.as_secs_f64()).yellow(),
                    );
                }
                Some(Err(error)) => self.failed(error)?,
                None => return Ok(self.ended()),
            }
        }
    }

    /// What the server said before it ended the stream, or else how that broke.
    fn why(&mut self, error: &Error) -> String {
        let said = match self.end.take() {
            Some(EndReason::Draining) => "the server is going away",
            Some(EndReason::MaxAge) => "the server asks to reconnect",
            Some(EndReason::Upstream) => "the server could not read for too long",
            Some(EndReason::CatchUpLimit) => "too many old places are being read",
            Some(EndReason::ShardLimit) => "the server reads as many shards as it may",
            Some(EndReason::Refused) => "the server wants other credentials",
            _ => return why(error),
        };
        said.to_owned()
    }

    /// Goes on behind a failure that a new subscription mends.
    fn failed(&mut self, error: Error) -> Result<()> {
        let stopped = |what: &str| Failure::new(Exit::Failure, what);
        match self.end.take() {
            // A token does not show whether it is a stream's or a shard's.
            None if error.reason == "TOKEN_WRONG_KIND"
                && self.following.whole
                && matches!(self.following.start, Start::Token(_)) =>
            {
                self.following.whole = false;
                self.reopen(self.following.start.clone());
                Ok(())
            }
            // Another certificate may be there by now.
            Some(EndReason::Refused) if error.kind == ErrorKind::Unauthenticated => {
                self.out.say("the server wants other credentials".yellow());
                self.reopen(Start::Token(self.subscription.position()));
                Ok(())
            }
            Some(EndReason::Gap) => Err(stopped("stopped at a gap: the records in it are lost")
                .next(
                    "--gaps continue tells of gaps and goes on; \
                     the command below begins behind this one",
                )),
            Some(EndReason::Unreadable) => Err(stopped("stopped at a record that cannot be read")
                .next("--unreadable skip tells of such records and goes on")),
            Some(EndReason::Superseded | EndReason::LeaseClosed) => {
                Err(stopped("another client took this place"))
            }
            _ if self.heard => Err(given_up(error)),
            _ => Err(error.into()),
        }
    }

    fn reopen(&mut self, start: Start) {
        self.subscription = self.following.subscription(self.client, start, self.printed);
    }

    fn ended(&mut self) -> Ended {
        match self.end {
            Some(EndReason::ShardEnd) => Ended::Shard(self.shard_end.take()),
            Some(EndReason::StreamEnd) => Ended::Stream,
            _ => Ended::Limit,
        }
    }

    /// Prints a message, and only then counts its tokens.
    fn take(&mut self, message: SubscribeResponse) -> Result<()> {
        let tokens = Tokens { shard: &message.shard_token, all: &message.token };
        let told = self.following.verbose || !self.following.whole;
        self.heard = true;
        self.end = None;
        if !message.records.is_empty() {
            event::records(
                self.out,
                self.following.look(),
                &message.shard_id,
                &message.records,
                tokens,
            )?;
            self.printed += message.records.len() as u64;
            self.uncovered += message.records.len() as u64;
        }
        match &message.event {
            Some(Event::Heartbeat(heartbeat)) => {
                if self.uncovered > 0 && !message.token.is_empty() {
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
                if self.uncovered > 0 && !message.token.is_empty() {
                    event::end(self.out, told, tokens)?;
                }
                self.end = Some(told.reason());
            }
            // Records, or an event of a later release, whose tokens count, too.
            None => {}
        }
        if !message.token.is_empty() {
            (self.token, self.uncovered) = (message.token, 0);
        }
        Ok(())
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
}
