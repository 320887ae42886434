//! The command line's shape: commands and the server's flags. The limits' flags are in
//! `limit_flags`, the client commands' in `client`.

use std::ffi::OsString;
#[cfg(feature = "embedded")]
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::UpstreamConfig;
use super::client::{ChildrenArgs, GetArgs, OutputFlags, StreamsArgs, TailArgs, TreeArgs};
use super::limit_flags::LimitFlags;
use super::listen::{Listen, mode};
#[cfg(feature = "embedded")]
use super::units::Size;
use super::units::{Count, Span, Unit};

/// Reads Amazon DynamoDB Streams once, correctly, and serves the records over gRPC.
///
/// Every flag has a twin in the environment (--max-streams is SHARDSTREAM_MAX_STREAMS) and a key in
/// the configuration file (max-streams = 100; in a table `tail`, say, for one command alone). Flags
/// beat the environment, it beats the file, the file beats the defaults; `shardstream config print`
/// shows what is in force and why.
#[derive(Parser, Debug)]
#[command(name = "shardstream", version, after_help = crate::exit::EXIT_CODES)]
pub(super) struct Cli {
    /// Configuration file (TOML)
    #[arg(long, global = true, value_name = "FILE", help_heading = "Configuration")]
    pub(super) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What the program can do.
#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Serve the streams of an AWS account, or of an endpoint that stands in for AWS
    Serve(Box<ServeArgs>),
    /// Try what `serve` with the same flags needs, without harm, and say what to mend: files,
    /// addresses, certificates, callers, and at AWS identity, permissions and clock
    Doctor(Box<DoctorArgs>),
    /// Try it out: an embedded DynamoDB with a demo table, the server over it, and the records it
    /// streams
    #[cfg(feature = "embedded")]
    Dev(Box<DevArgs>),
    /// Simulate DynamoDB on loopback: streams whose shards split, end, trim and throttle as AWS's
    /// do, over tables in an embedded DynamoDB
    #[cfg(feature = "embedded")]
    Simulate(Box<SimulateArgs>),
    /// List streams
    Streams(StreamsArgs),
    /// Draw the shards of a stream as a tree
    Tree(TreeArgs),
    /// Print records as they arrive
    Tail(Box<TailArgs>),
    /// Read records of one shard once
    Get(GetArgs),
    /// List the children of a shard
    Children(ChildrenArgs),
    /// Make a token: it goes to stderr, what the file of --tokens says of it to stdout
    Token {
        /// The caller's name
        name: String,
    },
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write manual pages, one for each command, into a folder
    Man {
        /// The folder, which has to exist
        folder: PathBuf,
    },
}

/// What can be done with the configuration.
#[derive(Subcommand, Debug)]
pub(super) enum ConfigCommand {
    /// Print every setting of a command, as a configuration file, with where each came from
    Print {
        /// The command and its flags, as they would be run; serve unless given
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "COMMAND AND FLAGS"
        )]
        command: Vec<OsString>,
    },
}

/// `serve`.
#[derive(Args, Clone, Debug)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    pub(super) server: ServerFlags,
    #[command(flatten)]
    pub(super) tls: TlsFlags,
    #[command(flatten)]
    pub(super) access: AccessFlags,
    #[command(flatten)]
    pub(super) upstream: UpstreamFlags,
    #[command(flatten)]
    pub(super) limits: LimitFlags,
}

/// `doctor`.
#[derive(Args, Clone, Debug)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    pub(super) serve: ServeArgs,
    #[command(flatten)]
    pub(super) output: OutputFlags,
}

/// `dev`.
#[cfg(feature = "embedded")]
#[derive(Args, Clone, Debug)]
pub(super) struct DevArgs {
    #[command(flatten)]
    pub(super) embedded: EmbeddedFlags,
    /// Simulate AWS's streams: shards that roll over and split before one's eyes
    #[arg(long, help_heading = "Simulator")]
    pub(super) simulate: bool,
    #[command(flatten)]
    pub(super) simulator: SimulatorFlags,
    #[command(flatten)]
    pub(super) server: ServerFlags,
    #[command(flatten)]
    pub(super) limits: LimitFlags,
}

