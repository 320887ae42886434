//! The arguments of `bench`, and of the processes it starts.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::ConfigError;
use super::client::{Output, OutputFlags};
use super::units::{Count, Rate, Unit};

/// `bench`.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Benchmark")]
pub(super) struct BenchArgs {
    /// Rounds; each runs every contender once, in another order
    #[arg(long, value_name = Count::<usize>::NAME, default_value_t = Count(5))]
    rounds: Count<usize>,
    /// How much each contender reads, next to the usual: 0.1 is a tenth
    #[arg(long, value_name = Rate::NAME, default_value_t = Rate(1.0))]
    scale: Rate,
    /// Only these contenders, by the names in the table, separated by commas
    #[arg(long, value_name = "NAMES")]
    only: Option<String>,
    /// Leave out the peers in other languages
    #[arg(long)]
    skip_peers: bool,
    /// Folder that keeps what the peers in other languages need [default: shardstream/bench in the user's cache]
    #[arg(long, value_name = "DIR")]
    peers_dir: Option<PathBuf>,
    /// Also measure how cost grows with record size, page size, shards and subscribers
    #[arg(long)]
    growth: bool,
    #[command(flatten)]
    output: OutputFlags,
}

/// One of the processes of a benchmark.
#[derive(Args, Clone, Debug)]
pub(super) struct PartArgs {
    /// What it does, as JSON
    plan: String,
}

/// What `bench` was asked to do.
#[derive(Clone, Debug)]
pub enum BenchCommand {
    /// Measure.
    Run(BenchConfig),
    /// Be one of the processes of a measurement: its plan, as JSON.
    Part(String),
}

/// The configuration of `bench`.
#[derive(Clone, Debug)]
pub struct BenchConfig {
    /// Rounds, at least 1.
    pub rounds: usize,
    /// How much each contender reads, next to the usual.
    pub scale: f64,
    /// The contenders that run; `None`: all of them.
    pub only: Option<Vec<String>>,
    /// Leave out the peers in other languages.
    pub skip_peers: bool,
    /// Folder that keeps what the peers in other languages need.
    pub peers_dir: PathBuf,
    /// Whether growth is measured too.
    pub growth: bool,
    /// Tables for people, or one JSON object.
    pub output: Output,
    /// This very program: the server and the contenders are started from it.
    pub program: PathBuf,
}

impl BenchArgs {
    /// Fails when the system does not say where this program lies.
    pub(super) fn config(self) -> Result<BenchConfig, ConfigError> {
        let only = self.only.map(|names| names.split(',').map(|name| name.trim().to_owned()).collect());
        Ok(BenchConfig {
            rounds: self.rounds.0,
            scale: self.scale.0,
            only,
            skip_peers: self.skip_peers,
            peers_dir: self.peers_dir.unwrap_or_else(usual_peers_dir),
            growth: self.growth,
            output: self.output.output,
            program: std::env::current_exe().map_err(ConfigError::Program)?,
        })
    }
}

impl PartArgs {
    pub(super) fn plan(self) -> String {
        self.plan
    }
}

fn usual_peers_dir() -> PathBuf {
    let folder = |name: &str| std::env::var_os(name).filter(|path: &OsString| !path.is_empty()).map(PathBuf::from);
    let cache = folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("shardstream").join("bench")
}
