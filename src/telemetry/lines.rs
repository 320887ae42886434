//! Writes lines without blocking the caller: a thread writes them to a file, pipe or terminal,
//! which may be full, closed or not read by anybody.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::metrics::Metrics;

/// The most bytes of lines that wait to be written; lines beyond that are lost.
const MOST_BYTES: usize = 1 << 20;

/// The queue of lines. A cheap clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Lines {
    shared: Arc<LogShared>,
}

#[derive(Debug, Default)]
struct LogShared {
    waiting: Mutex<PendingLines>,
    /// Notified when a line is added.
    filled: Condvar,
    /// Notified when all lines have been written.
    written: Condvar,
    metrics: OnceLock<Metrics>,
}

#[derive(Debug, Default)]
struct PendingLines {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Lines lost before there was a metric to count them in.
    lost: u64,
    /// Whether the thread is writing lines that it took from the queue.
    writing: bool,
}

impl Lines {
    /// Writes to `out`, in a thread of this name that ends with the process: a write may block for
    /// ever, and nothing can end it.
    pub fn begin(name: &str, out: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::<LogShared>::default();
        let theirs = shared.clone();
        std::thread::Builder::new().name(name.to_owned()).spawn(move || theirs.write_to(out))?;
        Ok(Self { shared })
    }

    /// Queues `line`, its line end included; the line is lost when too many bytes are waiting.
    pub fn write(&self, line: Vec<u8>) {
        let mut waiting = self.shared.waiting.lock();
        if waiting.bytes + line.len() > MOST_BYTES {
            return self.shared.lose(&mut waiting, 1);
        }
        waiting.bytes += line.len();
        waiting.lines.push_back(line);
        self.shared.filled.notify_one();
    }

    /// Waits until all lines have been written, for `most` at most.
    pub fn flush(&self, most: Duration) {
        let mut waiting = self.shared.waiting.lock();
        let busy = |waiting: &mut PendingLines| waiting.writing || !waiting.lines.is_empty();
        self.shared.written.wait_while_for(&mut waiting, busy, most);
    }

    /// Counts lost lines in `metrics`, earlier ones included.
    pub fn count_in(&self, metrics: Metrics) {
        let mut waiting = self.shared.waiting.lock();
        if self.shared.metrics.set(metrics).is_ok() {
            let lost = std::mem::take(&mut waiting.lost);
            self.shared.lose(&mut waiting, lost);
        }
    }
}

/// One write is one line: tracing writes each event at once.
impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        Lines::write(self, line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl LogShared {
    fn write_to(&self, mut out: impl Write) {
        let mut waiting = self.waiting.lock();
        loop {
            let lines = std::mem::take(&mut waiting.lines);
            if lines.is_empty() {
                waiting.writing = false;
                self.written.notify_all();
                self.filled.wait(&mut waiting);
                continue;
            }
            waiting.writing = true;
            for line in lines {
                let written = parking_lot::MutexGuard::unlocked(&mut waiting, || {
                    out.write_all(&line).and_then(|()| out.flush()).is_ok()
                });
                waiting.bytes -= line.len();
                if !written {
                    self.lose(&mut waiting, 1);
                }
            }
        }
    }

    fn lose(&self, waiting: &mut PendingLines, lines: u64) {
        match self.metrics.get() {
            Some(metrics) => metrics.log_lines_lost(lines),
            None => waiting.lost += lines,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands each write to a test, which decides its result.
    struct ScriptedSink(std::sync::mpsc::SyncSender<Vec<u8>>, std::sync::mpsc::Receiver<bool>);

    impl Write for ScriptedSink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
            match self.1.recv() {
                Ok(true) => Ok(bytes.len()),
                Ok(false) | Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lost(metrics: &Metrics, lines: u64) {
        let line = format!("shardstream_log_lines_lost_total {lines}\n");
        assert!(metrics.render().contains(&line), "not {line}: {}", metrics.render());
    }

    #[test]
    fn lines_come_whole_and_in_order_and_what_fails_is_counted() {
        let (write, written) = std::sync::mpsc::sync_channel(0);
        let (answer, answers) = std::sync::mpsc::sync_channel(0);
        let lines = Lines::begin("test", ScriptedSink(write, answers)).expect("a thread");
        for line in ["one\n", "two\n", "three\n"] {
            lines.write(line.into());
        }
        for (line, goes) in [("one\n", true), ("two\n", false), ("three\n", true)] {
            assert_eq!(written.recv().expect("written"), line.as_bytes());
            answer.send(goes).expect("it waits");
        }
        lines.flush(Duration::from_secs(60));
        let metrics = Metrics::new();
        lines.count_in(metrics.clone());
        lost(&metrics, 1);
    }

    #[test]
    fn a_reader_that_does_not_read_costs_lines_and_nobody_waits() {
        let (write, written) = std::sync::mpsc::sync_channel(0);
        let (answer, answers) = std::sync::mpsc::sync_channel(0);
        let lines = Lines::begin("test", ScriptedSink(write, answers)).expect("a thread");
        let metrics = Metrics::new();
        lines.count_in(metrics.clone());
        let line = vec![b'x'; MOST_BYTES / 4];
        for _ in 0..7 {
            lines.write(line.clone());
        }
        lost(&metrics, 3);
        lines.flush(Duration::from_millis(1));
        for _ in 0..4 {
            assert_eq!(written.recv().expect("written").len(), line.len());
            answer.send(true).expect("it waits");
        }
        lines.flush(Duration::from_secs(60));
        lines.write(b"again\n".to_vec());
        assert_eq!(written.recv().expect("written"), b"again\n");
        lost(&metrics, 3);
    }
}
