//! Runs what the command line asks for, each kind of invocation on the async runtime it needs.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::Builder;

use crate::access::static_tokens;
use crate::cli;
use crate::config::{
    ClientCommand, DevConfig, Invocation, SimulateConfig, socket_names, write_manual_pages,
};
use crate::exit::Exit;
use crate::systemd::PassedSockets;
use crate::telemetry::Log;

/// How long the process waits at its end for blocking tasks: longer than the embedded DynamoDB
/// needs to close its file.
const LAST_TASKS: Duration = Duration::from_secs(3);

/// Runs the invocation to its end, or to a signal.
pub fn run(invocation: Invocation, log: Option<&Log>) -> anyhow::Result<Exit> {
    match invocation {
        Invocation::Serve(config) => {
            // Before other threads begin.
            let passed = match config.listen.uses_systemd() {
                true => PassedSockets::take(&socket_names()),
                false => PassedSockets::default(),
            };
            on_all_cores(super::serve::run(&config, passed, log))
        }
        Invocation::Dev(config) => dev(*config, log),
        Invocation::Simulate(config) => simulate(*config),
        Invocation::Doctor(config) => on_all_cores(super::doctor::run(&config)),
        Invocation::Client(command) => client(&command),
        Invocation::Token(name) => new_token(&name),
        Invocation::Print(text) | Invocation::Completions(text) => print(&text),
        Invocation::ManPages(folder) => manual_pages(&folder),
    }
}

#[cfg(feature = "embedded")]
fn dev(config: DevConfig, log: Option<&Log>) -> anyhow::Result<Exit> {
    on_all_cores(super::dev::run(config, log))
}

#[cfg(not(feature = "embedded"))]
fn dev(_config: DevConfig, _log: Option<&Log>) -> anyhow::Result<Exit> {
    anyhow::bail!(
        "this build has no embedded DynamoDB: build it with the cargo feature `embedded`, or use `serve`"
    )
}

#[cfg(feature = "embedded")]
fn simulate(config: SimulateConfig) -> anyhow::Result<Exit> {
    on_all_cores(super::simulate::run(config))
}

#[cfg(not(feature = "embedded"))]
fn simulate(_config: SimulateConfig) -> anyhow::Result<Exit> {
    anyhow::bail!("this build has no simulator: build it with the cargo feature `embedded`")
}

/// Blocking tasks that still run at the end, such as a name lookup, are not waited for long.
fn on_all_cores(work: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(work);
    let at_once = matches!(outcome, Ok(Exit::Terminated | Exit::Interrupted | Exit::HungUp));
    runtime.shutdown_timeout(if at_once { Duration::ZERO } else { LAST_TASKS });
    outcome
}

/// One worker thread besides the main thread: one calls and prints, the other handles signals.
fn client(command: &ClientCommand) -> anyhow::Result<Exit> {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    Ok(runtime.block_on(cli::run(command)))
}

/// Makes a token: what the token file says of it goes to stdout, and so into that file; the token
/// itself, which nobody can find out later, to stderr.
fn new_token(name: &str) -> anyhow::Result<Exit> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    let token = static_tokens::token(random);
    let entry = static_tokens::entry(name, &token)?;
    writeln!(io::stderr(), "{token}")?;
    print(&entry)
}

fn manual_pages(folder: &Path) -> anyhow::Result<Exit> {
    write_manual_pages(folder).with_context(|| format!("cannot write to {}", folder.display()))?;
    Ok(Exit::Ok)
}

/// Prints to stdout. A reader that has closed the pipe, as `head` does, is not a failure.
fn print(text: &str) -> anyhow::Result<Exit> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(Exit::Ok),
    }
}
