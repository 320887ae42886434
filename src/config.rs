//! Flags, environment and file, made into one validated [`Invocation`]. The only reader of the
//! environment.
//!
//! A flag is a field in `config/args.rs`, `limit_flags.rs` or `client.rs`, and nothing else: its
//! twin in the environment, its key in the file and its line in `config print` follow from its
//! name.

mod args;
mod check;
mod client;
mod environment;
mod file;
mod layers;
mod limit_flags;
mod listen;
mod man;
mod origin;
mod print;
mod template;
mod traces;
mod units;
mod when;

use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::access::jwt::Expected;
use crate::exit::Exit;
use crate::limits::Limits;

pub use args::{AuditTarget, ClientAuth, LogFormat, TlsVersion};
pub use check::CheckError;
pub use client::{
    ChildrenArgs, ClientFlags, Color, GapPolicy, GetArgs, MergeOrder, OutputFormat, SecureFlags,
    Server, StreamsArgs, TailArgs, TreeArgs, TreeOutput, UnreadablePolicy,
};
pub use environment::{socket_names, without_empty};
pub use file::FileError;
pub use listen::{Listen, ListenConfig, PlaintextAllowed};
pub use man::write_manual_pages;
pub use template::{Field, Piece, Template, TemplateError};
pub use traces::TracesConfig;
pub use when::{StartPosition, When, WhenError};

/// What the program was asked to do, checked.
#[derive(Debug)]
pub enum Invocation {
    /// Serve.
    Serve(Box<ServeConfig>),
    /// Serve over an embedded DynamoDB.
    Dev(Box<DevConfig>),
    /// Simulate DynamoDB.
    Simulate(Box<SimulateConfig>),
    /// Try what serving needs, and say what is wrong.
    Doctor(Box<DoctorConfig>),
    /// Be a client of a server.
    Client(ClientCommand),
    /// Make a token for the caller of this name, print it and end.
    Token(String),
    /// Print this text, the settings, and end.
    Print(String),
    /// Print this completion script and end.
    Completions(String),
    /// Write the manual pages into this folder and end.
    ManPages(PathBuf),
}

/// The server's configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct ServeConfig {
    /// Where it listens.
    pub listen: ListenConfig,
    /// The files of TLS on the gRPC port; `None`: it speaks plain text.
    pub tls: Option<ServerTlsFiles>,
    /// The origins of pages that may call by gRPC-Web; `None`: it is not spoken.
    pub web: Option<Vec<String>>,
    /// Whether server reflection is offered.
    pub reflection: bool,
    /// Who may call, and do what.
    pub access: AccessConfig,
    /// Every limit and default.
    pub limits: Limits,
    /// Who is asked for records. Of no meaning under `dev`.
    pub upstream: UpstreamConfig,
    /// What is logged.
    pub log: LogConfig,
    /// Who takes traces; `None`: nobody.
    pub traces: Option<TracesConfig>,
}

/// The files of the server's TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTlsFiles {
    /// The certificate, with those that vouch for it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The CAs of clients, and whether clients need a certificate; `None`: they are not asked.
    pub client_ca: Option<(PathBuf, ClientAuth)>,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// Whether HTTP/1.1 is spoken beside HTTP/2.
    pub http1: bool,
    /// Whether the admin port speaks TLS by these files, too.
    pub admin: bool,
}

/// The files of a client's TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTlsFiles {
    /// The CAs that are trusted; `None`: those that the system trusts.
    pub ca: Option<PathBuf>,
    /// The client's certificate and its private key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Who may call, and do what. Without files everybody may do everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessConfig {
    /// The file of tokens; `None`: nobody is asked who they are.
    pub tokens: Option<PathBuf>,
    /// What is expected of JWTs; `None`: they are not taken.
    pub jwt: Option<JwtConfig>,
    /// The file of rules; `None`: no rules.
    pub policy: Option<PathBuf>,
    /// Whether other machines can reach the gRPC server.
    pub reachable: bool,
    /// Where it is told who was let in, and what was read; `None`: nowhere.
    pub audit: Option<AuditConfig>,
}

