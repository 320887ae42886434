//! What runs beside the serving of calls, until all of it is over. Each of these tasks goes on
//! after a panic, by itself or because it is run again here; the task that takes connections is
//! the program's own, and ends it.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, info_span};

use crate::admin::Admin;
use crate::audit::writer::AuditWriter;
use crate::metrics::Metrics;
use crate::session::Sessions;
use crate::supervised::restarted;
use crate::systemd::ServiceManager;
use crate::traces::exporter::TraceExporter;

use super::reload::Reloading;

/// All of it.
pub(super) struct Background {
    pub(super) sessions: Sessions,
    pub(super) admin: Option<Admin>,
    /// `None` without an audit log.
    pub(super) audit_writer: Option<AuditWriter>,
    /// `None`: nobody takes traces.
    pub(super) exporter: Option<TraceExporter>,
    pub(super) reloading: Reloading,
    /// Notified when the files are to be read again at once.
    pub(super) reload: Arc<Notify>,
}

impl Background {
    /// Runs it until `stop`; `manager` is told that the server lives.
    pub(super) fn begin(
        self,
        manager: ServiceManager,
        metrics: Metrics,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) {
        let Self { sessions, admin, audit_writer, exporter, reloading, reload } = self;
        let (over, counted) = (stop.clone(), metrics.clone());
        let expiry = async move {
            restarted(&counted, || sessions.clone().expire(over.clone()), || {}).await;
        };
        tasks.spawn(expiry.instrument(info_span!(parent: None, "session_expiry")));
        if let Some(admin) = admin {
            let serving = admin.serve(stop.clone());
            tasks.spawn(serving.instrument(info_span!(parent: None, "admin")));
        }
        if let Some(writer) = audit_writer {
            let writing = writer.run(stop.clone());
            tasks.spawn(writing.instrument(info_span!(parent: None, "audit")));
        }
        if let Some(exporter) = exporter {
            let exporting = exporter.run(stop.clone());
            tasks.spawn(exporting.instrument(info_span!(parent: None, "traces")));
        }
        let reloading = reloading.run(manager, reload, stop.clone());
        tasks.spawn(reloading.instrument(info_span!(parent: None, "reload")));
        let over = stop.clone();
        let pulse = async move {
            restarted(&metrics, || pulse(manager, metrics.clone(), over.clone()), || {}).await;
        };
        tasks.spawn(pulse.instrument(info_span!(parent: None, "service_manager")));
    }
}

/// Tells the service manager that the runtime lives, from a task of that runtime: where no task
/// runs any more, systemd ends the process.
async fn pulse(manager: ServiceManager, metrics: Metrics, stop: CancellationToken) {
    let Some(pulse) = manager.pulse() else { return };
    loop {
        manager.lives(&metrics.in_words());
        // Both are cancel-safe: a token and a timer.
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pulse) => {}
        }
    }
}
