//! `shardstream dev`: an embedded DynamoDB with a demo table, the server over it, and a client that
//! prints what it streams.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::Channel;
use tracing::{Instrument as _, info_span};

use crate::cli::{Output, Tail, tail_into};
use crate::clock::Clock;
use crate::config::{Color, DevConfig, OutputFormat as Format, StartPosition, UpstreamConfig};
use crate::dev::{Demo, Embedded, EmbeddedOptions};
use crate::exit::Exit;
use crate::model::StreamRef;
use crate::signals::Signals;
use crate::telemetry::Log;

use super::serve::within_descriptors;
use super::{App, connect};

/// Runs `dev` until Ctrl-C, SIGTERM or the end of its terminal; a second signal ends it at once.
pub async fn run(mut config: DevConfig, log: Option<&Log>) -> anyhow::Result<Exit> {
    let told = CancellationToken::new();
    hear_signals(told.clone())?;
    config.serve.limits = within_descriptors(config.serve.limits);
    let tasks = TaskTracker::new();
    // The database ends last: otherwise readers would get refused connections while the server
    // drains.
    let database_over = CancellationToken::new();
    let options = EmbeddedOptions { port: config.dynamodb_port, data_dir: config.data_dir.clone() };
    let embedded = Embedded::start(options, &tasks, &database_over).await?;
    let demo = Demo::create(&embedded, &tasks).await?;
    let upstream = UpstreamConfig {
        endpoint_url: Some(embedded.endpoint()),
        region: Some("dynoxide".into()),
        fake_credentials: true,
        ..config.serve.upstream.clone()
    };
    let app = App::build(&config.serve, connect(&upstream).await?, true).await?;
    if let Some(log) = log {
        log.count_in(app.metrics());
    }
    let address = app.grpc_address();
    let out = &mut Output::standard(Format::Table, Color::Auto);
    out.say(app.ready_line());
    out.say(greeting(&embedded, &demo, address));

    let server =
        tasks.spawn(app.run(told.clone().cancelled_owned()).instrument(info_span!("server")));
    demo.write_until(config.write_rate, fastrand::Rng::new(), &tasks, told.clone());
    if config.quiet {
        told.cancelled().await;
    } else {
        let channel = Channel::from_shared(format!("http://{address}"))?.connect().await?;
        let tail = Tail::new(StreamRef::parse(&demo.table_name)?, StartPosition::TrimHorizon);
        tail_into(channel, &tail, Clock::system().now().wall, out, &told).await;
    }
    told.cancelled().await;
    server.await??;
    database_over.cancel();
    tasks.close();
    tasks.wait().await;
    Ok(Exit::Ok)
}

/// Cancels `told` at the first signal; ends the process at the second, because the first may not
/// suffice: printing blocks when the output is not read.
fn hear_signals(told: CancellationToken) -> std::io::Result<()> {
    let reload = match std::io::stdout().is_terminal() {
        true => None,
        // The files it may have it looks at by itself.
        false => Some(Arc::default()),
    };
    let mut signals = Signals::listen(reload)?;
    // The task ends with the process and holds nothing.
    let hearing = async move {
        loop {
            let signal = signals.told().await;
            if told.is_cancelled() {
                std::process::exit(signal.at_once().code().into());
            }
            tracing::info!(signal = signal.name(), "draining");
            told.cancel();
        }
    };
    TaskTracker::new().spawn(hearing.instrument(info_span!("signals")));
    Ok(())
}

fn greeting(embedded: &Embedded, demo: &Demo, server: SocketAddr) -> String {
    let (dynamodb, table) = (embedded.endpoint(), &demo.table_name);
    format!(
        "DynamoDB (embedded) on {dynamodb}, any region and credentials; demo table {table}
write with any SDK:   aws dynamodb put-item --endpoint-url {dynamodb} --table-name {table} --item '{{\"pk\":{{\"S\":\"me\"}}}}'
read from elsewhere:  shardstream tail {table} --server http://{server}
                      grpcurl -plaintext {server} list\n"
    )
}
