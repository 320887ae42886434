//! Logs to stderr: pretty on a terminal, else one JSON object per line.
//!
//! Item data is never logged: fields name streams, shards, counts and codes. Logging never blocks;
//! a failure to write only costs lines, which are counted.

mod lines;

use std::io::{self, IsTerminal};
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::TryInitError;

use crate::config::{LogConfig, LogFormat};
use crate::metrics::Metrics;

pub use lines::Lines;

/// How long the process waits at its end for lines that are not written yet.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Why logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error("the log filter does not parse")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// A logger is already installed in this process.
    #[error("logging was already set up")]
    Twice(#[from] TryInitError),
    /// The system could not start a thread.
    #[error("there is no thread to write the log")]
    Thread(#[from] io::Error),
}

/// The log of this process. Dropping it waits a moment for lines that are not written yet.
#[derive(Debug)]
#[must_use = "the last lines are written when this is dropped"]
pub struct Log {
    lines: Lines,
}

impl Log {
    /// Counts lost lines in `metrics`, earlier ones included.
    pub fn count_in(&self, metrics: Metrics) {
        self.lines.count_in(metrics);
    }

    /// Writes a line that is not a log event, such as the last one of a process that fails.
    pub fn say(&self, text: &str) {
        self.lines.write(format!("{text}\n").into_bytes());
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.lines.flush(LAST_WORDS);
    }
}

/// Starts logging for the whole process. Only `main` calls it, once; tests and libraries never.
pub fn init(config: &LogConfig) -> Result<Log, TelemetryError> {
    use tracing_subscriber::util::SubscriberInitExt;
    let filter = EnvFilter::try_new(&config.filter)?;
    let terminal = io::stderr().is_terminal();
    let lines = Lines::begin("log", io::stderr())?;
    let writer = lines.clone();
    // `log_internal_errors` would report formatting errors on stderr directly, and panic where that
    // fails.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(terminal)
        .log_internal_errors(false);
    let builder = builder.with_writer(move || writer.clone());
    match (config.format, terminal) {
        (LogFormat::Pretty, _) | (LogFormat::Auto, true) => builder.finish().try_init()?,
        (LogFormat::Json, _) | (LogFormat::Auto, false) => {
            // `spans` has the current one too.
            builder.json().flatten_event(true).with_current_span(false).finish().try_init()?
        }
    }
    log_panics();
    Ok(Log { lines })
}

/// Logs panics as events: a collector of JSON would lose the standard text.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let text = panic.payload_as_str().unwrap_or_default();
        tracing::error!(place, text, "panicked");
    }));
}
