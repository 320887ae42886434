//! Runs a plan: the fake upstream, the server over it and the clients, all on one thread and one paused clock.
//!
//! Nothing here draws chance or asks the machine's clock, so the same plan gives the same history.

mod client;
mod family;
mod lease;
mod stage;
mod timeline;
pub mod watchdog;

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinHandle, LocalSet};

use super::fake::{FakeUpstream, ShardRef};
use super::guarantees::{Bounds, Budget, Evidence, Gauge, Violation, check_all};
use super::history::{ClientLog, History, Origin, Point, Position};
use super::seeds::{Do, Habits, Plan, Spot, Step, Way};
use super::service::Service;

use client::{Client, Command};
use watchdog::Watchdog;

pub use timeline::timeline;

/// How long everything that was written has to arrive, once the faults are over.
const SETTLE: Duration = Duration::from_secs(180);

/// Orders a client has not looked at yet: more than a plan gives one client.
const ORDERS: usize = 64;

/// The servers of a scenario, and what they may do.
pub struct Servers<S> {
    /// One, or several over the same upstream: clients without a lease go from one to the next.
    pub servers: Vec<S>,
    /// What each of them may keep.
    pub bounds: Bounds,
    /// What they may ask of AWS, all together.
    pub budget: Budget,
}

/// Plays `plan` on its own runtime, over the servers that `serve` makes; answers all that was seen.
pub fn play<S: Service, F: Future<Output = Servers<S>>>(
    plan: &Plan,
    serve: impl FnOnce(FakeUpstream) -> F,
) -> Evidence {
    let watchdog = Watchdog::over(plan.to_string());
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        let fake = FakeUpstream::new(plan.seed);
        stage::set(plan, &fake);
        let servers = serve(fake.clone()).await;
        Driver::new(fake, servers, plan.until).play(plan, watchdog).await
    })
}

/// Plays a plan and checks every promise; a broken one is printed with the plan that broke it.
#[track_caller]
pub fn assert_kept<S: Service, F: Future<Output = Servers<S>>>(
    plan: &Plan,
    serve: impl FnOnce(FakeUpstream) -> F,
) -> Evidence {
    let evidence = play(plan, serve);
    if let Err(violation) = check_all(&evidence) {
        panic!("seed {}: {violation}\n{plan}\n{}", plan.seed, around(&evidence, &violation));
    }
    evidence
}

/// The last things the client in question saw before a promise was broken.
pub fn around(evidence: &Evidence, violation: &Violation) -> String {
    let Some(point) = violation.at else { return String::new() };
    let log = &evidence.history.clients[point.client];
    let from = point.item.saturating_sub(12);
    let seen = log.items.iter().enumerate().take(point.item + 2).skip(from);
    let lines =
        seen.map(|(item, seen)| format!("  {}#{item} {:?} run {} {:?}", log.name, seen.at, seen.run, seen.what));
    lines.collect::<Vec<_>>().join("\n")
}

struct Driver<S> {
    fake: FakeUpstream,
    servers: Servers<S>,
    history: Rc<RefCell<History>>,
    clients: Vec<Actor>,
    gauges: Rc<RefCell<Vec<Gauge>>>,
    /// Who asks for children, once each.
    askers: Vec<JoinHandle<()>>,
    until: Duration,
}

/// A client that was started.
struct Actor {
    number: usize,
    /// Its place in the history.
    log: usize,
    way: Way,
    habits: Habits,
    orders: mpsc::Sender<Command>,
    task: JoinHandle<()>,
}

impl<S: Service> Driver<S> {
    fn new(fake: FakeUpstream, servers: Servers<S>, until: Duration) -> Self {
        let (history, gauges) = (Rc::default(), Rc::default());
        Self { fake, servers, history, clients: Vec::new(), gauges, askers: Vec::new(), until }
    }

