//! Runs a plan: the fake upstream, the servers over it and the clients, all on one thread and one paused clock.
//!
//! Nothing here draws chance or asks the machine's clock, so the same plan gives the same history.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinHandle, LocalSet};
use tokio_util::sync::CancellationToken;

use super::super::driver::watchdog::Watchdog;
use super::super::fake::FakeUpstream;
use super::super::guarantees::{Bounds, Budget, Gauge};
use super::client::{Client, Order};
use super::history::{ClientLog, History, Subscribing};
use super::judge::{Evidence, Reading, Violation, check_all};
use super::plan::{Do, Plan, Step};
use super::stage;
use super::timeline;

/// How long everything that was written has to arrive, once the faults are over.
pub const SETTLE: Duration = Duration::from_secs(200);

/// Orders a client has not looked at yet: more than a plan gives one client.
const ORDERS: usize = 64;

/// The servers of a scenario, and what they may do.
pub struct Servers<S> {
    pub servers: Vec<S>,
    pub bounds: Bounds,
    pub budget: Budget,
    /// What each of them keeps now.
    pub gauge: fn(&S) -> Gauge,
    /// Kills a server; answers the one that comes in its place, the so manieth of the scenario.
    pub replace: Replace<S>,
}

/// Makes the so manieth server in the place of one.
pub type Replace<S> = Box<dyn Fn(&S, u64) -> S>;

/// The servers that are there now, and how whoever uses one learns that it was killed.
pub type Alive<S> = Rc<RefCell<Vec<(S, CancellationToken)>>>;

/// Plays `plan` on its own runtime, over the servers that `serve` makes; answers all that was seen.
pub fn play<S: Subscribing, F: Future<Output = Servers<S>>>(
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
        let alive = servers.servers.iter().map(|server| (server.clone(), CancellationToken::new())).collect();
        let (alive, history, gauges) = (Rc::new(RefCell::new(alive)), Rc::default(), Rc::default());
        let (clients, killed, until) = (Vec::new(), 0, plan.until);
        Driver { fake, servers, alive, killed, arn, history, clients, gauges, until }.play(plan, watchdog).await
    })
}

/// Plays a plan and checks every promise; a broken one is printed with the plan that broke it.
#[track_caller]
pub fn assert_kept<S: Subscribing, F: Future<Output = Servers<S>>>(
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
    let run = &evidence.history.clients[point.client].runs[point.run];
    let seen = run.messages.iter().enumerate().take(point.message + 2).skip(point.message.saturating_sub(15));
    let lines = seen.map(|(number, message)| format!("  #{number} {}", timeline::brief(message)));
    let origin = &run.origin;
    format!("  asked {:?} {origin:?} {:?}\n", run.asked, run.wish) + &lines.collect::<Vec<_>>().join("\n")
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
    until: Duration,
}

/// A client that was started.
struct Actor {
    number: usize,
    /// Its place in the history.
    log: usize,
    orders: mpsc::Sender<Order>,
    task: JoinHandle<()>,
}

impl<S: Subscribing> Driver<S> {
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
        for client in &self.clients {
            client.task.abort();
        }
        // Let them go, so that what they held is dropped before the truth is taken.
        for client in std::mem::take(&mut self.clients) {
            if let Err(error) = client.task.await
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

    /// Notes every few seconds what the servers keep; seldom while nothing happens.
    fn sample(&self, watchdog: Watchdog) -> JoinHandle<()> {
        let (alive, gauges, fake) = (Rc::clone(&self.alive), Rc::clone(&self.gauges), self.fake.clone());
        let gauge = self.servers.gauge;
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(17)).await;
                watchdog.tick();
                let at = fake.now();
                gauges.borrow_mut().extend(alive.borrow().iter().map(|(server, _)| Gauge { at, ..gauge(server) }));
            }
        })
    }

    fn take(&mut self, step: &Step) {
        match &step.what {
            Do::Come { client, begin, habits } => {
                let log = {
                    let mut history = self.history.borrow_mut();
                    history.clients.push(ClientLog { runs: Vec::new(), follows: true });
                    history.clients.len() - 1
                };
                let (orders, inbox) = mpsc::channel(ORDERS);
                let client_task = Client {
                    fake: self.fake.clone(),
                    servers: Rc::clone(&self.alive),
                    history: Rc::clone(&self.history),
                    log,
                    habits: habits.clone(),
                    arn: self.arn.clone(),
                    inbox,
                    calls: *client,
                    refusals: 0,
                    hurries: self.until,
                };
                let task = tokio::task::spawn_local(client_task.live(*begin));
                self.clients.push(Actor { number: *client, log, orders, task });
            }
            Do::Kill { server } => self.kill(*server),
            Do::Stall { client, lasts } => self.order(*client, Order::Stall(*lasts)),
            Do::Restart { client, back, newer } => {
                self.order(*client, Order::Restart { back: *back, newer: *newer });
            }
            Do::Sleep { client, lasts } => self.order(*client, Order::Sleep(*lasts)),
            Do::Vanish { client } => {
                if let Some(actor) = self.clients.iter().find(|actor| actor.number == *client) {
                    actor.task.abort();
                    self.history.borrow_mut().clients[actor.log].follows = false;
                }
            }
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

    fn order(&self, client: usize, order: Order) {
        // A client that is gone, or that has not got round to its orders, hears nothing.
        if let Some(actor) = self.clients.iter().find(|actor| actor.number == client) {
            let _ = actor.orders.try_send(order);
        }
    }
}
