//! The model as a server.

use std::collections::VecDeque;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, LocalBoxStream, StreamExt as _};
use shardstream::model::Timestamp;
use shardstream::upstream::{IteratorStart as UpstreamStart, Upstream as _};

use super::{Bug, Cursor, Held, Ideal, Look};
use crate::sim::fake::ShardRef;
use crate::sim::guarantees::Gauge;
use crate::sim::history::subscribed::{Start as SubscribeStart, Told, Wish};
use crate::sim::history::{EndReason, Gap, Position, Room, Token, What};
use crate::sim::service::{Read, Refusal, Service, Session, Source, Start, Stream};

const LEASE: Duration = Duration::from_secs(60);

/// One response stream.
struct Streaming {
    server: Ideal,
    number: u64,
    /// The lease it reads on, and the mover that it is.
    lease: Option<(String, u64)>,
    request: Stream,
    cursor: Cursor,
    sent: usize,
    pending: VecDeque<What>,
    over: bool,
    beat: Duration,
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.server.state.borrow_mut().streams.remove(&self.number);
    }
}

#[async_trait(?Send)]
impl Service for Ideal {
    async fn open(&self, shard: &ShardRef, start: Start) -> Result<Session, Refusal> {
        self.travel().await;
        self.find(shard, &start)?;
        let cursor = self.cursor(shard, &start)?;
        let mut state = self.state.borrow_mut();
        state.opened += 1;
        let (lease, expires) = (format!("lease {}", state.opened), self.fake.now() + LEASE);
        state.sessions.insert(lease.clone(), Held { cursor, mover: 0, newest: None, expires });
        Ok(Session { lease })
    }

    async fn jump(&self, lease: &str, start: Start) -> Result<Session, Refusal> {
        self.travel().await;
        let shard = self.held(lease, |held| held.cursor.shard.clone())?;
        let cursor = self.cursor(&shard, &start)?;
        let elsewhere = self.has(Bug::JumpsElsewhere);
        self.held(lease, |held| {
            held.mover += 1;
            held.newest = None;
            held.cursor = Cursor { index: cursor.index + usize::from(elsewhere), ..cursor };
        })?;
        Ok(Session { lease: lease.into() })
    }

    async fn seek(&self, lease: &str, time: Timestamp, room: Room) -> Result<What, Refusal> {
        let (shard, start) = (
            self.held(lease, |held| held.cursor.shard.clone())?,
            Start::Position(Position::Since(time)),
        );
        if let Look::Refused = self.look(&mut self.cursor(&shard, &start)?, room) {
            self.travel().await;
            return Err(Refusal::new("INVALID_ARGUMENT", "POSITION_MALFORMED"));
        }
        self.jump(lease, start).await?;
        let mut cursor = self.held(lease, |held| held.cursor.clone())?;
        let what = self.answer(&mut cursor, room, true);
        self.held(lease, |held| held.cursor = cursor)?;
        what
    }

