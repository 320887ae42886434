//! A model of Subscribe: it looks straight into the fake and says what the promises allow; with a [`Bug`] it breaks one of
//! them. It tries the driver and the checks: without a bug every seed passes, with one some seed must fail.

mod gaps;
mod serve;
mod state;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::rc::Rc;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::{self, LocalBoxStream};

use super::super::fake::FakeUpstream;
use super::history::{Start, Subscribing, Told, Wish};
use serve::Serving;
use state::{Kept, State};

/// One broken promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// The last page of a closed shard is dropped.
    DropsLastPage,
    /// A child begins at its tip.
    ChildrenAtLatest,
    /// A child is read beside its parent.
    ParentAndChild,
    /// Tokens forget finished shards, and they are read again.
    ForgetsFinished,
    /// Tokens do not cover the message they come with.
    TokenBehind,
    /// Tokens cover a record more.
    TokenAhead,
    /// Trimmed records are passed over.
    SilentTrim,
    /// Shards that came and went unread are passed over.
    SilentExpiry,
    /// A resume cries loss.
    FalseGap,
    /// Times are refused where stamps say where they are.
    RefusesTimes,
    /// A deleted stream is passed over.
    SilentReplacement,
    /// A stream ends before it is drained.
    EndsEarly,
    /// The end of a shard is not told.
    NoShardEnd,
    /// It is told late.
    LateShardEnd,
    /// Large tokens come with every message.
    TokensAlways,
    /// Tokens come only where they must.
    TokensNever,
    NoHeartbeats,
    /// The tip is claimed at once.
    LyingTip,
    /// The tip is never claimed.
    NeverTip,
    /// A record more than was asked for.
    OneMore,
    /// LATEST gives what was there before.
    LatestFromTheHorizon,
    /// The time that ends it does not.
    IgnoresUntilTime,
    /// The server's clock alone says when that time is past.
    EndsByOurClock,
    Swaps,
    Twice,
    WrongStatus,
    /// BY_TIME is PER_SHARD.
    IgnoresOrder,
    /// The next stream begins at its tip.
    NextStreamAtLatest,
    /// Children that are not listed when their parent ends are never looked for again.
    LateChildLost,
    IgnoresShardTokens,
    /// A token from LATEST is resumed as a new LATEST.
    LatestAnew,
    FatMessages,
    OpensTwice,
    IgnoresGapPolicy,
    /// AWS is asked without a pause.
    HotLoop,
}

/// The model; clones are the same server.
#[derive(Clone)]
pub struct Ideal {
    fake: FakeUpstream,
    bug: Option<Bug>,
    /// What every token stands for.
    tokens: Rc<RefCell<Vec<Kept>>>,
}

impl Ideal {
    pub fn new(fake: FakeUpstream, bug: Option<Bug>) -> Self {
        Self { fake, bug, tokens: Rc::default() }
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// A token of so many bytes at least.
    fn keep(&self, kept: Kept) -> String {
        let mut tokens = self.tokens.borrow_mut();
        tokens.push(kept);
        let padding = if self.has(Bug::TokensAlways) { 2_000 } else { 0 };
        format!("{}.{}", tokens.len() - 1, "x".repeat(padding))
    }

    fn kept(&self, token: &str) -> Kept {
        let number: usize =
            token.split('.').next().and_then(|number| number.parse().ok()).expect("a token of the model");
        self.tokens.borrow()[number].clone()
    }

    /// Where a stream token stands, with what shard tokens say beyond it.
    fn resume(&self, token: &str, newer: &[String]) -> State {
        let Kept::Stream(state) = self.kept(token) else { panic!("a shard token for a stream token") };
        let mut state = *state;
        state.resumed = true;
        for token in newer.iter().filter(|_| !self.has(Bug::IgnoresShardTokens)) {
            let Kept::Shard(shard, cursor) = self.kept(token) else { panic!("a stream token for a shard token") };
            let known = state.cursors.get(&shard).map_or(0, |known| known.index);
            if cursor.index >= known {
                state.cursors.insert(shard, cursor);
            }
        }
        if self.has(Bug::LatestAnew) {
            state.latest_anew(&self.fake);
        }
        state
    }
}

#[async_trait(?Send)]
impl Subscribing for Ideal {
    async fn subscribe(&self, wish: &Wish, start: Start) -> Result<LocalBoxStream<'static, Told>, (String, String)> {
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
        let state = match &start {
            Start::Token(token, newer) => self.resume(token, newer),
            Start::Latest if self.has(Bug::LatestFromTheHorizon) => State::begin(&self.fake, wish, &Start::Horizon)?,
            _ => State::begin(&self.fake, wish, &start)?,
        };
        let serving = Serving::new(self.clone(), wish.clone(), state);
        let told = stream::unfold(serving, |mut serving| async {
            let told = serving.next().await?;
            Some((told, serving))
        });
        Ok(told.boxed_local())
    }
}
