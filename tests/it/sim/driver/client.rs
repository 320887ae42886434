//! A client: reads in its way, obeys orders, and writes down what it sees.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::sync::mpsc;

use super::{Alive, Order};
use crate::sim::fake::{FakeUpstream, ShardRef};
use crate::sim::history::{
    EndReason, HEARTBEAT, History, Opened, Origin, Point, Position, Room, Seen, Via, What,
};
use crate::sim::schedules::{Habits, Way};
use crate::sim::service::{Read, Refusal, Service, Source, Start, Stream};

/// Before the same is asked again after an error or an answer without records.
pub const RETRY: Duration = Duration::from_secs(1);

/// What an order means for whoever is reading.
pub enum Turn {
    /// Another place of the same shard.
    To(Origin),
    /// Another shard, perhaps: everything begins anew.
    Anew(Origin),
}

pub struct Client<S> {
    pub fake: FakeUpstream,
    pub servers: Alive<S>,
    pub history: Rc<RefCell<History>>,
    /// Which log of the history is its own.
    pub log: usize,
    pub way: Way,
    pub habits: Habits,
    pub shard: ShardRef,
    pub inbox: mpsc::Receiver<Order>,
    /// The next answer is lost, and asked for again or not.
    pub lose: Option<bool>,
    /// Which server is next, and which request.
    pub calls: usize,
    /// From then on it reads as fast as it can.
    pub hurries: Duration,
    pub runs: usize,
}

impl<S: Service> Client<S> {
    /// Reads until the driver ends it.
    pub async fn live(mut self, mut origin: Origin) {
        loop {
            origin = match self.way {
                Way::Stream => self.stream_from(origin).await,
                Way::Unary => self.read_from(origin).await,
                Way::Lease | Way::LeaseStream => self.lease_from(origin).await,
            };
        }
    }

    /// One stream without a lease; answers where the next begins.
    async fn stream_from(&mut self, origin: Origin) -> Origin {
        let (run, asked) = (self.next_run(), self.fake.now());
        let source = Source::Start(self.shard.clone(), self.start(&origin));
        let result = self.server().stream(self.stream_request(source, None)).await;
        self.opened(run, Via::Stream, origin.clone(), asked);
        let mut messages = match result {
            Ok(messages) => messages,
            Err(refusal) => return self.refused(run, refusal, origin).await,
        };
        loop {
            // Orders come first. Neither an order nor a message is lost when the other is taken.
            let what = tokio::select! {
                biased;
                order = self.inbox.recv() => match self.obey(order).await {
                    Some(Turn::To(origin) | Turn::Anew(origin)) => {
                        self.push(run, What::Left);
                        return origin;
                    }
                    None => continue,
                },
                what = messages.next() => what.unwrap_or_else(no_end),
            };
            let (ended, refused) = (ending(&what), is_refused(&what));
            self.push(run, what);
            match ended {
                None => self.dawdle().await,
                Some(true) => return self.rest().await,
                Some(false) => {
                    tokio::time::sleep(RETRY).await;
                    if refused {
                        return Origin::Position(Position::Horizon);
                    }
                    return self.newest_token(run).map_or(origin, Origin::Token);
                }
            }
        }
    }

    /// One GetRecords without a lease; answers where the next begins.
    async fn read_from(&mut self, origin: Origin) -> Origin {
        let asked = self.fake.now();
        let source = Source::Start(self.shard.clone(), self.start(&origin));
        let (server, request) = (self.server(), self.read_request(source, None));
        let result = tokio::select! {
            biased;
            order = self.inbox.recv() => return match self.obey(order).await {
                Some(Turn::To(origin) | Turn::Anew(origin)) => origin,
                None => origin,
            },
            result = server.read(request) => result,
        };
        if self.lose.take().is_some() {
            // Nothing was kept between calls, so nothing is lost with the answer.
            return origin;
        }
        let run = self.next_run();
        self.opened(run, Via::Unary, origin.clone(), asked);
        match result {
            Err(refusal) => self.refused(run, refusal, origin).await,
            Ok((what, _)) => {
                let (over, empty) =
                    (matches!(what, What::ShardEnd { .. }), matches!(what, What::Heartbeat { .. }));
                let point = self.push(run, what);
                if over {
                    return self.rest().await;
                }
                if empty {
                    tokio::time::sleep(RETRY).await
                } else {
                    self.dawdle().await
                }
                self.newest_token(run).map_or(origin, |_| Origin::Token(point))
            }
        }
    }

    /// Waits, at the end of a shard, until an order says where to go on.
    pub async fn rest(&mut self) -> Origin {
        match self.wait_for_turn().await {
            // Whoever has a lease left it when it ended with an error.
            Turn::To(Origin::Seek(time)) => Origin::Position(Position::Since(time)),
            Turn::To(origin) | Turn::Anew(origin) => origin,
        }
    }

    pub async fn wait_for_turn(&mut self) -> Turn {
        loop {
            let order = self.inbox.recv().await;
            if let Some(turn) = self.obey(order).await {
                return turn;
            }
        }
    }

    /// Takes an order; stalls at once.
    pub async fn obey(&mut self, order: Option<Order>) -> Option<Turn> {
        match order.expect("the driver keeps its end until the client is gone") {
            Order::Stall(lasts) => {
                let since = self.fake.now();
                tokio::time::sleep(lasts).await;
                self.was_away(since);
                None
            }
            Order::Lose { repeat } => {
                self.lose = Some(repeat);
                None
            }
            Order::Jump(position) => Some(Turn::To(Origin::Position(position))),
            Order::Seek(time) => match self.way {
                Way::Lease | Way::LeaseStream => Some(Turn::To(Origin::Seek(time))),
                Way::Stream | Way::Unary => Some(Turn::To(Origin::Position(Position::Since(time)))),
            },
            Order::Resume(shard, point) => {
                self.shard = shard;
                Some(Turn::Anew(Origin::Token(point)))
            }
            Order::Restart { .. } | Order::Sleep(_) => unreachable!("orders of subscribers"),
        }
    }

