//! The program as a checklist: parse, begin logging, run, exit code.

use std::io::Write;
use std::process::ExitCode;

use shardstream::app::{self, App};
use shardstream::cli;
use shardstream::config::{ClientCommand, DevConfig, Invocation, ServeConfig};
use shardstream::exit::Exit;
use shardstream::{shutdown, telemetry};

fn main() -> ExitCode {
    let invocation = match Invocation::of_process() {
        Ok(invocation) => invocation,
        Err(error) => return error.report().into(),
    };
    let outcome = invocation.log().map_or(Ok(()), telemetry::init).map_err(anyhow::Error::from);
    let outcome = outcome.and_then(|()| match invocation {
        Invocation::Serve(config) => serve(*config),
        Invocation::Dev(config) => dev(*config),
        Invocation::Client(command) => client(&command),
        #[cfg(feature = "bench")]
        Invocation::Bench(command) => shardstream::bench::run(&command),
        Invocation::Print(text) | Invocation::Completions(text) => print(&text),
    });
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => {
            anstream::eprintln!("error: {error:#}");
            Exit::Failure.into()
        }
    }
}

#[tokio::main]
async fn serve(config: ServeConfig) -> anyhow::Result<Exit> {
    let upstream = app::connect(&config.upstream).await?;
    let app = App::build(&config, upstream, false).await?;
    println!("{}", app.ready_line());
    app.run(shutdown::told()).await?;
    Ok(Exit::Ok)
}

#[cfg(feature = "embedded")]
#[tokio::main]
async fn dev(config: DevConfig) -> anyhow::Result<Exit> {
    app::dev::run(config).await
}

#[cfg(not(feature = "embedded"))]
fn dev(_config: DevConfig) -> anyhow::Result<Exit> {
    anyhow::bail!("this build has no embedded DynamoDB: build it with the cargo feature `embedded`, or use `serve`")
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