/// The audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditConfig {
    /// Where it is written.
    pub target: AuditTarget,
    /// Whether calls are refused that it would not tell of.
    pub strict: bool,
}

/// What is expected of JWTs, and by which keys they are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtConfig {
    /// What their claims say.
    pub expected: Expected,
    /// The keys.
    pub keys: JwksSource,
    /// Whether the server starts without the keys of a URL.
    pub optional: bool,
}

/// Where the keys of JWTs come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwksSource {
    /// A file.
    File(PathBuf),
    /// An https URL, and the file of CAs that its host is trusted by; `None`: the system's.
    Url(http::Uri, Option<PathBuf>),
}

/// Who is asked for records. What is not said here comes by AWS's usual chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// The URL of something that stands in for AWS, http or https, without credentials.
    pub endpoint_url: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// Sign with a made-up key: for emulators, which do not look at it.
    pub fake_credentials: bool,
    /// Whether it knows AT_TIMESTAMP; `None`: AWS does, others do not.
    pub at_timestamp: Option<bool>,
    /// Whether it is asked with CHILD_SHARDS; `None`: yes.
    pub child_shards: Option<bool>,
    /// A file of certificates that are trusted instead of the system's.
    pub ca_bundle: Option<PathBuf>,
    /// Leave every call to the AWS SDK, GetRecords too.
    pub sdk_only: bool,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long one attempt of a call may take.
    pub attempt_timeout: Duration,
    /// How long a call may take, finding credentials included.
    pub call_timeout: Duration,
    /// Attempts of one call, the first included; at least 1. Each spends the budget.
    pub attempts: u32,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// A filter of tracing-subscriber's form, known to parse.
    pub filter: String,
    /// The shape.
    pub format: LogFormat,
}

/// The configuration of `dev`.
#[derive(Clone, Debug, PartialEq)]
pub struct DevConfig {
    /// The server over it.
    pub serve: ServeConfig,
    /// The folder that keeps the data; `None`: a temporary one.
    pub data_dir: Option<PathBuf>,
    /// The embedded DynamoDB's port, on loopback; 0 takes a free one.
    pub dynamodb_port: u16,
    /// Demo changes written a second; 0 writes none.
    pub write_rate: u32,
    /// Do not print the records.
    pub quiet: bool,
    /// How AWS's streams are simulated; `None`: the embedded DynamoDB's own are served.
    pub simulator: Option<SimulatorConfig>,
}

/// The configuration of `simulate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulateConfig {
    /// How AWS's streams are simulated.
    pub simulator: SimulatorConfig,
    /// The folder that keeps the data; `None`: a temporary one.
    pub data_dir: Option<PathBuf>,
    /// The simulated DynamoDB's port, on loopback; 0 takes a free one.
    pub dynamodb_port: u16,
    /// What is logged.
    pub log: LogConfig,
}

/// How AWS's streams are simulated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatorConfig {
    /// How many times faster than ours the simulated clock runs.
    pub time_scale: u32,
    /// What ids, splits and pages are derived from.
    pub seed: u64,
    /// How long a shard lives on average, by the simulated clock.
    pub rollover: Duration,
    /// How long records are kept, by the simulated clock.
    pub retention: Duration,
    /// Shards that a stream begins with.
    pub shards: u32,
    /// Changes a second, by the simulated clock, at which a shard splits.
    pub split_rate: u32,
    /// Whether readers may come only so often.
    pub limits: bool,
    /// Bytes of records kept in memory.
    pub max_bytes: usize,
    /// The file of faults that calls meet.
    pub faults: Option<PathBuf>,
    /// The control API's address, on loopback; `None`: there is none.
    pub control_listen: Option<SocketAddr>,
}

