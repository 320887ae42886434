//! The table of all sessions: looked up by lease, expired by time, one mover each.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::access::principal::Principal;
use crate::clock::{Clock, sleep_until};
use crate::metrics::{Active, Metrics};

use super::state::{Session, Superseded};

/// A lease's id: 128 random bits, in text 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(u128);

/// One more session would exceed the limit: how many are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} sessions are open, which is the limit")]
pub struct TooManySessions(pub usize);

/// The lease is unknown, has ended or was closed; or it is somebody else's, of which that caller is
/// told no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such lease")]
pub struct LeaseNotFound {
    /// Whether it is somebody else's.
    pub of_another: bool,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// Its owner closed it.
    Closed,
    /// Nobody used its lease in time.
    Expired,
}

/// What lives as long as a session.
pub trait SessionKeep: Send + Sync {
    /// The session has ended.
    fn ended(&self, lease: LeaseId, how: SessionEnd);
}

/// All sessions. A cheap clone.
#[derive(Clone)]
pub struct Sessions {
    shared: Arc<TableShared>,
}

struct TableShared {
    limit: usize,
    clock: Clock,
    metrics: Metrics,
    /// The source of lease ids: the operating system, or a seed in tests.
    ids: Mutex<Box<dyn FnMut() -> u128 + Send>>,
    table: Mutex<Table>,
    /// Notified when a session may end sooner than any before it.
    sooner: Notify,
}

#[derive(Default)]
struct Table {
    sessions: HashMap<LeaseId, Arc<SessionSlot>>,
    /// When to check each session for expiry: its deadline at the time of insertion; using the
    /// session moves only the deadline. Exactly one entry per session.
    looks: BTreeSet<(Instant, LeaseId)>,
}

struct SessionSlot {
    id: LeaseId,
    /// Whose it is; `None` where nobody is asked who calls.
    owner: Option<Principal>,
    /// Its time in `Table::looks`, so that closing the session can remove that entry.
    look: Mutex<Instant>,
    /// Locked briefly, never across an await.
    session: Mutex<Session>,
    /// Notified when a mover begins or the lease is closed.
    moved: Notify,
    _counted: Active,
    kept: Option<Box<dyn SessionKeep>>,
}

/// A running call on a session: keeps its lease alive.
pub struct SessionGuard {
    slot: Arc<SessionSlot>,
    clock: Clock,
}

/// A running call that may move a session until a newer one begins.
pub struct Mover {
    visit: SessionGuard,
    ticket: u64,
}

impl LeaseId {
    /// Parses 32 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        hex.then(|| u128::from_str_radix(text, 16).ok().map(Self)).flatten()
    }

    /// Its first digits: enough to tell leases apart in a log, and of no use to whoever reads it.
    pub fn prefix(&self) -> String {
        format!("{:08x}", self.0 >> 96)
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for LeaseId {
    /// A lease id gives access to a session: logs show only its first digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", self.prefix())
    }
}

impl Sessions {
    /// An empty table of at most `limit` sessions, whose ids come from `ids`.
    pub fn new(
        limit: usize,
        clock: Clock,
        metrics: Metrics,
        ids: impl FnMut() -> u128 + Send + 'static,
    ) -> Self {
        let (ids, table, sooner) =
            (Mutex::new(Box::new(ids) as Box<_>), Mutex::default(), Notify::new());
        Self { shared: Arc::new(TableShared { limit, clock, metrics, ids, table, sooner }) }
    }

    /// Stores a session of `owner` under a new lease, and keeps `kept` alive for as long as the
    /// session lives.
    pub fn open(
        &self,
        session: Session,
        owner: Option<Principal>,
        kept: Option<Box<dyn SessionKeep>>,
    ) -> Result<SessionGuard, TooManySessions> {
        let mut table = self.shared.table.lock();
        if table.sessions.len() >= self.shared.limit {
            self.shared.metrics.limit_rejection("sessions");
            return Err(TooManySessions(table.sessions.len()));
        }
        let id = LeaseId((self.shared.ids.lock())());
        let deadline = session.deadline();
        let counted = self.shared.metrics.session();
        let look = Mutex::new(deadline);
        let (session, moved) = (Mutex::new(session), Notify::new());
        let slot =
            Arc::new(SessionSlot { id, owner, look, session, moved, _counted: counted, kept });
        table.sessions.insert(id, slot.clone());
        let soonest = table.looks.first().is_none_or(|(first, _)| deadline < *first);
        table.looks.insert((deadline, id));
        drop(table);
        if soonest {
            self.shared.sooner.notify_one();
        }
        Ok(self.visit(slot))
    }

