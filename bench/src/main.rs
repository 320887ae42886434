//! `shardstream-bench`: the server next to AWS's SDKs and bloop, on one machine, in one run.
//!
//! Every reader and the server are processes of their own, all over one upstream that is made for
//! it, so that the CPU time of each can be told from the others'. `docs/bench.md` says what is
//! measured, how, and what it does not say. The files, in the order in which a run meets them:
//!
//! - `args` is its command line; `contenders` says who takes part; `peers` gets ready what those in
//!   other languages need;
//! - `plan` is what a process is told, `part` what it then does: `mock` (with `pages`), `client` or
//!   `sdk`;
//! - `process` starts them and speaks with them, `clock` reads their CPU time;
//! - `round` runs one contender once and checks that it got every record: a `sample`; `measure`
//!   runs them all, round by round;
//! - `figures` makes ratios of the samples, with what they should be, over `spread`; `report` shows
//!   them;
//! - `growth` is how cost grows.

mod args;
mod client;
mod clock;
mod contenders;
mod figures;
mod growth;
mod measure;
mod mock;
mod order;
mod pages;
mod part;
mod peers;
mod plan;
mod process;
mod report;
mod round;
mod sample;
mod sdk;
mod spread;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use shardstream::app;
use shardstream::config::Invocation;
use shardstream::exit::Exit;
use shardstream::telemetry;

use args::{Asked, Cli};

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(exit) => exit.into(),
        Err(error) => {
            let _ = writeln!(anstream::stderr(), "error: {error:#}");
            Exit::Failure.into()
        }
    }
}

/// Runs a benchmark to its end, or one of its processes.
fn run(cli: Cli) -> anyhow::Result<Exit> {
    match cli.asked()? {
        Asked::Run(config) => on_one_core(measure::run(&config)),
        Asked::Part(part) => on_one_core(part::run(part)).map(|()| Exit::Ok),
        Asked::Server(arguments) => server(arguments),
    }
}

/// What stands beside the server must not take more of the machine than it has to.
fn on_one_core<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// The server as its own program runs it. Inside this one, so that what is measured is never an
/// older build.
fn server(arguments: Vec<OsString>) -> anyhow::Result<Exit> {
    let command = [OsString::from("shardstream")].into_iter().chain(arguments);
    let invocation = match Invocation::parse(command) {
        Ok(invocation) => invocation,
        Err(error) => return Ok(error.report()),
    };
    let log = invocation.log().map(telemetry::init).transpose()?;
    app::run(invocation, log.as_ref())
}
