//! When files are read again while the server runs: every ten seconds, and at SIGHUP. What becomes
//! of it is told to the audit log.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::audit::Audit;
use crate::audit::event::Event;
use crate::config;
use crate::systemd::ServiceManager;
use crate::telemetry::LogFilter;
use crate::tls::server::Reloader;

use super::access_files::AccessReloader;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(10);

/// All that reads files again.
#[derive(Debug)]
pub(super) struct Reloading {
    /// `None` without TLS.
    pub(super) tls: Option<Reloader>,
    /// Who may call, and do what.
    pub(super) access: AccessReloader,
    /// Told of it; its own file is opened again.
    pub(super) audit: Audit,
    /// `None` where somebody else logs, as in tests.
    pub(super) log: Option<LogReloader>,
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

impl Reloading {
    /// Reads all files again when they change, and when `told`, until `stop`.
    /// `manager` is told of the latter.
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
            if let Some(log) = &mut self.log {
                log.look();
            }
            let tls = match &mut self.tls {
                Some(tls) => tls.look(told).await,
                None => None,
            };
            for (files, read) in [("tls", tls), ("access", self.access.look(told).await)] {
                if let Some(read) = read {
                    let error = read.as_ref().err().map(|error| error as &dyn std::fmt::Display);
                    self.audit.tell(Event::reload(files, error));
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
