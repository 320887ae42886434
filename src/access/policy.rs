//! The policy: rules that allow, and nothing that forbids. What no rule allows is denied, so the
//! order of rules means nothing.

mod streams;

use std::collections::HashMap;

use serde::Deserialize;

use crate::model::{StreamArn, TableName};

use super::line_of;
use super::pattern::Pattern;
use super::prefix_index::{Literal, PrefixIndex};
use super::principal::Principal;
use super::quota::{Quota, QuotaText};
use super::rpc_actions::Action;

use streams::{StreamIndex, StreamPattern};

/// The most rules of one policy.
const MOST_RULES: usize = 10_000;

/// The most pairs of a caller and a stream that the rules of a policy name beside each other: each
/// is kept.
const MOST_PAIRS: usize = 200_000;

/// The largest policy, in bytes.
const MOST_BYTES: usize = 1 << 20;

/// Why a policy was refused; the text is for whoever wrote it.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It is larger than any that is meant.
    #[error("it has more than {MOST_BYTES} bytes")]
    Bytes,
    /// It has more rules than any that is meant.
    #[error("it has more than {MOST_RULES} rules")]
    Rules,
    /// It says more than any that is meant.
    #[error("its rules name more than {MOST_PAIRS} pairs of a caller and a stream")]
    Pairs,
    /// It is not TOML, or has keys that no rule has.
    #[error("line {line}: {message}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A list that allows nothing, most likely by mistake.
    #[error("rule {rule}: {list} is empty")]
    Empty {
        /// The rule's number in the file, from 1.
        rule: usize,
        /// The list.
        list: &'static str,
    },
    /// An action that there is not.
    #[error("rule {rule}: {action:?} is no action: list, inspect, read")]
    Action {
        /// The rule's number in the file, from 1.
        rule: usize,
        /// What stands for the action.
        action: String,
    },
    /// A quota that there is not.
    #[error("rule {rule}: there is no [quota.{quota}]")]
    NoQuota {
        /// The rule's number in the file, from 1.
        rule: usize,
        /// The name that stands for the quota.
        quota: String,
    },
    /// A quota that lets nobody call, or means no limit.
    #[error("quota.{0}: calls-per-second is 0.001 to 1000000000, and burst 1 to 1000000000")]
    Quota(String),
    /// A principal that nobody can be.
    #[error(
        "rule {rule}: {pattern:?} is no caller: mtls:NAME, token:NAME, jwt:NAME, uid:NUMBER, local, \
         anonymous or *"
    )]
    Principal {
        /// The rule's number in the file, from 1.
        rule: usize,
        /// What stands for the principal.
        pattern: String,
    },
    /// A stream that there cannot be.
    #[error("rule {rule}: {pattern:?} is no stream: table/NAME, arn:... or *")]
    Stream {
        /// The rule's number in the file, from 1.
        rule: usize,
        /// What stands for the stream.
        pattern: String,
    },
}

/// Which principal may take which action on which stream.
#[derive(Debug, Default)]
pub struct Policy {
    /// What is allowed to the principals that a pattern stands for.
    grants: PrefixIndex<(Pattern, Grants)>,
}

/// What is allowed to some principals: the streams of each action.
#[derive(Debug, Default)]
struct Grants {
    streams: [StreamIndex; Action::ALL.len()],
    /// The widest of those that the rules name; `None`: they name none.
    quota: Option<Quota>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    #[serde(default, rename = "rule")]
    rules: Vec<RuleText>,
    #[serde(default, rename = "quota")]
    quotas: HashMap<String, QuotaText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    principals: Vec<String>,
    actions: Vec<String>,
    streams: Vec<String>,
    quota: Option<String>,
}

