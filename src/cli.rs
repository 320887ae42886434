//! The client commands: each calls a server over gRPC and prints its responses.
//!
//! Data go to stdout, messages to the person to stderr. Each command is a file here with a `run`,
//! one arm in [`run`], and its arguments in `config/client.rs`. Text from a server reaches the
//! terminal only through `text::safe` or `json`.

mod advice;
mod children;
mod choose;
mod client;
mod event;
mod failure;
mod get;
mod grpc_status;
mod interrupt;
mod json;
mod line_style;
mod output;
mod palette;
mod record;
mod resume;
mod screen;
mod shard;
mod start_position;
mod streams;
mod tail;
mod text;
mod time;
mod tree;
mod value;

use http::Uri;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{ClientCommand, ClientFlags, OutputFormat as Format, Server, TreeOutput};
use crate::exit::Exit;

pub use client::channel;
pub use output::Output;
pub use screen::Screen;
pub use tail::{Tail, tail_into};

use failure::Result;

/// The server's URL unless the command line gives another.
const USUAL_SERVER: &str = "http://127.0.0.1:50051/";

/// Runs a command to its end or to a signal, prints on stdout and stderr, and returns the exit code
/// of the process. Every failure is reported.
pub async fn run(command: &ClientCommand) -> Exit {
    let out = &mut Output::standard(format(command), flags(command).color);
    run_on(command, out, &interrupt::on_signal()).await
}

/// Runs a command until it is done or `cancel` is cancelled.
pub async fn run_on(command: &ClientCommand, out: &mut Output, cancel: &CancellationToken) -> Exit {
    match dispatch(command, out, cancel).await {
        Ok(exit) => exit,
        Err(failure) => failure.report(out),
    }
}

async fn dispatch(
    command: &ClientCommand,
    out: &mut Output,
    cancel: &CancellationToken,
) -> Result<Exit> {
    let work = async {
        let now = Clock::system().now().wall;
        let client = &client::connect(flags(command)).await?;
        match command {
            ClientCommand::Streams(args) => streams::run(client, args, out).await,
            ClientCommand::Tree(args) => tree::run(client, args, now, out, cancel).await,
            ClientCommand::Children(args) => children::run(client, args, now, out).await,
            ClientCommand::Get(args) => get::run(client, args, now, out, cancel).await,
            ClientCommand::Tail(args) => {
                tail::run(client, &Tail::of(args, now), now, out, cancel).await
            }
        }
    };
    interrupt::unless_told(cancel, work).await
}

fn flags(command: &ClientCommand) -> &ClientFlags {
    match command {
        ClientCommand::Streams(args) => &args.client,
        ClientCommand::Tree(args) => &args.client,
        ClientCommand::Children(args) => &args.client,
        ClientCommand::Get(args) => &args.client,
        ClientCommand::Tail(args) => &args.client,
    }
}

fn format(command: &ClientCommand) -> Format {
    match command {
        ClientCommand::Streams(args) => args.output.output,
        ClientCommand::Children(args) => args.output.output,
        ClientCommand::Get(args) => args.output.output,
        ClientCommand::Tail(args) => args.output.output,
        ClientCommand::Tree(args) => match args.output {
            TreeOutput::Json => Format::Json,
            TreeOutput::Table | TreeOutput::Dot | TreeOutput::Mermaid => Format::Table,
        },
    }
}

/// The flags that say which server, for a command line to copy; none when it is the default.
fn said_server(flags: &ClientFlags) -> Vec<String> {
    let server = flags.server();
    let mut said = vec![];
    if server != Server::Url(Uri::from_static(USUAL_SERVER)) {
        said.extend(["--server".to_owned(), server.to_string()]);
    }
    let files = [
        ("--tls-ca", &flags.secure.tls_ca),
        ("--tls-cert", &flags.secure.tls_cert),
        ("--tls-key", &flags.secure.tls_key),
        ("--token-file", &flags.secure.token_file),
    ];
    for (flag, file) in files {
        said.extend(file.iter().flat_map(|file| [flag.to_owned(), file.display().to_string()]));
    }
    said
}
