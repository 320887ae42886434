//! How far a stream has come, and which records must not be given a second time. Pure.

use std::collections::{BTreeSet, HashMap};

use crate::v1::{ChangeRecord, SubscribeResponse, subscribe_response::Event};

/// The most tokens of shards that a request may carry.
const MOST_SHARD_TOKENS: usize = 10_000;

/// The newest record of a shard: its sequence number, and the ids of the changes that bear it.
type Newest = (SequenceNumber, BTreeSet<String>);

/// A sequence number without leading zeros. AWS's have up to 40 digits, more than any integer.
/// Ordered as integers are: a longer one is greater.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct SequenceNumber(usize, String);

impl SequenceNumber {
    fn parse(text: &str) -> Option<Self> {
        let digits = text.trim_start_matches('0');
        let valid = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        valid.then(|| Self(digits.len(), digits.to_owned()))
    }
}

#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The stream's newest token; empty before the first.
    token: String,
    /// The newest token of each shard that came after `token`, in the order of coming.
    shard_tokens: Vec<(String, String)>,
    /// The newest record given of each shard since `token`.
    given: HashMap<String, Newest>,
    /// The same at the last resume: until a shard has passed it, its records may be repeats.
    repeats: HashMap<String, Newest>,
}

impl Progress {
    /// Where an earlier subscription stood, as [`Self::position`] told it.
    pub(crate) fn at(position: &str) -> Self {
        let mut tokens = position.split_whitespace().map(str::to_owned);
        let token = tokens.next().unwrap_or_default();
        // Whose they are is not known; they go along until a newer token of the stream comes.
        let shard_tokens = tokens.map(|token| (String::new(), token)).collect();
        Self { token, shard_tokens, ..Self::default() }
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// The tokens of shards to send beside the stream's.
    pub(crate) fn shard_tokens(&self) -> Vec<String> {
        if self.token.is_empty() {
            return Vec::new();
        }
        let tokens = self.shard_tokens.iter().map(|(_, token)| token.clone());
        tokens.take(MOST_SHARD_TOKENS).collect()
    }

    /// The text that goes on after everything that is covered. Empty before the first token.
    pub(crate) fn position(&self) -> String {
        let mut tokens = self.shard_tokens();
        tokens.insert(0, self.token.clone());
        tokens.join(" ")
    }

    /// The program is done with what `covered` says: its tokens count from now on.
    pub(crate) fn cover(&mut self, covered: Covered) {
        if !covered.token.is_empty() {
            self.token = covered.token;
            self.shard_tokens.clear();
            self.given.clear();
        } else if !covered.shard_token.is_empty() {
            let known = |(shard, _): &&mut (String, String)| {
                !shard.is_empty() && *shard == covered.shard_id
            };
            match self.shard_tokens.iter_mut().find(known) {
                Some((_, token)) => *token = covered.shard_token,
                None => self.shard_tokens.push((covered.shard_id, covered.shard_token)),
            }
        }
    }

    /// Those of `records` that were not given before; they count as given from now on.
    pub(crate) fn give(&mut self, shard: &str, records: Vec<ChangeRecord>) -> Vec<ChangeRecord> {
        let mut fresh = records;
        fresh.retain(|record| !self.is_repeat(shard, record));
        for record in &fresh {
            let Some((number, id)) = identity(record) else { continue };
            let (last, ids) = self.given.entry(shard.to_owned()).or_default();
            if *last != number {
                ids.clear();
                *last = number;
            }
            ids.insert(id);
        }
        fresh
    }

    /// A new stream begins. The server repeats nothing when it honours all tokens; this is for
    /// when it cannot.
    pub(crate) fn resume(&mut self) {
        self.repeats
            .extend(self.given.iter().map(|(shard, newest)| (shard.clone(), newest.clone())));
    }

    fn is_repeat(&mut self, shard: &str, record: &ChangeRecord) -> bool {
        let Some((last, ids)) = self.repeats.get(shard) else { return false };
        let Some((number, id)) = identity(record) else { return false };
        // Streams that are not AWS's may give several records one number.
        let repeated = number < *last || (number == *last && ids.contains(&id));
        if number > *last {
            self.repeats.remove(shard);
        }
        repeated
    }
}

/// What tells a record from the others of its shard; `None` of one without a number.
fn identity(record: &ChangeRecord) -> Option<(SequenceNumber, String)> {
    let meta = record.meta.as_ref()?;
    let number = SequenceNumber::parse(&meta.sequence_number)?;
    Some((number, meta.change.as_ref().map(|change| change.id.clone()).unwrap_or_default()))
}

/// The tokens of one message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Covered {
    token: String,
    shard_token: String,
    /// The shard of `shard_token`.
    shard_id: String,
}

impl Covered {
    pub(crate) fn by(message: &SubscribeResponse) -> Self {
        let shard_id = match &message.event {
            Some(Event::Gap(gap)) => &gap.shard_id,
            Some(Event::Unreadable(unreadable)) => &unreadable.shard_id,
            _ => &message.shard_id,
        };
        Self {
            token: message.token.clone(),
            shard_token: message.shard_token.clone(),
            shard_id: shard_id.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{Change, Meta};

    fn record(number: &str, id: &str) -> ChangeRecord {
        let change = Some(Change { id: id.into(), ..Default::default() });
        let meta = Meta { sequence_number: number.into(), change, ..Default::default() };
        ChangeRecord { meta: Some(meta), ..Default::default() }
    }

    /// AWS's sequence numbers have 21 to 40 digits, and no integer holds 40.
    #[test]
    fn numbers_of_forty_digits_are_told_apart() {
        let (one, two) = ("9".repeat(39) + "1", "9".repeat(39) + "2");
        let mut progress = Progress::default();
        progress.give("a", vec![record(&one, "x")]);
        progress.resume();
        let fresh = progress.give("a", vec![record(&one, "x"), record(&two, "y")]);
        assert_eq!(fresh, [record(&two, "y")]);
    }
}
