//! Runs a plan: the fake upstream, the servers over it and the clients, all on one thread and one
//! paused clock.
//!
//! Nothing here draws chance or asks the machine's clock, so the same plan gives the same history.

mod client;
mod family;
mod lease;
mod stage;
pub mod subscriber;
mod timeline;
pub mod watchdog;

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use shardstream::model::Timestamp;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, LocalSet};
use tokio_util::sync::CancellationToken;

use crate::sim::fake::{FakeUpstream, ShardRef};
use crate::sim::guarantees::{Bounds, Budget, Evidence, Gauge, Reading, Violation, check_all};
use crate::sim::history::subscribed::ClientLog as SubscriberLog;
use crate::sim::history::{At, ClientLog, History, Origin, Point, Position};
use crate::sim::schedules::{Begin, Do, Habits, Plan, Spot, Step, SubscriberHabits, Way};
use crate::sim::service::Service;

use client::Client;
use subscriber::Subscriber;
use watchdog::Watchdog;

pub use timeline::timeline;

/// How long everything that was written has to arrive, once the faults are over.
const SETTLE: Duration = Duration::from_secs(200);

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
    /// Kills a server; answers the one that comes in its place.
    pub replace: Replace<S>,
}

/// Makes the so manieth server of a scenario that comes in the place of one.
pub type Replace<S> = Box<dyn Fn(&S, u64) -> S>;

/// The servers that are there now, and how whoever uses one learns that it was killed.
pub type Alive<S> = Rc<RefCell<Vec<(S, CancellationToken)>>>;

/// What a client is told to do.
pub enum Order {
    Stall(Duration),
    /// Elsewhere in its shard.
    Jump(Position),
    Seek(Timestamp),
    /// The next answer is lost, and asked for again or not.
    Lose {
        repeat: bool,
    },
    /// From a token of somebody's past.
    Resume(ShardRef, Point),
    /// A subscriber goes on from a token of its past.
    Restart {
        back: usize,
        newer: bool,
    },
    /// A subscriber goes, and comes back later.
    Sleep(Duration),
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
        let arn = fake.newest_stream().to_string();
        let servers = serve(fake.clone()).await;
        let alive = servers
            .servers
            .iter()
            .map(|server| (server.clone(), CancellationToken::new()))
            .collect();
        let (alive, history, gauges) = (Rc::new(RefCell::new(alive)), Rc::default(), Rc::default());
        let (clients, askers, killed, until) = (Vec::new(), Vec::new(), 0, plan.until);
        let driver =
            Driver { fake, servers, alive, killed, arn, history, clients, gauges, askers, until };
        driver.play(plan, watchdog).await
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
    let lines: Vec<_> = match violation.at {
        None => return String::new(),
        Some(At::Item(point)) => {
            let log = &evidence.history.clients[point.client];
            let seen = log
                .items
                .iter()
                .enumerate()
                .take(point.item + 2)
                .skip(point.item.saturating_sub(12));
            let line = |(item, seen): (usize, &crate::sim::history::Seen)| {
                format!("  {}#{item} {:?} run {} {:?}", log.name, seen.at, seen.run, seen.what)
            };
            seen.map(line).collect()
        }
        Some(At::Message(point)) => {
            let run = &evidence.history.subscribers[point.client].runs[point.run];
            let asked = format!("  asked {:?} {:?} {:?}", run.asked, run.origin, run.wish);
            let seen = run
                .messages
                .iter()
                .enumerate()
                .take(point.message + 2)
                .skip(point.message.saturating_sub(15));
            let lines =
                seen.map(|(number, message)| format!("  #{number} {}", timeline::message(message)));
            std::iter::once(asked).chain(lines).collect()
        }
    };
    lines.join("\n")
}

struct Driver<S> {
    fake: FakeUpstream,
    servers: Servers<S>,
    alive: Alive<S>,
    /// How many servers were killed.
    killed: u64,
    /// The first stream's.
    arn: String,
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
    /// Its place among the logs of its kind.
    log: usize,
    /// How it reads; `None`: it is a subscriber.
    reads: Option<(Way, Habits)>,
    orders: mpsc::Sender<Order>,
    task: JoinHandle<()>,
}

