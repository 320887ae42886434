//! `shardstream serve`: the server over AWS, or what stands in for it, until a signal ends it.

use std::pin::pin;

use tokio_util::sync::CancellationToken;

use super::{App, connect};
use crate::config::ServeConfig;
use crate::descriptors;
use crate::exit::Exit;
use crate::limits::Limits;
use crate::shutdown::Signals;
use crate::telemetry::{Lines, Log};

/// Serves until SIGTERM or Ctrl-C, then drains; a second one ends it at once.
pub async fn run(config: &ServeConfig, log: Option<&Log>) -> anyhow::Result<Exit> {
    let mut signals = Signals::listen(false)?;
    let config =
        ServeConfig { limits: within_descriptors(config.limits.clone()), ..config.clone() };
    let starting = async {
        let upstream = connect(&config.upstream).await?;
        anyhow::Ok(App::build(&config, upstream, false).await?)
    };
    // Cancel-safe: a server that is being built serves nobody yet.
    let app = tokio::select! {
        biased;
        _ = signals.told() => return Ok(Exit::Ok),
        app = starting => app?,
    };
    if let Some(log) = log {
        log.count_in(app.metrics());
    }
    // Whoever started us may not read it.
    let out = Lines::begin("stdout", std::io::stdout())?;
    out.write(format!("{}\n", app.ready_line()).into_bytes());

    let told = CancellationToken::new();
    let mut running = pin!(app.run(told.clone().cancelled_owned()));
    loop {
        // Both are cancel-safe: running is kept and polled on, and a signal that came is kept.
        let signal = tokio::select! {
            biased;
            ended = &mut running => return Ok(ended.map(|()| Exit::Ok)?),
            signal = signals.told() => signal,
        };
        if told.is_cancelled() {
            tracing::warn!(signal = signal.name(), "ending at once");
            return Ok(signal.at_once());
        }
        tracing::info!(signal = signal.name(), "draining");
        told.cancel();
    }
}

/// `limits` with as many connections as the process may have files open, once that is raised as far
/// as it goes.
pub(super) fn within_descriptors(mut limits: Limits) -> Limits {
    if let Some(descriptors) = descriptors::raise()
        && limits.share_out(descriptors)
    {
        let connections = limits.transport.connections;
        tracing::warn!(
            descriptors,
            connections,
            "fewer connections than configured: the process may not open more files"
        );
    }
    limits
}
