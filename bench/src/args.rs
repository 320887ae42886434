//! The command line of the benchmark. Its only reader of the environment.

use std::ffi::OsString;
use std::num::NonZero;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use shardstream::config::OutputFormat;
use shardstream::exit::EXIT_CODES;

use super::plan::Part;

/// Measures shardstream on this machine, next to AWS's SDKs and bloop.
#[derive(Parser, Debug)]
#[command(name = "shardstream-bench", version, after_help = EXIT_CODES)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(flatten)]
    run: RunArgs,
    #[command(subcommand)]
    process: Option<Process>,
}

/// One of the processes of a benchmark, which starts itself for each.
#[derive(Subcommand, Debug)]
enum Process {
    /// The upstream, or one who reads
    #[command(hide = true)]
    Part {
        /// What it does, as JSON
        plan: String,
    },
    /// The server that is measured
    #[command(hide = true)]
    Server {
        /// The command and flags of shardstream's own command line
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

/// What is measured.
#[derive(Args, Debug)]
struct RunArgs {
    /// Rounds; each runs every contender once, in another order
    #[arg(long, value_name = "N", default_value = "5")]
    rounds: NonZero<usize>,
    /// How much each contender reads, next to the usual: 0.1 is a tenth
    #[arg(long, value_name = "NUMBER", default_value = "1", value_parser = scale)]
    scale: f64,
    /// Only these contenders, by the names in the table, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Option<Vec<String>>,
    /// Leave out the peers in other languages
    #[arg(long)]
    skip_peers: bool,
    /// Folder that keeps what the peers in other languages need [default: shardstream/bench in the
    /// user's cache]
    #[arg(long, value_name = "DIR")]
    peers_dir: Option<PathBuf>,
    /// Also measure how cost grows with record size, page size, shards and subscribers
    #[arg(long)]
    growth: bool,
    /// Shape of what is printed on stdout
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: OutputFormat,
}

/// What the process was asked to do.
#[derive(Debug)]
pub enum Asked {
    /// Measure.
    Run(BenchConfig),
    /// Be one of the processes of a measurement.
    Part(Part),
    /// Be the server, with this command line of shardstream's.
    Server(Vec<OsString>),
}

/// What is measured, and how.
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
    pub output: OutputFormat,
    /// This very program: the server and the contenders are started from it.
    pub program: PathBuf,
}

impl Cli {
    /// What is asked for. Fails when the system does not say where this program lies, or at a plan
    /// that is none.
    pub fn asked(self) -> anyhow::Result<Asked> {
        Ok(match self.process {
            Some(Process::Part { plan }) => {
                Asked::Part(serde_json::from_str(&plan).context("this is no plan of a benchmark")?)
            }
            Some(Process::Server { arguments }) => Asked::Server(arguments),
            None => Asked::Run(self.run.config()?),
        })
    }
}

impl RunArgs {
    fn config(self) -> anyhow::Result<BenchConfig> {
        let program =
            std::env::current_exe().context("the system does not say where this program lies")?;
        let only = self.only.map(|names| names.iter().map(|name| name.trim().to_owned()).collect());
        Ok(BenchConfig {
            rounds: self.rounds.get(),
            scale: self.scale,
            only,
            skip_peers: self.skip_peers,
            peers_dir: self.peers_dir.unwrap_or_else(usual_peers_dir),
            growth: self.growth,
            output: self.output,
            program,
        })
    }
}

fn scale(text: &str) -> Result<f64, &'static str> {
    let scale = text.parse().ok().filter(|scale: &f64| scale.is_finite() && *scale >= 0.0);
    scale.ok_or("a number of at least 0 is wanted, such as 1 or 0.1")
}

fn usual_peers_dir() -> PathBuf {
    let folder = |name: &str| {
        std::env::var_os(name).filter(|path: &OsString| !path.is_empty()).map(PathBuf::from)
    };
    let cache = folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("shardstream").join("bench")
}
