//! The policy: rules that allow, and nothing that forbids. What no rule allows is denied, so the
//! order of rules means nothing.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;

use crate::model::{StreamArn, TableName};

use super::line_of;
use super::pattern::Pattern;
use super::principal::Principal;
use super::rpc_actions::Action;

/// The most rules of one policy.
const MOST_RULES: usize = 10_000;

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
    /// A principal that nobody can be.
    #[error("rule {rule}: {pattern:?} is no caller: mtls:NAME, token:NAME, local, anonymous or *")]
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
    /// What is allowed to principals that are named in full.
    named: HashMap<Box<str>, Vec<Arc<Grant>>>,
    /// What is allowed to all principals that a pattern stands for.
    patterns: Vec<(Pattern, Arc<Grant>)>,
}

/// What one rule allows.
#[derive(Debug)]
struct Grant {
    actions: Vec<Action>,
    streams: Vec<StreamPattern>,
}

#[derive(Debug)]
enum StreamPattern {
    Any,
    /// Streams of tables with such a name.
    Table(Pattern),
    /// Streams with such an ARN.
    Arn(Pattern),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    #[serde(default, rename = "rule")]
    rules: Vec<RuleText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    principals: Vec<String>,
    actions: Vec<String>,
    streams: Vec<String>,
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
        let mut policy = Self::default();
        for (at, rule) in file.rules.iter().enumerate() {
            policy.add(at + 1, rule)?;
        }
        Ok(policy)
    }

    fn add(&mut self, number: usize, rule: &RuleText) -> Result<(), PolicyError> {
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
        let grant = Arc::new(Grant {
            actions: rule.actions.iter().map(action).collect::<Result<_, _>>()?,
            streams: rule.streams.iter().map(stream).collect::<Result<_, _>>()?,
        });
        for pattern in &rule.principals {
            if !may_be_a_principal(pattern) {
                return Err(PolicyError::Principal { rule: number, pattern: pattern.clone() });
            }
            if pattern.contains('*') {
                self.patterns.push((Pattern::new(pattern), grant.clone()));
            } else {
                self.named.entry(pattern.as_str().into()).or_default().push(grant.clone());
            }
        }
        Ok(())
    }

    /// Whether the principal may take the action on the stream.
    pub fn allows(&self, who: &Principal, action: Action, stream: &StreamArn) -> bool {
        let table = stream.table();
        self.any(who, action, |pattern| match pattern {
            StreamPattern::Any => true,
            StreamPattern::Table(of) => {
                table.as_ref().is_some_and(|name| of.matches(name.as_str()))
            }
            StreamPattern::Arn(of) => of.matches(stream.as_str()),
        })
    }

    /// Whether there can be a stream of the table on which the principal may take the action. For a
    /// name that is not resolved yet: who may read none of them must not cost a look-up.
    pub fn may_allow(&self, who: &Principal, action: Action, table: &TableName) -> bool {
        let table_arn = |resource: &str| {
            let table = format!("arn:*:dynamodb:*:*:table/{resource}/stream/");
            Pattern::of(&[(table.as_str(), b":/"), ("*", b"/")])
        };
        let name = table.as_str();
        // Alternator writes `KEYSPACE@LOG` for the name, after the table.
        let arns = [table_arn(name), table_arn(&format!("*@{name}*"))];
        self.any(who, action, |pattern| match pattern {
            StreamPattern::Any => true,
            StreamPattern::Table(of) => of.matches(table.as_str()),
            StreamPattern::Arn(of) => arns.iter().any(|arn| arn.meets(of)),
        })
    }

    /// Whether the principal may take the action on any stream at all.
    pub fn grants(&self, who: &Principal, action: Action) -> bool {
        self.any(who, action, |_| true)
    }

    fn any(&self, who: &Principal, action: Action, on: impl Fn(&StreamPattern) -> bool) -> bool {
        let name = who.to_string();
        let named = self.named.get(name.as_str()).into_iter().flatten();
        let matched = self.patterns.iter().filter(|(pattern, _)| pattern.matches(&name));
        named
            .chain(matched.map(|(_, grant)| grant))
            .any(|grant| grant.actions.contains(&action) && grant.streams.iter().any(&on))
    }
}

impl StreamPattern {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        if let Some(table) = text.strip_prefix("table/") {
            let may_be = |c: char| c.is_ascii_alphanumeric() || "_-.*".contains(c);
            return (!table.is_empty() && table.chars().all(may_be))
                .then(|| Self::Table(Pattern::new(table)));
        }
        let may_be = Pattern::new("arn:*:dynamodb:*:*:table/*");
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        let pattern = Pattern::new(text);
        (text.starts_with("arn:") && printable && pattern.meets(&may_be))
            .then_some(Self::Arn(pattern))
    }
}

fn may_be_a_principal(pattern: &str) -> bool {
    let printable = pattern.bytes().all(|byte| byte.is_ascii_graphic());
    let pattern = Pattern::new(pattern);
    let kinds = ["mtls:*", "token:*", "local", "anonymous"];
    printable && kinds.iter().any(|kind| Pattern::new(kind).meets(&pattern))
}

#[cfg(test)]
mod tests;