/// The configuration of `doctor`.
#[derive(Clone, Debug, PartialEq)]
pub struct DoctorConfig {
    /// The server that is to be.
    pub serve: ServeConfig,
    /// Shape of what is printed.
    pub output: OutputFormat,
}

/// A client command and its arguments.
#[derive(Clone, Debug)]
pub enum ClientCommand {
    /// List streams.
    Streams(StreamsArgs),
    /// Draw a stream's shards.
    Tree(TreeArgs),
    /// Print records as they arrive.
    Tail(Box<TailArgs>),
    /// Read one shard once.
    Get(GetArgs),
    /// List a shard's children.
    Children(ChildrenArgs),
}

/// Why there is nothing to run.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The command line or the environment, as clap tells it; help and version too.
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Values that do not go together.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// `config print` of a command that has no settings.
    #[error("config print takes serve, dev, simulate or a client command, and its flags")]
    NothingToPrint,
}

/// What this process would log if it were started now: its flags and its environment are what they
/// were, its configuration file may have changed.
pub fn log_filter_of_process() -> Result<String, ConfigError> {
    let invocation = Invocation::of_process()?;
    Ok(invocation.log().map(|log| log.filter.clone()).unwrap_or_default())
}

impl Invocation {
    /// What this process was asked to do.
    pub fn of_process() -> Result<Self, ConfigError> {
        Self::parse(std::env::args_os())
    }

    /// What `args`, the program's name first, ask for in this process's environment.
    pub fn parse(args: impl IntoIterator<Item = impl Into<OsString>>) -> Result<Self, ConfigError> {
        let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
        Self::of(layers::resolve(&args)?.cli)
    }

    /// What is logged while it runs; `None`: nothing is.
    pub fn log(&self) -> Option<&LogConfig> {
        match self {
            Self::Serve(config) => Some(&config.log),
            Self::Dev(config) => Some(&config.serve.log),
            Self::Simulate(config) => Some(&config.log),
            Self::Doctor(_)
            | Self::Client(_)
            | Self::Token(_)
            | Self::Print(_)
            | Self::Completions(_)
            | Self::ManPages(_) => None,
        }
    }

    fn of(cli: args::Cli) -> Result<Self, ConfigError> {
        use args::{Command, ConfigCommand};
        Ok(match cli.command {
            Command::Serve(args) => Self::Serve(Box::new(ServeConfig::of(&args)?)),
            Command::Doctor(args) => {
                let serve = ServeConfig::of(&args.serve)?;
                Self::Doctor(Box::new(DoctorConfig { serve, output: args.output.output }))
            }
            #[cfg(feature = "embedded")]
            Command::Dev(args) => Self::Dev(Box::new(DevConfig::of(&args)?)),
            #[cfg(feature = "embedded")]
            Command::Simulate(args) => Self::Simulate(Box::new(SimulateConfig::of(&args)?)),
            Command::Streams(args) => {
                check::client(&args.client)?;
                Self::Client(ClientCommand::Streams(args))
            }
            Command::Tree(args) => Self::Client(ClientCommand::Tree(check::tree(args)?)),
            Command::Tail(args) => Self::Client(ClientCommand::Tail(check::tail(args)?)),
            Command::Get(args) => {
                check::client(&args.client)?;
                Self::Client(ClientCommand::Get(args))
            }
            Command::Children(args) => {
                check::client(&args.client)?;
                Self::Client(ClientCommand::Children(args))
            }
            Command::Token { name } => Self::Token(name),
            Command::Config(ConfigCommand::Print { command }) => {
                Self::Print(print::text(cli.config.as_deref(), command)?)
            }
            Command::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut layers::command(), "shardstream", &mut script);
                Self::Completions(String::from_utf8_lossy(&script).into_owned())
            }
            Command::Man { folder } => Self::ManPages(folder),
        })
    }
}

