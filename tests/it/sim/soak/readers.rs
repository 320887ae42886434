//! Clients of single shards: sessions, reads by token, and streams, as they come and go through a
//! day.
//!
//! What they see is written down for the promises' checks.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures::StreamExt as _;

use crate::sim::fake::{FakeUpstream, ShardRef};
use crate::sim::history::{
    EndReason, History, Opened, Origin, Point, Position, Room, Seen, Via, What,
};
use crate::sim::inprocess::InProcess;
use crate::sim::service::{Read, Refusal, Service as _, Source, Start, Stream};

use super::upstream::TABLE;
use super::{HOUR, MINUTE};

/// How it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// On a lease, which it closes or forgets.
    Session,
    /// GetRecords by token, at times with hours between two calls.
    Token,
    /// StreamRecords, at once or slowly, or it stalls.
    Stream,
}

pub struct Reader {
    pub fake: FakeUpstream,
    pub server: InProcess,
    pub history: Rc<RefCell<History>>,
    /// Which log of the history is its own.
    pub log: usize,
    pub manner: Manner,
    pub chance: fastrand::Rng,
    pub shard: ShardRef,
    pub runs: usize,
    /// Its newest token.
    pub token: Option<Point>,
}

/// A run is over: where the next one begins, if that is known.
type Next = Option<Origin>;

impl Reader {
    /// Reads until it is dropped: shards of its choice, one after the other, from its newest token
    /// where it has one.
    pub async fn live(&mut self) {
        let mut next = self.token.filter(|_| self.chance.bool()).map(Origin::Token);
        loop {
            let origin = match next.take() {
                Some(origin) => origin,
                None => self.choose(),
            };
            if let Origin::Token(point) = origin {
                self.shard = self.history.borrow().shard_at(point).expect("a token of a shard");
            }
            next = match self.manner {
                Manner::Session => self.session(origin).await,
                Manner::Token => self.read(origin).await,
                Manner::Stream => self.stream(origin).await,
            };
            if next.is_none() {
                self.pause(MINUTE, MINUTE * 10).await;
            }
        }
    }

    /// A session for a while; it ends closed, or is forgotten.
    async fn session(&mut self, origin: Origin) -> Next {
        let asked = self.fake.now();
        let result = self.server.open(&self.shard, self.start(&origin)).await;
        let mut run = self.opened(Via::Open, origin, asked);
        let lease = match result {
            Ok(session) => session.lease,
            Err(refusal) => return self.refused(run, refusal).await,
        };
        for _ in 0..self.chance.usize(3..30) {
            let asked = self.fake.now();
            let result = match self.chance.u32(0..12) {
                0 => {
                    let position = self.position();
                    let result =
                        self.server.jump(&lease, Start::Position(position)).await.map(|_| None);
                    (result, Some((Via::Jump, Origin::Position(position))))
                }
                1 => {
                    let time = self.fake.wall().minus(self.span(HOUR * 20)).floor();
                    let result = self.server.seek(&lease, time, self.room()).await.map(Some);
                    (result, Some((Via::Seek, Origin::Seek(time))))
                }
                _ => {
                    let read = self.read_of(Source::Lease(lease.clone()));
                    (self.server.read(read).await.map(|(what, _)| Some(what)), None)
                }
            };
            match result {
                (Ok(what), moved) => {
                    if let Some((via, origin)) = moved {
                        run = self.opened(via, origin, asked);
                    }
                    if let Some(what) = what
                        && self.saw(run, what)
                    {
                        self.server.close(&lease).await;
                        return None;
                    }
                }
                // A jump that failed has moved nothing.
                (Err(refusal), Some((via, origin))) => {
                    let failed = self.opened(via, origin, asked);
                    self.refused(failed, refusal).await;
                }
                (Err(refusal), None) => {
                    let next = self.refused(run, refusal).await;
                    self.server.close(&lease).await;
                    return next;
                }
            }
            self.pause(Duration::ZERO, MINUTE * 7).await;
        }
        if self.chance.bool() {
            self.server.close(&lease).await;
        }
        self.token.map(Origin::Token)
    }

    /// One GetRecords without a lease.
    async fn read(&mut self, origin: Origin) -> Next {
        let asked = self.fake.now();
        let read = self.read_of(Source::Start(self.shard.clone(), self.start(&origin)));
        let result = self.server.read(read).await;
        let run = self.opened(Via::Unary, origin, asked);
        match result {
            Err(refusal) => self.refused(run, refusal).await,
            Ok((what, _)) => {
                let ended = self.saw(run, what);
                let (least, most) = if self.chance.u32(0..25) == 0 {
                    (HOUR, HOUR * 9)
                } else {
                    (MINUTE / 6, MINUTE * 9)
                };
                self.pause(least, most).await;
                self.token.filter(|_| !ended).map(Origin::Token)
            }
        }
    }

