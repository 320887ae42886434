//! Paging: follows the pages of one listing to its end. Pure.
//!
//! Only an absent last key ends a listing: pages may be empty anywhere, and a key may come twice. A
//! listing that does not end is given up.

use std::collections::HashSet;
use std::hash::Hash;

/// The limit of pages of one listing: twenty times those of the largest known stream.
const MOST_PAGES: usize = 2_000;

/// The limit of rows of one listing.
const MOST_ROWS: usize = 100_000;

/// The limit of pages in a row whose last key came before: such a listing runs in a circle or does
/// not advance. A listing that does advance may have any number of empty pages.
const MOST_KNOWN: usize = 10;

/// The progress of one listing.
#[derive(Debug)]
pub(crate) struct Paging<K> {
    pages: usize,
    rows: usize,
    known: usize,
    keys: HashSet<K>,
}

/// A listing was given up because it does not end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the listing does not end")]
pub(crate) struct Endless;

impl<K> Default for Paging<K> {
    fn default() -> Self {
        Self { pages: 0, rows: 0, known: 0, keys: HashSet::new() }
    }
}

impl<K: Eq + Hash + Clone> Paging<K> {
    /// Counts a page of `rows` rows with its last key. Returns the key after which to request the
    /// next page; `None`: this was the last page.
    pub(crate) fn next(&mut self, rows: usize, last: Option<K>) -> Result<Option<K>, Endless> {
        self.pages += 1;
        self.rows += rows;
        let Some(last) = last else { return Ok(None) };
        self.known = if self.keys.insert(last.clone()) { 0 } else { self.known + 1 };
        let endless =
            self.pages >= MOST_PAGES || self.rows >= MOST_ROWS || self.known >= MOST_KNOWN;
        if endless { Err(Endless) } else { Ok(Some(last)) }
    }

    /// How many pages came.
    pub(crate) fn pages(&self) -> usize {
        self.pages
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_ends_is_followed_to_its_end(
            pages in proptest::collection::vec((0usize..200, 0u16..40), 0..300),
        ) {
            let mut paging = Paging::default();
            let (mut keys, mut repeated) = (HashSet::new(), 0);
            for (count, (rows, key)) in (1..).zip(&pages) {
                let next = paging.next(*rows, Some(*key));
                prop_assert_eq!(paging.pages(), count);
                repeated = if keys.insert(*key) { 0 } else { repeated + 1 };
                prop_assert_eq!(next, if repeated >= MOST_KNOWN { Err(Endless) } else { Ok(Some(*key)) });
                if next.is_err() {
                    return Ok(());
                }
            }
            prop_assert_eq!(paging.next(7, None), Ok(None));
        }

        #[test]
        fn what_does_not_end_is_given_up(rows in 0usize..1_000, circle in 1usize..5_000) {
            let mut paging = Paging::default();
            let asked =
                (0..MOST_PAGES).take_while(|page| paging.next(rows, Some(page % circle)).is_ok()).count();
            prop_assert!(asked < MOST_PAGES && asked * rows < MOST_ROWS + rows);
            prop_assert!(asked <= circle + MOST_KNOWN);
        }
    }
}
