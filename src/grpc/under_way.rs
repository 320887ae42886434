//! Calls under way on one connection: how many, since when there is none, and which of them stand still because nobody takes
//! their answer.
//!
//! HTTP/2 asks for more of an answer when its client made room for it. What was handed over and is not asked on for keeps its
//! bytes in memory for as long as the client likes; past a limit the call is ended, and HTTP/2 forgets it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, Sleep};
use tokio_util::task::TaskTracker;

tokio::task_local! {
    /// The call whose task this is.
    static UNDER_WAY: Arc<Standing>;
}

/// Calls of one connection.
#[derive(Debug)]
pub struct Calls {
    count: Mutex<Count>,
    /// How long an answer may stand still.
    stall: Duration,
}

#[derive(Debug)]
struct Count {
    calls: usize,
    /// Those whose answers stand still.
    standing: usize,
    /// How often one of them was asked on.
    moved: u64,
    /// When the last one ended, or the connection began.
    ended: Instant,
}

/// Starts the task of each call of one connection; hyper's executor.
#[derive(Clone, Debug)]
pub struct Tasks {
    tasks: TaskTracker,
    calls: Arc<Calls>,
}

/// One call's answer.
#[derive(Debug)]
struct Standing {
    /// Since when it stands still, if it does.
    since: Mutex<Option<Instant>>,
    calls: Arc<Calls>,
}

/// One call, from the arrival of its head to the last byte of its answer.
struct Call<F> {
    inner: Pin<Box<F>>,
    standing: Arc<Standing>,
    /// Set once it stood still, and looked at when it rings.
    watch: Option<Pin<Box<Sleep>>>,
}

impl Calls {
    /// None yet; one whose answer stands still for `stall` is ended.
    pub fn new(stall: Duration) -> Self {
        Self { count: Mutex::new(Count { calls: 0, standing: 0, moved: 0, ended: Instant::now() }), stall }
    }

    /// Since when there is none.
    pub fn idle_since(&self) -> Option<Instant> {
        let count = self.count.lock();
        (count.calls == 0).then_some(count.ended)
    }

    /// How often an answer that stood still was asked on: for [`Self::stand_still_since`].
    pub fn moved(&self) -> u64 {
        self.count.lock().moved
    }

    /// Whether all of them stand still and none was asked on since `moved`.
    pub fn stand_still_since(&self, moved: u64) -> bool {
        let count = self.count.lock();
        count.calls == count.standing && count.moved == moved
    }
}

impl Standing {
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

impl Tasks {
    /// Tasks of `tasks`, for the calls of one connection.
    pub fn new(tasks: TaskTracker, calls: Arc<Calls>) -> Self {
        Self { tasks, calls }
    }
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, call: F) {
        self.calls.count.lock().calls += 1;
        let standing = Arc::new(Standing { since: Mutex::default(), calls: self.calls.clone() });
        self.tasks.spawn(Call { inner: Box::pin(call), standing, watch: None });
    }
}

/// The call whose task this is handed something over: from now on it stands still, until it is asked on.
pub fn handed_over() {
    let _ = UNDER_WAY.try_with(|standing| standing.set(Some(Instant::now())));
}

/// The call whose task this is was asked on.
pub fn asked_on() {
    let _ = UNDER_WAY.try_with(|standing| standing.set(None));
}

impl<F: Future<Output = ()>> Future for Call<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let me = &mut *self;
        if UNDER_WAY.sync_scope(me.standing.clone(), || me.inner.as_mut().poll(context)).is_ready() {
            return Poll::Ready(());
        }
        loop {
            let since = *me.standing.since.lock();
            let due = since.map(|since| since + me.standing.calls.stall);
            let watch = match (&mut me.watch, due) {
                (None, None) => return Poll::Pending,
                // A watch that is set rings too early rather than being set anew with every piece.
                (Some(watch), _) => watch,
                (None, Some(due)) => me.watch.insert(Box::pin(tokio::time::sleep_until(due))),
            };
            ready!(watch.as_mut().poll(context));
            match due {
                Some(due) if due <= Instant::now() => {
                    tracing::debug!("ending a call whose client does not take its answer");
                    return Poll::Ready(());
                }
                Some(due) => watch.as_mut().reset(due),
                None => me.watch = None,
            }
        }
    }
}

impl<F> Drop for Call<F> {
    fn drop(&mut self) {
        self.standing.set(None);
        let mut count = self.standing.calls.count.lock();
        count.calls -= 1;
        count.ended = Instant::now();
    }
}