    /// Begins a call of `caller` on a session: the lease is renewed. A session of somebody else is
    /// as good as none.
    pub fn enter(
        &self,
        id: LeaseId,
        caller: Option<&Principal>,
    ) -> Result<SessionGuard, LeaseNotFound> {
        let unknown = LeaseNotFound { of_another: false };
        let slot = self.shared.table.lock().sessions.get(&id).cloned().ok_or(unknown)?;
        if slot.owner.as_ref() != caller {
            return Err(LeaseNotFound { of_another: true });
        }
        if slot.session.lock().is_expired(self.shared.clock.now().at) {
            return Err(unknown);
        }
        Ok(self.visit(slot))
    }

    /// Ends a session; does nothing if it has ended already.
    pub fn close(&self, id: LeaseId) {
        let slot = {
            let mut table = self.shared.table.lock();
            let slot = table.sessions.remove(&id);
            if let Some(slot) = &slot {
                let look = *slot.look.lock();
                table.looks.remove(&(look, id));
            }
            slot
        };
        if let Some(slot) = slot {
            slot.session.lock().close();
            slot.moved.notify_waiters();
            slot.tell_end(SessionEnd::Closed);
        }
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.shared.table.lock().sessions.len()
    }

    /// Whether there is no session.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends sessions whose leases have run out, until `stop`.
    pub async fn expire(self, stop: CancellationToken) {
        loop {
            let next = self
                .shared
                .table
                .lock()
                .looks
                .first()
                .map(|(at, _)| tokio::time::Instant::from_std(*at));
            // All three are cancel-safe: a token, a Notify that keeps its permit, a timer.
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.shared.sooner.notified() => {}
                () = sleep_until(next) => self.expire_now(),
            }
        }
    }

    fn expire_now(&self) {
        let now = self.shared.clock.now().at;
        let mut table = self.shared.table.lock();
        while let Some(&(at, id)) = table.looks.first()
            && at <= now
        {
            table.looks.pop_first();
            let Some(slot) = table.sessions.get(&id) else { continue };
            let session = slot.session.lock();
            if session.is_expired(now) {
                drop(session);
                slot.tell_end(SessionEnd::Expired);
                table.sessions.remove(&id);
            } else {
                // Renewed since, or a call is running: check again when the lease could end.
                let again = session.ends_at(now);
                *slot.look.lock() = again;
                drop(session);
                table.looks.insert((again, id));
            }
        }
    }

    fn visit(&self, slot: Arc<SessionSlot>) -> SessionGuard {
        slot.session.lock().enter(self.shared.clock.now().at);
        SessionGuard { slot, clock: self.shared.clock.clone() }
    }
}

impl SessionSlot {
    fn tell_end(&self, how: SessionEnd) {
        if let Some(kept) = &self.kept {
            kept.ended(self.id, how);
        }
    }
}

impl SessionGuard {
    /// The lease's id.
    pub fn id(&self) -> LeaseId {
        self.slot.id
    }

    /// Reads the session.
    pub fn read<T>(&self, read: impl FnOnce(&Session) -> T) -> T {
        read(&self.slot.session.lock())
    }

    /// Begins to move the session; the mover before it ends with `SUPERSEDED`.
    pub fn begin_move(self) -> Mover {
        let begun = self.begin_move_from(|_| Ok::<_, std::convert::Infallible>(()));
        match begun {
            Ok(((), mover)) => mover,
            Err((never, _)) => match never {},
        }
    }