impl<S: Service> Driver<S> {
    async fn play(mut self, plan: &Plan, watchdog: Watchdog) -> Evidence {
        let sampling = self.sample(plan, watchdog);
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
            reading: Reading {
                idle: plan.idle,
                latency: plan.pages.latency,
                false_empties: plan.pages.empties.chance > 0.0,
                calm: plan.is_calm(),
            },
        }
    }

    async fn wait_until(&self, time: Duration) {
        tokio::time::sleep_until(self.fake.started() + time).await;
    }

    /// Notes every few seconds what the servers keep; more seldom where subscribers may sleep for
    /// days.
    fn sample(&self, plan: &Plan, watchdog: Watchdog) -> JoinHandle<()> {
        let (alive, gauges, fake) =
            (Rc::clone(&self.alive), Rc::clone(&self.gauges), self.fake.clone());
        let long = plan.steps.iter().any(|step| matches!(step.what, Do::Subscribe { .. }));
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(if long { 17 } else { 7 })).await;
                watchdog.tick();
                let at = fake.now();
                gauges.borrow_mut().extend(
                    alive.borrow().iter().map(|(server, _)| Gauge { at, ..server.gauge() }),
                );
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
            Do::Subscribe { client, begin, ref habits } => {
                self.subscribe(client, begin, habits.clone())
            }
            Do::Kill { server } => self.kill(server),
            Do::Resume { client, of, back } => self.resume(client, of, back),
            Do::Stall { client, lasts } => self.order(client, Order::Stall(lasts)),
            Do::Jump { client, place } => {
                if let Some(shard) = self.shard_of(client) {
                    let position = self.position(&shard, place);
                    self.order(client, Order::Jump(position));
                }
            }
            Do::Seek { client, ago } => {
                self.order(client, Order::Seek(self.fake.wall().minus(ago).floor()))
            }
            Do::Lose { client, repeat } => self.order(client, Order::Lose { repeat }),
            Do::Restart { client, back, newer } => {
                self.order(client, Order::Restart { back, newer })
            }
            Do::Sleep { client, lasts } => self.order(client, Order::Sleep(lasts)),
            Do::Vanish { client } => {
                if let Some(actor) = self.clients.iter().find(|actor| actor.number == client) {
                    actor.task.abort();
                    let mut history = self.history.borrow_mut();
                    match actor.reads {
                        Some(_) => history.clients[actor.log].follows = false,
                        None => history.subscribers[actor.log].follows = false,
                    }
                }
            }
            Do::Ask { shard, by_table } => self.ask(shard, by_table),
            _ => stage::take(&self.fake, step),
        }
    }

    /// Without a word to anybody; another server takes its place.
    fn kill(&mut self, server: usize) {
        self.killed += 1;
        let mut alive = self.alive.borrow_mut();
        let place = server % alive.len();
        let next = (self.servers.replace)(&alive[place].0, self.killed);
        let (_, killed) = std::mem::replace(&mut alive[place], (next, CancellationToken::new()));
        killed.cancel();
    }

    /// Starts a client, or has it begin anew, from a token of somebody's past.
    fn resume(&mut self, client: usize, of: usize, back: usize) {
        let Some(from) = self.past_token(of, back) else { return };
        let Some(shard) = self.history.borrow().shard_at(from) else { return };
        if self.clients.iter().any(|actor| actor.number == client) {
            return self.order(client, Order::Resume(shard, from));
        }
        let reads = self
            .clients
            .iter()
            .filter(|actor| actor.log == from.client)
            .find_map(|actor| actor.reads);
        let (way, habits) = reads.expect("whose log it is");
        self.start(client, way, habits, shard, Origin::Token(from));
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
            servers: Rc::clone(&self.alive),
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
        self.clients.push(Actor { number, log, reads: Some((way, habits)), orders, task });
    }

    fn subscribe(&mut self, number: usize, begin: Begin, habits: SubscriberHabits) {
        let log = {
            let mut history = self.history.borrow_mut();
            history.subscribers.push(SubscriberLog { runs: Vec::new(), follows: true });
            history.subscribers.len() - 1
        };
        let (orders, inbox) = mpsc::channel(ORDERS);
        let subscriber = Subscriber {
            fake: self.fake.clone(),
            servers: Rc::clone(&self.alive),
            history: Rc::clone(&self.history),
            log,
            habits,
            arn: self.arn.clone(),
            inbox,
            calls: number,
            refusals: 0,
            hurries: self.until,
        };
        let task = tokio::task::spawn_local(subscriber.live(begin));
        self.clients.push(Actor { number, log, reads: None, orders, task });
    }

    fn order(&self, client: usize, order: Order) {
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
