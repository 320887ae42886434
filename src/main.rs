//! The program as a checklist: parse, begin logging, run, exit code.

use std::io::Write;
use std::process::ExitCode;

use shardstream::app;
use shardstream::config::{self, Invocation};
use shardstream::telemetry::{self, Log};

fn main() -> ExitCode {
    if let Err(error) = config::without_empty() {
        let _ =
            writeln!(anstream::stderr(), "empty variables of AWS's are taken as they are: {error}");
    }
    let invocation = match Invocation::of_process() {
        Ok(invocation) => invocation,
        Err(error) => return error.report().into(),
    };
    let log = match invocation.log().map(telemetry::init).transpose() {
        Ok(log) => log,
        Err(error) => return failed(&error.into(), None),
    };
    app::run(invocation, log.as_ref()).map_or_else(|error| failed(&error, log.as_ref()), Into::into)
}

/// Where there is a log its thread may hold stderr, and for ever.
fn failed(error: &anyhow::Error, log: Option<&Log>) -> ExitCode {
    let text = format!("error: {error:#}");
    match log {
        Some(log) => log.say(&text),
        None => _ = writeln!(anstream::stderr(), "{text}"),
    }
    app::exit_of(error).into()
}
