//! The whole measurement: everything that is needed made ready, all rounds, and the report.

use std::collections::BTreeMap;

use anyhow::ensure;

use super::clock::created;
use super::contenders::{CONTENDERS, Contender};
use super::figures::{FIGURES, Verdict};
use super::growth;
use super::peers::{Peer, Peers};
use super::plan::{Kind, Manner, Reader, Shards, World, scaled, stream_of_one};
use super::process::MockProcess;
use super::report::{Missing, Report};
use super::round::Run;
use super::sample::{Round, Sample};
use crate::args::BenchConfig;
use shardstream::cli::Output;
use shardstream::config::Color;
use shardstream::exit::Exit;

/// Records of a page: the most that AWS gives.
const PAGE_RECORDS: usize = 1_000;

/// Pages of a shard: little enough to stay in memory everywhere, so that all pages are as warm for
/// the last reader as for the first.
const SHARD_PAGES: usize = 32;

/// Milliseconds between two pages of a paced shard: longer than any of those measured there takes
/// for one.
const PACE: u64 = 40;

/// Idle shards, milliseconds between two looks at each, and how long they are looked at.
const IDLE: (usize, u64, u64) = (200, 200, 3_000);

/// Those who can take part, with what they read.
struct Field<'a> {
    config: &'a BenchConfig,
    peers: Peers,
    full: Stage,
    keys: Stage,
    idle: Stage,
}

/// An upstream and what it holds.
struct Stage {
    world: World,
    mock: MockProcess,
}

/// Measures and prints. Missing a goal is no failure of the program; worse than a limit is not
/// either: the report says so.
pub async fn run(config: &BenchConfig) -> anyhow::Result<Exit> {
    let out = &mut Output::standard(config.output, Color::Auto);
    if let Some(unknown) = unknown(config) {
        let names: Vec<&str> = CONTENDERS.iter().map(|contender| contender.name).collect();
        out.say(format_args!(
            "error: there is no contender {unknown:?}; there are {}",
            names.join(", ")
        ));
        return Ok(Exit::Usage);
    }
    if cfg!(debug_assertions) {
        out.warn("this is a debug build: its figures mean nothing, but that it runs");
    }
    let (chosen, missing) = chosen(config, out).await;
    let mut rounds = Vec::new();
    if !chosen.contenders.is_empty() {
        let mut field = Field::new(config, chosen.peers).await?;
        for number in 0..config.rounds {
            rounds.push(field.round(number, &chosen.contenders, out).await?);
        }
    }
    let growth = if config.growth { growth::measure(config, out).await? } else { vec![] };
    let report = Report { config, contenders: &chosen.contenders, missing, rounds, growth };
    report.print(out)?;
    let worse = FIGURES.iter().filter(|figure| {
        let ratio = figure.over(&report.rounds);
        ratio.is_some_and(|ratio| figure.verdict(ratio.median) == Verdict::Worse)
    });
    match worse.count() {
        0 => {}
        count => out.say(format_args!("{count} ratios are worse than their limit")),
    }
    Ok(Exit::Ok)
}

/// Who takes part, and the programs of those in other languages.
struct Chosen {
    contenders: Vec<Contender>,
    peers: Peers,
}

fn unknown(config: &BenchConfig) -> Option<&String> {
    let known = |name: &&String| CONTENDERS.iter().any(|contender| contender.name == **name);
    config.only.iter().flatten().find(|name| !known(name))
}

async fn chosen(config: &BenchConfig, out: &mut Output) -> (Chosen, Vec<Missing>) {
    let wanted = |contender: &Contender| {
        config.only.as_ref().is_none_or(|only| only.iter().any(|it| it == contender.name))
    };
    let (asked, mut missing): (Vec<Contender>, Vec<Missing>) =
        (CONTENDERS.into_iter().filter(wanted).collect(), Vec::new());
    let named = |contender: &Contender, reason: &str| Missing {
        name: contender.name,
        what: contender.what,
        reason: reason.to_owned(),
    };
    missing.extend(
        CONTENDERS.iter().filter(|it| !wanted(it)).map(|it| named(it, "left out by --only")),
    );
    let mut peers = Peers::new(&config.peers_dir);
    let mut contenders = Vec::new();
    for contender in asked {
        let reason = match contender.peer {
            Some(_) if config.skip_peers => Some("left out by --skip-peers".to_owned()),
            Some(peer) => peers.prepare(peer, out).await.err(),
            None => None,
        };
        match reason {
            Some(reason) => missing.push(named(&contender, &reason)),
            None => contenders.push(contender),
        }
    }
    (Chosen { contenders, peers }, missing)
}

