//! One step of a shape.

/// How many bytes of JSON a step compares, and of protobuf it copies, at once.
pub(super) const WIDTH: usize = 32;

/// How many lengths a step may begin and end.
pub(super) const MOST_MARKS: usize = 6;

/// The most bytes of which a length takes one byte.
pub(super) const SHORT: u8 = 127;

/// JSON that must come next, what to write for it, and what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Step {
    /// The JSON, in the first `literal_len` bytes.
    pub literal: [u8; WIDTH],
    /// A bit for each byte of it.
    pub mask: u32,
    pub literal_len: u8,
    /// The protobuf, in the first `written_len` bytes.
    pub written: [u8; WIDTH],
    pub written_len: u8,
    /// The lengths of containers that begin and end in it, in this order.
    pub marks: [Mark; MOST_MARKS],
    pub mark_count: u8,
    /// The lengths before the text that follows, the innermost first. Those that are not needed
    /// repeat the first.
    pub lengths: [LengthBefore; 3],
    pub length_count: u8,
    /// The longest text for which each of them takes one byte.
    pub longest: u8,
    pub then: Then,
}

/// What follows a step's JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Then {
    /// The next step.
    #[default]
    Next,
    /// A text that is copied, its escapes undone.
    Text,
    /// A text that is base64 of what is written.
    Base64,
    EventId,
    SequenceNumber,
    CreatedAt,
    SizeBytes,
    /// Nothing: the record is whole.
    End,
}

/// A container's length that begins or ends, at this place of what the step writes: its content
/// begins or ends there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Mark {
    pub is_end: bool,
    pub at: u8,
}

/// A length of one byte, so many bytes before the text, which counts so much more than the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct LengthBefore {
    pub back: u8,
    pub more: u8,
}

impl Step {
    /// A step of at most [`WIDTH`] bytes of each.
    pub(super) fn new(literal: &[u8], written: &[u8], marks: &[Mark]) -> Self {
        let mut step = Self {
            literal: [0; WIDTH],
            mask: u32::MAX.checked_shr((WIDTH - literal.len()) as u32).unwrap_or(0),
            literal_len: literal.len() as u8,
            written: [0; WIDTH],
            written_len: written.len() as u8,
            marks: [Mark::default(); MOST_MARKS],
            mark_count: marks.len() as u8,
            lengths: [LengthBefore::default(); 3],
            length_count: 0,
            longest: SHORT,
            then: Then::Next,
        };
        step.literal[..literal.len()].copy_from_slice(literal);
        step.written[..written.len()].copy_from_slice(written);
        step.marks[..marks.len()].copy_from_slice(marks);
        step
    }

    /// The step with this after it, whose lengths stand before it.
    pub(super) fn followed_by(mut self, then: Then, lengths: &[LengthBefore]) -> Self {
        self.then = then;
        self.length_count = lengths.len() as u8;
        if let Some(first) = lengths.first() {
            self.lengths = [*first; 3];
        }
        self.lengths[..lengths.len()].copy_from_slice(lengths);
        self.longest = SHORT - lengths.iter().map(|length| length.more).max().unwrap_or(0);
        self
    }
}
