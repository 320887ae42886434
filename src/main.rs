//! The program as a checklist: parse, begin logging, run, exit code.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use shardstream::app;
use shardstream::cli;
use shardstream::config::{self, ClientCommand, DevConfig, Invocation};
use shardstream::exit::Exit;
use shardstream::telemetry::{self, Log};

/// How long the end waits for what blocks a thread: longer than the embedded DynamoDB needs to close its file.
const LAST_TASKS: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    if let Err(error) = config::without_empty() {
        let _ = writeln!(anstream::stderr(), "empty variables of AWS's are taken as they are: {error}");
    }
    let invocation = match Invocation::of_process() {
        Ok(invocation) => invocation,
        Err(error) => return error.report().into(),
    };
    let log = match invocation.log().map(telemetry::init).transpose() {
        Ok(log) => log,
        Err(error) => return failed(&error.into(), None),
    };
    let outcome = match invocation {
        Invocation::Serve(config) => on_all_cores(app::serve::run(&config, log.as_ref())),
        Invocation::Dev(config) => dev(*config, log.as_ref()),
        Invocation::Client(command) => client(&command),
        #[cfg(feature = "bench")]
        Invocation::Bench(command) => shardstream::bench::run(&command),
        Invocation::Print(text) | Invocation::Completions(text) => print(&text),
    };
    outcome.map_or_else(|error| failed(&error, log.as_ref()), Into::into)
}

#[cfg(feature = "embedded")]
fn dev(config: DevConfig, log: Option<&Log>) -> anyhow::Result<Exit> {
    on_all_cores(app::dev::run(config, log))
}

#[cfg(not(feature = "embedded"))]
fn dev(_config: DevConfig, _log: Option<&Log>) -> anyhow::Result<Exit> {
    anyhow::bail!("this build has no embedded DynamoDB: build it with the cargo feature `embedded`, or use `serve`")
}

/// What still runs at the end, such as a name that is being looked up, is not waited for long.
fn on_all_cores(work: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(work);
    let at_once = matches!(outcome, Ok(Exit::Terminated | Exit::Interrupted | Exit::HungUp));
    runtime.shutdown_timeout(if at_once { Duration::ZERO } else { LAST_TASKS });
    outcome
}

/// One thread asks and prints, another hears signals meanwhile.
fn client(command: &ClientCommand) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    Ok(runtime.block_on(cli::run(command)))
}

/// A reader that has left, as `head` does, is no failure.
fn print(text: &str) -> anyhow::Result<Exit> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(Exit::Ok),
    }
}

/// Where there is a log its thread may hold stderr, and for ever.
fn failed(error: &anyhow::Error, log: Option<&Log>) -> ExitCode {
    let text = format!("error: {error:#}");
    match log {
        Some(log) => log.say(&text),
        None => _ = writeln!(anstream::stderr(), "{text}"),
    }
    Exit::Failure.into()
}
