//! A loop without a pause stops the paused clock, and with it the test, for good: this says which
//! plan it was.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::Thread;
use std::time::Duration;

/// How long the paused clock may stand still. Only a bug waits so long, whatever the machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ends the process when the paused clock stands still; dropped, it does nothing any more.
pub struct Watchdog {
    state: Arc<State>,
    thread: Thread,
}

struct State {
    ticks: AtomicU64,
    over: AtomicBool,
}

impl Watchdog {
    /// Watches over one plan.
    pub fn over(plan: String) -> Self {
        let state = Arc::new(State { ticks: AtomicU64::new(0), over: AtomicBool::new(false) });
        let watched = Arc::clone(&state);
        let watching = std::thread::spawn(move || {
            let mut seen = u64::MAX;
            loop {
                std::thread::park_timeout(PATIENCE);
                if watched.over.load(Ordering::Relaxed) {
                    return;
                }
                let ticks = watched.ticks.load(Ordering::Relaxed);
                if ticks == seen {
                    // Not `eprintln!`: a test's output is kept back until it ends, and this one
                    // never does.
                    let mut out = std::io::stderr();
                    let _ = writeln!(
                        out,
                        "the paused clock stands still: something loops without a pause\n{plan}"
                    );
                    std::process::abort();
                }
                seen = ticks;
            }
        });
        Self { state, thread: watching.thread().clone() }
    }

    /// The paused clock has moved.
    pub fn tick(&self) {
        self.state.ticks.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::Relaxed);
        self.thread.unpark();
    }
}
