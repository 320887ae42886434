//! When files are read again while the server runs: every ten seconds, and at SIGHUP. What becomes
//! of it is told to the audit log.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::audit::Audit;
use crate::audit::event::Event;
use crate::config;
use crate::metrics::Metrics;
use crate::supervised::survived;
use crate::systemd::ServiceManager;
use crate::telemetry::LogFilter;
use crate::tls::server::Reloader;

use super::access_files::AccessReloader;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(10);

/// What reads files again.
pub(super) trait Reads: fmt::Debug + Send {
    /// What its files are of, as the audit log has it.
    fn files(&self) -> &'static str;

    /// Reads them; what is as it was at the last look is left alone, unless `told` to look. Answers
    /// what became of it; `None`: nothing that is to be told.
    fn look(&mut self, told: bool) -> BoxFuture<'_, Option<Result<(), String>>>;
}

/// All that reads files again.
#[derive(Debug)]
pub(super) struct Reloading {
    all: Vec<Reading>,
    /// Told of it; its own file is opened again.
    audit: Audit,
    metrics: Metrics,
}

/// One that does.
#[derive(Debug)]
struct Reading {
    reads: Box<dyn Reads>,
    /// It panicked at the last look, and may think that it has seen what it has not put in force.
    fell: bool,
}

/// Reads again what is to be logged.
#[derive(Debug)]
pub struct LogReloader {
    filter: LogFilter,
    /// What is logged, as it was configured last; or that the configuration is none.
    seen: Result<String, String>,
}

impl LogReloader {
    /// `current` is logged.
    pub(super) fn new(filter: LogFilter, current: &str) -> Self {
        Self { filter, seen: Ok(current.to_owned()) }
    }

    /// Reads the configuration as at the start, and logs what it says now. Of all settings only this
    /// one changes without a restart.
    fn look(&mut self) {
        let wanted = config::log_filter_of_process().map_err(|error| error.to_string());
        if wanted == self.seen {
            return;
        }
        let set = |filter: &String| self.filter.set(filter).map_err(|error| error.to_string());
        if let Err(error) = wanted.as_ref().map_err(Clone::clone).and_then(set) {
            tracing::error!(error, "the configuration cannot be used; the log stays as it is");
        }
        self.seen = wanted;
    }
}

impl Reads for LogReloader {
    fn files(&self) -> &'static str {
        "log"
    }

    fn look(&mut self, _: bool) -> BoxFuture<'_, Option<Result<(), String>>> {
        self.look();
        async { None }.boxed()
    }
}

impl Reads for Reloader {
    fn files(&self) -> &'static str {
        "tls"
    }

    fn look(&mut self, told: bool) -> BoxFuture<'_, Option<Result<(), String>>> {
        self.look(told).boxed()
    }
}

impl Reads for AccessReloader {
    fn files(&self) -> &'static str {
        "access"
    }

    fn look(&mut self, told: bool) -> BoxFuture<'_, Option<Result<(), String>>> {
        self.look(told).boxed()
    }
}

impl Reloading {
    /// Nothing yet; `audit` is told of what is read.
    pub(super) fn new(audit: Audit, metrics: Metrics) -> Self {
        Self { all: Vec::new(), audit, metrics }
    }

    /// The same, and what `reads`.
    pub(super) fn and(mut self, reads: impl Reads + 'static) -> Self {
        self.all.push(Reading { reads: Box::new(reads), fell: false });
        self
    }

    /// Reads all files again when they change, and when `told`, until `stop`.
    /// `manager` is told of the latter. A panic costs whoever reads one look: what was in force
    /// stays so, and the next look reads all of its files again.
    pub(super) async fn run(
        mut self,
        manager: ServiceManager,
        told: Arc<Notify>,
        stop: CancellationToken,
    ) {
        while let Some(told) = next_look(&told, &stop).await {
            if told {
                manager.reloading();
                self.audit.reopen();
            }
            for reading in &mut self.all {
                let look = reading.reads.look(told || reading.fell);
                let read = survived(&self.metrics, look).await;
                reading.fell = read.is_none();
                let fault = || Some(Err("a fault in the server; it was logged".to_owned()));
                if let Some(read) = read.unwrap_or_else(fault) {
                    let error = read.as_ref().err().map(|error| error as &dyn fmt::Display);
                    self.audit.tell(Event::reload(reading.reads.files(), error));
                }
            }
            if told {
                manager.ready();
            }
        }
    }
}

/// Waits for the next look at the files: true when `told` to, false after ten seconds, `None` at
/// `stop`.
pub async fn next_look(told: &Notify, stop: &CancellationToken) -> Option<bool> {
    // All are cancel-safe: a token, a permit that is kept, a timer.
    tokio::select! {
        biased;
        () = stop.cancelled() => None,
        () = told.notified() => Some(true),
        () = tokio::time::sleep(LOOK) => Some(false),
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    /// Notes what it was told at each look, and panics at the first.
    #[derive(Debug)]
    struct Faulty(Arc<Mutex<Vec<bool>>>);

    impl Reads for Faulty {
        fn files(&self) -> &'static str {
            "tls"
        }

        fn look(&mut self, told: bool) -> BoxFuture<'_, Option<Result<(), String>>> {
            async move {
                self.0.lock().push(told);
                assert!(self.0.lock().len() > 1, "on purpose");
                None
            }
            .boxed()
        }
    }

    /// Notes what it was told at each look.
    #[derive(Debug)]
    struct Well(Arc<Mutex<Vec<bool>>>);

    impl Reads for Well {
        fn files(&self) -> &'static str {
            "access"
        }

        fn look(&mut self, told: bool) -> BoxFuture<'_, Option<Result<(), String>>> {
            self.0.lock().push(told);
            async { None }.boxed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_panics_reads_its_files_again_at_the_next_look_and_holds_up_nobody() {
        let (metrics, stop) = (Metrics::new(), CancellationToken::new());
        let (faulty, well) = (Arc::<Mutex<Vec<bool>>>::default(), Arc::<Mutex<_>>::default());
        let reloading = Reloading::new(Audit::off(), metrics.clone())
            .and(Faulty(faulty.clone()))
            .and(Well(well.clone()));
        let running = reloading.run(ServiceManager::default(), Arc::default(), stop.clone());
        let three = LOOK * 3 + LOOK / 2;
        assert!(tokio::time::timeout(three, running).await.is_err(), "it goes on");
        assert_eq!(*faulty.lock(), [false, true, false]);
        assert_eq!(*well.lock(), [false; 3]);
        assert!(metrics.render().contains("shardstream_panics_total 1\n"));
    }
}
