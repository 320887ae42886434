//! The simulator: one endpoint that speaks both of DynamoDB's APIs. Tables are in the embedded
//! database, and streams are what a model of DynamoDB Streams makes of their changes
//! (`docs/simulator.md`).
//!
//! - `clock` is the simulated time, which may run faster than ours;
//! - `feed` takes what changed from the database to the model, and `journal` keeps it on disk;
//! - `front` answers calls: those of the Streams API by the model, others by the database, whose
//!   answers come when the model knows of what they changed;
//! - `tables` is what has to be said differently on the way to the database and back, so that it
//!   and the model seem one;
//! - `script` is the file of faults, `broken` the bodies that it breaks, `control` the port by which
//!   tests say what is to happen.

mod broken;
mod clock;
mod control;
mod feed;
mod front;
mod journal;
mod script;
mod tables;

use std::future::IntoFuture as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use shardstream_simulator::{KeyElement, Limits, Settings, ViewType};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, info_span};

use super::{Demo, DevError, Embedded, EmbeddedOptions};
use feed::Feed;
use front::Front;
use script::Script;

/// How often the model takes what the database changed by itself, as items whose time to live has
/// passed.
const LOOK: Duration = Duration::from_millis(100);

/// How long calls in progress may take after shutdown.
const GRACE: Duration = Duration::from_secs(1);

/// The region in its ARNs.
pub const SIMULATED_REGION: &str = "us-east-1";

/// The options of the simulator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatedOptions {
    /// The loopback port to listen on; 0: any free one.
    pub port: u16,
    /// The folder that keeps tables and streams from run to run; `None`: a temporary one.
    pub data_dir: Option<PathBuf>,
    /// How many times faster than ours its clock runs.
    pub time_scale: u32,
    /// What ids, splits and pages are derived from.
    pub seed: u64,
    /// How long a shard lives on average.
    pub rollover: Duration,
    /// How long records are kept.
    pub retention: Duration,
    /// How many shards a stream begins with.
    pub shards: u32,
    /// Changes a second at which a shard splits.
    pub split_rate: u32,
    /// Whether readers may come only so often.
    pub limits: bool,
    /// Bytes of records kept in memory.
    pub max_bytes: usize,
    /// A file of faults, read again when it changes.
    pub faults: Option<PathBuf>,
    /// Where the control API listens; `None`: nowhere.
    pub control: Option<SocketAddr>,
}

/// A running simulator. Dropping it ends it, as [`Embedded`].
#[derive(Debug)]
pub struct Simulated {
    embedded: Embedded,
    address: SocketAddr,
    control: Option<SocketAddr>,
    front: Arc<Front>,
}

impl SimulatedOptions {
    fn settings(&self) -> Settings {
        Settings {
            seed: self.seed,
            rollover: self.rollover,
            retention: self.retention,
            shards: self.shards,
            split_rate: self.split_rate,
            limits: self.limits.then(Limits::default),
            max_bytes: self.max_bytes,
            region: SIMULATED_REGION.into(),
            ..Settings::default()
        }
    }
}

impl Default for SimulatedOptions {
    /// As AWS, on a free port.
    fn default() -> Self {
        let settings = Settings::default();
        Self {
            port: 0,
            data_dir: None,
            time_scale: 1,
            seed: settings.seed,
            rollover: settings.rollover,
            retention: settings.retention,
            shards: settings.shards,
            split_rate: settings.split_rate,
            limits: true,
            max_bytes: settings.max_bytes,
            faults: None,
            control: None,
        }
    }
}

impl Simulated {
    /// Opens the database and serves both APIs until `shutdown` is cancelled or the value is
    /// dropped. Its tasks are spawned on `tracker`.
    pub async fn start(
        options: SimulatedOptions,
        tracker: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Result<Self, DevError> {
        let listen_failed = |source| DevError::Listen { port: options.port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await;
        let listener = listener.map_err(listen_failed)?;
        let address = listener.local_addr().map_err(listen_failed)?;
        let inside = EmbeddedOptions { port: 0, data_dir: options.data_dir.clone() };
        let embedded = Embedded::start(inside, tracker, shutdown).await?;
        let feed = open_feed(&options, &embedded, tracker).await?;
        let front = Arc::new(Front::new(embedded.endpoint(), feed, tracker.clone()));
        let ended = embedded.ended().clone();
        let script = match &options.faults {
            None => None,
            Some(path) => {
                let (script, rules) = Script::open(path)?;
                front.set_faults(rules);
                Some(script)
            }
        };
        let mut control = None;
        if let Some(address) = options.control {
            let failed = |source| DevError::Control { address, source };
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            control = Some(listener.local_addr().map_err(failed)?);
            let serving = serve(listener, control::router(front.clone()), ended.clone());
            tracker.spawn(serving.instrument(info_span!("simulator_control")));
        }
        let looking = look(front.clone(), script, ended.clone());
        tracker.spawn(looking.instrument(info_span!("simulated_changes")));
        let serving = serve(listener, front::router(front.clone()), ended);
        tracker.spawn(serving.instrument(info_span!("simulator")));
        Ok(Self { embedded, address, control, front })
    }

    /// The endpoint URL for any AWS SDK, with any region and credentials.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The URL of the control API.
    pub fn control(&self) -> Option<String> {
        self.control.map(|address| format!("http://{address}"))
    }

    /// The embedded database below it.
    pub fn embedded(&self) -> &Embedded {
        &self.embedded
    }

    /// Gives the demo's table, which was made inside the process, its simulated stream.
    pub async fn adopt(&self, demo: &mut Demo) -> Result<(), DevError> {
        let (key, view) = (demo.key(), ViewType::NewAndOldImages);
        let keys = vec![KeyElement { attribute_name: key.into(), key_type: "HASH".into() }];
        demo.stream_arn = self.front.enable(&demo.table_name, view, keys).await?;
        Ok(())
    }
}

/// Opens the way of changes into the model: that may read a large file.
async fn open_feed(
    options: &SimulatedOptions,
    embedded: &Embedded,
    tracker: &TaskTracker,
) -> Result<Feed, DevError> {
    let (settings, scale) = (options.settings(), options.time_scale);
    let (path, folder) = (embedded.database_path(), options.data_dir.clone());
    let open = move || Feed::open(&path, folder.as_deref(), settings, scale);
    tracker.spawn_blocking(open).await.map_err(|_| DevError::Ended)?
}

/// Looks for changes that no call made, and for those of the script.
async fn look(front: Arc<Front>, mut script: Option<Script>, ended: CancellationToken) {
    loop {
        // Both are cancel-safe: a token and a timer.
        tokio::select! {
            biased;
            () = ended.cancelled() => return,
            () = tokio::time::sleep(LOOK) => front.look().await,
        }
        match script.as_mut().and_then(Script::changed) {
            None => {}
            Some(Ok(rules)) => {
                tracing::info!(rules = rules.len(), "the fault script was read again");
                front.set_faults(rules);
            }
            Some(Err(error)) => tracing::error!(%error, "the rules before stay in force"),
        }
    }
}

async fn serve(listener: TcpListener, router: Router, ended: CancellationToken) {
    let stop = ended.clone().cancelled_owned();
    let serving = axum::serve(listener, router).with_graceful_shutdown(stop);
    let out_of_time = async {
        ended.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    // Two events: all calls finished, or the grace period is over. The other one is dropped for
    // good, so neither needs to be cancel-safe.
    tokio::select! {
        biased;
        served = serving.into_future() => {
            if let Err(error) = served {
                tracing::error!(%error, "the simulator stopped serving");
            }
        }
        () = out_of_time => {}
    }
}