impl ServeConfig {
    fn of(args: &args::ServeArgs) -> Result<Self, CheckError> {
        let upstream = check::upstream(&args.upstream)?;
        let tls = check::tls(&args.tls)?;
        check::serve(&args.server, tls, &args.access, upstream, |age| args.limits.limits(age))
    }
}

impl Default for UpstreamConfig {
    /// AWS, with the flags' defaults.
    fn default() -> Self {
        Self {
            endpoint_url: None,
            region: None,
            fake_credentials: false,
            at_timestamp: None,
            child_shards: None,
            ca_bundle: None,
            sdk_only: false,
            connect_timeout: Duration::from_secs(3),
            attempt_timeout: Duration::from_secs(10),
            call_timeout: Duration::from_secs(30),
            attempts: 3,
        }
    }
}

#[cfg(feature = "embedded")]
impl SimulateConfig {
    fn of(args: &args::SimulateArgs) -> Result<Self, CheckError> {
        let simulator = check::simulator(&args.simulator, 1)?;
        if let Some(control) = simulator.control_listen {
            let dynamodb = SocketAddr::from(([127, 0, 0, 1], args.dynamodb_port));
            check::distinct(("control-listen", control), ("dynamodb-port", dynamodb))?;
        }
        Ok(Self {
            simulator,
            data_dir: args.data_dir.clone(),
            dynamodb_port: args.dynamodb_port,
            log: check::log(&args.log)?,
        })
    }
}

/// How fast the simulated clock of the demo runs unless given: shards live a minute.
#[cfg(feature = "embedded")]
const DEMO_SCALE: u32 = 240;

#[cfg(feature = "embedded")]
impl DevConfig {
    fn of(args: &args::DevArgs) -> Result<Self, CheckError> {
        let embedded = &args.embedded;
        let upstream = UpstreamConfig::default();
        // Its own client shows nothing, and all that others can read is its own, too.
        let access = args::AccessFlags { allow_anonymous: true, ..Default::default() };
        let mut serve =
            check::serve(&args.server, None, &access, upstream, |age| args.limits.limits(age))?;
        let dynamodb = SocketAddr::from(([127, 0, 0, 1], embedded.dynamodb_port));
        serve.listen.leaves("dynamodb-port", dynamodb)?;
        let simulator = check::simulator(&args.simulator, DEMO_SCALE)?;
        if !args.simulate {
            check::unsimulated(&args.simulator)?;
        } else if simulator.time_scale > 1 {
            // That the upstream's clock runs ahead of ours is what was asked for.
            serve.log.filter.push_str(",shardstream::hub::clocks=error");
        }
        if let (true, Some(control)) = (args.simulate, simulator.control_listen) {
            check::distinct(("control-listen", control), ("dynamodb-port", dynamodb))?;
            serve.listen.leaves("control-listen", control)?;
        }
        Ok(Self {
            serve,
            simulator: args.simulate.then_some(simulator),
            data_dir: embedded.data_dir.clone(),
            dynamodb_port: embedded.dynamodb_port,
            write_rate: embedded.write_rate,
            quiet: embedded.quiet,
        })
    }
}

impl AccessConfig {
    /// Whether callers show tokens or JWTs, which are secret.
    pub fn bearers(&self) -> bool {
        self.tokens.is_some() || self.jwt.is_some()
    }
}

impl ConfigError {
    /// Tells whoever ran the program: help and version on stdout, the rest on stderr.
    /// Answers the exit code.
    pub fn report(&self) -> Exit {
        match self {
            Self::Usage(error) => {
                // Nobody is left to hear of it when the terminal is gone.
                let _ = error.print();
                if error.use_stderr() { Exit::Usage } else { Exit::Ok }
            }
            Self::File(_) | Self::Check(_) | Self::NothingToPrint => {
                let _ = writeln!(anstream::stderr(), "error: {self}");
                Exit::Usage
            }
        }
    }
}

#[cfg(test)]
mod tests;