impl Policy {
    /// The policy that the text of a file says.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        if text.len() > MOST_BYTES {
            return Err(PolicyError::Bytes);
        }
        let file: PolicyFile = toml::from_str(text).map_err(|error| {
            let line = line_of(&error, text);
            PolicyError::Syntax { line, message: error.message().to_owned() }
        })?;
        if file.rules.len() > MOST_RULES {
            return Err(PolicyError::Rules);
        }
        let quota = |(name, quota): (&String, &QuotaText)| match quota.quota() {
            Some(quota) => Ok((name.clone(), quota)),
            None => Err(PolicyError::Quota(name.clone())),
        };
        let quotas: HashMap<_, _> = file.quotas.iter().map(quota).collect::<Result<_, _>>()?;
        let mut by_caller = HashMap::new();
        let mut pairs = 0;
        for (at, rule) in file.rules.iter().enumerate() {
            pairs += rule.principals.len().saturating_mul(rule.streams.len());
            if pairs > MOST_PAIRS {
                return Err(PolicyError::Pairs);
            }
            add(&mut by_caller, at + 1, rule, &quotas)?;
        }
        let mut policy = Self::default();
        for (caller, grants) in by_caller {
            policy.grants.add(Literal::of(caller), (Pattern::new(caller), grants));
        }
        Ok(policy)
    }

    /// The number, from 1 in the order of the file, of the first rule by which the principal may
    /// take the action on the stream; `None`: by none, so that it may not.
    pub fn rule(&self, who: &Principal, action: Action, stream: &StreamArn) -> Option<usize> {
        self.granted(who, action).filter_map(|streams| streams.rule_of(stream)).min()
    }

    /// Whether the principal may take the action on the stream.
    pub fn allows(&self, who: &Principal, action: Action, stream: &StreamArn) -> bool {
        self.rule(who, action, stream).is_some()
    }

    /// Whether there can be a stream of the table on which the principal may take the action. For a
    /// name that is not resolved yet: who may read none of them must not cost a look-up.
    pub fn may_allow(&self, who: &Principal, action: Action, table: &TableName) -> bool {
        self.granted(who, action).any(|streams| streams.may_have(table))
    }

    /// Whether the principal may take the action on any stream at all.
    pub fn grants(&self, who: &Principal, action: Action) -> bool {
        self.granted(who, action).any(|streams| !streams.is_empty())
    }

    /// How much the principal may take of the server: of each the most that a rule of it names.
    pub fn quota(&self, who: &Principal) -> Quota {
        let named = self.grants_of(who).filter_map(|grants| grants.quota);
        named.reduce(Quota::widest).unwrap_or_default()
    }

    /// The streams on which the principal may take the action.
    fn granted(&self, who: &Principal, action: Action) -> impl Iterator<Item = &StreamIndex> {
        self.grants_of(who).map(move |grants| &grants.streams[action as usize])
    }

    fn grants_of(&self, who: &Principal) -> impl Iterator<Item = &Grants> {
        let name = who.to_string();
        let grants: Vec<_> =
            self.grants.of(&name).filter(|(pattern, _)| pattern.matches(&name)).collect();
        grants.into_iter().map(|(_, grants)| grants)
    }
}

/// Adds what the rule of this number allows to what each of its callers is allowed.
fn add<'a>(
    by_caller: &mut HashMap<&'a str, Grants>,
    number: usize,
    rule: &'a RuleText,
    quotas: &HashMap<String, Quota>,
) -> Result<(), PolicyError> {
    for (list, length) in [
        ("principals", rule.principals.len()),
        ("actions", rule.actions.len()),
        ("streams", rule.streams.len()),
    ] {
        if length == 0 {
            return Err(PolicyError::Empty { rule: number, list });
        }
    }
    let action = |action: &String| {
        Action::parse(action)
            .ok_or_else(|| PolicyError::Action { rule: number, action: action.clone() })
    };
    let stream = |pattern: &String| {
        StreamPattern::parse(pattern)
            .ok_or_else(|| PolicyError::Stream { rule: number, pattern: pattern.clone() })
    };
    let actions = rule.actions.iter().map(action).collect::<Result<Vec<_>, _>>()?;
    let streams = rule.streams.iter().map(stream).collect::<Result<Vec<_>, _>>()?;
    let quota = rule.quota.as_ref().map(|quota| {
        let known = quotas.get(quota).copied();
        known.ok_or_else(|| PolicyError::NoQuota { rule: number, quota: quota.clone() })
    });
    let quota = quota.transpose()?;
    for pattern in &rule.principals {
        if !may_be_a_principal(pattern) {
            return Err(PolicyError::Principal { rule: number, pattern: pattern.clone() });
        }
        let grants = by_caller.entry(pattern).or_default();
        grants.quota = grants.quota.into_iter().chain(quota).reduce(Quota::widest);
        for action in &actions {
            streams.iter().for_each(|stream| grants.streams[*action as usize].add(number, stream));
        }
    }
    Ok(())
}

fn may_be_a_principal(pattern: &str) -> bool {
    let printable = pattern.bytes().all(|byte| byte.is_ascii_graphic());
    let pattern = Pattern::new(pattern);
    let kinds = ["mtls:*", "token:*", "jwt:*", "uid:*", "local", "anonymous"];
    printable && kinds.iter().any(|kind| Pattern::new(kind).meets(&pattern))
}

#[cfg(test)]
mod tests;
