//! How far a record is read at a step: all that what comes next, and what is written for it,
//! depends on.

use crate::encode::transcode::Refused;

/// How many containers may be open in a shape; records that are deeper are not learned.
pub(super) const MOST_OPEN: usize = 16;

/// The state of the general transcoder at a place between two steps. Two records in the same state
/// go on in the same way, so that steps of one may follow those of the other.
///
/// Whether a text, a number or nothing stands there is no part of it: of these, only a text goes on
/// with a quote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// The fields that came so far, a bit for each: none may come twice.
    pub fields: u16,
    /// It is inside `dynamodb`.
    pub in_change: bool,
    /// The tag of the image that it is in; 0: in none.
    pub image: u8,
    /// The containers that are open, the outermost first: the tag, and whether it is a map's entry.
    open: [(u8, bool); MOST_OPEN],
    depth: u8,
    /// What of the envelope is known so far, by its number.
    pub constants: u8,
}

impl State {
    /// In another container.
    pub(super) fn enter(&mut self, tag: u8, is_entry: bool) -> Result<(), Refused> {
        *self.open.get_mut(usize::from(self.depth)).ok_or(Refused)? = (tag, is_entry);
        self.depth += 1;
        Ok(())
    }

    /// The same state where constants are numbered in another way: those of each old number by
    /// `numbers`.
    pub(super) fn numbered(self, numbers: &[u8]) -> Self {
        Self { constants: numbers[usize::from(self.constants)], ..self }
    }

    /// Out of the innermost container.
    pub(super) fn leave(&mut self) {
        self.depth -= 1;
        self.open[usize::from(self.depth)] = (0, false);
    }
}