/// `simulate`.
#[cfg(feature = "embedded")]
#[derive(Args, Clone, Debug)]
pub(super) struct SimulateArgs {
    #[command(flatten)]
    pub(super) simulator: SimulatorFlags,
    /// Folder that keeps tables and streams; without it they are gone at the end
    #[arg(long, value_name = "DIR", help_heading = "Simulator")]
    pub(super) data_dir: Option<PathBuf>,
    /// Port of the simulated DynamoDB, on loopback; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value = "8000", help_heading = "Simulator")]
    pub(super) dynamodb_port: u16,
    #[command(flatten)]
    pub(super) log: LogFlags,
}

/// Where and how the server listens and logs.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Server")]
pub(super) struct ServerFlags {
    /// Addresses of the gRPC server, the flag once for each or commas between: IP:PORT (port 0
    /// takes a free one), unix:PATH, or systemd for the sockets that systemd passes on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:50051", value_delimiter = ',')]
    pub(super) listen: Vec<Listen>,
    /// Permissions of Unix sockets, in octal; who may write to one may connect
    #[arg(long, value_name = "MODE", default_value = "0660", value_parser = mode)]
    pub(super) unix_mode: u32,
    /// Address of the admin port (/livez, /readyz, /metrics): IP:PORT, systemd (the socket named
    /// admin), or off
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9090", value_parser = admin_listen)]
    pub(super) admin_listen: AdminListen,
    /// Listen without TLS on addresses that others can reach
    #[arg(long)]
    pub(super) allow_plaintext: bool,
    /// Offer the admin port without TLS on an address that others can reach: it shows the ARNs of
    /// streams
    #[arg(long)]
    pub(super) allow_plaintext_admin: bool,
    /// Speak gRPC-Web, too, by HTTP/1.1 and HTTP/2, for programs in browsers and those without
    /// HTTP/2
    #[arg(long)]
    pub(super) web: bool,
    /// The origins of pages that may call by gRPC-Web, such as `https://app.example`, the flag once
    /// for each or commas between; * for every page, where callers show tokens
    #[arg(long, value_name = "ORIGIN", value_delimiter = ',')]
    pub(super) cors_origin: Vec<String>,
    /// Leave gRPC server reflection out
    #[arg(long)]
    pub(super) no_reflection: bool,
    /// Collector of traces, http(s)://HOST:PORT, which takes a span of each call by OTLP over gRPC
    /// [OpenTelemetry's own variables work too]
    #[arg(long, value_name = "URL")]
    pub(super) otlp_endpoint: Option<String>,
    #[command(flatten)]
    pub(super) log: LogFlags,
}

/// What is logged, and how.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Server")]
pub(super) struct LogFlags {
    /// Shape of the log, on stderr
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    pub(super) log_format: LogFormat,
    /// What is logged: a level, or a filter such as info,shardstream=debug
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub(super) log: String,
}

/// TLS of the gRPC port.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "TLS")]
pub(super) struct TlsFlags {
    /// File of the server's certificate (PEM), those that vouch for it after it; read again when
    /// it changes, and at SIGHUP, as the other two
    #[arg(long, value_name = "FILE")]
    pub(super) tls_cert: Option<PathBuf>,
    /// File of the certificate's private key (PEM, not encrypted)
    #[arg(long, value_name = "FILE")]
    pub(super) tls_key: Option<PathBuf>,
    /// File of the CAs (PEM) that vouch for clients: with it clients show a certificate (mTLS)
    #[arg(long, value_name = "FILE")]
    pub(super) tls_client_ca: Option<PathBuf>,
    /// Whether clients without a certificate are refused; what they show has to be right in any
    /// case [required unless given]
    #[arg(long, value_name = "WHETHER")]
    pub(super) tls_client_auth: Option<ClientAuth>,
    /// The admin port speaks TLS, too, by the same files: probes and scrapers show a certificate
    /// where clients have to
    #[arg(long)]
    pub(super) admin_tls: bool,
    /// The oldest version of TLS that is spoken
    #[arg(long, value_name = "VERSION", default_value = "1.2")]
    pub(super) tls_min_version: TlsVersion,
}

