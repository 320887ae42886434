//! The audit log: who was let in, who was not, what was read, and what changed of that.
//!
//! A line of JSON for each [`Event`]; never items, tokens, keys or sequence numbers. Whoever has
//! something to tell never waits: events wait in a bounded queue, and one task writes them
//! ([`writer`]). What finds the queue full is dropped and counted; with `--audit-strict` calls are
//! refused before that happens.

pub mod event;
pub mod pace;
pub mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use crate::clock::Clock;
use crate::config::AuditConfig;
use crate::metrics::Metrics;

use event::Event;
use pace::Pace;
use writer::{AuditFileError, AuditWriter, Sink};

/// The most events that wait to be written.
const MOST_WAITING: usize = 4_096;

/// With `--audit-strict`, calls are refused when fewer than this many more fit: those that were let
/// in before have something to tell, too.
const RESERVED: usize = MOST_WAITING / 4;

/// Of the same denial, what is told in full, and in how long; the rest is a count.
const DENIALS: (u32, Duration) = (10, Duration::from_secs(1));

/// The same of the same reads by calls that open nothing.
const READS: (u32, Duration) = (1, Duration::from_secs(60));

/// Where events are told. A cheap clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Audit(Option<Arc<AuditShared>>);

#[derive(Debug)]
struct AuditShared {
    queue: mpsc::Sender<Event>,
    denials: Mutex<Pace>,
    reads: Mutex<Pace>,
    clock: Clock,
    metrics: Metrics,
    /// Whether calls are refused rather than not told of.
    strict: bool,
    /// Whether what was written last could not be.
    failing: AtomicBool,
    /// Whether calls are cut off: the drain took too long.
    cutting: AtomicBool,
    /// Notified when the file is to be opened again.
    reopen: Notify,
}

impl Audit {
    /// No audit log.
    pub fn off() -> Self {
        Self(None)
    }

    /// Opens the log. Nothing is written before the writer runs.
    pub async fn open(
        config: &AuditConfig,
        clock: Clock,
        metrics: Metrics,
    ) -> Result<(Self, AuditWriter), AuditFileError> {
        let sink = Sink::open(&config.target).await?;
        let (queue, events) = mpsc::channel(MOST_WAITING);
        let shared = Arc::new(AuditShared {
            queue,
            denials: Mutex::new(Pace::new(DENIALS.0, DENIALS.1)),
            reads: Mutex::new(Pace::new(READS.0, READS.1)),
            clock,
            metrics,
            strict: config.strict,
            failing: AtomicBool::new(false),
            cutting: AtomicBool::new(false),
            reopen: Notify::new(),
        });
        let audit = Self(Some(shared.clone()));
        Ok((audit, AuditWriter::new(shared, events, sink, config.target.clone())))
    }

    /// Whether there is a log.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Tells an event.
    pub fn tell(&self, event: Event) {
        if let Some(shared) = &self.0 {
            shared.queue(event);
        }
    }

    /// Tells a denial, unless the same was told ten times in this second: then it is counted.
    pub fn tell_denial(&self, event: Event) {
        if let Some(shared) = &self.0 {
            shared.paced(&shared.denials, event);
        }
    }

    /// Tells a call that reads and opens nothing, unless the same was told in this minute: then it
    /// is counted.
    pub fn tell_read(&self, event: Event) {
        if let Some(shared) = &self.0 {
            shared.paced(&shared.reads, event);
        }
    }

    /// Whether a call may be let in: not if what it does could not be told, and has to be.
    pub fn admits(&self) -> bool {
        self.0.as_ref().is_none_or(|shared| {
            let well = !shared.failing.load(Ordering::Relaxed) && !shared.queue.is_closed();
            !shared.strict || (well && shared.queue.capacity() > RESERVED)
        })
    }

    /// What ends from here on is cut off.
    pub fn cuts_off(&self) {
        if let Some(shared) = &self.0 {
            shared.cutting.store(true, Ordering::Relaxed);
        }
    }

    /// Whether what ends now is cut off.
    pub fn is_cutting_off(&self) -> bool {
        self.0.as_ref().is_some_and(|shared| shared.cutting.load(Ordering::Relaxed))
    }

    /// Has the file opened again: somebody has renamed it.
    pub fn reopen(&self) {
        if let Some(shared) = &self.0 {
            shared.reopen.notify_one();
        }
    }
}

impl AuditShared {
    fn queue(&self, event: Event) {
        let event = event.at(self.clock.now().wall);
        if self.queue.try_send(event).is_err() {
            self.metrics.audit_dropped(1);
        }
    }

    fn paced(&self, pace: &Mutex<Pace>, event: Event) {
        let now = self.clock.now();
        let event = event.at(now.wall);
        let told = pace.lock().take(event, now.at);
        if let Some(event) = told {
            self.queue(event);
        }
    }

    /// What was counted and not told yet, when nothing is counted any more.
    fn rest_of_counts(&self) -> Vec<Event> {
        let now = self.clock.now().wall;
        let paces = [&self.denials, &self.reads].into_iter();
        paces.flat_map(|pace| pace.lock().rest()).map(|event| event.at(now)).collect()
    }

    /// Tells how often what was counted happened. Answers whether anything is being counted.
    fn tell_counts(&self) -> bool {
        let now = self.clock.now().at;
        let mut counting = false;
        for pace in [&self.denials, &self.reads] {
            let (counted, more) = pace.lock().due(now);
            counting |= more;
            counted.into_iter().for_each(|event| self.queue(event));
        }
        counting
    }
}
