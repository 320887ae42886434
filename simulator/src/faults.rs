//! What AWS does rarely, done on request: a script of rules, each for some calls.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use crate::Millis;
use crate::chance::{Purpose, draw};
use crate::error::Refusal;
use crate::settings::millis;

/// One rule of a script.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rule {
    /// What happens.
    pub fault: Fault,
    /// For calls of this operation; `None`: any of the four.
    pub operation: Option<Call>,
    /// On streams of this table; `None`: any.
    pub table: Option<String>,
    /// On this shard; `None`: any.
    pub shard: Option<String>,
    /// So many of the calls pass before the first.
    #[serde(default)]
    pub after: u64,
    /// It happens so often; `None`: for ever.
    pub times: Option<u64>,
    /// How likely it is, each time.
    #[serde(default)]
    pub chance: Chance,
    /// How long a `hang` lasts, by our clock, or how late children are listed, by the simulated.
    #[serde(default)]
    pub lasting: Seconds,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Too many calls.
    Throttle,
    /// The service's fault, with status 500.
    InternalError,
    /// The iterator has expired, whatever its age.
    ExpiredIterator,
    /// The place is trimmed, whatever is there.
    Trimmed,
    /// No such stream or shard, in passing.
    NotFound,
    /// The answer comes late.
    Hang,
    /// The answer breaks off in the middle.
    Truncate,
    /// The call is done, and its answer lost: the connection ends.
    LoseAnswer,
    /// Children are not listed yet.
    LateChildren,
}

/// One of the four operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Call {
    /// ListStreams.
    ListStreams,
    /// DescribeStream.
    DescribeStream,
    /// GetShardIterator.
    GetShardIterator,
    /// GetRecords.
    GetRecords,
}

/// A likelihood, 0 to 1; certain unless said.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "f64")]
pub struct Chance(f64);

/// A time in whole or broken seconds; a minute unless said.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "f64")]
pub struct Seconds(Duration);

/// What is done to an answer on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// It waits so long.
    Hang(Duration),
    /// Half of its body comes.
    Truncate,
    /// Nothing comes, and the connection ends.
    Lose,
}

/// What a rule does to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Refuse(Refusal),
    Disturb(Disturbance),
    /// Children are listed so much later.
    Late(Millis),
}

/// A call, as far as rules ask.
#[derive(Debug, Default)]
pub(crate) struct About {
    pub(crate) call: Option<Call>,
    pub(crate) table: Option<String>,
    pub(crate) shard: Option<String>,
}

/// The rules in force, and how often each was asked and happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    rules: Vec<(Rule, u64, u64)>,
}

impl Faults {
    pub(crate) fn new(rules: Vec<Rule>) -> Self {
        Self { rules: rules.into_iter().map(|rule| (rule, 0, 0)).collect() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What happens to a call: what the first rule says that is for it.
    pub(crate) fn effect(&mut self, about: &About, seed: u64) -> Option<Effect> {
        for (index, (rule, asked, happened)) in self.rules.iter_mut().enumerate() {
            if !rule.is_for(about) || rule.times.is_some_and(|times| *happened >= times) {
                continue;
            }
            *asked += 1;
            if *asked <= rule.after {
                continue;
            }
            let chance = draw(seed, Purpose::Fault, &[index as u64, *asked]).f64();
            if chance < rule.chance.0 {
                *happened += 1;
                return Some(rule.effect(about));
            }
        }
        None
    }
}

impl Rule {
    fn is_for(&self, about: &About) -> bool {
        let fits =
            |wanted: &Option<String>, there: &Option<String>| wanted.is_none() || wanted == there;
        self.operation.is_none_or(|call| about.call == Some(call))
            && fits(&self.table, &about.table)
            && fits(&self.shard, &about.shard)
            // Only a listing can be late.
            && (self.fault != Fault::LateChildren || about.call == Some(Call::DescribeStream))
    }

    fn effect(&self, about: &About) -> Effect {
        let refuse = Effect::Refuse;
        match self.fault {
            Fault::Throttle if about.call == Some(Call::GetRecords) => {
                refuse(Refusal::LimitExceeded("Rate exceeded for shard".into()))
            }
            Fault::Throttle => refuse(Refusal::Throttling),
            Fault::InternalError => refuse(Refusal::Internal),
            Fault::ExpiredIterator => refuse(Refusal::ExpiredIterator),
            Fault::Trimmed => refuse(Refusal::Trimmed),
            Fault::NotFound => refuse(Refusal::shard()),
            Fault::Hang => Effect::Disturb(Disturbance::Hang(self.lasting.0)),
            Fault::Truncate => Effect::Disturb(Disturbance::Truncate),
            Fault::LoseAnswer => Effect::Disturb(Disturbance::Lose),
            Fault::LateChildren => Effect::Late(millis(self.lasting.0)),
        }
    }
}

impl Default for Chance {
    fn default() -> Self {
        Self(1.0)
    }
}

impl Default for Seconds {
    fn default() -> Self {
        Self(Duration::from_secs(60))
    }
}

/// A value out of its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfBounds(&'static str);

impl fmt::Display for OutOfBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl TryFrom<f64> for Chance {
    type Error = OutOfBounds;

    fn try_from(chance: f64) -> Result<Self, OutOfBounds> {
        let known = (0.0..=1.0).contains(&chance);
        known.then_some(Self(chance)).ok_or(OutOfBounds("a chance is a number from 0.0 to 1.0"))
    }
}

impl TryFrom<f64> for Seconds {
    type Error = OutOfBounds;

    fn try_from(seconds: f64) -> Result<Self, OutOfBounds> {
        let known = (0.0..=86_400.0).contains(&seconds);
        let duration = known.then(|| Duration::from_secs_f64(seconds));
        duration.map(Self).ok_or(OutOfBounds("a time is a number of seconds from 0.0 to 86400.0"))
    }
}
