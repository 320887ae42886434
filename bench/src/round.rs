//! One contender, run once: a fresh server where it needs one, a process for itself, and a check of
//! what it got.

use std::path::Path;

use anyhow::{Context, ensure};
use tokio::process::Command;

use super::clock::monotonic;
use super::plan::{Manner, Part, Reader, Told};
use super::process::{MockProcess, Process, ServerProcess};
use super::sample::Sample;

/// Milliseconds between two looks at an idle shard where that is not what is measured.
const IDLE: u64 = 1_000;

/// The same, where pages are waited for: how long they lie there is not measured, so short.
const EAGER: u64 = 5;

/// One run: who, over which upstream.
#[derive(Debug)]
pub struct Run<'a> {
    /// Who it is, for whoever reads that it failed.
    pub name: &'a str,
    /// This program.
    pub program: &'a Path,
    /// The upstream.
    pub mock: &'a mut MockProcess,
    /// Whether it reads from a server.
    pub with_server: bool,
    /// What it reads. The URLs are filled in here.
    pub plan: Reader,
    /// The command of a peer in another language, but for the plan.
    pub foreign: Option<Command>,
}

impl Run<'_> {
    /// Runs it. Fails unless it gets exactly the records it should.
    pub async fn sample(mut self) -> anyhow::Result<Sample> {
        let name = self.name;
        self.try_sample().await.with_context(|| format!("{name} failed"))
    }

    async fn try_sample(&mut self) -> anyhow::Result<Sample> {
        self.plan.upstream = self.mock.url.clone();
        let server = if self.with_server {
            let server = ServerProcess::start(self.program, &self.mock.url, self.idle()).await?;
            self.plan.server = server.url.clone();
            Some(server)
        } else {
            None
        };
        let mut reader = self.reader()?;
        let ready = reader.hear().await?;
        ensure!(ready == "ready", "it is not ready, but says {ready:?}");
        self.settle().await;

        let before = (
            reader.cpu()?,
            server.as_ref().map(ServerProcess::cpu).transpose()?,
            self.mock.reads().await?,
        );
        let begin = monotonic();
        reader.say("go").await?;
        let told = reader.hear().await?;
        let seconds = (monotonic() - begin) as f64 / 1e9;
        let server_cpu = server.as_ref().map(ServerProcess::cpu).transpose()?;
        let told: Told =
            serde_json::from_str(&told).with_context(|| format!("this is no result: {told}"))?;
        let sample = Sample {
            records: told.records,
            subscribers: self.plan.subscribers,
            seconds,
            cpu: reader.cpu()? - before.0,
            server_cpu: server_cpu.zip(before.1).map(|(after, before)| after - before),
            reads: self.mock.reads().await? - before.2,
            delays: self.delays(&told).await?,
        };
        reader.end().await?;
        if let Some(server) = server {
            server.end().await?;
        }
        told.check(self.plan.records * self.plan.subscribers)?;
        Ok(sample)
    }

    fn reader(&mut self) -> anyhow::Result<Process> {
        match self.foreign.take() {
            Some(mut command) => {
                command.arg(serde_json::to_string(&self.plan)?);
                Process::start(self.name, command)
            }
            None => Process::part(self.name, self.program, &Part::Reader(self.plan.clone())),
        }
    }

    fn idle(&self) -> u64 {
        match self.plan.manner {
            Manner::Follow => self.plan.pause,
            Manner::Pages => EAGER,
            _ => IDLE,
        }
    }

    /// The pauses between looks at idle shards grow to their bound first.
    async fn settle(&self) {
        if self.plan.manner == Manner::Follow {
            tokio::time::sleep(std::time::Duration::from_millis(self.plan.pause * 4)).await;
        }
    }

    async fn delays(&mut self, told: &Told) -> anyhow::Result<Vec<f64>> {
        if !matches!(self.plan.manner, Manner::Pages | Manner::SdkPages) {
            return Ok(vec![]);
        }
        let sent = self.mock.sent(&self.plan.shards[0]).await?;
        ensure!(
            sent.len() == told.pages.len(),
            "{} pages were sent, {} came",
            sent.len(),
            told.pages.len()
        );
        let delays = sent
            .iter()
            .zip(&told.pages)
            .map(|(sent, came)| came.saturating_sub(*sent) as f64 / 1e3);
        let mut delays: Vec<f64> = delays.collect();
        delays.sort_by(f64::total_cmp);
        Ok(delays)
    }
}