    async fn play(mut self, plan: &Plan, watchdog: Watchdog) -> Evidence {
        let sampling = self.sample(watchdog);
        for step in &plan.steps {
            self.wait_until(step.at).await;
            self.take(step);
        }
        self.wait_until(plan.until).await;
        stage::calm(&self.fake);
        self.wait_until(plan.until + SETTLE).await;
        sampling.abort();
        let clients = std::mem::take(&mut self.clients).into_iter().map(|client| client.task);
        let tasks: Vec<_> = clients.chain(std::mem::take(&mut self.askers)).collect();
        tasks.iter().for_each(JoinHandle::abort);
        // Let them go, so that what they held is dropped before the truth is taken.
        for task in tasks {
            if let Err(error) = task.await
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
        self.history.borrow_mut().settled = Some(plan.until);
        Evidence {
            history: self.history.take(),
            truth: self.fake.truth(),
            gauges: self.gauges.take(),
            bounds: self.servers.bounds,
            budget: self.servers.budget,
            unstalled: None,
        }
    }

    async fn wait_until(&self, time: Duration) {
        tokio::time::sleep_until(self.fake.started() + time).await;
    }

    /// Notes every few seconds what the servers keep.
    fn sample(&self, watchdog: Watchdog) -> JoinHandle<()> {
        let (servers, gauges, fake) = (self.servers.servers.clone(), Rc::clone(&self.gauges), self.fake.clone());
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(7)).await;
                watchdog.tick();
                let at = fake.now();
                gauges.borrow_mut().extend(servers.iter().map(|server| Gauge { at, ..server.gauge() }));
            }
        })
    }

    fn take(&mut self, step: &Step) {
        match step.what {
            Do::Come { client, shard, way, place, habits } => {
                let shards = self.fake.shards();
                let shard = shards[shard % shards.len()].clone();
                let position = self.position(&shard, place);
                self.start(client, way, habits, shard, Origin::Position(position));
            }
            Do::Resume { client, of, back } => self.resume(client, of, back),
            Do::Stall { client, lasts } => self.order(client, Command::Stall(lasts)),
            Do::Jump { client, place } => {
                if let Some(shard) = self.shard_of(client) {
                    let position = self.position(&shard, place);
                    self.order(client, Command::Jump(position));
                }
            }
            Do::Seek { client, ago } => self.order(client, Command::Seek(self.fake.wall().minus(ago).floor())),
            Do::Lose { client, repeat } => self.order(client, Command::Lose { repeat }),
            Do::Vanish { client } => {
                if let Some(actor) = self.clients.iter().find(|actor| actor.number == client) {
                    actor.task.abort();
                    self.history.borrow_mut().clients[actor.log].follows = false;
                }
            }
            Do::Ask { shard, by_table } => self.ask(shard, by_table),
            _ => stage::take(&self.fake, step),
        }
    }

    /// Starts a client, or has it begin anew, from a token of somebody's past.
    fn resume(&mut self, client: usize, of: usize, back: usize) {
        let Some(from) = self.past_token(of, back) else { return };
        let (way, habits, shard) = {
            let history = self.history.borrow();
            let Some(shard) = history.shard_at(from) else { return };
            let of = self.clients.iter().find(|actor| actor.log == from.client).expect("whose log it is");
            (of.way, of.habits, shard)
        };
        if self.clients.iter().any(|actor| actor.number == client) {
            self.order(client, Command::Resume(shard, from));
        } else {
            self.start(client, way, habits, shard, Origin::Token(from));
        }
    }

    fn past_token(&self, of: usize, back: usize) -> Option<Point> {
        let client = self.clients.iter().find(|actor| actor.number == of)?.log;
        let history = self.history.borrow();
        let items = history.clients[client].items.iter().enumerate();
        // What was lost never reached the client: it cannot go on from there.
        let with_token: Vec<usize> = items
            .filter(|(_, seen)| seen.what.token().is_some() && !seen.what.is_lost())
            .map(|(item, _)| item)
            .collect();
        let item = *with_token.iter().rev().nth(back.min(with_token.len().checked_sub(1)?))?;
        Some(Point { client, item })
    }

    fn start(&mut self, number: usize, way: Way, habits: Habits, shard: ShardRef, origin: Origin) {
        let log = {
            let mut history = self.history.borrow_mut();
            let name = format!("client {number}");
            history.clients.push(ClientLog { name, follows: true, ..ClientLog::default() });
            history.clients.len() - 1
        };
        let (orders, inbox) = mpsc::channel(ORDERS);
        let client = Client {
            fake: self.fake.clone(),
            servers: self.servers.servers.clone(),
            history: Rc::clone(&self.history),
            log,
            way,
            habits,
            shard,
            inbox,
            lose: None,
            calls: number,
            hurries: self.until,
            runs: 0,
        };
        let task = tokio::task::spawn_local(client.live(origin));
        self.clients.push(Actor { number, log, way, habits, orders, task });
    }

    fn order(&self, client: usize, order: Command) {
        // A client that is gone, or that has not got round to its orders, hears nothing.
        if let Some(actor) = self.clients.iter().find(|actor| actor.number == client) {
            let _ = actor.orders.try_send(order);
        }
    }

    /// The shard a client reads now.
    fn shard_of(&self, client: usize) -> Option<ShardRef> {
        let actor = self.clients.iter().find(|actor| actor.number == client)?;
        let history = self.history.borrow();
        let item = history.clients[actor.log].items.len().checked_sub(1)?;
        history.shard_at(Point { client: actor.log, item })
    }

    fn position(&self, shard: &ShardRef, place: Spot) -> Position {
        let numbers = self.fake.shown_numbers(shard);
        match place {
            Spot::Latest => Position::Latest,
            Spot::Ago(ago) => Position::Since(self.fake.wall().minus(ago)),
            Spot::Number { into, after } if !numbers.is_empty() => {
                let number = numbers[(into * numbers.len() as f64) as usize % numbers.len()];
                if after { Position::After(number) } else { Position::At(number) }
            }
            Spot::Horizon | Spot::Number { .. } => Position::Horizon,
        }
    }
}
