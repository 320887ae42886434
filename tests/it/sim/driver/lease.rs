//! A client that reads on a lease: GetRecords, jumps, seeks, repeats, and streams in between.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::LocalBoxStream;

use super::client::{Client, RETRY, Turn, ending, is_refused, no_end};
use crate::sim::history::{Origin, Point, Position, Room, Via, What};
use crate::sim::schedules::Way;
use crate::sim::service::{Refusal, Service, Source};

/// How long a stream may take to end after its lease was taken from it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers between two streams on the lease.
const READS_BETWEEN: usize = 3;

/// A session, as its client knows it.
struct Held<S> {
    server: S,
    lease: String,
    /// The run its reading belongs to.
    run: usize,
    /// The last thing seen of it.
    point: Point,
}

/// What a step on the lease leads to.
enum Next {
    /// Reading goes on.
    On,
    /// The lease is lost or left.
    Leave(Origin),
    /// The shard is read to its end.
    Over,
}

impl<S: Service> Client<S> {
    /// One session; answers where the next begins.
    pub async fn lease_from(&mut self, origin: Origin) -> Origin {
        let (run, asked, server) = (self.next_run(), self.fake.now(), self.server());
        let result = server.open(&self.shard.clone(), self.start(&origin)).await;
        let point = self.opened(run, Via::Open, origin.clone(), asked);
        let mut held = match result {
            Ok(session) => Held { server, lease: session.lease, run, point },
            Err(refusal) => return self.refused(run, refusal, origin).await,
        };
        let mut reads = 0;
        loop {
            let next = if self.way == Way::LeaseStream && reads == READS_BETWEEN {
                reads = 0;
                self.stream_on(&mut held).await
            } else {
                reads += 1;
                self.read_on(&mut held).await
            };
            let next = match next {
                // The session is still there, and a jump revives it, unless its lease runs out
                // meanwhile.
                Next::Over => {
                    reads = 0;
                    let turn = self.wait_for_turn().await;
                    self.turn(&mut held, turn).await
                }
                next => next,
            };
            if let Next::Leave(origin) = next {
                held.server.close(&held.lease).await;
                return origin;
            }
        }
    }

    /// One GetRecords.
    async fn read_on(&mut self, held: &mut Held<S>) -> Next {
        self.calls += 1;
        let id = format!("{}", self.calls);
        let request = self.read_request(Source::Lease(held.lease.clone()), Some(id));
        let (server, again) = (held.server.clone(), request.clone());
        let result = tokio::select! {
            biased;
            // A call that is given up has moved nothing.
            order = self.inbox.recv() => return match self.obey(order).await {
                Some(turn) => self.turn(held, turn).await,
                None => Next::On,
            },
            result = server.read(request) => result,
        };
        match (result, self.lose.take()) {
            (Ok((What::Records(batch), _)), Some(repeat)) => {
                held.point = self.push(held.run, What::LostAnswer(batch));
                if !repeat {
                    return Next::On;
                }
                match server.read(again).await {
                    Ok((What::Records(batch), true)) => {
                        self.push(held.run, What::Repeat { of: held.point, batch });
                        Next::On
                    }
                    Ok((what, _)) => self.saw(held, what).await,
                    Err(refusal) => self.refused_on(held, refusal).await,
                }
            }
            (Ok((what, _)), lose) => {
                self.lose = lose;
                self.saw(held, what).await
            }
            (Err(refusal), _) => self.refused_on(held, refusal).await,
        }
    }

    async fn saw(&mut self, held: &mut Held<S>, what: What) -> Next {
        let (over, empty) =
            (matches!(what, What::ShardEnd { .. }), matches!(what, What::Heartbeat { .. }));
        held.point = self.push(held.run, what);
        if over {
            return Next::Over;
        }
        if empty {
            tokio::time::sleep(RETRY).await
        } else {
            self.dawdle().await
        }
        Next::On
    }

    /// After an error on the lease.
    async fn refused_on(&mut self, held: &mut Held<S>, refusal: Refusal) -> Next {
        let reason = refusal.reason.clone();
        let point = self.failed(held.run, refusal);
        match reason.as_str() {
            "LEASE_NOT_FOUND" => {
                let origin = self
                    .newest_token(held.run)
                    .map_or(Origin::Position(Position::Horizon), Origin::Token);
                Next::Leave(origin)
            }
            "RECORDS_TRIMMED" => {
                let origin = self.behind_loss(held.run, point).await;
                self.turn(held, Turn::To(origin)).await
            }
            "POSITION_MALFORMED" => {
                tokio::time::sleep(RETRY).await;
                self.turn(held, Turn::To(Origin::Position(Position::Horizon))).await
            }
            "RECORD_UNREADABLE" => {
                self.habits.skip_unreadable = true;
                Next::On
            }
            _ => {
                tokio::time::sleep(RETRY).await;
                Next::On
            }
        }
    }