/// Who may call, and do what.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Callers")]
pub(super) struct AccessFlags {
    /// File of the tokens that callers may show (TOML, one `shardstream token NAME` a caller)
    #[arg(long, value_name = "FILE")]
    pub(super) tokens: Option<PathBuf>,
    /// Issuer of the JWTs that callers may show: their `iss`
    #[arg(long, value_name = "ISSUER")]
    pub(super) jwt_issuer: Option<String>,
    /// Whom those JWTs are for, this server: their `aud`
    #[arg(long, value_name = "AUDIENCE")]
    pub(super) jwt_audience: Option<String>,
    /// Key set of the issuer: a file, or an https URL, which is asked once an hour
    #[arg(long, value_name = "FILE|URL")]
    pub(super) jwt_jwks: Option<String>,
    /// The claim that names the caller
    #[arg(long, value_name = "CLAIM", default_value = "sub")]
    pub(super) jwt_name_claim: String,
    /// CAs (PEM) by which the host of that URL is trusted [whom the system trusts]
    #[arg(long, value_name = "FILE")]
    pub(super) jwt_jwks_ca: Option<PathBuf>,
    /// Start though that URL does not answer, and take no JWTs until it does
    #[arg(long)]
    pub(super) jwt_jwks_optional: bool,
    /// File of the rules that say who may do what with which stream (TOML)
    #[arg(long, value_name = "FILE")]
    pub(super) policy: Option<PathBuf>,
    /// Where it is told who was let in, who was not, and what was read: a file, which is opened again
    /// at SIGHUP, or stderr
    #[arg(long, value_name = "FILE|stderr")]
    pub(super) audit_log: Option<AuditTarget>,
    /// Refuse calls that the audit log would not tell of, as while its disk is full
    #[arg(long)]
    pub(super) audit_strict: bool,
    /// Let everybody who reaches it call, on an address that others can reach: nobody is asked who
    /// they are
    #[arg(long)]
    pub(super) allow_anonymous: bool,
    /// Take tokens without TLS on addresses that others can reach, where whoever listens learns
    /// them
    #[arg(long)]
    pub(super) allow_plaintext_tokens: bool,
}

/// Who is asked for records. Credentials, profile and what else is not said come by AWS's usual
/// chain.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "AWS")]
pub(super) struct UpstreamFlags {
    /// URL of something that stands in for DynamoDB Streams [AWS's own variables work too]
    #[arg(long, value_name = "URL")]
    pub(super) aws_endpoint_url: Option<String>,
    /// The region, where the usual chain should not decide
    #[arg(long, value_name = "REGION")]
    pub(super) aws_region: Option<String>,
    /// Sign with a made-up key, for emulators
    #[arg(long)]
    pub(super) aws_fake_credentials: bool,
    /// File of certificates (PEM) to trust instead of the system's [AWS_CA_BUNDLE works too]
    #[arg(long, value_name = "FILE")]
    pub(super) aws_ca_bundle: Option<PathBuf>,
    /// Whether the upstream knows the iterator type AT_TIMESTAMP (auto: AWS does, others do not)
    #[arg(long, value_name = "WHETHER", default_value = "auto")]
    pub(super) upstream_at_timestamp: Whether,
    /// Whether the upstream is asked with the shard filter CHILD_SHARDS (auto: yes; those that do
    /// not know it ignore it)
    #[arg(long, value_name = "WHETHER", default_value = "auto")]
    pub(super) upstream_child_shards: Whether,
    /// Leave every call to the AWS SDK; GetRecords takes a shorter way otherwise, which gives the
    /// same
    #[arg(long)]
    pub(super) upstream_sdk_only: bool,
    /// How long connecting to the upstream may take
    #[arg(long, value_name = Span::NAME, default_value_t = Span(UpstreamConfig::default().connect_timeout))]
    pub(super) upstream_connect_timeout: Span,
    /// How long one attempt of an upstream call may take
    #[arg(long, value_name = Span::NAME, default_value_t = Span(UpstreamConfig::default().attempt_timeout))]
    pub(super) upstream_attempt_timeout: Span,
    /// How long an upstream call may take, finding credentials included
    #[arg(long, value_name = Span::NAME, default_value_t = Span(UpstreamConfig::default().call_timeout))]
    pub(super) upstream_call_timeout: Span,
    /// Attempts of one upstream call, the first included, before a failure that may pass is told;
    /// each spends the budget
    #[arg(long, value_name = Count::<u32>::NAME, default_value_t = Count(UpstreamConfig::default().attempts))]
    pub(super) upstream_attempts: Count<u32>,
}

