//! The task that writes the audit log, to a file or to stderr.
//!
//! What cannot be written, as on a full disk, is tried again each second: the line is kept, and
//! others wait after it as long as the queue takes them.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::fs::OpenOptions;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::config::AuditTarget;
use crate::supervised::{REST, survived};

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

/// Where lines go: a file, or stderr.
pub(super) struct Sink(Box<dyn AsyncWrite + Send + Sync + Unpin>);

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

/// Whether the log can be written there, which is left as it is.
pub async fn try_target(target: &AuditTarget) -> Result<(), AuditFileError> {
    let AuditTarget::File(path) = target else { return Ok(()) };
    let failed = |source| AuditFileError { path: path.clone(), source };
    match OpenOptions::new().append(true).open(path).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            OpenOptions::new().append(true).create_new(true).open(path).await.map_err(failed)?;
            tokio::fs::remove_file(path).await.map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

impl Sink {
    pub(super) async fn open(target: &AuditTarget) -> Result<Self, AuditFileError> {
        let path = match target {
            AuditTarget::Stderr => return Ok(Self(Box::new(tokio::io::stderr()))),
            AuditTarget::File(path) => path,
        };
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        // Whoever may read it is in a group of the file's folder, or root.
        #[cfg(unix)]
        options.mode(0o640);
        match options.open(path).await {
            Ok(file) => Ok(Self(Box::new(file))),
            Err(source) => Err(AuditFileError { path: path.clone(), source }),
        }
    }

    async fn write(&mut self, line: &[u8]) -> io::Result<()> {
        self.0.write_all(line).await?;
        // Only now it is known whether that went well.
        self.0.flush().await
    }
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink").finish_non_exhaustive()
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

    /// Writes until `stop`, and then what was told before. After a panic it goes on with the line
    /// at which that was.
    pub async fn run(mut self, stop: CancellationToken) {
        let shared = self.shared.clone();
        while survived(&shared.metrics, self.write_until(&stop)).await.is_none() {
            shared.failing.store(true, Ordering::Relaxed);
            tokio::time::sleep(REST).await;
        }
    }

    async fn write_until(&mut self, stop: &CancellationToken) {
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
    async fn finish(&mut self) {
        self.again().await;
        while let Ok(event) = self.events.try_recv() {
            self.write_last(&event).await;
        }
        // Behind what was told before them.
        for event in self.shared.rest_of_counts() {
            self.write_last(&event).await;
        }
        if self.unwritten.take().is_some() {
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
        // It is there until it is written, whatever happens meanwhile.
        match self.sink.write(self.unwritten.insert(line)).await {
            Ok(()) => {
                self.unwritten = None;
                self.shared.failing.store(false, Ordering::Relaxed);
                self.shared.metrics.audit_written();
                if failed_before {
                    tracing::info!("the audit log can be written again");
                }
            }
            Err(error) => {
                self.shared.failing.store(true, Ordering::Relaxed);
                self.shared.metrics.audit_write_failed();
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

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use parking_lot::Mutex;

    use super::super::Audit;
    use super::*;
    use crate::clock::Clock;
    use crate::config::AuditConfig;
    use crate::metrics::Metrics;

    /// Panics at the first write, and keeps what comes later.
    struct Faulty(bool, Arc<Mutex<Vec<u8>>>);

    impl AsyncWrite for Faulty {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            assert!(std::mem::replace(&mut self.0, true), "on purpose");
            self.1.lock().extend(bytes);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_writer_that_panics_goes_on_where_it_was() {
        let metrics = Metrics::new();
        let config = AuditConfig { target: AuditTarget::Stderr, strict: true };
        let opened = Audit::open(&config, Clock::system(), metrics.clone()).await;
        let (audit, mut writer) = opened.expect("stderr is open");
        let written = Arc::<Mutex<Vec<u8>>>::default();
        writer.sink = Sink(Box::new(Faulty(false, written.clone())));
        let stop = CancellationToken::new();
        let mut running = Box::pin(writer.run(stop.clone()));
        audit.tell(Event::start());
        audit.tell(Event::drain());
        let fallen = tokio::time::timeout(REST / 2, &mut running).await;
        assert!(fallen.is_err() && !audit.admits(), "nothing is told now");
        let on = tokio::time::timeout(AGAIN * 3, &mut running).await;
        assert!(on.is_err() && audit.admits());
        stop.cancel();
        running.await;
        let text = String::from_utf8(written.lock().clone()).expect("text");
        let (started, drained) = (text.find("started"), text.find("draining"));
        assert!(started.is_some() && started < drained, "{text}");
        let counts = metrics.render();
        assert!(counts.contains("shardstream_panics_total 1\n"), "{counts}");
        assert!(counts.contains("shardstream_audit_dropped_total 0\n"), "{counts}");
    }
}