    /// One StreamRecords, left after a while.
    async fn stream(&mut self, origin: Origin) -> Next {
        let asked = self.fake.now();
        let request = Stream {
            source: Source::Start(self.shard.clone(), self.start(&origin)),
            room: self.room(),
            heartbeat: Duration::from_secs(300),
            until_records: None,
            pass_gaps: self.chance.bool(),
            skip_unreadable: self.chance.bool(),
        };
        let result = self.server.stream(request).await;
        let run = self.opened(Via::Stream, origin, asked);
        let mut messages = match result {
            Ok(messages) => messages,
            Err(refusal) => return self.refused(run, refusal).await,
        };
        // At once, slowly, or not at all for half an hour.
        let dawdles =
            [Duration::ZERO, Duration::from_secs(4), MINUTE * 30][self.chance.usize(0..3)];
        let leaves = self.fake.now() + MINUTE * 5 + self.span(MINUTE * 80);
        while let Some(left) = leaves.checked_sub(self.fake.now()) {
            let Ok(what) = tokio::time::timeout(left, messages.next()).await else { break };
            let what = what.expect("every stream says why it ends");
            let over = match &what {
                What::End { reason: EndReason::ShardEnd, .. } => Some(None),
                What::End { .. } | What::Failed { .. } => Some(self.token.map(Origin::Token)),
                _ => None,
            };
            self.saw(run, what);
            if let Some(next) = over {
                self.pause(MINUTE / 6, MINUTE).await;
                return next;
            }
            tokio::time::sleep(dawdles).await;
        }
        drop(messages);
        self.push(run, What::Left);
        let most = if self.chance.u32(0..5) == 0 { HOUR * 6 } else { MINUTE * 20 };
        self.pause(MINUTE, most).await;
        self.token.map(Origin::Token)
    }

    /// After an error: where to go on.
    async fn refused(&mut self, run: usize, refusal: Refusal) -> Next {
        let (reason, behind) = (refusal.reason.clone(), refusal.token.is_some());
        let point = self.push(run, refusal.into());
        self.pause(MINUTE / 10, MINUTE).await;
        match reason.as_str() {
            // The token that comes with a loss stands behind it.
            "RECORDS_TRIMMED" if behind => {
                self.token = Some(point);
                Some(Origin::Token(point))
            }
            "RECORD_UNREADABLE" | "SHARD_NOT_FOUND" | "RECORDS_TRIMMED" | "STREAM_NOT_FOUND" => {
                None
            }
            _ => self.token.map(Origin::Token),
        }
    }

    /// Writes down what came; whether it is the shard's end.
    fn saw(&mut self, run: usize, what: What) -> bool {
        let ended = matches!(what, What::ShardEnd { .. });
        let what = match what {
            // Whether it is the tip is judged where shards are asked every second; this day asks
            // seldom.
            What::Heartbeat { observed, token, .. } => {
                What::Heartbeat { at_tip: false, observed, token }
            }
            what => what,
        };
        let bears = what.token().is_some();
        let point = self.push(run, what);
        if bears {
            self.token = Some(point);
        }
        ended
    }

    fn opened(&mut self, via: Via, origin: Origin, asked: Duration) -> usize {
        self.runs += 1;
        let run = self.runs - 1;
        let (shard, room) = (self.shard.clone(), self.room());
        self.push(run, What::Opened(Opened { via, shard, origin, asked, room }));
        run
    }

    fn push(&self, run: usize, what: What) -> Point {
        let log = &mut self.history.borrow_mut().clients[self.log];
        let at = self.fake.now();
        log.items.push(Seen { run, at, what });
        // It looks when it likes: how often it hears of the server is judged elsewhere.
        log.away = vec![(Duration::ZERO, at)];
        Point { client: self.log, item: log.items.len() - 1 }
    }

    /// A shard that is listed, most often an open one, and a place in it.
    fn choose(&mut self) -> Origin {
        let streams = self.fake.streams_of(TABLE);
        let stream = &streams[self.chance.usize(0..streams.len())];
        let listed: Vec<_> =
            self.fake.glance(stream).into_iter().filter(|shard| shard.listed).collect();
        let open: Vec<_> = listed.iter().filter(|shard| !shard.closed).collect();
        let picked = match self.chance.u32(0..10) {
            0..7 if !open.is_empty() => Some(open[self.chance.usize(0..open.len())]),
            _ => listed.get(self.chance.usize(0..listed.len().max(1))),
        };
        if let Some(shard) = picked {
            self.shard = shard.name.clone();
        }
        Origin::Position(self.position())
    }

    fn position(&mut self) -> Position {
        let (_, written, _) = self.fake.extent(&self.shard);
        match self.chance.u32(0..6) {
            0 => Position::Horizon,
            1 | 2 => Position::Latest,
            3 => Position::Since(self.fake.wall().minus(self.span(HOUR * 23))),
            _ if written == 0 => Position::Horizon,
            drawn => {
                // Most often not far behind.
                let least = if self.chance.bool() { 0 } else { written.saturating_sub(50) };
                let index = self.chance.usize(least..written);
                let number = self.fake.entries(&self.shard, index..index + 1)[0].number;
                if drawn == 4 { Position::At(number) } else { Position::After(number) }
            }
        }
    }

    fn start(&self, origin: &Origin) -> Start {
        match origin {
            Origin::Position(position) => Start::Position(*position),
            Origin::Seek(time) => Start::Position(Position::Since(*time)),
            Origin::Token(point) | Origin::Session(point) => {
                let history = self.history.borrow();
                let token = history.at(*point).and_then(|seen| seen.what.token());
                Start::Token(token.expect("chosen for its token").text.clone())
            }
        }
    }

    fn read_of(&mut self, source: Source) -> Read {
        let wait = Some(Duration::from_secs(self.chance.u64(0..50))).filter(|wait| !wait.is_zero());
        let skip_unreadable = self.chance.u32(0..4) > 0;
        Read { source, room: self.room(), wait, request_id: None, skip_unreadable }
    }

    fn room(&self) -> Room {
        [Room { records: 7, bytes: 64 << 10 }, Room { records: 1_000, bytes: 256 << 10 }]
            [self.log % 2]
    }

    fn span(&mut self, most: Duration) -> Duration {
        Duration::from_millis(self.chance.u64(0..=most.as_millis() as u64))
    }

    async fn pause(&mut self, least: Duration, most: Duration) {
        let pause = least + self.span(most - least);
        tokio::time::sleep(pause).await;
    }
}