    /// Goes where an order says: by JumpTo or SeekTo on the lease, or away from it.
    async fn turn(&mut self, held: &mut Held<S>, turn: Turn) -> Next {
        let origin = match turn {
            Turn::To(origin) => origin,
            Turn::Anew(origin) => return Next::Leave(origin),
        };
        let (run, asked) = (self.next_run(), self.fake.now());
        if let Origin::Seek(time) = origin {
            let room = Room { records: self.habits.records, bytes: self.habits.bytes };
            let result = held.server.seek(&held.lease, time, room).await;
            let point = self.opened(run, Via::Seek, origin, asked);
            return match result {
                Ok(what) => {
                    (held.run, held.point) = (run, point);
                    self.saw(held, what).await
                }
                Err(refusal) => self.stay(held, run, refusal).await,
            };
        }
        let result = held.server.jump(&held.lease, self.start(&origin)).await;
        let point = self.opened(run, Via::Jump, origin, asked);
        match result {
            Ok(_) => {
                (held.run, held.point) = (run, point);
                Next::On
            }
            Err(refusal) => self.stay(held, run, refusal).await,
        }
    }

    /// A jump or seek that failed has moved nothing: reading goes on where it was.
    async fn stay(&mut self, held: &Held<S>, run: usize, refusal: Refusal) -> Next {
        let lost = refusal.reason == "LEASE_NOT_FOUND";
        self.failed(run, refusal);
        tokio::time::sleep(RETRY).await;
        if lost {
            let origin = self
                .newest_token(held.run)
                .map_or(Origin::Position(Position::Horizon), Origin::Token);
            return Next::Leave(origin);
        }
        Next::On
    }

    /// One StreamRecords on the lease.
    async fn stream_on(&mut self, held: &mut Held<S>) -> Next {
        let (run, asked) = (self.next_run(), self.fake.now());
        let request =
            self.stream_request(Source::Lease(held.lease.clone()), Some(self.habits.records * 2));
        let result = held.server.stream(request).await;
        let session = held.point;
        self.opened(run, Via::Stream, Origin::Session(session), asked);
        let mut messages = match result {
            Ok(messages) => messages,
            Err(refusal) => {
                let next = self.stay(held, run, refusal).await;
                self.go_on(held, session);
                return next;
            }
        };
        loop {
            let what = tokio::select! {
                biased;
                order = self.inbox.recv() => match self.obey(order).await {
                    Some(turn) => {
                        let (anew, streaming) = (matches!(turn, Turn::Anew(_)), held.run);
                        let since = self.fake.now();
                        let next = self.turn(held, turn).await;
                        self.was_away(since);
                        if anew {
                            self.push(run, What::Left);
                        } else if held.run != streaming {
                            self.end_superseded(run, messages).await;
                        } else {
                            // The jump failed: whether it ended the stream is the server's
                            // business.
                            self.push(run, What::Left);
                            self.go_on(held, session);
                        }
                        return next;
                    }
                    None => continue,
                },
                what = messages.next() => what.unwrap_or_else(no_end),
            };
            let refused = is_refused(&what);
            let (ended, ok) =
                (ending(&what), matches!(&what, What::End { code, .. } if code == "OK"));
            let point = self.push(run, what);
            match ended {
                None => self.dawdle().await,
                Some(over) if ok => {
                    self.go_on(held, point);
                    return if over { Next::Over } else { Next::On };
                }
                Some(_) => {
                    // The session stands where it stood; the stream's last token says where the
                    // stream was.
                    tokio::time::sleep(RETRY).await;
                    self.go_on(held, session);
                    return match self.newest_token(run) {
                        _ if refused => {
                            self.turn(held, Turn::To(Origin::Position(Position::Horizon))).await
                        }
                        Some(token) => self.turn(held, Turn::To(Origin::Token(token))).await,
                        None => Next::On,
                    };
                }
            }
        }
    }

    /// Reading on the lease goes on from where that item left it.
    fn go_on(&mut self, held: &mut Held<S>, from: Point) {
        let (run, asked) = (self.next_run(), self.fake.now());
        held.run = run;
        held.point = self.opened(run, Via::Open, Origin::Session(from), asked);
    }

    /// The rest of a stream whose lease was taken by a jump: it has to end by itself.
    async fn end_superseded(&mut self, run: usize, mut messages: LocalBoxStream<'static, What>) {
        let rest = async {
            while let Some(what) = messages.next().await {
                let ended = ending(&what).is_some();
                self.push(run, what);
                if ended {
                    return;
                }
            }
        };
        let ended = tokio::time::timeout(PATIENCE, rest).await;
        assert!(ended.is_ok(), "a jump did not end the stream it superseded");
    }
}
