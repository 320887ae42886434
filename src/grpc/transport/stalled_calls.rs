//! The open calls of one connection: how many, since when there has been none, and which are
//! stalled because their client does not take the response.
//!
//! HTTP/2 polls a response body for more when the client has made room for it. A piece that was
//! handed over without a further poll stays in memory as long as the client likes; past a limit
//! the call is ended, and HTTP/2 releases its bytes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, Sleep};
use tokio_util::task::TaskTracker;

use crate::held_bytes::HeldBytes;

tokio::task_local! {
    /// The call that the current task serves.
    static UNDER_WAY: Arc<Stall>;
}

/// How long a response may be stalled while the memory held for clients is full: others wait for
/// the memory that it occupies.
const PRESSED: Duration = Duration::from_secs(5);

/// The open calls of one connection.
#[derive(Debug)]
pub struct OpenCalls {
    count: Mutex<CallCounts>,
    /// How long a response may be stalled.
    stall: Duration,
    held: HeldBytes,
}

#[derive(Debug)]
struct CallCounts {
    calls: usize,
    /// How many calls have a stalled response.
    standing: usize,
    /// How often a stalled response was polled again.
    moved: u64,
    /// When the last call ended, or the connection began.
    ended: Instant,
}

/// Spawns the task of each call of one connection; hyper's executor.
#[derive(Clone, Debug)]
pub struct CallTasks {
    tasks: TaskTracker,
    calls: Arc<OpenCalls>,
}

/// Whether the response of one call is stalled.
#[derive(Debug)]
struct Stall {
    /// Since when it is stalled; `None` if it is not.
    since: Mutex<Option<Instant>>,
    calls: Arc<OpenCalls>,
}

/// The task of one call, from the arrival of its head to the last byte of its response.
struct TrackedCall<F> {
    inner: Pin<Box<F>>,
    standing: Arc<Stall>,
    /// The timer after which a stall is checked; set at the first stall.
    watch: Option<Pin<Box<Sleep>>>,
}

impl OpenCalls {
    /// No calls yet. A call whose response is stalled for `stall` is ended, or sooner while `held`
    /// is full.
    pub fn new(stall: Duration, held: HeldBytes) -> Self {
        Self {
            count: Mutex::new(CallCounts {
                calls: 0,
                standing: 0,
                moved: 0,
                ended: Instant::now(),
            }),
            stall,
            held,
        }
    }

    /// Since when there has been no call; `None` if there is one.
    pub fn idle_since(&self) -> Option<Instant> {
        let count = self.count.lock();
        (count.calls == 0).then_some(count.ended)
    }

    /// How often a stalled response was polled again, for [`Self::stand_still_since`].
    pub fn moved(&self) -> u64 {
        self.count.lock().moved
    }

    /// Whether all calls are stalled and none was polled again since the count was `moved`.
    pub fn stand_still_since(&self, moved: u64) -> bool {
        let count = self.count.lock();
        count.calls == count.standing && count.moved == moved
    }
}

impl Stall {
    fn set(&self, since: Option<Instant>) {
        let before = std::mem::replace(&mut *self.since.lock(), since);
        if before.is_some() != since.is_some() {
            let mut count = self.calls.count.lock();
            match since {
                Some(_) => count.standing += 1,
                None => {
                    count.standing -= 1;
                    count.moved += 1;
                }
            }
        }
    }
}

impl CallTasks {
    /// Spawns the calls of one connection within `tasks`.
    pub fn new(tasks: TaskTracker, calls: Arc<OpenCalls>) -> Self {
        Self { tasks, calls }
    }
}