    /// Reads the session and begins to move it from there, unless `look` returns an error. One step
    /// under one lock: otherwise a mover that ends between the two would already have delivered
    /// what is delivered again.
    pub fn begin_move_from<T, E>(
        self,
        look: impl FnOnce(&Session) -> Result<T, E>,
    ) -> Result<(T, Mover), (E, Self)> {
        let begun = {
            let mut session = self.slot.session.lock();
            look(&session).map(|seen| (seen, session.begin_move()))
        };
        match begun {
            Ok((seen, ticket)) => {
                self.slot.moved.notify_waiters();
                Ok((seen, Mover { visit: self, ticket }))
            }
            Err(otherwise) => Err((otherwise, self)),
        }
    }
}

impl Mover {
    /// The running call on the session.
    pub fn visit(&self) -> &SessionGuard {
        &self.visit
    }

    /// Changes the session, unless a newer mover began or the lease is closed.
    pub fn commit<T>(&self, change: impl FnOnce(&mut Session) -> T) -> Result<T, Superseded> {
        let mut session = self.visit.slot.session.lock();
        session.may_move(self.ticket)?;
        Ok(change(&mut session))
    }

    /// Resolves when this mover may no longer move the session. Cancel-safe.
    pub async fn superseded(&self) -> Superseded {
        loop {
            let moved = self.visit.slot.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            if let Err(superseded) = self.visit.read(|session| session.may_move(self.ticket)) {
                return superseded;
            }
            moved.await;
        }
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.slot.session.lock().leave(self.clock.now().at);
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::hub::{ReadPosition, ShardKey};
    use crate::model::{Checkpoint, Position, ShardId, StreamArn};
    use crate::session::state::LastRead;

    fn key() -> ShardKey {
        let stream =
            "arn:aws:dynamodb:us-east-1:123456789012:table/Orders/stream/2026-01-02T03:04:05.678";
        let stream = StreamArn::parse(stream).expect("an ARN");
        ShardKey::of(stream, ShardId::parse("shard").expect("an id"))
    }

    #[tokio::test(start_paused = true)]
    async fn sessions_that_were_closed_or_have_ended_leave_nothing() {
        let (clock, mut ids) = (Clock::system(), 0..);
        let sessions = Sessions::new(10_000, clock.clone(), Metrics::new(), move || {
            ids.next().expect("without end")
        });
        let key = key();
        let stop = CancellationToken::new();
        let expiring = tokio::spawn(sessions.clone().expire(stop.clone()));
        let hour = Duration::from_secs(3_600);
        for number in 0..200 {
            let session = Session::new(key.clone(), None, None, hour, clock.now().at);
            let visit = sessions.open(session, None, None).expect("room");
            if number % 4 == 0 {
                // Kept alive long enough to be checked again.
                tokio::time::sleep(hour + hour / 2).await;
            }
            let id = visit.id();
            drop(visit);
            if number % 2 == 0 {
                sessions.close(id);
                sessions.close(id);
            }
            let table = sessions.shared.table.lock();
            assert_eq!(table.looks.len(), table.sessions.len(), "{number}");
        }
        tokio::time::sleep(hour * 3).await;
        let left = {
            let table = sessions.shared.table.lock();
            (table.looks.len(), table.sessions.len())
        };
        assert_eq!(left, (0, 0));
        stop.cancel();
        expiring.await.expect("no panic");
    }

    #[test]
    fn of_many_movers_no_two_go_on_from_one_place() {
        let clock = Clock::system();
        let sessions = Sessions::new(1, clock.clone(), Metrics::new(), || 1);
        let session = Session::new(key(), None, None, Duration::from_secs(3_600), clock.now().at);
        let id = sessions.open(session, None, None).expect("room").id();
        // How many entries were read: each mover reads one more.
        let place = |session: &Session| session.last_read.as_ref().map_or(0, |read| read.entries);
        let moved = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        let visit = sessions.enter(id, None).expect("it is there");
                        let begun = visit.begin_move_from(|session| Ok::<_, ()>(place(session)));
                        let Ok((before, mover)) = begun else { continue };
                        let from =
                            ReadPosition::restored(Checkpoint::new(Position::TrimHorizon, None));
                        let read = LastRead {
                            request_id: vec![],
                            from,
                            entries: before + 1,
                            skips: false,
                        };
                        if mover.commit(|session| session.last_read = Some(read)).is_ok() {
                            moved.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let read = sessions.enter(id, None).expect("it is there").read(place);
        assert_eq!(moved.into_inner(), read, "what one mover gave another gave again");
    }
}