    async fn read(&self, read: Read) -> Result<(What, bool), Refusal> {
        self.travel().await;
        let mut repeated = false;
        let (mut cursor, mover) = match &read.source {
            Source::Start(shard, start) => {
                self.find(shard, start)?;
                (self.cursor(shard, start)?, 0)
            }
            Source::Lease(lease) => self.held(lease, |held| {
                held.mover += 1;
                let newest =
                    held.newest.take().filter(|(id, _)| Some(id) == read.request_id.as_ref());
                repeated = newest.is_some();
                let from = match newest {
                    Some((_, from)) if !self.has(Bug::ForgetsAnswers) => from,
                    _ => held.cursor.clone(),
                };
                (from, held.mover)
            })?,
        };
        let from = cursor.clone();
        let until = self.fake.now() + read.wait.unwrap_or_default();
        let what = loop {
            let what = self.answer(&mut cursor, read.room, read.skip_unreadable)?;
            if !matches!(what, What::Heartbeat { .. }) || self.fake.now() >= until {
                break what;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        if let Source::Lease(lease) = &read.source {
            self.held(lease, |held| {
                if held.mover != mover {
                    return Err(Refusal::new("ABORTED", "SUPERSEDED"));
                }
                held.newest = read.request_id.clone().map(|id| (id, from));
                held.cursor = cursor;
                Ok(())
            })??;
        }
        Ok((what, repeated))
    }

    async fn stream(&self, request: Stream) -> Result<LocalBoxStream<'static, What>, Refusal> {
        self.travel().await;
        let (cursor, lease) = match &request.source {
            Source::Start(shard, start) => {
                self.find(shard, start)?;
                (self.cursor(shard, start)?, None)
            }
            Source::Lease(lease) => self.held(lease, |held| {
                held.mover += 1;
                (held.cursor.clone(), Some((lease.clone(), held.mover)))
            })?,
        };
        let number = {
            let mut state = self.state.borrow_mut();
            state.opened += 1;
            state.opened
        };
        let mut pending = VecDeque::new();
        let resumed = matches!(&request.source, Source::Start(_, Start::Token(_)));
        if resumed && self.has(Bug::FalseGap) {
            let token = self.token(&cursor, &self.truth(&cursor.shard));
            pending.push_back(What::Gap(Gap {
                after: None,
                before: None,
                certain: true,
                expired: false,
                token,
            }));
        }
        let (server, beat) = (self.clone(), self.fake.now());
        let streaming = Streaming {
            server,
            number,
            lease,
            request,
            cursor,
            sent: 0,
            pending,
            over: false,
            beat,
        };
        let messages = stream::unfold(streaming, |mut streaming| async {
            let what = streaming.next().await?;
            Some((what, streaming))
        });
        Ok(messages.boxed_local())
    }

    async fn subscribe(
        &self,
        wish: &Wish,
        start: SubscribeStart,
    ) -> Result<LocalBoxStream<'static, Told>, (String, String)> {
        self.subscription(wish, start).await
    }

    async fn close(&self, lease: &str) {
        self.state.borrow_mut().sessions.remove(lease);
    }

    async fn children(
        &self,
        shard: &ShardRef,
        by_table: bool,
    ) -> Result<(Vec<ShardRef>, bool), Refusal> {
        self.travel().await;
        let shards = self.fake.shards();
        let newest = shards.iter().map(|shard| &shard.stream).max_by_key(|stream| stream.created());
        let stream = newest.filter(|_| by_table).unwrap_or(&shard.stream);
        let meant =
            shards.iter().find(|known| known.stream == *stream && known.shard == shard.shard);
        let meant = meant.ok_or_else(|| Refusal::new("NOT_FOUND", "SHARD_NOT_FOUND"))?;
        self.find(meant, &Start::Position(Position::Horizon))?;
        let mut children = self.fake.children(meant);
        children.retain(|child| self.fake.is_listed(child));
        children.sort();
        let complete = !self.fake.is_open(meant) && (children.len() == 2 || self.has(Bug::Hasty));
        if self.has(Bug::Disowns) {
            children.pop();
        }
        Ok((children, complete))
    }

    fn gauge(&self) -> Gauge {
        let window_bytes = if self.has(Bug::Hoards) { usize::MAX } else { 0 };
        Gauge { window_bytes, ..Gauge::default() }
    }
}

impl Ideal {
    async fn travel(&self) {
        tokio::time::sleep(Duration::from_millis(3)).await;
        if self.has(Bug::HotLoop) {
            let Some(shard) = self.fake.shards().pop() else { return };
            for _ in 0..40 {
                let _ = self
                    .fake
                    .shard_iterator(&shard.stream, &shard.shard, UpstreamStart::Latest)
                    .await;
            }
        }
    }

    /// A shard that no listing shows is not there, or not any more.
    fn find(&self, shard: &ShardRef, start: &Start) -> Result<(), Refusal> {
        match start {
            _ if self.fake.is_listed(shard) || self.has(Bug::ReadsUnlisted) => Ok(()),
            Start::Token(_) => Err(Refusal::new("OUT_OF_RANGE", "RECORDS_TRIMMED")),
            Start::Position(_) => Err(Refusal::new("NOT_FOUND", "SHARD_NOT_FOUND")),
        }
    }

    fn held<T>(&self, lease: &str, change: impl FnOnce(&mut Held) -> T) -> Result<T, Refusal> {
        let now = self.fake.now();
        let mut state = self.state.borrow_mut();
        let held = state.sessions.get_mut(lease).filter(|held| held.expires > now);
        let held = held.ok_or_else(|| Refusal::new("NOT_FOUND", "LEASE_NOT_FOUND"))?;
        held.expires = now + LEASE;
        Ok(change(held))
    }

