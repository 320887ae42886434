//! `shardstream dev`: an embedded DynamoDB with a demo table, the server over it, and a client that
//! prints what it streams.

use std::io::IsTerminal;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, info_span};

use crate::cli::{Output, Tail, channel, tail_into};
use crate::clock::Clock;
use crate::config::{
    Color, DevConfig, OutputFormat as Format, Server, StartPosition, UpstreamConfig,
};
use crate::dev::{Demo, Embedded, EmbeddedOptions, SIMULATED_REGION, Simulated};
use crate::exit::Exit;
use crate::grpc::transport::socket::BoundAddress;
use crate::model::StreamRef;
use crate::signals::Signals;
use crate::telemetry::Log;

use super::serve::within_descriptors;
use super::{App, connect, simulate};

/// Runs `dev` until Ctrl-C, SIGTERM or the end of its terminal; a second signal ends it at once.
pub async fn run(mut config: DevConfig, log: Option<&Log>) -> anyhow::Result<Exit> {
    let told = CancellationToken::new();
    hear_signals(told.clone())?;
    config.serve.limits = within_descriptors(config.serve.limits);
    let tasks = TaskTracker::new();
    // The database ends last: otherwise readers would get refused connections while the server
    // drains.
    let database_over = CancellationToken::new();
    let (database, demo) = Database::start(&config, &tasks, &database_over).await?;
    let upstream = database.upstream(&config.serve.upstream);
    let app = App::build(&config.serve, connect(&upstream).await?, true).await?;
    if let Some(log) = log {
        log.count_in(app.metrics());
    }
    let server = match app.grpc_addresses() {
        [BoundAddress::Tcp(address), ..] => Server::Url(format!("http://{address}").parse()?),
        [BoundAddress::Unix(path), ..] => Server::Unix(path.clone()),
        [] => anyhow::bail!("--listen names no address"),
    };
    let out = &mut Output::standard(Format::Table, Color::Auto);
    // Whoever starts this program waits for it there. What cannot be written is told to nobody.
    let _ = out.text(&app.ready_line()).and_then(|()| out.flush());
    out.say(greeting(&database, &demo, &server));
    if let Database::Simulated(simulated, _) = &database
        && let Some(control) = simulated.control()
    {
        out.say(format!("control: {control}"));
    }

    let serving =
        tasks.spawn(app.run(told.clone().cancelled_owned()).instrument(info_span!("server")));
    demo.write_until(config.write_rate, fastrand::Rng::new(), &tasks, told.clone());
    if config.quiet {
        told.cancelled().await;
    } else {
        let channel = channel(&server).await?;
        let tail = Tail::new(StreamRef::parse(&demo.table_name)?, StartPosition::TrimHorizon);
        tail_into(channel, &tail, Clock::system().now().wall, out, &told).await;
    }
    told.cancelled().await;
    serving.await??;
    database_over.cancel();
    tasks.close();
    tasks.wait().await;
    Ok(Exit::Ok)
}

/// Cancels `told` at the first signal; ends the process at the second, because the first may not
/// suffice: printing blocks when the output is not read.
pub(super) fn hear_signals(told: CancellationToken) -> std::io::Result<()> {
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

/// The DynamoDB below the server.
enum Database {
    /// The embedded one with its own streams.
    Embedded(Embedded),
    /// The same with simulated streams, and how fast those go.
    Simulated(Box<Simulated>, String),
}

impl Database {
    /// Starts it, with the demo's table.
    async fn start(
        config: &DevConfig,
        tasks: &TaskTracker,
        over: &CancellationToken,
    ) -> anyhow::Result<(Self, Demo)> {
        let port = config.dynamodb_port;
        if let Some(simulator) = &config.simulator {
            let options = simulate::options(simulator, port, config.data_dir.clone());
            let simulated = Simulated::start(options, tasks, over).await?;
            let mut demo = Demo::create(simulated.embedded(), tasks).await?;
            simulated.adopt(&mut demo).await?;
            return Ok((Self::Simulated(Box::new(simulated), simulate::pace(simulator)), demo));
        }
        let options = EmbeddedOptions { port, data_dir: config.data_dir.clone() };
        let embedded = Embedded::start(options, tasks, over).await?;
        let demo = Demo::create(&embedded, tasks).await?;
        Ok((Self::Embedded(embedded), demo))
    }

    fn endpoint(&self) -> String {
        match self {
            Self::Embedded(embedded) => embedded.endpoint(),
            Self::Simulated(simulated, _) => simulated.endpoint(),
        }
    }

    /// How the server reads it.
    fn upstream(&self, config: &UpstreamConfig) -> UpstreamConfig {
        let (region, at_timestamp) = match self {
            Self::Embedded(_) => ("dynoxide", None),
            Self::Simulated(..) => (SIMULATED_REGION, Some(true)),
        };
        UpstreamConfig {
            endpoint_url: Some(self.endpoint()),
            region: Some(region.into()),
            fake_credentials: true,
            at_timestamp,
            ..config.clone()
        }
    }
}

fn greeting(database: &Database, demo: &Demo, server: &Server) -> String {
    let (dynamodb, table) = (database.endpoint(), &demo.table_name);
    let grpcurl = match server {
        Server::Url(url) => url.authority().map(ToString::to_string).unwrap_or_default(),
        Server::Unix(path) => format!("-unix {}", path.display()),
    };
    let (kind, watch) = match database {
        Database::Embedded(_) => ("embedded".to_owned(), String::new()),
        Database::Simulated(_, pace) => (
            format!("streams simulated, {pace}"),
            format!("watch its shards:     shardstream tree {table} --watch --server {server}\n"),
        ),
    };
    format!(
        "DynamoDB ({kind}) on {dynamodb}, any region and credentials; demo table {table}
write with any SDK:   aws dynamodb put-item --endpoint-url {dynamodb} --table-name {table} --item '{{\"pk\":{{\"S\":\"me\"}}}}'
read from elsewhere:  shardstream tail {table} --server {server}
{watch}                      grpcurl -plaintext {grpcurl} list\n"
    )
}
