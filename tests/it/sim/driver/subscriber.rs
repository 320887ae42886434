//! A subscriber of a whole stream: asks for it, obeys orders, goes on from its tokens, and writes
//! down what it sees.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::sync::mpsc;

use super::client::RETRY;
use super::{Alive, Order};
use crate::sim::fake::FakeUpstream;
use crate::sim::history::subscribed::{Fate, Origin, Point, Run, Start, Told, Until, What, Wish};
use crate::sim::history::{EndReason, History};
use crate::sim::schedules::{Begin, SubscriberHabits};
use crate::sim::service::Service;

pub struct Subscriber<S> {
    pub fake: FakeUpstream,
    pub servers: Alive<S>,
    pub history: Rc<RefCell<History>>,
    /// Which log of the history is its own.
    pub log: usize,
    pub habits: SubscriberHabits,
    /// The first stream's ARN.
    pub arn: String,
    pub inbox: mpsc::Receiver<Order>,
    /// Which server is next.
    pub calls: usize,
    /// How often it was refused since it was served.
    pub refusals: u32,
    /// From then on it reads as fast as it can.
    pub hurries: Duration,
}

impl<S: Service> Subscriber<S> {
    /// Reads until the driver ends it.
    pub async fn live(mut self, begin: Begin) {
        let mut origin = match begin {
            Begin::Horizon => Origin::Horizon,
            Begin::Latest => Origin::Latest,
            Begin::Ago(ago) => Origin::Since(self.fake.wall().minus(ago)),
        };
        self.habits.wish.stream =
            if self.habits.by_name { "Orders".into() } else { self.arn.clone() };
        if let Some(time) = self.habits.until_time {
            self.habits.wish.until.time = Some(self.fake.base().plus(time));
        }
        loop {
            origin = self.subscribe(origin).await;
        }
    }

    /// One call; answers where the next begins.
    async fn subscribe(&mut self, origin: Origin) -> Origin {
        let run = self.begin(origin.clone());
        self.calls += 1;
        let (server, killed) = {
            let servers = self.servers.borrow();
            servers[self.calls % servers.len()].clone()
        };
        let wish = self.habits.wish.clone();
        let asked = match &origin {
            Origin::Token(..) if self.habits.nameless => Wish { stream: String::new(), ..wish },
            _ => wish,
        };
        let opening = killed.run_until_cancelled(server.subscribe(&asked, self.start(&origin)));
        let mut messages = match opening.await {
            None => return self.wait(RETRY).await.unwrap_or(origin),
            Some(Ok(messages)) => messages,
            Some(Err((code, reason))) => {
                self.close(run, Fate::Failed { code, reason });
                self.refusals += 1;
                return self.wait(RETRY * 2u32.pow(self.refusals.min(4))).await.unwrap_or(origin);
            }
        };
        let now = self.fake.now();
        self.with_run(run, |run| run.opened = Some(now));
        self.refusals = 0;
        loop {
            // Orders come first. Neither an order nor a message is lost when the other is taken; a
            // server that was killed says nothing more.
            let told = tokio::select! {
                biased;
                order = self.inbox.recv() => match order {
                    Some(Order::Stall(lasts)) => {
                        self.with_run(run, |run| run.slow = true);
                        tokio::time::sleep(lasts).await;
                        continue;
                    }
                    Some(Order::Restart { back, newer }) => return self.earlier(back, newer).unwrap_or(origin),
                    Some(Order::Sleep(lasts)) => {
                        drop(messages);
                        tokio::time::sleep(lasts).await;
                        return self.newest(origin);
                    }
                    Some(_) => unreachable!("orders of single shards' clients"),
                    None => std::future::pending().await,
                },
                () = killed.cancelled() => {
                    drop(messages);
                    let ordered = self.wait(RETRY).await;
                    return ordered.unwrap_or_else(|| self.newest(origin));
                }
                told = messages.next() => told,
            };
            match told {
                Some(Told::Message(mut message)) => {
                    message.at = self.fake.now();
                    self.with_run(run, |run| run.messages.push(*message));
                    if !self.habits.pause.is_zero() && self.fake.now() < self.hurries {
                        tokio::time::sleep(self.habits.pause).await;
                    }
                }
                Some(Told::Closed(fate)) => return self.ended(run, fate, origin).await,
                None => return self.ended(run, Fate::Closed("nothing".into()), origin).await,
            }
        }
    }

