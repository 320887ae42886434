//! `shardstream bench`: this server next to AWS's SDKs and bloop, on one machine, in one run.
//!
//! Every reader and the server are processes of their own, all over one upstream that is made for it, so that the CPU time
//! of each can be told from the others'. `docs/bench.md` says what is measured, how, and what it does not say. The files, in
//! the order in which a run meets them:
//!
//! - `contenders` says who takes part; `peers` gets ready what those in other languages need;
//! - `plan` is what a process is told, `part` what it then does: `mock` (with `pages`), `client` or `sdk`;
//! - `process` starts them and speaks with them, `clock` reads their CPU time;
//! - `round` runs one contender once and checks that it got every record: a `sample`; `measure` runs them all, round by round;
//! - `figures` makes ratios of the samples, with what they should be, over `spread`; `report` shows them;
//! - `growth` is how cost grows.

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

use crate::config::BenchCommand;
use crate::exit::Exit;

/// Runs a benchmark to its end, or one of its processes.
pub fn run(command: &BenchCommand) -> anyhow::Result<Exit> {
    // One thread each: what stands beside the server must not take more of the machine than it has to.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            BenchCommand::Run(config) => measure::run(config).await,
            BenchCommand::Part(plan) => part::run(plan).await.map(|()| Exit::Ok),
        }
    })
}