/// The embedded DynamoDB and its demo.
#[cfg(feature = "embedded")]
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Embedded DynamoDB")]
pub(super) struct EmbeddedFlags {
    /// Folder that keeps the data; without it they are gone at the end
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// Port of the embedded DynamoDB, on loopback; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value = "8000")]
    pub(super) dynamodb_port: u16,
    /// Demo changes written a second; 0 writes none
    #[arg(long, value_name = "N", default_value = "2")]
    pub(super) write_rate: u32,
    /// Do not print the records
    #[arg(long)]
    pub(super) quiet: bool,
}

/// How AWS's streams are simulated.
#[cfg(feature = "embedded")]
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Simulator")]
pub(super) struct SimulatorFlags {
    /// How many times faster than ours the simulated clock runs: at 60 a day is 24 minutes [1
    /// unless given, 240 under dev]
    #[arg(long, value_name = Count::<u32>::NAME)]
    pub(super) time_scale: Option<Count<u32>>,
    /// What ids, splits and pages are derived from: the same seed makes the same ones
    #[arg(long, value_name = "N", default_value = "1")]
    pub(super) seed: u64,
    /// How long a shard lives on average, by the simulated clock
    #[arg(long, value_name = Span::NAME, default_value = "4h")]
    pub(super) rollover: Span,
    /// How long records are kept, by the simulated clock
    #[arg(long, value_name = Span::NAME, default_value = "24h")]
    pub(super) retention: Span,
    /// Shards that a stream begins with
    #[arg(long, value_name = Count::<u32>::NAME, default_value = "4")]
    pub(super) shards: Count<u32>,
    /// Changes a second, by the simulated clock, at which a shard splits
    #[arg(long, value_name = Count::<u32>::NAME, default_value = "1000")]
    pub(super) split_rate: Count<u32>,
    /// Let readers come as often as they like
    #[arg(long)]
    pub(super) no_stream_limits: bool,
    /// Records kept in memory; past it the oldest are trimmed early
    #[arg(long, value_name = Size::<usize>::NAME, default_value = "1GiB")]
    pub(super) stream_bytes: Size<usize>,
    /// File of faults that calls are to meet (TOML), read again when it changes
    #[arg(long, value_name = "FILE")]
    pub(super) faults: Option<PathBuf>,
    /// Loopback address of the simulator's control (/state, /faults, /clock), or off
    #[arg(long, value_name = "ADDR", default_value = "off", value_parser = control_listen)]
    pub(super) control_listen: ControlListen,
}

#[cfg(feature = "embedded")]
/// The address of the simulator's control, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ControlListen(pub(super) Option<SocketAddr>);

/// The address of the admin port, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AdminListen(pub(super) Option<Listen>);

/// Shape of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Pretty on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Where the audit log is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditTarget {
    /// The process's stderr.
    Stderr,
    /// A file, at its end.
    File(PathBuf),
}

impl From<&str> for AuditTarget {
    fn from(text: &str) -> Self {
        if text == "stderr" { Self::Stderr } else { Self::File(text.into()) }
    }
}

/// Whether clients need a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClientAuth {
    /// Clients without one are refused.
    Required,
    /// Clients are asked for one, and may have none.
    Requested,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[value(name = "1.2")]
    Tls12,
    /// TLS 1.3.
    #[value(name = "1.3")]
    Tls13,
}

/// Yes, no, or to be found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Whether {
    Auto,
    Yes,
    No,
}

impl Whether {
    /// `None`: to be found out.
    pub(super) fn known(self) -> Option<bool> {
        match self {
            Self::Auto => None,
            Self::Yes => Some(true),
            Self::No => Some(false),
        }
    }
}

#[cfg(feature = "embedded")]
fn control_listen(text: &str) -> Result<ControlListen, &'static str> {
    match (text, text.parse()) {
        ("off", _) => Ok(ControlListen(None)),
        (_, Ok(address)) => Ok(ControlListen(Some(address))),
        (_, Err(_)) => Err("an address is IP:PORT, such as 127.0.0.1:9091 or [::1]:9091"),
    }
}

fn admin_listen(text: &str) -> Result<AdminListen, &'static str> {
    match (text, text.parse()) {
        ("off", _) => Ok(AdminListen(None)),
        (_, Ok(address @ (Listen::Tcp(_) | Listen::Systemd))) => Ok(AdminListen(Some(address))),
        (_, Ok(Listen::Unix(_)) | Err(_)) => {
            Err("an address of the admin port is IP:PORT, such as 127.0.0.1:9090, systemd or off")
        }
    }
}