impl CallTasks {
    /// `call`, counted and watched, and run by the caller: a connection of HTTP/1.1, which serves
    /// one call after the other.
    pub fn tracked<F: Future<Output = ()>>(&self, call: F) -> impl Future<Output = ()> + use<F> {
        self.calls.count.lock().calls += 1;
        let standing = Arc::new(Stall { since: Mutex::default(), calls: self.calls.clone() });
        TrackedCall { inner: Box::pin(call), standing, watch: None }
    }
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for CallTasks {
    fn execute(&self, call: F) {
        self.tasks.spawn(self.tracked(call));
    }
}

/// Notes that the current task's call handed a piece of its response to HTTP/2: it counts as
/// stalled until polled again.
pub fn handed_over() {
    let _ = UNDER_WAY.try_with(|standing| standing.set(Some(Instant::now())));
}

/// Notes that the response of the current task's call was polled for more.
pub fn asked_on() {
    let _ = UNDER_WAY.try_with(|standing| standing.set(None));
}

impl<F: Future<Output = ()>> Future for TrackedCall<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let me = &mut *self;
        if UNDER_WAY.sync_scope(me.standing.clone(), || me.inner.as_mut().poll(context)).is_ready()
        {
            return Poll::Ready(());
        }
        loop {
            let since = *me.standing.since.lock();
            let OpenCalls { stall, held, .. } = &*me.standing.calls;
            let poll = Instant::now() + PRESSED.min(*stall);
            let watch = match (&mut me.watch, since) {
                (None, None) => return Poll::Pending,
                // A set timer is left to fire early: resetting it with every piece would cost more.
                (Some(watch), _) => watch,
                (None, Some(_)) => me.watch.insert(Box::pin(tokio::time::sleep_until(poll))),
            };
            ready!(watch.as_mut().poll(context));
            match since.map(|since| since.elapsed()) {
                Some(still) if still >= *stall || still >= PRESSED && held.is_full() => {
                    tracing::debug!("ending a call whose client does not take its answer");
                    return Poll::Ready(());
                }
                Some(_) => watch.as_mut().reset(poll),
                None => me.watch = None,
            }
        }
    }
}

impl<F> Drop for TrackedCall<F> {
    fn drop(&mut self) {
        self.standing.set(None);
        let mut count = self.standing.calls.count.lock();
        count.calls -= 1;
        count.ended = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use hyper::rt::Executor as _;

    use super::*;

    const STALL: Duration = Duration::from_secs(60);

    fn calls() -> (CallTasks, Arc<OpenCalls>) {
        let calls =
            Arc::new(OpenCalls::new(STALL, HeldBytes::new(1_000, crate::metrics::Metrics::new())));
        (CallTasks::new(TaskTracker::new(), calls.clone()), calls)
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_whose_answer_nobody_takes_is_ended() {
        let (tasks, calls) = calls();
        tasks.execute(async {
            handed_over();
            std::future::pending().await
        });
        tokio::time::sleep(STALL - Duration::from_secs(1)).await;
        assert_eq!(calls.idle_since(), None);
        assert!(calls.stand_still_since(calls.moved()));
        tokio::time::sleep(PRESSED + Duration::from_secs(2)).await;
        assert!(calls.idle_since().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn where_memory_is_full_it_is_ended_sooner() {
        let (tasks, calls) = calls();
        let full = calls.held.hold(crate::held_bytes::HeldFor::Records, 1_000);
        for _ in 0..2 {
            tasks.execute(async {
                handed_over();
                std::future::pending().await
            });
        }
        tasks.execute(std::future::pending());
        tokio::time::sleep(PRESSED - Duration::from_secs(1)).await;
        assert_eq!(calls.count.lock().calls, 3);
        tokio::time::sleep(PRESSED).await;
        assert_eq!(calls.count.lock().calls, 1, "what waits for what it has to say is not ended");
        drop(full);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_taken_slowly_goes_on_and_so_does_one_that_has_nothing_to_say() {
        let (tasks, calls) = calls();
        tasks.execute(async {
            for _ in 0..10 {
                handed_over();
                tokio::time::sleep(STALL - Duration::from_secs(1)).await;
                asked_on();
            }
            tokio::time::sleep(STALL * 10).await;
        });
        tokio::time::sleep(STALL * 19).await;
        assert_eq!(calls.idle_since(), None);
        assert_eq!(calls.moved(), 10);
        assert!(!calls.stand_still_since(10), "it waits for what it has to say");
        tokio::time::sleep(STALL).await;
        assert!(calls.idle_since().is_some());
    }
}
