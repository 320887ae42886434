//! `shardstream serve`: runs the server over AWS, or a stand-in, until a signal ends it.

use std::pin::pin;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{App, connect};
use crate::config::ServeConfig;
use crate::descriptors;
use crate::exit::Exit;
use crate::limits::Limits;
use crate::signals::Signals;
use crate::systemd::{PassedSockets, ServiceManager};
use crate::telemetry::{Lines, Log};

/// Serves until SIGTERM or Ctrl-C, on sockets `passed` by systemd too, then drains; a second signal ends it at once.
pub async fn run(
    config: &ServeConfig,
    passed: PassedSockets,
    log: Option<&Log>,
) -> anyhow::Result<Exit> {
    let reload = Arc::new(Notify::new());
    let mut signals = Signals::listen(Some(reload.clone()))?;
    let config =
        ServeConfig { limits: within_descriptors(config.limits.clone()), ..config.clone() };
    let starting = async {
        let upstream = connect(&config.upstream).await?;
        let app = App::build_on(&config, upstream, false, passed).await?;
        anyhow::Ok(app.reload_on(reload).managed_by(ServiceManager::of_process()))
    };
    // Cancel-safe: a server that is being built has no clients yet.
    let mut app = tokio::select! {
        biased;
        _ = signals.told() => return Ok(Exit::Ok),
        app = starting => app?,
    };
    if let Some(log) = log {
        log.count_in(app.metrics());
        app = app.logging(log, &config.log.filter);
    }
    // Through a thread: whatever started this process may not read its stdout.
    let out = Lines::begin("stdout", std::io::stdout())?;
    out.write(format!("{}\n", app.ready_line()).into_bytes());

    let told = CancellationToken::new();
    let mut running = pin!(app.run(told.clone().cancelled_owned()));
    loop {
        // Both are cancel-safe: the server is polled on afterwards, and a signal that arrived is
        // kept.
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

/// `limits` with at most as many connections as the process may open files, after that limit was
/// raised as far as possible.
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
