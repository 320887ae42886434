//! `shardstream simulate`: a DynamoDB on loopback whose streams behave like AWS's.

use std::path::PathBuf;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::dev::hear_signals;
use crate::cli::Output;
use crate::config::{Color, OutputFormat as Format, SimulateConfig, SimulatorConfig};
use crate::dev::{Simulated, SimulatedOptions};
use crate::exit::Exit;

/// Runs `simulate` until Ctrl-C, SIGTERM or the end of its terminal; a second signal ends it at
/// once.
pub async fn run(config: SimulateConfig) -> anyhow::Result<Exit> {
    let told = CancellationToken::new();
    hear_signals(told.clone())?;
    let tasks = TaskTracker::new();
    let options = options(&config.simulator, config.dynamodb_port, config.data_dir.clone());
    let simulated = Simulated::start(options, &tasks, &told).await?;
    let endpoint = simulated.endpoint();
    let out = &mut Output::standard(Format::Table, Color::Auto);
    out.say(format!(
        "DynamoDB with simulated streams on {endpoint}, any region and credentials; {}
make a table:   aws dynamodb create-table --endpoint-url {endpoint} --table-name orders --billing-mode PAY_PER_REQUEST \\
                    --attribute-definitions AttributeName=pk,AttributeType=S --key-schema AttributeName=pk,KeyType=HASH \\
                    --stream-specification StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES
serve it:       shardstream serve --aws-endpoint-url {endpoint} --aws-fake-credentials --upstream-at-timestamp yes\n",
        pace(&config.simulator)
    ));
    if let Some(control) = simulated.control() {
        out.say(format!("control: {control}"));
    }
    told.cancelled().await;
    tasks.close();
    tasks.wait().await;
    drop(simulated);
    Ok(Exit::Ok)
}

/// The simulator as configured.
pub(super) fn options(
    config: &SimulatorConfig,
    port: u16,
    data_dir: Option<PathBuf>,
) -> SimulatedOptions {
    SimulatedOptions {
        port,
        data_dir,
        time_scale: config.time_scale,
        seed: config.seed,
        rollover: config.rollover,
        retention: config.retention,
        shards: config.shards,
        split_rate: config.split_rate,
        limits: config.limits,
        max_bytes: config.max_bytes,
        faults: config.faults.clone(),
        control: config.control_listen,
    }
}

/// How fast what happens happens, for people.
pub(super) fn pace(config: &SimulatorConfig) -> String {
    let real = |simulated: std::time::Duration| {
        let seconds = (simulated / config.time_scale).as_secs().max(1);
        humantime::format_duration(std::time::Duration::from_secs(seconds))
    };
    format!(
        "its clock runs {}x: shards live about {}, records {}",
        config.time_scale,
        real(config.rollover),
        real(config.retention)
    )
}
