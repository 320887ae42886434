//! Logs to stderr: pretty on a terminal, else one JSON object per line.
//!
//! Item data is never logged: fields name streams, shards, counts and codes. What libraries say at
//! the level `trace` is left out for the same reason. Logging never blocks; a failure to write only
//! costs lines, which are counted.

mod lines;

use std::io::{self, IsTerminal};
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, Layer as _, Registry, fmt, reload};

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
    filter: LogFilter,
}

/// What is logged, which may change while the process runs. A cheap clone; all clones are one.
#[derive(Clone, Debug)]
pub struct LogFilter(reload::Handle<EnvFilter, Registry>);

impl Log {
    /// Counts lost lines in `metrics`, earlier ones included.
    pub fn count_in(&self, metrics: Metrics) {
        self.lines.count_in(metrics);
    }

    /// What is logged.
    pub fn filter(&self) -> LogFilter {
        self.filter.clone()
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

impl LogFilter {
    /// Logs what `filter` says from now on, if it parses.
    pub fn set(&self, filter: &str) -> Result<(), TelemetryError> {
        let parsed = EnvFilter::try_new(filter)?;
        // It fails only where the log is gone, and then nobody reads it.
        let _ = self.0.reload(parsed);
        tracing::info!(log = filter, "what is logged has changed");
        Ok(())
    }
}

/// Starts logging for the whole process. Only `main` calls it, once; tests and libraries never.
pub fn init(config: &LogConfig) -> Result<Log, TelemetryError> {
    let (filter, handle) = reload::Layer::new(EnvFilter::try_new(&config.filter)?);
    let terminal = io::stderr().is_terminal();
    let lines = Lines::begin("log", io::stderr())?;
    let writer = lines.clone();
    // `log_internal_errors` would report formatting errors on stderr directly, and panic where that
    // fails.
    let written = fmt::layer().with_ansi(terminal).log_internal_errors(false);
    let written = written.with_writer(move || writer.clone());
    let written = match (config.format, terminal) {
        (LogFormat::Pretty, _) | (LogFormat::Auto, true) => written.boxed(),
        (LogFormat::Json, _) | (LogFormat::Auto, false) => {
            // `spans` has the current one too.
            written.json().flatten_event(true).with_current_span(false).boxed()
        }
    };
    let discreet = FilterFn::new(is_discreet as fn(&Metadata<'_>) -> bool);
    tracing_subscriber::registry().with(filter).with(discreet).with(written).try_init()?;
    log_panics();
    Ok(Log { lines, filter: LogFilter(handle) })
}

/// Whether what is said there may be logged: libraries say at `trace` what they send and receive, and
/// what of that they hide, and in which version, is up to them.
fn is_discreet(of: &Metadata<'_>) -> bool {
    *of.level() != Level::TRACE || of.target().starts_with(env!("CARGO_PKG_NAME"))
}

/// Logs panics as events: a collector of JSON would lose the standard text.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let text = panic.payload_as_str().unwrap_or_default();
        tracing::error!(place, text, "panicked");
    }));
}
