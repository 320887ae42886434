//! Logs: on stderr, pretty on a terminal, one JSON object a line otherwise.
//!
//! Item data is never logged: fields name streams, shards, counts and codes.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::TryInitError;

use crate::config::{LogConfig, LogFormat};

/// Why logging could not begin.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error("the log filter does not parse")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Somebody in this process logs already.
    #[error("logging was already set up")]
    Twice(#[from] TryInitError),
}

/// Begins logging, for the whole process. `main` calls it, once; tests and libraries never.
pub fn init(config: &LogConfig) -> Result<(), TelemetryError> {
    use tracing_subscriber::util::SubscriberInitExt;
    let filter = EnvFilter::try_new(&config.filter)?;
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(terminal);
    match (config.format, terminal) {
        (LogFormat::Pretty, _) | (LogFormat::Auto, true) => builder.finish().try_init()?,
        (LogFormat::Json, _) | (LogFormat::Auto, false) => builder.json().flatten_event(true).finish().try_init()?,
    }
    log_panics();
    Ok(())
}

/// A panic becomes a line of the log like any other: a collector of JSON would lose the standard text.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let text = panic.payload_as_str().unwrap_or_default();
        tracing::error!(place, text, "panicked");
    }));
}
