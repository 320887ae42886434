//! The task that writes the audit log, to a file or to stderr.
//!
//! What cannot be written, as on a full disk, is tried again each second: the line is kept, and
//! others wait after it as long as the queue takes them.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncWriteExt as _, Stderr};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::config::AuditTarget;

use super::AuditShared;
use super::event::Event;

/// How long after a failure the same line is tried again; and how often counts are looked at.
const AGAIN: Duration = Duration::from_secs(1);

/// The file cannot be written to.
#[derive(Debug, thiserror::Error)]
#[error("--audit-log {}: {source}", path.display())]
pub struct AuditFileError {
    /// The file.
    path: PathBuf,
    /// Why not.
    source: io::Error,
}

/// Where lines go.
#[derive(Debug)]
pub(super) enum Sink {
    File(File),
    Stderr(Stderr),
}

/// Writes what is told, until it is stopped.
#[derive(Debug)]
pub struct AuditWriter {
    shared: Arc<AuditShared>,
    events: mpsc::Receiver<Event>,
    sink: Sink,
    target: AuditTarget,
    /// The line that could not be written yet.
    unwritten: Option<Vec<u8>>,
}

/// What there is to do.
enum Work {
    Stop,
    Reopen,
    Write(Box<Event>),
    /// A second has passed.
    Look,
}

impl Sink {
    pub(super) async fn open(target: &AuditTarget) -> Result<Self, AuditFileError> {
        let path = match target {
            AuditTarget::Stderr => return Ok(Self::Stderr(tokio::io::stderr())),
            AuditTarget::File(path) => path,
        };
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        // Whoever may read it is in a group of the file's folder, or root.
        #[cfg(unix)]
        options.mode(0o640);
        let file = options.open(path).await;
        file.map(Self::File).map_err(|source| AuditFileError { path: path.clone(), source })
    }

    async fn write(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => {
                file.write_all(line).await?;
                // Only now it is known whether that went well.
                file.flush().await
            }
            Self::Stderr(stderr) => {
                stderr.write_all(line).await?;
                stderr.flush().await
            }
        }
    }
}

impl AuditWriter {
    pub(super) fn new(
        shared: Arc<AuditShared>,
        events: mpsc::Receiver<Event>,
        sink: Sink,
        target: AuditTarget,
    ) -> Self {
        Self { shared, events, sink, target, unwritten: None }
    }

    /// Writes until `stop`, and then what was told before.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut counting = false;
        loop {
            let blocked = self.unwritten.is_some();
            // All are cancel-safe: a token, a permit that is kept, a channel, a timer.
            let work = tokio::select! {
                biased;
                () = stop.cancelled() => Work::Stop,
                () = self.shared.reopen.notified() => Work::Reopen,
                Some(event) = self.events.recv(), if !blocked => Work::Write(Box::new(event)),
                () = tokio::time::sleep(AGAIN), if blocked || counting => Work::Look,
            };
            match work {
                Work::Stop => break,
                Work::Reopen => self.reopen().await,
                Work::Write(event) => self.write(event.line()).await,
                Work::Look => self.again().await,
            }
            counting = self.shared.tell_counts();
        }
        self.finish().await;
    }

    /// Writes what waits, as far as that is possible at once.
    async fn finish(mut self) {
        self.again().await;
        while let Ok(event) = self.events.try_recv() {
            self.write_last(&event).await;
        }
        // Behind what was told before them.
        for event in self.shared.rest_of_counts() {
            self.write_last(&event).await;
        }
        if self.unwritten.is_some() {
            self.shared.metrics.audit_dropped(1);
        }
    }

    /// Writes it, unless something before it cannot be written.
    async fn write_last(&mut self, event: &Event) {
        match self.unwritten {
            None => self.write(event.line()).await,
            Some(_) => self.shared.metrics.audit_dropped(1),
        }
    }

    async fn write(&mut self, line: Vec<u8>) {
        let failed_before = self.shared.failing.load(Ordering::Relaxed);
        match self.sink.write(&line).await {
            Ok(()) => {
                self.shared.failing.store(false, Ordering::Relaxed);
                self.shared.metrics.audit_written();
                if failed_before {
                    tracing::info!("the audit log can be written again");
                }
            }
            Err(error) => {
                self.shared.failing.store(true, Ordering::Relaxed);
                self.shared.metrics.audit_write_failed();
                self.unwritten = Some(line);
                if !failed_before {
                    tracing::error!(%error, "the audit log cannot be written; it is tried again each second");
                }
            }
        }
    }

    async fn again(&mut self) {
        if let Some(line) = self.unwritten.take() {
            // Part of it may stand there: what comes now begins a line.
            let line = if line.starts_with(b"\n") { line } else { [b"\n", &*line].concat() };
            self.write(line).await;
        }
    }

    async fn reopen(&mut self) {
        match Sink::open(&self.target).await {
            Ok(sink) => {
                self.sink = sink;
                self.again().await;
            }
            Err(error) => tracing::error!(%error, "the audit log is not opened again"),
        }
    }
}
