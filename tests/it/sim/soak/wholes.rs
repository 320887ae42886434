//! Subscribers of the whole table: most are told to stall, to begin again from older tokens, or to
//! sleep for hours; two stay.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::sim::driver::subscriber::Subscriber;
use crate::sim::driver::{Alive, Order};
use crate::sim::fake::FakeUpstream;
use crate::sim::history::History;
use crate::sim::history::subscribed::{ClientLog, Wish};
use crate::sim::inprocess::InProcess;
use crate::sim::schedules::{Begin, SubscriberHabits};

use super::{DAY, HOUR, LULL, MINUTE, OPENS, STAYING, SUBSCRIBERS, end_of_shift};

/// Orders a client has not looked at yet.
const ORDERS: usize = 4;

pub struct Wholes {
    fake: FakeUpstream,
    alive: Alive<InProcess>,
    history: Rc<RefCell<History>>,
    actors: Vec<Actor>,
    chance: fastrand::Rng,
}

struct Actor {
    orders: mpsc::Sender<Order>,
    task: JoinHandle<()>,
    /// Until then it does what it was told last.
    busy: Duration,
}

impl Wholes {
    pub fn new(
        fake: &FakeUpstream,
        server: &InProcess,
        history: &Rc<RefCell<History>>,
        seed: u64,
    ) -> Self {
        let alive = Rc::new(RefCell::new(vec![(server.clone(), CancellationToken::new())]));
        let chance = fastrand::Rng::with_seed(seed ^ 0x0077_686f_6c65);
        Self { fake: fake.clone(), alive, history: Rc::clone(history), actors: Vec::new(), chance }
    }

    /// All come.
    pub fn come(&mut self) {
        for log in 0..SUBSCRIBERS {
            self.history
                .borrow_mut()
                .subscribers
                .push(ClientLog { runs: Vec::new(), follows: true });
            let (orders, inbox) = mpsc::channel(ORDERS);
            let (begin, habits) = (self.begin(log), self.habits(log));
            let client = Subscriber {
                fake: self.fake.clone(),
                servers: Rc::clone(&self.alive),
                history: Rc::clone(&self.history),
                log,
                habits,
                arn: self.fake.newest_stream().to_string(),
                inbox,
                calls: log,
                refusals: 0,
                hurries: OPENS + DAY,
            };
            let task = tokio::task::spawn_local(client.live(begin));
            self.actors.push(Actor { orders, task, busy: OPENS });
        }
    }

    fn begin(&mut self, log: usize) -> Begin {
        match self.chance.u32(0..4) {
            _ if log < STAYING => Begin::Latest,
            0 => Begin::Latest,
            1 => Begin::Ago(MINUTE * self.chance.u32(0..1_300)),
            _ => Begin::Horizon,
        }
    }

    fn habits(&mut self, log: usize) -> SubscriberHabits {
        let stays = log < STAYING;
        let wish = Wish {
            pass_gaps: stays || self.chance.bool(),
            skip_unreadable: stays || self.chance.bool(),
            by_time: !stays && self.chance.u32(0..5) == 0,
            heartbeat: Duration::from_secs(300),
            checkpoint: Duration::from_secs(20),
            records: [1_000, 20][self.chance.usize(0..2)],
            ..Wish::default()
        };
        let pause = if !stays && self.chance.u32(0..4) == 0 {
            Duration::from_secs(3)
        } else {
            Duration::ZERO
        };
        let by_name = stays || self.chance.u32(0..3) > 0;
        SubscriberHabits { pause, by_name, nameless: self.chance.bool(), until_time: None, wish }
    }

    /// Gives those orders that are due in this minute.
    pub fn minute(&mut self) {
        let now = self.fake.now();
        let end = end_of_shift(now);
        let lull = now >= end - LULL - MINUTE;
        for actor in self.actors.iter_mut().skip(STAYING).filter(|actor| actor.busy <= now) {
            let span = |most: Duration, chance: &mut fastrand::Rng| {
                Duration::from_secs(chance.u64(1..most.as_secs()))
            };
            let (order, lasts) = match self.chance.u32(0..600) {
                _ if lull => {
                    let lasts = end - now + span(MINUTE, &mut self.chance);
                    (Order::Sleep(lasts), lasts)
                }
                0..8 => {
                    let lasts =
                        span(MINUTE * 10, &mut self.chance).min((end - LULL).saturating_sub(now));
                    (Order::Stall(lasts), lasts)
                }
                8..16 => {
                    let (back, newer) = (self.chance.usize(0..40), self.chance.bool());
                    (Order::Restart { back, newer }, Duration::ZERO)
                }
                16..22 => {
                    let lasts = span(HOUR * 9, &mut self.chance);
                    let wakes = now + lasts;
                    let quiet = end_of_shift(wakes);
                    let lasts =
                        if wakes + MINUTE * 2 >= quiet - LULL { quiet - now } else { lasts };
                    // All are there at the end.
                    let lasts = lasts.min((OPENS + DAY).saturating_sub(now));
                    (Order::Sleep(lasts), lasts)
                }
                _ => continue,
            };
            actor.busy = now + lasts;
            // One that has not got round to its orders hears nothing.
            let _ = actor.orders.try_send(order);
        }
    }

    /// All go; what is left of them is to be aborted.
    pub fn go(&mut self) -> Vec<JoinHandle<()>> {
        std::mem::take(&mut self.actors).into_iter().map(|actor| actor.task).collect()
    }
}
