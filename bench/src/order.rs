//! That records come in order and none is missing: each number is the one after that before.

use super::pages;

/// So many came, in order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rising(usize);

/// A record is missing, comes twice, or is none of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {0} was to come, and {1:?} came")]
pub struct OutOfOrder(usize, String);

impl Rising {
    /// The next record of the shard, by its sequence number.
    pub fn note(&mut self, number: &str) -> Result<(), OutOfOrder> {
        if pages::index_of(number) != Some(self.0) {
            return Err(OutOfOrder(self.0, number.to_owned()));
        }
        self.0 += 1;
        Ok(())
    }

    /// How many came.
    pub fn seen(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_is_missing_or_comes_twice_is_found() {
        let number = |index: usize| format!("{}{index:08}", pages::NUMBER_BEGIN);
        let mut order = Rising::default();
        assert_eq!(order.note(&number(0)), Ok(()));
        assert!(
            order.note(&number(0)).is_err()
                && order.note(&number(2)).is_err()
                && order.note("12").is_err()
        );
        assert_eq!(order.note(&number(1)), Ok(()));
        assert_eq!(order.seen(), 2);
    }
}
