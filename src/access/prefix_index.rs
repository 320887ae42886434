//! Patterns by how their texts begin: of thousands, a text is compared with those few that begin as
//! it does.

use std::collections::{BTreeSet, HashMap};

/// What of a pattern's text stands for itself: all of it, or what comes before the first `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Literal {
    text: Box<str>,
    whole: bool,
}

/// Things by the beginning of the texts that they are about.
#[derive(Debug)]
pub(super) struct PrefixIndex<T> {
    whole: HashMap<Box<str>, Vec<T>>,
    begun: HashMap<Box<str>, Vec<T>>,
    /// The lengths of what `begun` has.
    lengths: BTreeSet<usize>,
}

impl Literal {
    /// That of this pattern's text.
    pub(super) fn of(pattern: &str) -> Self {
        match pattern.split_once('*') {
            Some((begin, _)) => Self { text: begin.into(), whole: false },
            None => Self { text: pattern.into(), whole: true },
        }
    }

    /// The text, if the pattern stands for no other.
    pub(super) fn whole(&self) -> Option<&str> {
        self.whole.then_some(&*self.text)
    }
}

impl<T> Default for PrefixIndex<T> {
    fn default() -> Self {
        let (whole, begun) = (HashMap::new(), HashMap::new());
        Self { whole, begun, lengths: BTreeSet::new() }
    }
}

impl<T> PrefixIndex<T> {
    /// Adds something that is about the texts of a pattern with this literal.
    pub(super) fn add(&mut self, literal: Literal, item: T) {
        let Literal { text, whole } = literal;
        if whole {
            self.whole.entry(text).or_default().push(item);
        } else {
            self.lengths.insert(text.len());
            self.begun.entry(text).or_default().push(item);
        }
    }

    /// What may be about this text; all that is about it is among these.
    pub(super) fn of<'s>(&'s self, text: &str) -> impl Iterator<Item = &'s T> {
        let begun = self.lengths.range(..=text.len()).filter_map(|length| text.get(..*length));
        let begun = begun.filter_map(|begin| self.begun.get(begin));
        self.whole.get(text).into_iter().chain(begun).flatten()
    }

    /// Whether something is about this text and no other.
    pub(super) fn has_whole(&self, text: &str) -> bool {
        self.whole.contains_key(text)
    }

    /// Whether there is nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.begun.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::access::pattern::Pattern;

    proptest! {
        #[test]
        fn every_pattern_of_a_text_is_found_by_it(
            patterns in proptest::collection::vec("[ab*]{0,4}", 0..20),
            text in "[ab]{0,6}",
        ) {
            let mut index = PrefixIndex::default();
            for pattern in &patterns {
                index.add(Literal::of(pattern), Pattern::new(pattern));
            }
            let matches = |pattern: &&Pattern| pattern.matches(&text);
            let found = index.of(&text).filter(matches).count();
            let all = patterns.iter().filter(|pattern| Pattern::new(pattern).matches(&text));
            prop_assert_eq!(found, all.count());
            prop_assert_eq!(index.is_empty(), patterns.is_empty());
        }
    }
}