    /// The server ended it.
    async fn ended(&mut self, run: usize, fate: Fate, origin: Origin) -> Origin {
        let reason = self.with_run(run, |run| {
            match run.messages.last().map(|message| message.what.clone()) {
                Some(What::End { reason }) => Some(reason),
                _ => None,
            }
        });
        self.close(run, fate);
        match reason {
            // There is nothing to come again for, but by an order.
            Some(EndReason::StreamEnd) => loop {
                match self.inbox.recv().await {
                    Some(Order::Restart { back, newer }) => {
                        return self.earlier(back, newer).unwrap_or(origin);
                    }
                    Some(Order::Sleep(lasts)) => {
                        tokio::time::sleep(lasts).await;
                        return self.newest(origin);
                    }
                    Some(_) => {}
                    None => std::future::pending().await,
                }
            },
            // Nothing there says where a time is: all of it is read.
            Some(EndReason::Refused) => return self.wait(RETRY).await.unwrap_or(Origin::Horizon),
            Some(EndReason::Limit) => {
                // It goes on, in steps of as many records, or without a limit.
                let records = self.habits.wish.until.records;
                self.habits.wish.until = Until { records, ..Until::default() };
            }
            _ => {
                if let Some(origin) = self.wait(RETRY).await {
                    return origin;
                }
            }
        }
        self.newest(origin)
    }

    /// Waits, and obeys orders meanwhile; answers where an order sends it.
    async fn wait(&mut self, time: Duration) -> Option<Origin> {
        match tokio::time::timeout(time, self.inbox.recv()).await {
            Ok(Some(Order::Restart { back, newer })) => self.earlier(back, newer),
            Ok(Some(Order::Sleep(lasts) | Order::Stall(lasts))) => {
                tokio::time::sleep(lasts).await;
                None
            }
            Ok(Some(_)) => unreachable!("orders of single shards' clients"),
            Ok(None) => std::future::pending().await,
            Err(_) => None,
        }
    }

    fn begin(&self, origin: Origin) -> usize {
        let slow = !self.habits.pause.is_zero();
        let (wish, asked) = (self.habits.wish.clone(), self.fake.now());
        let runs = &mut self.history.borrow_mut().subscribers[self.log].runs;
        runs.push(Run {
            wish,
            origin,
            asked,
            opened: None,
            messages: Vec::new(),
            fate: Fate::Left,
            slow,
        });
        runs.len() - 1
    }

    fn with_run<T>(&self, run: usize, change: impl FnOnce(&mut Run) -> T) -> T {
        change(&mut self.history.borrow_mut().subscribers[self.log].runs[run])
    }

    fn close(&self, run: usize, fate: Fate) {
        self.with_run(run, |run| run.fate = fate);
    }

    /// The newest token of all; without one it begins anew.
    fn newest(&self, origin: Origin) -> Origin {
        self.earlier(0, false).unwrap_or(origin)
    }

    /// A token of its past: the newest less `back`; perhaps with the shard tokens that came after
    /// it in the same run.
    fn earlier(&self, back: usize, newer: bool) -> Option<Origin> {
        let history = self.history.borrow();
        let mut tokens = Vec::new();
        for (run, seen) in history.subscribers[self.log].runs.iter().enumerate() {
            let with_token =
                seen.messages.iter().enumerate().filter(|(_, message)| !message.token.is_empty());
            tokens.extend(with_token.map(|(message, _)| Point { client: self.log, run, message }));
        }
        let token = tokens[tokens.len().checked_sub(1)?.saturating_sub(back)];
        let mut shards = Vec::new();
        if newer {
            let messages = history.subscribers[self.log].runs[token.run]
                .messages
                .iter()
                .enumerate()
                .skip(token.message + 1);
            let with_token = messages.filter(|(_, message)| !message.shard_token.is_empty());
            shards.extend(with_token.map(|(message, _)| Point { message, ..token }));
            // In no order: the furthest counts.
            shards.reverse();
            shards.truncate(9_000);
        }
        Some(Origin::Token(token, shards))
    }

    fn start(&self, origin: &Origin) -> Start {
        let history = self.history.borrow();
        match origin {
            Origin::Horizon => Start::Horizon,
            Origin::Latest => Start::Latest,
            Origin::Since(time) => Start::Since(*time),
            Origin::Token(token, newer) => {
                let text = history.message_at(*token).expect("seen before").token.clone();
                let newer = newer.iter().map(|point| {
                    history.message_at(*point).expect("seen before").shard_token.clone()
                });
                Start::Token(text, newer.collect())
            }
        }
    }
}
