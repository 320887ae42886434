//! How the cost of a record grows with its size, with the size of pages, with shards, and with
//! subscribers.

use super::clock::created;
use super::plan::{Kind, Manner, Reader, Shards, World, scaled};
use super::process::MockProcess;
use super::round::Run;
use super::sample::Sample;
use crate::args::BenchConfig;
use shardstream::cli::Output;

/// Each point is measured so often, at most: there are many.
const ROUNDS: usize = 3;

/// Connections of one client process: more would pass the number of files that a process may open
/// on many machines.
const CONNECTIONS: usize = 250;

/// Bytes of a page, as AWS limits them.
const PAGE_BYTES: usize = 1_000_000;

/// One point, measured.
#[derive(Debug)]
pub struct Grown {
    /// What grows.
    pub series: &'static str,
    /// How far it has grown.
    pub at: usize,
    /// The runs.
    pub samples: Vec<Sample>,
}

/// What is measured at one point.
struct Point {
    series: &'static str,
    at: usize,
    kind: Kind,
    manner: Manner,
    shards: usize,
    pages: usize,
    page_records: usize,
    subscribers: usize,
}

/// Measures all points.
pub async fn measure(config: &BenchConfig, out: &mut Output) -> anyhow::Result<Vec<Grown>> {
    let points = points();
    let mut grown: Vec<Grown> = points
        .iter()
        .map(|point| Grown { series: point.series, at: point.at, samples: vec![] })
        .collect();
    for round in 0..config.rounds.min(ROUNDS) {
        for (point, grown) in points.iter().zip(&mut grown) {
            let sample = point.sample(config).await?;
            out.say(format_args!(
                "growth {}: {} {}: {:.2} s",
                round + 1,
                point.series,
                point.at,
                sample.seconds
            ));
            grown.samples.push(sample);
        }
    }
    Ok(grown)
}

fn points() -> Vec<Point> {
    let usual = |series, at| Point {
        series,
        at,
        kind: Kind::Full,
        manner: Manner::Raw,
        shards: 2,
        pages: 32,
        page_records: 1_000,
        subscribers: 1,
    };
    let sizes = [100, 1_000, 10_000, 100_000, 400_000].into_iter().map(|bytes| Point {
        kind: Kind::Sized(bytes),
        page_records: (PAGE_BYTES / bytes).clamp(1, 1_000),
        ..usual("record bytes", bytes)
    });
    let batches = [(1, 8_000), (10, 4_000), (100, 640), (1_000, 64)].into_iter().map(
        |(page_records, pages)| Point {
            shards: 1,
            page_records,
            pages,
            ..usual("records of a page", page_records)
        },
    );
    let shards = [1, 10, 100, 1_000].into_iter().map(|shards| Point {
        manner: Manner::Whole,
        shards,
        page_records: 100,
        pages: (640 / shards).max(1),
        ..usual("shards of a subscription", shards)
    });
    let subscribers = [1, 4, 16, 64, 256, 1_000].into_iter().map(|subscribers| Point {
        shards: 1,
        subscribers,
        ..usual("subscribers", subscribers)
    });
    sizes.chain(batches).chain(shards).chain(subscribers).collect()
}

impl Point {
    async fn sample(&self, config: &BenchConfig) -> anyhow::Result<Sample> {
        let (pages, whole) = (scaled(self.pages, config.scale), self.manner == Manner::Whole);
        let world = World {
            kind: self.kind,
            pages,
            page_records: self.page_records,
            // One more to warm up with, where that does not belong to what is read.
            full: self.shards + usize::from(!whole),
            paced: 0,
            idle: 0,
            pace: 0,
            created: created(),
        };
        let plan = Reader {
            manner: self.manner,
            upstream: String::new(),
            server: String::new(),
            stream: world.stream(),
            shards: (0..self.shards).map(|at| world.shard(Shards::Full, at)).collect(),
            shard_records: world.shard_records(),
            page_records: world.page_records,
            records: world.shard_records() * self.shards,
            warm_shard: world.shard(Shards::Full, self.shards),
            warm_records: if whole { 0 } else { world.shard_records().div_ceil(16) },
            subscribers: self.subscribers,
            connections: self.subscribers.min(CONNECTIONS),
            large_frames: false,
            pause: 0,
            time: 0,
        };
        let mock = &mut MockProcess::start(&config.program, &world).await?;
        let name = format!("{} {}", self.series, self.at);
        Run { name: &name, program: &config.program, mock, with_server: true, plan, foreign: None }
            .sample()
            .await
    }
}
