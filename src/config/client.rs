//! The client commands' arguments. `cli` runs them.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::ClientTlsFiles;
use super::template::Template;
use super::when::{StartPosition, When};
use crate::model::{IdError, ShardId, StreamRef, TableName};

/// What every client command takes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Client")]
pub struct ClientFlags {
    /// The server: its URL, HOST:PORT, or unix:PATH
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:50051", value_parser = server)]
    pub server: Server,
    /// TLS, and who calls.
    #[command(flatten)]
    pub secure: Box<SecureFlags>,
    /// Colours; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Server {
    /// At this URL.
    Url(http::Uri),
    /// Behind this Unix socket.
    Unix(PathBuf),
}

/// How a client connects by TLS, and what it shows.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Client")]
pub struct SecureFlags {
    /// Connect by TLS, as https:// in the URL and the flags below say, too
    #[arg(long)]
    pub tls: bool,
    /// File of the CAs (PEM) that may vouch for the server, instead of those the system trusts
    #[arg(long, value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// File of the certificate (PEM) that this client shows
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// File of its private key (PEM, not encrypted)
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// File of the token that says who this client is; sent as `authorization: Bearer`, by TLS only
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

impl ClientFlags {
    /// The files of TLS; `None`: the connection is plain text.
    pub fn tls(&self) -> Option<ClientTlsFiles> {
        let SecureFlags { tls, tls_ca, tls_cert, tls_key, .. } = &*self.secure;
        let said = *tls || tls_ca.is_some() || tls_cert.is_some();
        let url = matches!(&self.server, Server::Url(url) if url.scheme_str() == Some("https"));
        (said || url).then(|| ClientTlsFiles {
            ca: tls_ca.clone(),
            identity: tls_cert.clone().zip(tls_key.clone()),
        })
    }

    /// Where the server is, with the scheme that the connection has.
    pub fn server(&self) -> Server {
        let Server::Url(url) = &self.server else { return self.server.clone() };
        let mut parts = url.clone().into_parts();
        if self.tls().is_some() {
            parts.scheme = Some(http::uri::Scheme::HTTPS);
        }
        Server::Url(http::Uri::from_parts(parts).unwrap_or_else(|_| url.clone()))
    }

    /// Whether the server is on this machine, so that nobody is on the way.
    pub fn is_local(&self) -> bool {
        let Server::Url(url) = &self.server else { return true };
        let host = url.host().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        bare.parse().map_or(bare == "localhost", |address: IpAddr| address.is_loopback())
    }
}

/// What the commands take that print tables or lines.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Client")]
pub struct OutputFlags {
    /// Tables for people, or one JSON object a line for programs
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub output: OutputFormat,
}

/// Shape of what is printed on stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Tables, trees and lines.
    Table,
    /// One JSON object a line.
    Json,
}

/// Shape of a tree on stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TreeOutput {
    /// A tree, drawn.
    Table,
    /// One JSON object a line.
    Json,
    /// A picture for Graphviz.
    Dot,
    /// A picture for Mermaid, as Markdown shows it.
    Mermaid,
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// `streams`.
#[derive(Args, Clone, Debug)]
pub struct StreamsArgs {
    /// Only the streams of this table
    #[arg(value_name = "TABLE", value_parser = TableName::parse)]
    pub table: Option<TableName>,
    /// The shape of what is printed.
    #[command(flatten)]
    pub output: OutputFlags,
    /// The server.
    #[command(flatten)]
    pub client: ClientFlags,
}

/// `tree`.
#[derive(Args, Clone, Debug)]
pub struct TreeArgs {
    /// The stream: its ARN, or its table's name; without it the only one there is
    #[arg(value_name = "STREAM", value_parser = StreamRef::parse)]
    pub stream: Option<StreamRef>,
    /// Only this shard and what came of it: its id, or the end of it that `tree` shows
    #[arg(value_name = "SHARD", value_parser = shard)]
    pub shard: Option<ShardId>,
    /// Shorten neither ids nor sequence numbers
    #[arg(long)]
    pub full: bool,
    /// Follow every change: drawn anew in place on a terminal, else one JSON object for each change
    #[arg(long, conflicts_with = "full")]
    pub watch: bool,
    /// A tree for people, one JSON object a line for programs, or a picture of who descends from
    /// whom
    #[arg(long, value_name = "FORMAT", default_value = "table", help_heading = "Client")]
    pub output: TreeOutput,
    /// The server.
    #[command(flatten)]
    pub client: ClientFlags,
}

/// `children`.
#[derive(Args, Clone, Debug)]
pub struct ChildrenArgs {
    /// The stream: its ARN, or its table's name
    #[arg(value_name = "STREAM", value_parser = StreamRef::parse)]
    pub stream: StreamRef,
    /// The shard: its id, or the end of it that `tree` shows
    #[arg(value_name = "SHARD", value_parser = shard)]
    pub shard: ShardId,
    /// The shape of what is printed.
    #[command(flatten)]
    pub output: OutputFlags,
    /// The server.
    #[command(flatten)]
    pub client: ClientFlags,
}