    /// One answer of GetRecords.
    fn answer(&self, cursor: &mut Cursor, room: Room, skip_bad: bool) -> Result<What, Refusal> {
        match self.look(cursor, room) {
            Look::Refused => Err(Refusal::new("INVALID_ARGUMENT", "POSITION_MALFORMED")),
            Look::Lost(to) => {
                let token = Some(Box::new(self.take_gap(&mut cursor.clone(), to).token));
                Err(Refusal { token, ..Refusal::new("OUT_OF_RANGE", "RECORDS_TRIMMED") })
            }
            Look::Bad if !skip_bad => Err(Refusal::new("DATA_LOSS", "RECORD_UNREADABLE")),
            Look::Bad => {
                let (entry, token) = self.take_bad(cursor);
                if self.has(Bug::HidesBad) {
                    return Ok(What::Heartbeat { at_tip: false, observed: None, token });
                }
                Ok(What::Unreadable { entry, token })
            }
            Look::Records(to) => Ok(What::Records(self.take(cursor, to))),
            Look::Nothing => {
                Ok(What::Heartbeat { at_tip: true, observed: None, token: self.here(cursor) })
            }
            Look::Over => Ok(What::ShardEnd { token: self.here(cursor) }),
        }
    }

    fn here(&self, cursor: &Cursor) -> Token {
        self.token(cursor, &self.truth(&cursor.shard))
    }
}

impl Streaming {
    async fn next(&mut self) -> Option<What> {
        loop {
            if let Some(what) = self.pending.pop_front() {
                return Some(what);
            }
            if self.over {
                return None;
            }
            self.advance().await;
        }
    }

    async fn advance(&mut self) {
        let server = self.server.clone();
        server
            .state
            .borrow_mut()
            .streams
            .insert(self.number, (self.cursor.shard.clone(), self.cursor.index));
        if let Some((lease, mover)) = &self.lease {
            match server.held(lease, |held| held.mover == *mover) {
                Ok(true) => {}
                Ok(false) => return self.end(EndReason::Superseded),
                Err(_) => return self.end(EndReason::LeaseClosed),
            }
        }
        let mut room = self.request.room;
        if let Some(until) = self.request.until_records {
            if self.sent >= until {
                return self.end(EndReason::Limit);
            }
            room.records = room.records.min(until - self.sent);
        }
        let look = server.look(&mut self.cursor.clone(), room);
        if server.fake.now() >= self.beat {
            self.beat = server.fake.now() + self.request.heartbeat;
            let (token, observed) = (server.here(&self.cursor), Some(server.fake.ours()));
            let at_tip = matches!(look, Look::Nothing);
            if !server.has(Bug::Mute) {
                return self.pending.push_back(What::Heartbeat { at_tip, observed, token });
            }
        }
        match server.look(&mut self.cursor, room) {
            Look::Refused => self.end(EndReason::Refused),
            Look::Lost(to) => {
                let gap = server.take_gap(&mut self.cursor, to);
                self.pending.push_back(What::Gap(gap));
                if !self.request.pass_gaps {
                    self.end(EndReason::Gap);
                }
            }
            Look::Bad => {
                let (entry, token) = server.take_bad(&mut self.cursor);
                if !server.has(Bug::HidesBad) {
                    self.pending.push_back(What::Unreadable { entry, token });
                }
                if !self.request.skip_unreadable {
                    self.end(EndReason::Unreadable);
                }
            }
            Look::Records(to) => {
                let batch = server.take(&mut self.cursor, to);
                self.sent += batch.entries.len();
                self.pending.push_back(What::Records(batch));
            }
            Look::Over => {
                self.pending.push_back(What::ShardEnd { token: server.here(&self.cursor) });
                self.end(EndReason::ShardEnd);
            }
            Look::Nothing => {
                let due = self.beat.saturating_sub(server.fake.now());
                tokio::time::sleep(Duration::from_millis(500).min(due)).await;
            }
        }
    }

    fn end(&mut self, reason: EndReason) {
        let (code, token) = (reason.code().to_owned(), self.server.here(&self.cursor));
        if let (Some((lease, _)), "OK") = (&self.lease, code.as_str()) {
            let cursor = self.cursor.clone();
            let _ = self.server.held(lease, |held| (held.cursor, held.newest) = (cursor, None));
        }
        self.pending.push_back(What::End { reason, code, token });
        self.over = true;
    }
}
