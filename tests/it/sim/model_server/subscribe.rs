//! The model's subscriptions to whole streams.

mod gaps;
mod serve;
mod state;

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::{self, LocalBoxStream};

use super::{Bug, Ideal};
use crate::sim::history::subscribed::{Start, Told, Wish};
use serve::Serving;
use state::State;

pub use state::Kept;

impl Ideal {
    /// A token of so many bytes at least.
    fn keep(&self, kept: Kept) -> String {
        let mut tokens = self.tokens.borrow_mut();
        tokens.push(kept);
        let padding = if self.has(Bug::TokensAlways) { 2_000 } else { 0 };
        format!("{}.{}", tokens.len() - 1, "x".repeat(padding))
    }

    fn kept(&self, token: &str) -> Kept {
        let number: usize = token
            .split('.')
            .next()
            .and_then(|number| number.parse().ok())
            .expect("a token of the model");
        self.tokens.borrow()[number].clone()
    }

    /// Where a stream token stands, with what shard tokens say beyond it.
    fn resume(&self, token: &str, newer: &[String]) -> State {
        let Kept::Stream(state) = self.kept(token) else {
            panic!("a shard token for a stream token")
        };
        let mut state = *state;
        state.resumed = true;
        for token in newer.iter().filter(|_| !self.has(Bug::IgnoresShardTokens)) {
            let Kept::Shard(shard, cursor) = self.kept(token) else {
                panic!("a stream token for a shard token")
            };
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

    pub(super) async fn subscription(
        &self,
        wish: &Wish,
        start: Start,
    ) -> Result<LocalBoxStream<'static, Told>, (String, String)> {
        tokio::time::sleep(Duration::from_millis(3)).await;
        let state = match &start {
            Start::Token(token, newer) => self.resume(token, newer),
            Start::Latest if self.has(Bug::LatestFromTheHorizon) => {
                State::begin(&self.fake, wish, &Start::Horizon)?
            }
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