/// `tail`.
#[derive(Args, Clone, Debug)]
pub struct TailArgs {
    /// The stream: its ARN, or its table's name; without it the only one there is
    #[arg(value_name = "STREAM", value_parser = StreamRef::parse)]
    pub stream: Option<StreamRef>,
    /// Only this shard, not the whole stream: its id, or the end of it that `tree` shows
    #[arg(value_name = "SHARD", value_parser = shard)]
    pub shard: Option<ShardId>,
    /// Where to begin: trim-horizon, latest, a time (2026-11-23T10:00:00Z, 1795428000, or 10m for
    /// ten minutes ago), a token, or in a shard at:NUMBER or after:NUMBER
    #[arg(long, value_name = "PLACE", default_value = "latest")]
    pub from: StartPosition,
    /// Stop before the first record of this time or later
    #[arg(long, value_name = "TIME")]
    pub until: Option<When>,
    /// Stop after so many records
    #[arg(long, short = 'n', value_name = "N")]
    pub count: Option<NonZeroU64>,
    /// Stop when nothing newer is known to exist
    #[arg(long)]
    pub exit_at_tip: bool,
    /// What to do at a record that cannot be read
    #[arg(long, value_name = "POLICY", default_value = "fail")]
    pub unreadable: UnreadablePolicy,
    /// What to do where records were trimmed
    #[arg(long, value_name = "POLICY", default_value = "fail")]
    pub gaps: GapPolicy,
    /// In which order records of different shards come
    #[arg(long, value_name = "ORDER", default_value = "per-shard")]
    pub order: MergeOrder,
    /// How a record's line looks: text with {time} {type} {shard} {sequence} {key} {new} {old}
    /// {id}; {{ is a brace
    #[arg(long, value_name = "TEMPLATE")]
    pub format: Option<Template>,
    /// Tell on stderr when shards begin and end
    #[arg(long, short)]
    pub verbose: bool,
    /// The shape of what is printed.
    #[command(flatten)]
    pub output: OutputFlags,
    /// The server.
    #[command(flatten)]
    pub client: ClientFlags,
}

/// `get`.
#[derive(Args, Clone, Debug)]
pub struct GetArgs {
    /// The stream: its ARN, or its table's name
    #[arg(value_name = "STREAM", value_parser = StreamRef::parse)]
    pub stream: StreamRef,
    /// The shard: its id, or the end of it that `tree` shows
    #[arg(value_name = "SHARD", value_parser = shard)]
    pub shard: ShardId,
    /// Where to begin: trim-horizon, latest, a time (2026-11-23T10:00:00Z, 1795428000, or 10m for
    /// ten minutes ago), a token, or in a shard at:NUMBER or after:NUMBER
    #[arg(long, value_name = "PLACE", default_value = "trim-horizon")]
    pub from: StartPosition,
    /// Stop after so many records; without it, at the end or when nothing newer is there
    #[arg(long, short = 'n', value_name = "N")]
    pub count: Option<NonZeroU64>,
    /// What to do at a record that cannot be read
    #[arg(long, value_name = "POLICY", default_value = "fail")]
    pub unreadable: UnreadablePolicy,
    /// The shape of what is printed.
    #[command(flatten)]
    pub output: OutputFlags,
    /// The server.
    #[command(flatten)]
    pub client: ClientFlags,
}

/// What to do at a record that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum UnreadablePolicy {
    /// Report it and stop.
    Fail,
    /// Report it and go on.
    Skip,
}

/// In which order records of different shards come. Within a shard it is always the shard's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MergeOrder {
    /// As they are read.
    PerShard,
    /// The oldest of the next records of all shards first.
    ByTime,
}

/// What to do where records were trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GapPolicy {
    /// Report it and stop.
    Fail,
    /// Report it and go on.
    Continue,
}

fn shard(text: &str) -> Result<ShardId, IdError> {
    ShardId::parse(text)
}

impl fmt::Display for Server {
    /// As the flag takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(url.to_string().trim_end_matches('/')),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

fn server(text: &str) -> Result<Server, &'static str> {
    match text.strip_prefix("unix:") {
        Some("") => Err("a server behind a Unix socket is unix:PATH"),
        Some(path) => Ok(Server::Unix(path.into())),
        None => server_url(text).map(Server::Url),
    }
}

fn server_url(text: &str) -> Result<http::Uri, &'static str> {
    const WANTED: &str = "a server is http://HOST:PORT, https://HOST:PORT, HOST:PORT or unix:PATH";
    let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let uri: http::Uri = url.parse().map_err(|_| WANTED)?;
    let named =
        uri.host().is_some_and(|host| !host.is_empty()) && (url == text || uri.port().is_some());
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(authority)) if named && !authority.as_str().contains('@') => {
            Ok(uri)
        }
        _ => Err(WANTED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_with_and_without_its_scheme() {
        for (text, url) in [
            ("http://127.0.0.1:50051", "http://127.0.0.1:50051/"),
            ("localhost:50051", "http://localhost:50051/"),
            ("[::1]:50051", "http://[::1]:50051/"),
            ("10.0.0.1:1", "http://10.0.0.1:1/"),
            ("http://proxied.test", "http://proxied.test/"),
            ("https://x:1", "https://x:1/"),
            ("https://proxied.test", "https://proxied.test/"),
        ] {
            assert_eq!(server_url(text).expect(text).to_string(), url);
        }
        for bad in
            ["", "localhost", ":50051", "50051", "https://me@x:1", "ftp://x:1", "me@x:1", "a b:1"]
        {
            assert!(server_url(bad).is_err(), "{bad}");
        }
    }
}