    /// After an error: where to try again.
    pub async fn refused(&mut self, run: usize, refusal: Refusal, origin: Origin) -> Origin {
        let reason = refusal.reason.clone();
        let point = self.failed(run, refusal);
        match reason.as_str() {
            "RECORDS_TRIMMED" => self.behind_loss(run, point).await,
            "RECORD_UNREADABLE" => {
                self.habits.skip_unreadable = true;
                origin
            }
            // Nothing there says where a time is: all of it is read.
            "POSITION_MALFORMED" => {
                tokio::time::sleep(RETRY).await;
                Origin::Position(Position::Horizon)
            }
            "SHARD_NOT_FOUND" => {
                // Perhaps not listed yet; perhaps gone for good.
                tokio::time::sleep(RETRY * 10).await;
                origin
            }
            _ => {
                tokio::time::sleep(RETRY).await;
                origin
            }
        }
    }

    /// After a loss: where to go on. Without a token there the whole shard is gone, perhaps to come
    /// back.
    pub async fn behind_loss(&self, run: usize, point: Point) -> Origin {
        if self.newest_token(run) == Some(point) {
            return Origin::Token(point);
        }
        tokio::time::sleep(RETRY * 10).await;
        self.newest_token(run).map_or(Origin::Position(Position::Horizon), Origin::Token)
    }

    pub fn failed(&mut self, run: usize, refusal: Refusal) -> Point {
        self.push(run, refusal.into())
    }

    pub fn opened(&mut self, run: usize, via: Via, origin: Origin, asked: Duration) -> Point {
        let room = Room { records: self.habits.records, bytes: self.habits.bytes };
        let shard = self.shard.clone();
        self.push(run, What::Opened(Opened { via, shard, origin, asked, room }))
    }

    pub fn push(&mut self, run: usize, what: What) -> Point {
        let items = &mut self.history.borrow_mut().clients[self.log].items;
        items.push(Seen { run, at: self.fake.now(), what });
        Point { client: self.log, item: items.len() - 1 }
    }

    /// The newest item of a run that the client got a token with.
    pub fn newest_token(&self, run: usize) -> Option<Point> {
        let history = self.history.borrow();
        let mut items = history.clients[self.log].items.iter().enumerate().rev();
        let usable =
            |seen: &Seen| seen.run == run && seen.what.token().is_some() && !seen.what.is_lost();
        items.find(|(_, seen)| usable(seen)).map(|(item, _)| Point { client: self.log, item })
    }

    /// How an origin is asked for.
    pub fn start(&self, origin: &Origin) -> Start {
        match origin {
            Origin::Position(position) => Start::Position(*position),
            Origin::Token(point) | Origin::Session(point) => {
                let history = self.history.borrow();
                let token = history.at(*point).and_then(|seen| seen.what.token());
                Start::Token(token.map(|token| token.text.clone()).unwrap_or_default())
            }
            Origin::Seek(time) => Start::Position(Position::Since(*time)),
        }
    }

    pub fn stream_request(&self, source: Source, until_records: Option<usize>) -> Stream {
        let Habits { records, bytes, pass_gaps, skip_unreadable, .. } = self.habits;
        let room = Room { records, bytes };
        Stream { source, room, heartbeat: HEARTBEAT, until_records, pass_gaps, skip_unreadable }
    }

    pub fn read_request(&self, source: Source, request_id: Option<String>) -> Read {
        let Habits { records, bytes, skip_unreadable, wait, .. } = self.habits;
        let wait = (!wait.is_zero()).then_some(wait);
        Read { source, room: Room { records, bytes }, wait, request_id, skip_unreadable }
    }

    /// The next server in turn.
    pub fn server(&mut self) -> S {
        self.calls += 1;
        let servers = self.servers.borrow();
        servers[self.calls % servers.len()].0.clone()
    }

    pub fn next_run(&mut self) -> usize {
        self.runs += 1;
        self.runs - 1
    }

    /// What the client does between two messages.
    pub async fn dawdle(&self) {
        if !self.habits.pause.is_zero() && self.fake.now() < self.hurries {
            let since = self.fake.now();
            tokio::time::sleep(self.habits.pause).await;
            self.was_away(since);
        }
    }

    /// It did not look at its stream since then.
    pub fn was_away(&self, since: Duration) {
        self.history.borrow_mut().clients[self.log].away.push((since, self.fake.now()));
    }
}

/// What a stream that just stops is written down as.
pub fn no_end() -> What {
    What::Failed { code: "UNKNOWN".into(), reason: "NO_END".into(), token: None }
}

/// Whether a stream ends because nothing there says where its place is.
pub fn is_refused(what: &What) -> bool {
    matches!(what, What::End { reason: EndReason::Refused, .. })
}

/// Whether a message is a stream's last, and if so whether nothing is to come after it.
pub fn ending(what: &What) -> Option<bool> {
    match what {
        What::End { reason, .. } => {
            Some(matches!(reason, EndReason::ShardEnd | EndReason::StreamEnd))
        }
        What::Failed { .. } => Some(false),
        _ => None,
    }
}