impl<'a> Field<'a> {
    async fn new(config: &'a BenchConfig, peers: Peers) -> anyhow::Result<Self> {
        let pages = scaled(SHARD_PAGES, config.scale).clamp(2, SHARD_PAGES);
        let shards = |kind| {
            let of_kind = CONTENDERS.iter().filter(|contender| contender.kind == kind);
            let most =
                of_kind.map(|contender| scaled(contender.pages, config.scale)).max().unwrap_or(1);
            // One more to warm up with.
            most.div_ceil(pages) + 1
        };
        let empty = World {
            kind: Kind::Full,
            pages,
            page_records: PAGE_RECORDS,
            full: 0,
            paced: 0,
            idle: 0,
            pace: PACE,
            created: created(),
        };
        let full = World { full: shards(Kind::Full), paced: config.rounds * 2, ..empty };
        let keys = World { kind: Kind::Keys, full: shards(Kind::Keys), ..empty };
        let idle = World { idle: scaled(IDLE.0, config.scale).clamp(2, IDLE.0), ..empty };
        Ok(Self {
            config,
            peers,
            full: Stage::start(config, full).await?,
            keys: Stage::start(config, keys).await?,
            idle: Stage::start(config, idle).await?,
        })
    }

    /// Every contender once, beginning with another one each time.
    async fn round(
        &mut self,
        number: usize,
        contenders: &[Contender],
        out: &mut Output,
    ) -> anyhow::Result<Round> {
        let mut round = BTreeMap::new();
        for at in 0..contenders.len() {
            let contender = &contenders[(number + at) % contenders.len()];
            let sample = self.sample(contender, number).await?;
            out.say(format_args!(
                "round {} of {}: {}: {} records in {:.2} s",
                number + 1,
                self.config.rounds,
                contender.name,
                sample.records,
                sample.seconds,
            ));
            round.insert(contender.name, sample);
        }
        Ok(round)
    }

    async fn sample(&mut self, contender: &Contender, round: usize) -> anyhow::Result<Sample> {
        let scale = self.config.scale;
        let stage = match contender {
            contender if contender.is_idle() => &mut self.idle,
            Contender { kind: Kind::Keys, .. } => &mut self.keys,
            _ => &mut self.full,
        };
        let plan = plan(contender, &stage.world, scale, round);
        let foreign = contender.peer.map(|peer| self.peers.command(peer)).transpose()?;
        let with_server = contender.is_client();
        let run = Run {
            name: contender.name,
            program: &self.config.program,
            mock: &mut stage.mock,
            with_server,
            plan,
            foreign,
        };
        let sample = run.sample().await?;
        ensure!(
            !contender.is_idle() || sample.reads > 0,
            "{}: nobody looked at the idle shards",
            contender.name
        );
        Ok(sample)
    }
}

impl Stage {
    async fn start(config: &BenchConfig, world: World) -> anyhow::Result<Self> {
        Ok(Self { world, mock: MockProcess::start(&config.program, &world).await? })
    }
}

/// What a contender reads of a world in a round.
fn plan(contender: &Contender, world: &World, scale: f64, round: usize) -> Reader {
    let shard_records = world.shard_records();
    let full = |count: usize| (0..count).map(|at| world.shard(Shards::Full, at)).collect();
    let (shards, records): (Vec<String>, usize) = if contender.is_idle() {
        (world.shards(), 0)
    } else if contender.is_paced() {
        let at = round * 2 + usize::from(contender.manner == Manner::SdkPages);
        (vec![world.shard(Shards::Paced, at)], shard_records)
    } else {
        let records = scaled(contender.pages, scale) * world.page_records;
        // bloop only knows whole streams, and is given one of one shard.
        let records =
            if contender.peer == Some(Peer::Bloop) { records.min(shard_records) } else { records };
        (full(records.div_ceil(shard_records)), records)
    };
    let stream = if contender.peer == Some(Peer::Bloop) { stream_of_one() } else { world.stream() };
    Reader {
        manner: contender.manner,
        upstream: String::new(),
        server: String::new(),
        stream,
        shards,
        shard_records,
        page_records: world.page_records,
        records,
        warm_shard: world.shard(Shards::Full, world.full.saturating_sub(1)),
        warm_records: if records == 0 {
            0
        } else {
            (records / 16).clamp(world.page_records.min(200), shard_records)
        },
        subscribers: contender.subscribers,
        connections: contender.subscribers,
        large_frames: contender.large_frames,
        pause: IDLE.1,
        time: (scaled(IDLE.2 as usize, scale) as u64).clamp(300, IDLE.2),
    }
}
