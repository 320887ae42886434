//! The streams that rules name, found by their tables: of thousands of patterns a stream is
//! compared with those few whose names begin like its own.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use crate::access::pattern::Pattern;
use crate::access::prefix_index::{Literal, PrefixIndex};
use crate::model::{StreamArn, TableName};

/// What stands for a stream in a rule. A cheap clone.
#[derive(Clone, Debug)]
pub(super) enum StreamPattern {
    Any,
    /// Streams of tables with such a name, which begins so.
    Table(Literal, Arc<Pattern>),
    /// Streams with such an ARN, in which the name of the table or its log begins so.
    Arn(Literal, Arc<Pattern>),
}

/// Streams by what stands for them, each with the number of the rule that says so.
#[derive(Debug, Default)]
pub(super) struct StreamIndex {
    /// The first rule that names every stream.
    any: Option<usize>,
    tables: PrefixIndex<(usize, Arc<Pattern>)>,
    /// By the name in the ARN.
    arns: PrefixIndex<(usize, Arc<Pattern>)>,
    /// What names that are given in full have after their `@`: Alternator writes `KEYSPACE@LOG`,
    /// and the log's name begins with the table's.
    logs: BTreeSet<Box<str>>,
    /// Some ARN may have a name of any end, and so be the log of any table.
    open: bool,
}

impl StreamPattern {
    /// What this text stands for, if that can be a stream.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        if let Some(table) = text.strip_prefix("table/") {
            let may_be = |c: char| c.is_ascii_alphanumeric() || "_-.*".contains(c);
            return (!table.is_empty() && table.chars().all(may_be))
                .then(|| Self::Table(Literal::of(table), Arc::new(Pattern::new(table))));
        }
        let may_be = Pattern::of(&[("arn:*:dynamodb:*:*:table/*/stream/", b":/"), ("*", b"/")]);
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        let pattern = Pattern::new(text);
        (text.starts_with("arn:") && printable && pattern.meets(&may_be))
            .then(|| Self::Arn(name_in(text), Arc::new(pattern)))
    }
}

/// How the name in an ARN of such a form begins. An ARN has `:table/` once: where it stands in the
/// pattern, the name follows.
fn name_in(text: &str) -> Literal {
    let name = text.split_once(":table/").and_then(|(_, rest)| rest.split('/').next());
    Literal::of(name.unwrap_or("*"))
}

impl StreamIndex {
    /// Adds the streams that this stands for in the rule of this number. Rules come in their order.
    pub(super) fn add(&mut self, rule: usize, pattern: &StreamPattern) {
        match pattern {
            StreamPattern::Any => self.any = self.any.or(Some(rule)),
            StreamPattern::Table(name, pattern) => {
                self.tables.add(name.clone(), (rule, pattern.clone()));
            }
            StreamPattern::Arn(name, pattern) => {
                match name.whole() {
                    Some(name) => self.logs.extend(name.split_once('@').map(|(_, log)| log.into())),
                    None => self.open = true,
                }
                self.arns.add(name.clone(), (rule, pattern.clone()));
            }
        }
    }

    /// The first rule that names this stream; `None`: none does.
    pub(super) fn rule_of(&self, stream: &StreamArn) -> Option<usize> {
        let first_of = |index: &PrefixIndex<(usize, Arc<Pattern>)>, name: &str, text: &str| {
            let named = index.of(name).filter(|(_, pattern)| pattern.matches(text));
            named.map(|(rule, _)| *rule).min()
        };
        let of_table = |table: TableName| first_of(&self.tables, table.as_str(), table.as_str());
        let by_table = stream.table().and_then(of_table);
        let by_arn = first_of(&self.arns, stream.resource(), stream.as_str());
        self.any.into_iter().chain(by_table).chain(by_arn).min()
    }

    /// Whether a stream of the table can be one of the streams.
    pub(super) fn may_have(&self, table: &TableName) -> bool {
        let name = table.as_str();
        let log = || self.logs.range::<str, _>((Bound::Included(name), Bound::Unbounded)).next();
        self.any.is_some()
            || self.open
            || self.tables.of(name).any(|(_, pattern)| pattern.matches(name))
            || self.arns.has_whole(name)
            || log().is_some_and(|log| log.starts_with(name))
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.any.is_none() && self.tables.is_empty() && self.arns.is_empty()
    }

    /// With how many patterns the stream is compared.
    #[cfg(test)]
    pub(super) fn compared(&self, stream: &StreamArn) -> usize {
        let table = stream.table();
        let table = table.as_ref().map_or("", TableName::as_str);
        self.tables.of(table).count() + self.arns.of(stream.resource()).count()
    }
}
