//! When a connection is told to go, and when one that was told is closed.
//!
//! It is told (GOAWAY) when it had no call for long, when it is old, when what its client has shown
//! by TLS is accepted no more, and when the server drains. Its calls go on; a client that reads it makes its next call on another connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::stalled_calls::OpenCalls;
use crate::limits::TransportLimits;

/// How often a connection is checked after it was sent GOAWAY.
const LEAVING: Duration = Duration::from_secs(2);

/// How long the calls of a client may go on whose certificate is accepted no more.
const UNACCEPTED: Duration = Duration::from_secs(10);

/// When one connection is told to go and when it is closed.
#[derive(Debug)]
pub struct GoAway {
    calls: Arc<OpenCalls>,
    phase: Phase,
    /// When to look next whether the connection is in use.
    look: Instant,
    /// When it is old; `None`: never, or it was already told.
    old: Option<Instant>,
    idle: Duration,
    grace: Duration,
}

/// How far it is.
#[derive(Debug)]
enum Phase {
    Staying,
    /// Told because it is idle or the server drains; and `OpenCalls::moved` at the last look.
    Told(u64),
    /// Told because it is old, or its client accepted no more: its calls go on until then.
    Old(Instant),
    /// Its calls were told to end; it is closed then.
    Ending(Instant),
}

/// What is to be done with the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Stay,
    /// Tell it to go.
    Tell,
    /// Tell its calls to end.
    End,
    /// Close it.
    Close,
}

impl GoAway {
    /// A connection that begins now; `chance`, from 0 to 1, is by how much its age differs from
    /// that of others.
    pub fn new(calls: Arc<OpenCalls>, limits: &TransportLimits, chance: f64) -> Self {
        let now = Instant::now();
        Self {
            calls,
            phase: Phase::Staying,
            look: now + limits.idle,
            old: limits.max_age.map(|age| now + age.mul_f64(0.9 + chance / 5.0)),
            idle: limits.idle,
            grace: limits.age_grace,
        }
    }

    /// When to ask for a verdict.
    pub fn due(&self) -> Instant {
        self.old.map_or(self.look, |old| old.min(self.look))
    }

    /// The server drains: the connection is told to go now.
    pub fn drain(&mut self) {
        self.tell(Phase::Told(self.calls.moved()), LEAVING);
    }

    /// Its client is accepted no more: the connection is told to go now.
    pub fn unaccepted(&mut self) {
        let grace = self.grace.min(UNACCEPTED);
        self.tell(Phase::Old(Instant::now() + grace), LEAVING.min(grace / 2));
    }

    /// What is to be done now.
    pub fn verdict(&mut self) -> Verdict {
        let now = Instant::now();
        match (&self.phase, self.calls.idle_since()) {
            // No call is left and the client does not close.
            (Phase::Told(_) | Phase::Old(_) | Phase::Ending(_), Some(since))
                if since + LEAVING <= now =>
            {
                Verdict::Close
            }
            // All responses are stalled.
            (Phase::Told(moved), None) if self.calls.stand_still_since(*moved) => Verdict::Close,
            (Phase::Ending(by), _) if *by <= now => Verdict::Close,
            (Phase::Old(by), _) if self.last_words(*by) <= now => {
                let by = (*by).max(now);
                self.tell(Phase::Ending(by), by - now);
                Verdict::End
            }
            (Phase::Told(_), _) => {
                self.tell(Phase::Told(self.calls.moved()), LEAVING);
                Verdict::Stay
            }
            (Phase::Old(by), _) => {
                self.look = (now + LEAVING).min(self.last_words(*by));
                Verdict::Stay
            }
            (Phase::Ending(by), _) => {
                self.look = (now + LEAVING).min(*by);
                Verdict::Stay
            }
            (Phase::Staying, _) if self.old.is_some_and(|old| old <= now) => {
                self.tell(Phase::Old(now + self.grace), LEAVING.min(self.grace / 2));
                Verdict::Tell
            }
            (Phase::Staying, Some(since)) if since + self.idle <= now => {
                self.tell(Phase::Told(self.calls.moved()), LEAVING * 5);
                Verdict::Tell
            }
            (Phase::Staying, since) => {
                self.look = since.unwrap_or(now) + self.idle;
                Verdict::Stay
            }
        }
    }

    /// When the calls of a connection that is closed by then are told to end.
    fn last_words(&self, by: Instant) -> Instant {
        by - LEAVING.min(self.grace / 2)
    }

    fn tell(&mut self, phase: Phase, look: Duration) {
        (self.phase, self.old, self.look) = (phase, None, Instant::now() + look);
    }
}

#[cfg(test)]
mod tests {
    use hyper::rt::Executor as _;
    use tokio_util::task::TaskTracker;

    use super::super::stalled_calls::CallTasks;
    use super::*;
    use crate::held_bytes::HeldBytes;
    use crate::metrics::Metrics;

    const AGE: Duration = Duration::from_secs(1_800);
    const GRACE: Duration = Duration::from_secs(600);

    fn connection(chance: f64) -> (GoAway, CallTasks) {
        let held = HeldBytes::new(1_000, Metrics::new());
        let calls = Arc::new(OpenCalls::new(Duration::from_secs(60), held));
        let tasks = CallTasks::new(TaskTracker::new(), calls.clone());
        let limits =
            TransportLimits { max_age: Some(AGE), age_grace: GRACE, ..TransportLimits::default() };
        (GoAway::new(calls, &limits, chance), tasks)
    }

    /// Waits for what is to be done next.
    async fn next(goaway: &mut GoAway) -> Verdict {
        loop {
            tokio::time::sleep_until(goaway.due()).await;
            match goaway.verdict() {
                Verdict::Stay => {}
                verdict => return verdict,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_connection_in_use_is_told_and_closed_when_its_grace_is_over() {
        let begun = Instant::now();
        for (chance, told) in [(0.0, AGE.mul_f64(0.9)), (0.5, AGE), (1.0, AGE.mul_f64(1.1))] {
            let (mut goaway, tasks) = connection(chance);
            tasks.execute(std::future::pending());
            let from = Instant::now();
            assert_eq!(next(&mut goaway).await, Verdict::Tell);
            assert!((from.elapsed().as_secs_f64() - told.as_secs_f64()).abs() < 0.1, "{begun:?}");
            assert_eq!(next(&mut goaway).await, Verdict::End);
            assert_eq!(from.elapsed(), told + GRACE - LEAVING);
            assert_eq!(next(&mut goaway).await, Verdict::Close);
            assert!((from.elapsed() - told).as_secs_f64() - GRACE.as_secs_f64() < 0.1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_connection_is_closed_soon_after_its_last_call() {
        let (mut goaway, tasks) = connection(0.5);
        tasks.execute(tokio::time::sleep(AGE + Duration::from_secs(60)));
        let from = Instant::now();
        assert_eq!(next(&mut goaway).await, Verdict::Tell);
        assert_eq!(next(&mut goaway).await, Verdict::Close);
        let after = from.elapsed() - AGE;
        assert!(after > Duration::from_secs(60) && after < Duration::from_secs(66), "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_calls_does_not_get_old() {
        let (mut goaway, _) = connection(0.5);
        let from = Instant::now();
        assert_eq!(next(&mut goaway).await, Verdict::Tell);
        assert_eq!(from.elapsed(), TransportLimits::default().idle);
        assert_eq!(next(&mut goaway).await, Verdict::Close);
    }
}
